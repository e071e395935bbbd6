"""Plane fields: look-ups by hand, time slices, and linear feature decoding."""

import pytest
import torch

from nsff.config import FieldConfig
from nsff.models.ray_fields.planes import PlaneDynamicField, PlaneStaticField

BOUNDS = torch.tensor([[-1.0, -1, -1], [1, 1, 1]])
CONFIG = FieldConfig(plane_resolutions=[3], dynamic_resolutions=[3], plane_channels=2, hidden=8)


def test_static_lookup_is_the_product_of_three_bilinear_reads():
    field = PlaneStaticField(CONFIG, BOUNDS, 4, 5)
    with torch.no_grad():
        field.planes[0].copy_(torch.arange(3 * 2 * 3 * 3).reshape(3, 2, 1, 3, 3).movedim(1, -1).float())
    # The middle of the box reads the middle cell (index 4) of each plane.
    found = field.encode(torch.zeros(1, 3), torch.zeros(1))
    torch.testing.assert_close(found[0], torch.tensor([4.0 * 22 * 40, 13.0 * 31 * 49]))
    # Half a cell to the right moves along the columns of (x,y) and (x,z) only.
    found = field.encode(torch.tensor([[0.5, 0, 0]]), torch.zeros(1))
    torch.testing.assert_close(found[0, :1], torch.tensor([4.5 * 22.5 * 40]))


def test_outside_the_box_reads_the_border():
    field = PlaneStaticField(CONFIG, BOUNDS, 4, 5)
    inside, outside = field.encode(torch.tensor([[1.0, 0, 0], [9.0, 0, 0]]), torch.zeros(2))
    torch.testing.assert_close(inside, outside)


def test_time_slices_do_not_bleed_and_interpolate_linearly():
    field = PlaneDynamicField(CONFIG, BOUNDS, 4, n_frames=4)
    with torch.no_grad():
        for t in range(4):
            field.planes[0][:, t] = float(t + 1)
    corners = torch.tensor([[-1.0, -1, -1], [1, 1, 1], [-1, 1, 0.3]])
    for t in range(4):
        torch.testing.assert_close(
            field.encode(corners, torch.full((3,), float(t))), torch.full((3, 2), float(t + 1) ** 3)
        )
    middle = field.encode(corners, torch.full((3,), 1.25))
    torch.testing.assert_close(middle, torch.full((3, 2), 0.75 * 8 + 0.25 * 27))


def test_raw_density_agrees_with_forward():
    torch.manual_seed(0)
    for field in (PlaneStaticField(CONFIG, BOUNDS, 4, 5), PlaneDynamicField(CONFIG, BOUNDS, 4, 5)):
        positions, time = torch.rand(7, 3, 3) * 2 - 1, torch.full((7, 3), 2.0)
        full = field(positions, torch.nn.functional.normalize(torch.rand(7, 3, 3), dim=-1), time)
        torch.testing.assert_close(field.raw_density(positions, time), full.raw_density)


def test_features_may_be_decoded_after_compositing():
    torch.manual_seed(0)
    field = PlaneStaticField(CONFIG, BOUNDS, 4, 5)
    codes, weights = torch.rand(6, 16), torch.rand(6)
    one = field.decode_features((weights[:, None] * codes).sum(0))
    torch.testing.assert_close(one, (weights[:, None] * field.decode_features(codes)).sum(0))


def test_dynamic_field_starts_still():
    torch.manual_seed(0)
    field = PlaneDynamicField(CONFIG, BOUNDS, 4, n_frames=4)
    samples = field(torch.rand(50, 3), torch.rand(50, 3), torch.ones(50))
    assert float(samples.flow_post.abs().max()) < 0.05
    assert float(samples.disocclusion_prev.max()) < 0.2


@pytest.mark.parametrize("composition", ["blending", "additive"])
def test_only_blending_has_a_blending_weight(composition):
    config = CONFIG.model_copy(update={"composition": composition})
    samples = PlaneStaticField(config, BOUNDS, 4, 5)(torch.rand(3, 3), torch.rand(3, 3), torch.zeros(3))
    assert (samples.blending is not None) == (composition == "blending")


def test_planes_of_motion_are_its_own():
    """Scene flow is read off planes of another resolution, which nothing else is read off, and the other way round."""
    torch.manual_seed(0)
    config = CONFIG.model_copy(update={"motion_resolution": 4})
    field = PlaneDynamicField(config, BOUNDS, 4, n_frames=4)
    assert [p.shape for p in field.planes] == [(3, 4, 3, 3, 2), (3, 4, 4, 4, 2)]
    positions, time = torch.rand(20, 3, 3) * 2 - 1, torch.full((20, 3), 2.0)
    views = torch.nn.functional.normalize(torch.rand(20, 3, 3), dim=-1)
    samples = field(positions, views, time)
    torch.testing.assert_close(field.raw_density(positions, time), samples.raw_density)
    assert float(samples.flow_post.abs().max()) < 0.05
    torch.testing.assert_close(samples.disocclusion_prev, torch.full((20, 3), 0.1192), atol=1e-3, rtol=0)
    motion = samples.flow_prev.sum() + samples.flow_post.sum() + samples.disocclusion_post.sum()
    found = torch.autograd.grad(motion, list(field.planes), retain_graph=True, allow_unused=True)
    assert float(found[0].abs().max()) == 0
    assert float(found[1].abs().max()) > 0
    seen = samples.raw_density.sum() + samples.rgb.sum() + samples.saliency.sum() + samples.features.sum()
    found = torch.autograd.grad(seen, list(field.planes), allow_unused=True)
    assert float(found[0].abs().max()) > 0
    assert float(found[1].abs().max()) == 0
    with torch.no_grad():  # by hand: 2·3·5 = 30 in both channels, and one weight of 0.01
        for plane, value in enumerate((2.0, 3.0, 5.0)):
            field.planes[1][plane] = value
        field.motion.weight.zero_()
        field.motion.weight[3, 1] = 0.01
    flow = field(positions, views, time).flow_post
    torch.testing.assert_close(flow[..., 0], torch.full((20, 3), 0.3).tanh())
    assert float(flow[..., 1:].abs().max()) == 0
