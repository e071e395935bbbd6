"""Times of the rasterisers of Gaussians: a picture, and a picture with gradients, float32.

Scenes: «pixels», Gaussians of 0.6 pixels at random places and depths, as they are when a model starts from lifted
pixels; «trained», of 0.3 to 5 pixels, elongated up to threefold, of all opacities. Each row has the best and the median
of the repeats, milliseconds of wall-clock time, and on the CPU the best of processor time, which other programs disturb
less. On the CPU the rasteriser compiled by Numba runs on PyTorch's threads (--threads); on a CUDA device, gsplat.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Callable

import _root  # noqa: F401
import torch

from nsff.models.gaussians.rasterisers import rasterise
from nsff.models.gaussians.splats import Camera, Splats


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--gaussians", type=int, default=100_000)
    parser.add_argument("--height", type=int, default=180)
    parser.add_argument("--width", type=int, default=320)
    parser.add_argument("--channels", type=int, nargs="+", default=[3, 32])
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--threads", type=int, default=0, help="of PyTorch and the CPU rasteriser; 0: PyTorch's choice")
    given = parser.parse_args()
    if given.threads:
        torch.set_num_threads(given.threads)
    print(
        f"{given.gaussians} Gaussians, {given.width} x {given.height} pixels, {given.device}, torch {torch.__version__}"
        + (f", {torch.get_num_threads()} threads" if given.device == "cpu" else "")
    )
    print(f"{'scene':<10}{'channels':>9}  {'what':<16}{'best ms':>9}{'median ms':>11}{'processor ms':>14}")
    for name, scene in {"pixels": pixels, "trained": trained}.items():
        for channels in given.channels:
            splats, camera = scene(given.gaussians, channels, given.height, given.width, given.device)
            for what, run in {"picture": picture(splats, camera), "with gradients": gradients(splats, camera)}.items():
                wall, processor = times(run, given.repeats, given.device)
                best, median = (f"{1e3 * f(wall):.1f}" for f in (min, statistics.median))
                cpu = f"{1e3 * min(processor):.1f}" if given.device == "cpu" else ""
                print(f"{name:<10}{channels:>9}  {what:<16}{best:>9}{median:>11}{cpu:>14}", flush=True)


# --- scenes ----------------------------------------------------------------------------------------------------------
def pixels(count: int, channels: int, height: int, width: int, device: str) -> tuple[Splats, Camera]:
    return seen(torch.full((count, 3), 0.6), torch.full((count,), 0.8), channels, height, width, device)


def trained(count: int, channels: int, height: int, width: int, device: str) -> tuple[Splats, Camera]:
    generator = torch.Generator().manual_seed(1)
    size = torch.exp(torch.empty(count, 1).uniform_(math.log(0.3), math.log(5), generator=generator))
    stretch = torch.exp(torch.empty(count, 3).uniform_(-math.log(3) / 2, math.log(3) / 2, generator=generator))
    return seen(size * stretch, torch.rand(count, generator=generator), channels, height, width, device)


def seen(
    sizes: torch.Tensor, opacities: torch.Tensor, channels: int, height: int, width: int, device: str
) -> tuple[Splats, Camera]:
    """Gaussians of ``sizes`` (G,3) in pixels, spread evenly over the picture and between depths 1 and 10."""
    generator = torch.Generator().manual_seed(0)
    count, focal = len(sizes), 0.9 * width
    places = (torch.rand(count, 2, generator=generator) - 0.5) * torch.tensor([width, height])
    z = 1 + 9 * torch.rand(count, 1, generator=generator)
    splats = Splats(
        torch.cat([places / focal * z, z], dim=1).to(device),
        torch.randn(count, 4, generator=generator).to(device),
        (sizes * z / focal).to(device),
        opacities.to(device),
        torch.rand(count, channels, generator=generator).to(device),
    )
    K = torch.tensor([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]], device=device)
    return splats, Camera(K, torch.eye(4, device=device)[:3], height, width)


# --- what is timed ---------------------------------------------------------------------------------------------------
def picture(splats: Splats, camera: Camera) -> Callable[[], object]:
    return lambda: rasterise(splats, camera)


def gradients(splats: Splats, camera: Camera) -> Callable[[], object]:
    fields = (splats.means, splats.quaternions, splats.scales, splats.opacities, splats.values)
    leaves = [field.clone().requires_grad_() for field in fields]

    def run() -> object:
        drawn = rasterise(Splats(*leaves), camera)
        loss = (drawn.values - 0.5).square().mean() + drawn.alpha.mean() + drawn.depth.mean()
        return torch.autograd.grad(loss, leaves)

    return run


def times(run: Callable[[], object], repeats: int, device: str) -> tuple[list[float], list[float]]:
    """Seconds of wall-clock and of processor time of each repeat, after two that are not counted."""
    wall, processor = [], []
    for i in range(repeats + 2):
        before, used = time.perf_counter(), time.process_time()
        run()
        if device != "cpu":
            torch.cuda.synchronize()
        if i >= 2:
            wall.append(time.perf_counter() - before)
            processor.append(time.process_time() - used)
    return wall, processor


if __name__ == "__main__":
    main()
