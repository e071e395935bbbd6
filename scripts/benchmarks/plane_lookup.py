"""The look-up of feature planes on a GPU: correctness, times against grid_sample's, and what memory allows at best.

Rays cross the box with 64 sorted samples each, at random whole frames; gathered: near one place of their ray, as
importance sampling puts them, where many add to the same cells. Table columns: milliseconds (median); GB/s of corners,
which are reads of C neighbouring floats, and in the backward pass additions too; additions of C floats a second; floor,
the time of the bytes that have to pass main memory (inputs, outputs, every touched cell once, zeros of the gradients)
at the bandwidth of a copy. Corners themselves come out of the cache, mostly.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import _root  # noqa: F401
import torch
from torch import Tensor
from torch.nn import functional

from nsff.models.ray_fields import plane_kernels
from nsff.models.ray_fields.plane_lookup import AXES, look_up_plainly

CHANNELS = 8
STATIC, DYNAMIC = (1, [64, 128, 256, 512]), (24, [64, 192])
CASES = {"static": STATIC, "dynamic": DYNAMIC, "static, gathered": STATIC, "dynamic, gathered": DYNAMIC}
TILES = [(256, 2), (512, 4), (1024, 8)]


@dataclass
class Data:
    """One case: planes, coordinates (M, 3) and slice numbers (M,) or None."""

    name: str
    planes: list[Tensor]
    at: Tensor
    index: Tensor | None

    @property
    def corners(self) -> int:
        return 12 * len(self.planes) * len(self.at)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, nargs="+", default=[262_144, 1_048_576])
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--tiles", action="store_true", help="also try other sizes of programs (a minute)")
    given = parser.parse_args()
    torch.manual_seed(0)
    bandwidth = copy_bandwidth()
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}, copies at {bandwidth / 1e9:.0f} GB/s")
    for data in cases(65_536, between=True):
        check(data)
    print(f"\n{'case':<18}{'samples':>9}  {'what':<34}{'ms':>8}{'GB/s':>8}{'G adds/s':>10}{'floor ms':>10}")
    for count in given.samples:
        for data in cases(count):
            floors = {way: needed / bandwidth * 1e3 for way, needed in bytes_needed(data).items()}
            for what, way, passes, run in measured(data):
                ms = milliseconds(run, given.repeats)
                moved = f"{data.corners * 4 * CHANNELS * passes / ms / 1e6:8.0f}" if passes else " " * 8
                rate = f"{data.corners / ms / 1e6:10.2f}" if way == "backward" and passes == 2 else " " * 10
                print(f"{data.name:<18}{len(data.at):>9}  {what:<34}{ms:8.3f}{moved}{rate}{floors[way]:10.3f}")
    if given.tiles:
        try_tiles(given.samples[0], given.repeats)


# --- data ------------------------------------------------------------------------------------------------------------
def cases(count: int, between: bool = False) -> Iterator[Data]:
    """All cases; ``between``: at fractional times, as a picture between frames asks for."""
    for name, (slices, sizes) in CASES.items():
        planes = [(torch.rand(3, slices, r, r, CHANNELS, device="cuda") * 0.4 + 0.1).requires_grad_() for r in sizes]
        index = None
        if slices > 1:
            index = torch.rand(count // 64, 1, device="cuda") * (slices - 1)
            index = (index if between else index.round()).expand(-1, 64).flatten()
        yield Data(name, planes, crossing(count, "gathered" in name).requires_grad_(), index)


def crossing(count: int, gathered: bool) -> Tensor:
    """Samples (count, 3) of rays from one face of the box to the opposite, sorted along them.

    Moved to odd multiples of 2^-13: on an edge between two cells, where derivatives jump, float32 and float64 differ.
    """
    rays = count // 64
    each, axis = torch.arange(rays, device="cuda"), torch.randint(3, (rays,), device="cuda")
    ends = torch.rand(2, rays, 3, device="cuda") * 2 - 1
    ends[0, each, axis], ends[1, each, axis] = -1, 1
    s = torch.rand(rays, 64, 1, device="cuda").sort(dim=1).values
    if gathered:
        s = 0.02 * s + 0.98 * torch.rand(rays, 1, 1, device="cuda")
    at = torch.lerp(ends[0][:, None], ends[1][:, None], s).reshape(-1, 3)
    return (((at * 4096).floor() * 2 + 1) / 8192).clamp(-1, 1)


# --- what is compared ------------------------------------------------------------------------------------------------
def by_grid_sample(planes: list[Tensor], at: Tensor, index: Tensor | None, slices: int) -> Tensor:
    """The former look-up: channel-first planes (3, C, slices * R, R), one grid_sample a resolution."""
    pairs, result = torch.stack([at[:, pair] for pair in AXES]), []
    for p in planes:
        places, R = pairs, p.shape[-1]
        if index is not None:
            row = (pairs[..., 1] + 1) * 0.5 * (R - 1) + index * R
            places = torch.stack([pairs[..., 0], row / (slices * R - 1) * 2 - 1], dim=-1)
        found = functional.grid_sample(p, places[:, :, None], align_corners=True, padding_mode="border")
        result.append(found[0, ..., 0] * found[1, ..., 0] * found[2, ..., 0])
    return torch.cat(result).T


def measured(data: Data) -> Iterator[tuple[str, str, int, Callable[[], object]]]:
    """(What, forward or backward, how often corners are visited, call) of everything that is timed."""
    planes, at, index = data.planes, data.at, data.index
    slices = planes[0].shape[1]
    former = [p.detach().flatten(1, 2).permute(0, 3, 1, 2).contiguous().requires_grad_() for p in planes]

    def kernel() -> Tensor:
        return plane_kernels.look_up(planes, at, index)

    def grid_sample() -> Tensor:
        return by_grid_sample(former, at, index, slices)

    outer = torch.randn(len(at), len(planes) * CHANNELS, device="cuda")
    for name, call, inputs in (("kernel", kernel, [*planes, at]), ("grid_sample", grid_sample, [*former, at])):
        yield f"{name}, forward", "forward", 1, call
        out = call()
        yield f"{name}, backward", "backward", 2, backward_of(out, inputs, outer)
    fixed = plane_kernels.look_up([p.detach() for p in planes], at, index)
    yield "kernel, backward to coordinates", "backward", 1, backward_of(fixed, [at], outer)
    fixed = plane_kernels.look_up(planes, at.detach(), index)
    yield "kernel, backward to planes", "backward", 2, backward_of(fixed, planes, outer)
    yield "zeros of the planes' gradients", "zeros", 0, lambda: [torch.zeros_like(p) for p in planes]
    if index is not None:
        between = (index + 0.5).clamp(max=slices - 1)
        yield "kernel, forward, between frames", "forward", 2, lambda: plane_kernels.look_up(planes, at, between)


def backward_of(out: Tensor, inputs: list[Tensor], outer: Tensor) -> Callable[[], object]:
    return lambda: torch.autograd.grad(out, inputs, outer, retain_graph=True)


def check(data: Data) -> None:
    """Prints relative errors against the twin in float64; stops at the first that is too large."""
    inputs = [*data.planes, data.at]
    twin = [t.detach().double().requires_grad_() for t in inputs]
    found = plane_kernels.look_up(data.planes, data.at, data.index)
    expected = look_up_plainly(twin[:-1], twin[-1], None if data.index is None else data.index.double())
    outer = torch.randn_like(found)
    pairs = {"values": (found, expected)}
    names = [*(f"planes {p.shape[2]}" for p in data.planes), "coordinates"]
    gradients = torch.autograd.grad(found, inputs, outer), torch.autograd.grad(expected, twin, outer.double())
    pairs |= dict(zip(names, zip(*gradients, strict=True), strict=True))
    errors = {name: float((a - b).norm() / b.norm()) for name, (a, b) in pairs.items()}
    print(f"{data.name}: relative errors", ", ".join(f"{name} {error:.1e}" for name, error in errors.items()))
    if not max(errors.values()) < 1e-5:
        raise SystemExit("the kernel is wrong")


# --- times and bytes -------------------------------------------------------------------------------------------------
def milliseconds(run: Callable[[], object], repeats: int) -> float:
    for _ in range(3):
        run()
    times = []
    for _ in range(repeats):
        torch.cuda._sleep(3_000_000)  # a millisecond or two, in which the host gets ahead
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        run()
        end.record()
        end.synchronize()
        times.append(start.elapsed_time(end))
    return statistics.median(times)


def copy_bandwidth() -> float:
    """Bytes a second, read and written, of a large copy."""
    source = torch.zeros(2**28, device="cuda")
    target = torch.empty_like(source)
    return 2 * source.nbytes / milliseconds(lambda: target.copy_(source), 10) * 1e3


def bytes_needed(data: Data) -> dict[str, float]:
    """Bytes that pass main memory at least, forward and backward."""
    M = len(data.at)
    given = M * (12 + (0 if data.index is None else 4))
    features = M * 4 * CHANNELS * len(data.planes)
    cells = sum(touched(p.shape[1], p.shape[2], data) for p in data.planes) * 4 * CHANNELS
    zeros = sum(p.nbytes for p in data.planes)
    return {
        "forward": given + features + cells, "backward": given + features + 12 * M + zeros + 3 * cells,
        "zeros": zeros,
    }  # fmt: skip


def touched(slices: int, R: int, data: Data) -> int:
    """Cells of all three planes that the samples read."""
    lower = ((data.at.detach() + 1) * (0.5 * (R - 1))).long().clamp(0, R - 2)
    part = 0 if data.index is None else data.index.long()
    seen = torch.zeros(3 * slices * R * R, dtype=torch.bool, device="cuda")
    for k, (u, v) in enumerate(AXES):
        near = ((k * slices + part) * R + lower[:, v]) * R + lower[:, u]
        for step in (0, 1, R, R + 1):
            seen[near + step] = True
    return int(seen.sum())


def try_tiles(count: int, repeats: int) -> None:
    """Forward and backward of other tiles: elements (samples times lanes) and warps of a program."""
    print(f"\n{'elements':>9}{'warps':>7}  forward and backward, ms, of {'; '.join(CASES)}")
    for tile in TILES:
        plane_kernels.ELEMENTS, plane_kernels.WARPS = tile
        times = []
        for data in cases(count):
            runs = itertools.islice(measured(data), 2)
            times += [milliseconds(run, repeats) for *_, run in runs]
        print(f"{tile[0]:>9}{tile[1]:>7}  " + "".join(f"{ms:8.3f}" for ms in times))


if __name__ == "__main__":
    main()
