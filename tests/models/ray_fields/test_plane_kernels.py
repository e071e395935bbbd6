"""The Triton kernels of plane look-ups against their plain twin in float64: on a GPU, or in Triton's interpreter."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from nsff.models.ray_fields.plane_lookup import look_up_plainly, look_up_planes

pytest.importorskip("triton", reason="Triton is not installed")
INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
DEVICE = "cpu" if INTERPRETED else "cuda"
MORE = 1 if INTERPRETED else 40  # not more, or sums in float32 of a small plane's cells err by 1e-5
ROOT = Path(__file__).resolve().parents[2]
# (slices, resolutions, channels, samples)
CASES = [
    (1, [3, 8, 16], 8, 300), (1, [5], 3, 77), (4, [4, 9], 8, 150), (3, [1, 2], 2, 90), (2, [6, 7, 5, 4], 16, 50),
]  # fmt: skip


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def places(count):
    """Coordinates (count, 3) inside, outside and on the border.

    They are odd multiples of 2^-13, which float32 places in cells without rounding, and never on an edge between two
    cells, where the derivative jumps.
    """
    at = (2 * torch.randint(-4800, 4800, (count, 3), generator=generator()) + 1) / 8192
    at[:4] = torch.tensor([[-1.0, -1, -1], [1, 1, 1], [1, -1, 1 / 8192], [-513 / 8192, 1, -1]])
    return at


def distance(found, expected):
    return float((found.detach().cpu().double() - expected.detach()).norm() / expected.detach().norm())


def errors(planes, at, index, to_planes=True, to_at=True):
    """Relative errors of values and all gradients asked for."""
    from nsff.models.ray_fields import plane_kernels

    own = [p.clone().to(DEVICE).requires_grad_(to_planes) for p in planes]
    own_at = at.clone().to(DEVICE).requires_grad_(to_at)
    found = plane_kernels.look_up(own, own_at, None if index is None else index.to(DEVICE))
    twin, twin_at = [p.double().requires_grad_(to_planes) for p in planes], at.double().requires_grad_(to_at)
    expected = look_up_plainly(twin, twin_at, None if index is None else index.double())
    outer = torch.randn(expected.shape, generator=generator())
    outer[len(outer) // 2 :][:20] = 0  # what gets no gradient is passed over
    found.backward(outer.to(DEVICE))
    expected.backward(outer.double())
    pairs = {"values": (found, expected)}
    if to_planes:
        pairs |= {f"planes {k}": (a.grad, b.grad) for k, (a, b) in enumerate(zip(own, twin, strict=True))}
    if to_at:
        pairs["coordinates"] = own_at.grad, twin_at.grad
    assert all(p.grad is None for p in own) or to_planes
    assert own_at.grad is None or to_at
    return {name: distance(*pair) for name, pair in pairs.items()}


def times(slices, count, kind):
    if kind == "none":
        return None
    index = torch.rand(count, generator=generator()) * (slices + 1) - 1
    return index.round().clamp(0, slices - 1) if kind == "whole" else index


@pytest.mark.gpu
@pytest.mark.parametrize("kind", ["whole", "between"])
@pytest.mark.parametrize("case", CASES)
def test_kernels_equal_their_twin(case, kind):
    slices, sizes, channels, count = case
    planes = [torch.rand(3, slices, r, r, channels, generator=generator()) * 0.4 + 0.1 for r in sizes]
    index = times(slices, count * MORE, "none" if slices == 1 else kind)
    found = errors(planes, places(count * MORE), index)
    assert len(found) == len(sizes) + 2
    assert max(found.values()) < 1e-5, found


@pytest.mark.gpu
@pytest.mark.parametrize(("to_planes", "to_at"), [(True, False), (False, True)])
def test_kernels_equal_their_twin_in_one_gradient_alone(to_planes, to_at):
    planes = [torch.rand(3, 3, r, r, 8, generator=generator()) for r in (3, 6)]
    found = errors(planes, places(100), times(3, 100, "between"), to_planes, to_at)
    assert len(found) == (3 if to_planes else 2)
    assert max(found.values()) < 1e-5, found


@pytest.mark.gpu
def test_kernels_equal_their_twin_beside_what_is_not_a_number():
    from nsff.models.ray_fields import plane_kernels

    planes, at = torch.rand(3, 2, 4, 4, 8, generator=generator()).to(DEVICE), places(40).to(DEVICE)
    at[7, 2] = float("nan")
    index = torch.ones(40, device=DEVICE)
    found = plane_kernels.look_up([planes], at, index)
    assert torch.equal(found.isnan().all(1), torch.arange(40, device=DEVICE) == 7)
    others = [k for k in range(40) if k != 7]
    torch.testing.assert_close(found[others], look_up_plainly([planes], at, index)[others])


@pytest.mark.gpu
def test_kernels_equal_their_twin_without_samples():
    from nsff.models.ray_fields import plane_kernels

    planes = torch.rand(3, 1, 4, 4, 8).to(DEVICE).requires_grad_()
    found = plane_kernels.look_up([planes], torch.zeros(0, 3, device=DEVICE), None)
    found.sum().backward()
    assert found.shape == (0, 8)
    assert not planes.grad.any()


@pytest.mark.gpu
def test_kernels_equal_their_twin_where_gradients_stay():
    """Two looks at the same planes add to what is there already; nothing is handed on."""
    from nsff.models.ray_fields import plane_kernels

    start = [torch.rand(3, 3, r, r, 8, generator=generator()) for r in (3, 6)]
    at, index = places(100), times(3, 100, "between")
    own, twin = [p.clone().to(DEVICE).requires_grad_() for p in start], [p.double().requires_grad_() for p in start]
    targets = [torch.ones_like(p, requires_grad=False) for p in own]
    for scale in (1.0, -3.0):
        found = plane_kernels.look_up(own, at.to(DEVICE), index.to(DEVICE), targets)
        (scale * found.square()).sum().backward()
        (scale * look_up_plainly(twin, at.double(), index.double()).square()).sum().backward()
    assert all(p.grad is None for p in own)
    for target, p in zip(targets, twin, strict=True):
        assert distance(target, p.grad + 1) < 1e-5


# --- without a GPU ---------------------------------------------------------------------------------------------------
def test_in_the_interpreter(interpreted):
    """All of the above."""
    assert f"{2 * len(CASES) + 5} passed" in interpreted(__file__)


COMPILE = """
import torch
from triton.backends.compiler import GPUTarget
from triton.runtime.driver import driver

class Machine:
    get_current_target = staticmethod(lambda: GPUTarget("cuda", 90, 32))
    get_current_device = staticmethod(lambda: 0)
    get_current_stream = staticmethod(lambda device=None: 0)
    get_active_torch_device = staticmethod(lambda: torch.device("cpu"))

class Compiled:
    def __init__(self, kernel):
        self.kernel = kernel
    def __getitem__(self, grid):
        return lambda *a, **k: print(self.kernel.warmup(*a, grid=grid, **k).asm["ptx"])

driver.set_active(Machine())
from nsff.models.ray_fields import plane_kernels

plane_kernels.forward_kernel = Compiled(plane_kernels.forward_kernel)
plane_kernels.backward_kernel = Compiled(plane_kernels.backward_kernel)
planes, at = torch.nn.Parameter(torch.rand(3, 5, 4, 4, 8)), torch.rand(100, 3, requires_grad=True)
plane_kernels.look_up([planes], at, torch.rand(100)).sum().backward()
"""


def test_the_kernels_compile_to_wide_reads_and_additions(tmp_path):
    """The interpreter takes what the compiler does not; and that a corner's channels move together is the point."""
    run = subprocess.run(
        [sys.executable, "-c", COMPILE], cwd=ROOT, capture_output=True, text=True, timeout=600,
        env=os.environ | {"TRITON_CACHE_DIR": str(tmp_path), "TRITON_INTERPRET": "0", "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert run.returncode == 0, run.stderr[-3000:]
    forward, backward = run.stdout.split(".entry backward_kernel")
    # Three planes of four corners, for each of two slices.
    assert forward.count("ld.global.v4.b32") == 24
    assert backward.count("relaxed.add.v4.f32") == 24


# --- on a GPU alone --------------------------------------------------------------------------------------------------
@pytest.fixture
def on_gpu():
    """Planes of two resolutions, coordinates and times on the GPU."""
    planes = [torch.rand(3, 4, r, r, 8, generator=generator()).cuda().requires_grad_() for r in (16, 32)]
    return planes, places(5000).cuda().requires_grad_(), times(4, 5000, "between").cuda()


@pytest.mark.gpu
@pytest.mark.skipif(INTERPRETED, reason="of a GPU alone")
def test_a_gpu_takes_the_kernels_for_float32(on_gpu):
    planes, at, index = on_gpu
    assert "_LookUp" in look_up_planes(planes, at, index).grad_fn.name()
    double = look_up_planes([p.double() for p in planes], at, index)
    assert double.dtype == torch.float64
    assert "_LookUp" not in double.grad_fn.name()
    with torch.autocast("cuda", torch.bfloat16):
        assert look_up_planes(planes, at, index).dtype == torch.float32


@pytest.mark.gpu
@pytest.mark.skipif(INTERPRETED, reason="of a GPU alone")
def test_nothing_waits_for_the_host(on_gpu):
    look_up_planes(*on_gpu).sum().backward()  # compiles
    torch.cuda.set_sync_debug_mode("error")
    try:
        look_up_planes(*on_gpu).sum().backward()
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.gpu
@pytest.mark.skipif(INTERPRETED, reason="of a GPU alone")
def test_a_cuda_graph_repeats_it_with_other_numbers(on_gpu):
    planes, at, index = on_gpu
    inputs = [*planes, at]
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        torch.autograd.grad(look_up_planes(planes, at, index).square().sum(), inputs)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = torch.autograd.grad(look_up_planes(planes, at, index).square().sum(), inputs)
    with torch.no_grad():
        at.copy_(at.roll(1, 0) * 0.7)
        index.copy_(index.flip(0).round().clamp(0, 3))
        for p in planes:
            p.mul_(1.3)
    graph.replay()
    expected = torch.autograd.grad(look_up_planes(planes, at, index).square().sum(), inputs)
    for a, b in zip(captured, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-3 * float(b.abs().max()))
