"""Forward splatting: shifts, shares and losses by hand; the CUDA kernel against its torch twin; plane compositing."""

import sys
from contextlib import nullcontext
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace

import pytest
import torch

from nsff.errors import ConfigError
from nsff.rendering import splatting
from nsff.rendering.splatting import composite_planes, splat

D = torch.float64


def picture(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(*shape, dtype=D, generator=torch.Generator().manual_seed(seed))


def constant(dx: float, dy: float, H: int, W: int) -> torch.Tensor:
    return torch.tensor([dx, dy], dtype=D)[:, None, None].expand(2, H, W).clone()


def test_nothing_moves():
    values = picture(3, 4, 5)
    result, coverage = splat(values, constant(0, 0, 4, 5))
    torch.testing.assert_close(result, values, rtol=1e-6, atol=0)
    assert torch.equal(coverage, torch.ones(1, 4, 5, dtype=D))


def test_whole_shifts_move_right_and_down_and_leave_a_hole():
    values = picture(2, 4, 5)
    result, coverage = splat(values, constant(2, 1, 4, 5))
    torch.testing.assert_close(result[:, 1:, 2:], values[:, :-1, :-2], rtol=1e-6, atol=0)
    assert not result[:, 0].any()
    assert not result[:, :, :2].any()
    assert coverage.sum() == 3 * 3


def test_half_a_pixel_is_shared_between_two():
    values = torch.tensor([[[4.0, 0.0, 8.0]]], dtype=D)
    move = torch.zeros(2, 1, 3, dtype=D)
    move[0, 0, 0] = 0.5
    result, coverage = splat(values, move)
    # Pixel 0 gives half to itself and half to pixel 1, which keeps its own 0: (0.5*4 + 1*0) / 1.5.
    torch.testing.assert_close(coverage[0, 0], torch.tensor([0.5, 1.5, 1.0], dtype=D))
    torch.testing.assert_close(result[0, 0], torch.tensor([4.0, 2 / 1.5, 8.0], dtype=D), rtol=1e-6, atol=0)


def test_a_quarter_and_three_quarters_in_two_directions():
    values, move = torch.zeros(1, 3, 3, dtype=D), torch.full((2, 3, 3), 99.0, dtype=D)
    values[0, 1, 1] = 1
    move[:, 1, 1] = torch.tensor([-0.25, 0.75], dtype=D)
    _, coverage = splat(values, move)
    expected = torch.zeros(3, 3, dtype=D)
    expected[1, 0], expected[1, 1], expected[2, 0], expected[2, 1] = 0.25 * 0.25, 0.75 * 0.25, 0.25 * 0.75, 0.75 * 0.75
    torch.testing.assert_close(coverage[0], expected)


def test_the_average_of_what_meets_is_weighted():
    values = torch.tensor([[[1.0, 5.0]]], dtype=D)
    move = torch.tensor([[[1.0, 0.0]], [[0.0, 0.0]]], dtype=D)
    result, coverage = splat(values, move)
    assert result[0, 0, 1].item() == pytest.approx(3, rel=1e-6)
    assert coverage[0, 0].tolist() == [0, 2]


def test_mass_is_kept_inside_the_frame():
    values = torch.zeros(2, 8, 9, dtype=D)
    values[:, 2:6, 2:7] = picture(2, 4, 5)
    move = picture(2, 8, 9, seed=1) * 2 - 1
    result, coverage = splat(values, move)
    torch.testing.assert_close((result * coverage).sum((1, 2)), values.sum((1, 2)), rtol=1e-6, atol=0)


def test_outside_is_dropped_and_the_edge_keeps_its_share():
    _, coverage = splat(torch.ones(1, 2, 3, dtype=D), constant(2.5, 0, 2, 3))
    # Only column 0 lands at 2.5: half of it on column 2, half outside.
    assert coverage[0].tolist() == [[0, 0, 0.5]] * 2
    _, coverage = splat(torch.ones(1, 2, 3, dtype=D), constant(0, -0.5, 2, 3))
    assert coverage[0].tolist() == [[1, 1, 1], [0.5, 0.5, 0.5]]
    assert splat(torch.ones(1, 2, 3, dtype=D), constant(-3, 0, 2, 3))[1].sum() == 0


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf"), 1e30])
def test_places_that_are_not_finite_are_dropped(bad):
    move = torch.zeros(2, 2, 2, dtype=D)
    move[1, 0, 0] = bad
    result, coverage = splat(torch.ones(1, 2, 2, dtype=D), move)
    assert coverage[0].tolist() == [[0, 1], [1, 1]]
    assert bool(torch.isfinite(result).all())


def test_batches_do_not_mix():
    values, move = picture(2, 3, 4, 5, 6), picture(2, 3, 2, 5, 6, seed=1) * 4 - 2
    result, coverage = splat(values, move)
    assert coverage.shape == (2, 3, 1, 5, 6)
    for a in range(2):
        for b in range(3):
            alone = splat(values[a, b], move[a, b])
            torch.testing.assert_close(result[a, b], alone[0])
            torch.testing.assert_close(coverage[a, b], alone[1])


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="do not fit"):
        splat(torch.zeros(3, 4, 5), torch.zeros(2, 5, 4))


def test_gradients():
    values, move = picture(1, 3, 3).requires_grad_(), (picture(2, 3, 3, seed=1) * 0.8 + 0.1).requires_grad_()
    assert torch.autograd.gradcheck(lambda v, m: splat(v, m)[0], (values, move), eps=1e-7, atol=1e-4)


def test_the_kernel_is_refused_on_the_cpu():
    with pytest.raises(ConfigError, match="cupy"):
        splat(torch.zeros(1, 2, 2), torch.zeros(2, 2, 2), backend="cupy")


class Cupy(ModuleType):
    """CuPy as it is without a GPU, or without a compiler: it can be imported, and fails when it is put to use."""

    def __init__(self, fails: str) -> None:
        super().__init__("cupy")
        self.__spec__ = ModuleSpec("cupy", None)
        self.fails, self.cuda, self.kernels = fails, SimpleNamespace(Device=nullcontext), []

    def zeros(self, count: int) -> None:
        if self.fails == "array":
            raise RuntimeError("cudaErrorNoDevice: no CUDA-capable device is detected")

    def RawKernel(self, code: str, name: str) -> SimpleNamespace:  # noqa: N802
        def build() -> None:
            if self.fails == "kernel":
                raise RuntimeError("libnvrtc.so.13: cannot open shared object file")
            self.kernels.append((code, name))

        return SimpleNamespace(compile=build)


@pytest.mark.parametrize("fails", ["array", "kernel", "nothing"])
def test_cupy_is_tried_before_it_is_relied_on(monkeypatch, capsys, fails):
    cupy = Cupy(fails)
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    splatting._cupy.cache_clear()
    splatting._kernel.cache_clear()
    try:
        assert (splatting._cupy(0) is cupy) == (fails == "nothing")
        assert ("PyTorch splats instead" in capsys.readouterr().out) == (fails != "nothing")
        assert [name for _, name in cupy.kernels] == ["splat"] * (fails == "nothing")
    finally:
        splatting._cupy.cache_clear()
        splatting._kernel.cache_clear()


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_kernel_equals_its_twin(dtype):
    pytest.importorskip("cupy")
    values = picture(4, 5, 37, 53).to("cuda", dtype)
    move = (torch.randn(4, 2, 37, 53, dtype=D, generator=torch.Generator().manual_seed(1)) * 6).to("cuda", dtype)
    move[0, 0, 0, 0], move[0, 1, 3, 3] = float("nan"), float("inf")
    move[1] = move[1].round()
    for name, a, b in zip(
        ("values", "coverage"), splat(values, move, "cupy"), splat(values, move, "torch"), strict=True
    ):
        torch.testing.assert_close(a, b, msg=lambda text, name=name: f"{name}: {text}")


@pytest.mark.gpu
def test_the_kernel_runs_on_the_current_stream():
    pytest.importorskip("cupy")
    values, move = torch.zeros(3, 512, 512, device="cuda"), torch.zeros(2, 512, 512, device="cuda")
    expected = torch.full((3, 512, 512), 2.0, device="cuda")
    for _ in range(5):
        with torch.cuda.stream(torch.cuda.Stream()):
            values.zero_()
            torch.cuda._sleep(20_000_000)
            values += 2
            result, _ = splat(values, move, "cupy")
            torch.testing.assert_close(result, expected)


@pytest.mark.gpu
def test_auto_falls_back_to_torch_for_gradients():
    values = torch.ones(1, 4, 4, device="cuda", requires_grad=True)
    splat(values, torch.zeros(2, 4, 4, device="cuda"))[0].sum().backward()
    torch.testing.assert_close(values.grad, torch.ones_like(values))


# --- planes ----------------------------------------------------------------------------------------------------------
def planes(*opacities: float, colour: float = 1.0) -> tuple[torch.Tensor, torch.Tensor]:
    a = torch.tensor(opacities, dtype=D)[:, None, None, None]
    return torch.full((len(opacities), 3, 1, 1), colour, dtype=D), a


def test_planes_by_hand():
    T, static = torch.ones(1, 1, 1, dtype=D), planes(0.5, 0.2)
    first, second = (static, planes(0.4, 0.0, colour=2)), (static, planes(0.0, 1.0, colour=3))
    light, T = composite_planes(first, second, 0.25, T)
    # Plane 0: 0.75 (0.4*2 + 0.5) + 0.25 * 0.5 = 1.1; opacity 0.75 (1 - 0.6*0.5) + 0.25 * 0.5 = 0.65; T = 0.35.
    # Plane 1: 0.75 * 0.2 + 0.25 (3 + 0.2) = 0.95; opacity 0.75 * 0.2 + 0.25 = 0.4.
    torch.testing.assert_close(light.flatten(), torch.full((3,), 1.1 + 0.35 * 0.95, dtype=D))
    assert T.item() == pytest.approx(0.35 * 0.6)


def test_additive_planes_by_hand():
    T, static = torch.full((1, 1, 1), 0.5, dtype=D), planes(0.25)
    light, T = composite_planes((static, planes(0.5, colour=2)), (static, planes(0.75)), 0.5, T, additive=True)
    assert light[0].item() == pytest.approx(0.5 * (0.5 * (1 + 0.25) + 0.5 * (0.75 + 0.25)))
    assert T.item() == pytest.approx(0.5 * (1 - (0.5 * 0.75 + 0.5 * 1)))


def test_groups_of_planes_equal_all_at_once():
    g = torch.Generator().manual_seed(0)
    layers = [(torch.rand(6, 3, 2, 2, generator=g), torch.rand(6, 1, 2, 2, generator=g)) for _ in range(4)]
    T, total = torch.ones(1, 2, 2), torch.zeros(3, 2, 2)
    whole = composite_planes((layers[0], layers[1]), (layers[2], layers[3]), 0.3, T)
    for part in (slice(0, 2), slice(2, 6)):
        a, b, c, d = [(colour[part], opacity[part]) for colour, opacity in layers]
        light, T = composite_planes((a, b), (c, d), 0.3, T)
        total += light
    torch.testing.assert_close(total, whole[0])
    torch.testing.assert_close(T, whole[1])
