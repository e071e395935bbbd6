"""Look-ups of planes on the CPU: by hand, against grid_sample slice by slice, gradients, borders, seams, times."""

import pytest
import torch
from torch.nn.functional import grid_sample

from nsff.models.ray_fields import plane_lookup
from nsff.models.ray_fields.kernel_choice import working_kernels
from nsff.models.ray_fields.plane_lookup import look_up_planes

D = torch.float64


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(*shape, dtype=D, generator=torch.Generator().manual_seed(seed))


def one_cell() -> torch.Tensor:
    """Planes of 2x2 cells, one slice, one channel: rows of (x,y), (x,z), (y,z)."""
    values = [[[1.0, 2], [3, 4]], [[0, 4], [8, 0]], [[4, 0], [0, 8]]]
    return torch.tensor(values, dtype=D).reshape(3, 1, 2, 2, 1)


def test_values_by_hand():
    # x is three quarters of the way, y a quarter, z half:
    # (x,y): 1.75 above, 3.75 below, a quarter down 2.25; (x,z): (3 + 2) / 2; (y,z): (3 + 2) / 2.
    found = look_up_planes([one_cell()], torch.tensor([[0.5, -0.5, 0.0]], dtype=D))
    assert found.tolist() == [[2.25 * 2.5 * 2.5]]


def test_gradients_by_hand():
    planes, at = one_cell().requires_grad_(), torch.tensor([[0.5, -0.5, 0.0]], dtype=D, requires_grad=True)
    look_up_planes([planes], at).sum().backward()
    # Weights of the four cells of (x,y) times the other planes' 2.5 * 2.5.
    expected = torch.tensor([[0.25 * 0.75, 0.75 * 0.75], [0.25 * 0.25, 0.75 * 0.25]], dtype=D) * 6.25
    torch.testing.assert_close(planes.grad[0, 0, :, :, 0], expected)
    # A unit of x is half a cell. (x,y) grows by 1 and (x,z) by (4 - 8) / 2 a cell: (1 * 6.25 - 2 * 2.25 * 2.5) / 2.
    assert at.grad[0, 0].item() == pytest.approx(-2.5)
    # (x,y) by 2 and (y,z) by (-4 + 8) / 2 = 2: (2 * 6.25 + 2 * 2.25 * 2.5) / 2.
    assert at.grad[0, 1].item() == pytest.approx(11.875)
    # (x,z) by 0.25 * 8 - 0.75 * 4 = -1, (y,z) by -0.75 * 4 + 0.25 * 8 = -1: -(2.25 * 2.5 + 2.25 * 2.5) / 2.
    assert at.grad[0, 2].item() == pytest.approx(-5.625)


def test_resolutions_lie_side_by_side():
    small, large = random(3, 1, 2, 2, 3), random(3, 1, 5, 5, 3, seed=1)
    at = random(7, 3) * 2 - 1
    both = look_up_planes([small, large], at)
    assert torch.equal(both, torch.cat([look_up_planes([small], at), look_up_planes([large], at)], dim=1))


# --- against grid_sample ---------------------------------------------------------------------------------------------
def slice_by_slice(planes, at, times):
    """Every slice read for all samples, and the two around a sample's time mixed."""
    result = []
    for p in planes:
        products = []
        for t in range(p.shape[1]):
            reads = [
                grid_sample(p[k : k + 1, t].permute(0, 3, 1, 2), at[None, :, None, list(pair)], align_corners=True)
                for k, pair in enumerate([(0, 1), (0, 2), (1, 2)])
            ]
            products.append((reads[0] * reads[1] * reads[2])[0, :, :, 0].T)
        weights = (1 - (times[:, None] - torch.arange(p.shape[1])).abs()).clamp(min=0)
        result.append((weights.T[..., None] * torch.stack(products)).sum(0))
    return torch.cat(result, dim=1)


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize(("slices", "sizes"), [(1, [3, 8]), (5, [4, 7]), (2, [2])])
def test_as_grid_sample_slice_by_slice(slices, sizes, whole):
    planes = [random(3, slices, r, r, 4, seed=r).requires_grad_() for r in sizes]
    at = (random(60, 3) * 1.99 - 0.995).requires_grad_()
    times = random(60, seed=1) * (slices - 1)
    times = times.round() if whole else times
    found, expected = look_up_planes(planes, at, times), slice_by_slice(planes, at, times)
    torch.testing.assert_close(found, expected)
    outer = random(*found.shape, seed=2)
    for a, b in zip(
        torch.autograd.grad(found, [*planes, at], outer),
        torch.autograd.grad(expected, [*planes, at], outer),
        strict=True,
    ):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("times", [None, [0.0, 2, 1, 2, 0], [0.3, 1.9, 1, 0, 1.5]])
def test_gradients(times):
    slices = 1 if times is None else 3
    planes = [random(3, slices, r, r, 2, seed=r).requires_grad_() for r in (2, 4)]
    # Thirds of a cell away from its edges, where the derivative jumps.
    at = ((random(5, 3) * 9).floor() / 9 + 1 / 18) * 2 - 1
    index = None if times is None else torch.tensor(times, dtype=D)

    def look(x, *p):
        return look_up_planes(p, x, index)

    assert torch.autograd.gradcheck(look, (at.requires_grad_(), *planes))


def test_rows_are_added_as_grid_sample_adds_them():
    planes, at = random(3, 4, 5, 5, 3).requires_grad_(), (random(3, 40, 2) * 2.2 - 1.1).requires_grad_()
    outer = random(3, 3, 40, seed=1)
    expected = torch.autograd.grad(plane_lookup._read(planes, at), (planes, at), outer)
    found = torch.autograd.grad(plane_lookup._ReadOnCPU.apply(planes, at), (planes, at), outer)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b)


# --- borders, seams, times -------------------------------------------------------------------------------------------
@pytest.mark.parametrize("slices", [1, 3])
def test_outside_reads_the_border_without_a_gradient_outwards(slices):
    planes = random(3, slices, 4, 4, 2)
    inside = torch.tensor([[1.0, 0.2, -1], [-1, 0.2, 0.3]], dtype=D)
    outside = torch.tensor([[7.0, 0.2, -1.01], [-9, 0.2, 0.3]], dtype=D, requires_grad=True)
    index = torch.tensor([1.0, 0], dtype=D)
    found = look_up_planes([planes], outside, index)
    assert torch.equal(found, look_up_planes([planes], inside, index))
    found.sum().backward()
    assert torch.equal(outside.grad != 0, torch.tensor([[False, True, False], [False, True, True]]))


@pytest.mark.parametrize("edge", [-1.0, 1.0])
def test_slices_do_not_mix_at_their_seams(edge):
    planes = torch.zeros(3, 4, 3, 3, 2, dtype=D) + torch.tensor([1.0, 10, 100, 1000], dtype=D)[:, None, None, None]
    planes.requires_grad_()
    at = torch.tensor([[0.1, edge, edge]], dtype=D, requires_grad=True)
    for t in range(4):
        planes.grad = at.grad = None
        found = look_up_planes([planes], at, torch.tensor([float(t)], dtype=D))
        torch.testing.assert_close(found, torch.full((1, 2), 1000.0**t, dtype=D))
        found.sum().backward()
        others = planes.grad[:, [k for k in range(4) if k != t]]
        assert float(others.abs().max()) < 1e-9 * float(planes.grad.abs().max())
        assert float(at.grad.abs().max()) < 1e-9 * 1000.0**t


def test_times_are_mixed_linearly_and_clamped():
    planes = torch.ones(3, 3, 2, 2, 1, dtype=D) * torch.tensor([1.0, 2, 3], dtype=D)[:, None, None, None]
    index = torch.tensor([-4.0, 0.25, 1, 1.5, 9], dtype=D)
    found = look_up_planes([planes], torch.zeros(5, 3, dtype=D), index)
    torch.testing.assert_close(found[:, 0], torch.tensor([1, 0.75 + 0.25 * 8, 8, 0.5 * 8 + 0.5 * 27, 27], dtype=D))


@pytest.mark.parametrize("slices", [1, 2])
def test_what_is_not_a_number_spoils_nothing_else(slices):
    planes = random(3, slices, 4, 4, 2).requires_grad_()
    at, index = random(2, 3) - 0.5, torch.zeros(2, dtype=D)
    expected = look_up_planes([planes], at, index)[1]
    at[0, 1] = float("nan")
    found = look_up_planes([planes], at.requires_grad_(), index)
    assert torch.equal(found[1], expected)
    found.sum().backward()
    assert bool(at.grad[1].isfinite().all())
    assert bool(planes.grad.isfinite().all())


def test_without_samples():
    planes = random(3, 2, 4, 4, 2).requires_grad_()
    found = look_up_planes([planes], torch.zeros(0, 3, dtype=D), torch.zeros(0, dtype=D))
    assert found.shape == (0, 2)
    found.sum().backward()
    assert not planes.grad.any()


# --- refusals --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("shapes", "at", "index", "message"),
    [
        ([(3, 2, 4, 5, 2)], (6, 3), 6, "planes"),
        ([(3, 2, 4, 4, 2), (3, 1, 4, 4, 2)], (6, 3), 6, "planes"),
        ([(3, 1, 4, 4, 2)], (6, 2), None, "coordinates"),
        ([(3, 2, 4, 4, 2)], (6, 3), None, "no index"),
        ([(3, 2, 4, 4, 2)], (6, 3), 5, "index"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(shapes, at, index, message):
    with pytest.raises(ValueError, match=message):
        look_up_planes([torch.zeros(s) for s in shapes], torch.zeros(at), None if index is None else torch.zeros(index))


@pytest.mark.parametrize("module", ["plane_kernels", "mlp_kernels"])
def test_where_kernels_cannot_run_there_is_a_warning(module):
    with pytest.warns(UserWarning, match=f"without Triton: {module}"):
        assert working_kernels.__wrapped__(f"nsff.fields.{module}", torch.device("cpu")) is None
