"""The plain twin against numbers by hand: centres, standard deviations, compositing, cut-offs, gradients."""

import math

import pytest
import torch

from nsff.models.gaussians import twin
from nsff.models.gaussians.splats import BLUR, MAX_ALPHA, Camera, Splats

D = torch.float64
HALF = math.sqrt(0.5)


def camera(height: int = 9, width: int = 11, fx: float = 20, fy: float = 10) -> Camera:
    """Of no rotation at the origin; the middle pixel's centre is on the axis."""
    K = torch.tensor([[fx, 0, width / 2], [0, fy, height / 2], [0, 0, 1]], dtype=D)
    return Camera(K, torch.eye(4, dtype=D)[:3], height, width)


def splats(means, scales=(0.1, 0.1, 0.1), opacities=0.8, values=None, quaternions=(1.0, 0, 0, 0)) -> Splats:
    means = torch.tensor(means, dtype=D)
    G = len(means)
    values = torch.ones(G, 1, dtype=D) if values is None else torch.tensor(values, dtype=D)
    return Splats(
        means, torch.tensor(quaternions, dtype=D).expand(G, 4), torch.tensor(scales, dtype=D).expand(G, 3),
        torch.as_tensor(opacities, dtype=D).expand(G), values,
    )  # fmt: skip


def test_one_gaussian_on_the_axis():
    drawn = twin.rasterise(splats([[0.0, 0, 2]], values=[[3.0, -1]]), camera())
    assert drawn.values[4, 5].tolist() == pytest.approx([2.4, -0.8])
    assert drawn.alpha[4, 5].item() == pytest.approx(0.8)
    assert drawn.depth[4, 5].item() == pytest.approx(2)


@pytest.mark.parametrize(
    ("quaternion", "axes"),
    [((1.0, 0, 0, 0), (0, 1)), ((HALF, 0, 0, HALF), (1, 0)), ((-2.0, 0, -2, 0), (2, 1)), ((3.0, 3, 0, 0), (0, 2))],
)
def test_standard_deviations_on_the_picture(quaternion, axes):
    # Quarter turns about z, y and x say which scale lies along u and which along v; J is diag(fx/z, fy/z) on the axis.
    scales = (0.1, 0.2, 0.15)
    drawn = twin.rasterise(splats([[0.0, 0, 2]], scales=scales, quaternions=quaternion), camera())
    u, v = (scales[axis] * focal / 2 for axis, focal in zip(axes, (20, 10), strict=True))
    assert -2 * math.log(drawn.alpha[4, 6] / 0.8) == pytest.approx(1 / (u * u + BLUR))
    assert -2 * math.log(drawn.alpha[5, 5] / 0.8) == pytest.approx(1 / (v * v + BLUR))
    both = 1 / (u * u + BLUR) + 1 / (v * v + BLUR)
    assert -2 * math.log(drawn.alpha[3, 6] / 0.8) == pytest.approx(both)


def test_a_thing_beside_the_axis_is_sheared_by_its_depth():
    # At x/z = 0.2, a standard deviation along z of 0.5 at z = 2 is one of fx * 0.2 / 2 * 0.5 = 1 along u.
    drawn = twin.rasterise(splats([[0.4, 0, 2]], scales=(1e-9, 1e-9, 0.5)), camera())
    assert drawn.alpha[4, 9].item() == pytest.approx(0.8)  # u = 5.5 + 20 * 0.2
    assert -2 * math.log(drawn.alpha[4, 8] / 0.8) == pytest.approx(1 / (1 + BLUR))
    assert -2 * math.log(drawn.alpha[5, 9] / 0.8) == pytest.approx(1 / BLUR)


def test_beyond_the_margin_the_projection_bends_no_further():
    # The picture ends at x/z = 5.5/20, the margin at 1.3 times that: there J is taken, not at x/z = 1.
    centres, covariances = twin.project(
        torch.tensor([[2.0, 0, 2]], dtype=D), torch.diag(torch.tensor([0, 0, 4.0], dtype=D))[None], camera()
    )
    assert centres[0].tolist() == [25.5, 4.5]
    slope = 1.3 * 5.5 / 20
    assert covariances[0, 0, 0].item() == pytest.approx((20 * slope / 2) ** 2 * 4 + BLUR)


@pytest.mark.parametrize("front_first", [True, False])
def test_two_are_composited_by_depth(front_first):
    means, values, opacities = [[0.0, 0, 2], [0, 0, 4]], [[1.0], [10.0]], torch.tensor([0.6, 0.5], dtype=D)
    if not front_first:
        means, values, opacities = means[::-1], values[::-1], opacities.flip(0)
    drawn = twin.rasterise(splats(means, opacities=opacities, values=values), camera())
    assert drawn.values[4, 5, 0].item() == pytest.approx(0.6 * 1 + 0.4 * 0.5 * 10)
    assert drawn.alpha[4, 5].item() == pytest.approx(0.8)
    assert drawn.depth[4, 5].item() == pytest.approx((0.6 * 2 + 0.2 * 4) / 0.8)


def test_of_equal_depths_the_first_is_in_front():
    drawn = twin.rasterise(splats([[0.0, 0, 2]] * 2, opacities=0.5, values=[[1.0], [0.0]]), camera())
    assert drawn.values[4, 5, 0].item() == pytest.approx(0.5)


def test_an_opaque_one_lets_a_thousandth_through():
    drawn = twin.rasterise(splats([[0.0, 0, 2], [0, 0, 3]], opacities=1.0, values=[[0.0], [1.0]]), camera())
    # The second would leave a millionth, less than MIN_TRANSMITTANCE, and is left out.
    assert drawn.values[4, 5, 0].item() == 0
    assert drawn.alpha[4, 5].item() == pytest.approx(MAX_ALPHA)


def test_a_pixel_is_finished_before_too_little_is_let_through():
    means = [[0.0, 0, 2 + i] for i in range(6)]
    drawn = twin.rasterise(splats(means, opacities=0.91, values=[[float(i == 4)] for i in range(6)]), camera())
    assert drawn.alpha[4, 5].item() == pytest.approx(1 - 0.09**3)  # 0.09^4 is below 1e-4
    assert drawn.values[4, 5, 0].item() == 0


@pytest.mark.parametrize(
    ("mean", "opacity"),
    [([0.0, 0, -2], 0.8), ([0.0, 0, 0.0099], 0.8), ([0.0, 0, 2], 0.0039), ([9.0, 0, 2], 0.8), ([0.0, 0, 2e10], 0.8)],
    ids=["behind", "too near", "too faint", "beside the picture", "too far"],
)
def test_nothing_is_drawn(mean, opacity):
    drawn = twin.rasterise(splats([mean], opacities=opacity), camera())
    assert not drawn.values.any() and not drawn.alpha.any() and not drawn.depth.any()


def test_what_is_fainter_than_a_grey_level_is_left_out():
    alpha = twin.rasterise(splats([[0.0, 0, 2]], scales=(0.15, 0.4, 0.1)), camera(21, 21)).alpha
    variance = (20 * 0.15 / 2) ** 2 + BLUR
    expected = 0.8 * torch.exp(-((torch.arange(21, dtype=D) - 10) ** 2) / (2 * variance))
    torch.testing.assert_close(alpha[10], torch.where(expected >= 1 / 255, expected, 0))
    assert (alpha[10] == 0).sum() == 10


def test_gradients():
    generator = torch.Generator().manual_seed(0)

    def leaf(*shape: int, low: float = -1, high: float = 1) -> torch.Tensor:
        return (torch.rand(*shape, generator=generator, dtype=D) * (high - low) + low).requires_grad_()

    # Large enough for all of α to stay above its cut-off, also for the one beyond the margin.
    means = torch.tensor([[0.1, 0.0, 2], [-0.2, 0.1, 2.5], [2.2, 0.3, 3]], dtype=D).requires_grad_()
    leaves = [means, leaf(3, 4), leaf(3, 3, low=1, high=2), leaf(3, low=0.3, high=0.6), leaf(3, 2)]
    view = camera(4, 5)
    pose = view.world_to_camera.clone().requires_grad_()

    def draw(pose, *fields):
        drawn = twin.rasterise(Splats(*fields), Camera(view.K, pose, 4, 5))
        return drawn.values, drawn.alpha, drawn.depth

    assert bool((draw(pose, *leaves)[1] > 0).all())
    assert torch.autograd.gradcheck(draw, (pose, *leaves))


def test_shapes_types_and_sizes_are_checked():
    good = splats([[0.0, 0, 2]])
    fields = [good.means, good.quaternions, good.scales, good.opacities, good.values]
    for i, wrong in enumerate([good.values, good.means, good.opacities, good.means, good.opacities]):
        with pytest.raises(ValueError, match="splats"):
            Splats(*fields[:i], wrong, *fields[i + 1 :])
    with pytest.raises(ValueError, match="float32"):
        Splats(*fields[:4], good.values.float())
    with pytest.raises(ValueError, match="0 x 4"):
        Camera(camera().K, camera().world_to_camera, 0, 4)
    with pytest.raises(ValueError, match="world_to_camera"):
        Camera(camera().K, torch.eye(4), 4, 4)
