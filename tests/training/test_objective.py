"""The objective: settings that no published overlay has, and terms that the papers do not have, by hand.

test_published_objective has all that is published.
"""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from published_cases import SWITCHES, Case, compare

from nsff.cameras.rays import project
from nsff.config import FieldConfig, resolve_scene
from nsff.models.ray_fields.planes import PlaneStaticField
from nsff.models.ray_fields.terms.context import RayContext, WarpedContext
from nsff.models.ray_fields.terms.depth import Surface
from nsff.models.ray_fields.terms.division import Occluded
from nsff.models.ray_fields.terms.motion import Flow
from nsff.models.ray_fields.terms.setup import Setup
from nsff.models.supervision import TrainingData
from nsff.training.run import build_model

D = torch.float64


@pytest.mark.parametrize("switch", SWITCHES)
@pytest.mark.parametrize("time", ["S", "2S+1"])
def test_every_term_is_its_equation(switch, time, tmp_path):
    """Settings that no published overlay has, against the formulas of SAFF."""
    differences = compare(Case("saff", time=time, switch=switch), tmp_path)
    assert all(difference.largest < 1e-5 for difference in differences.values()), differences


def surface(weights: torch.Tensor, dynamic: bool = False, **changes) -> torch.Tensor:
    """The surface term of two rays with samples at 0.2, 0.5, 0.9, priors at 0.5 (sure) and 0.8 (half sure)."""
    own = {"w_surface": 2.0, "surface_tolerance": 0.1}
    config = resolve_scene("a", {"input": {"path": "x"}, "losses": own | changes, "train": {"steps": 100}}, "fast", {})
    s = torch.tensor([[0.2, 0.5, 0.9]] * 2, dtype=D)
    space = SimpleNamespace(s_of_depth=lambda origins, directions, distance: distance, scale=1.0)
    batch = SimpleNamespace(
        disparity=torch.tensor([1 / 0.5, 1 / 0.8], dtype=D), confidence=torch.tensor([1.0, 0.5], dtype=D),
        moving=torch.tensor([True, False]), rays=SimpleNamespace(origins=None, directions=None),
    )  # fmt: skip
    model = SimpleNamespace(space=space, dynamic=object() if dynamic else None)
    evaluation = SimpleNamespace(samples=SimpleNamespace(s=s), weights=weights, static_alone=lambda: weights)
    setup = Setup.of_config(config)
    value = Surface().value(RayContext(setup, model, None, batch, evaluation, 0, None))
    return Surface().factor(setup, 0) * value


def test_surface_by_hand():
    # Misses beyond 0.1: (0.2, 0, 0.3) and (0.5, 0.2, 0). Rays: 0.2/2 + 0.3/4 = 0.175; 0.5/4 + 0.2/2 = 0.225, half sure.
    weights = torch.tensor([[0.5, 0.25, 0.25], [0.25, 0.5, 0.25]], dtype=D)
    assert surface(weights).item() == pytest.approx(2 * (0.175 + 0.1125) / 2)
    # Where nothing moves the static field alone counts too.
    assert surface(weights, dynamic=True).item() == pytest.approx(2 * (0.175 + 2 * 0.1125) / 2)
    assert torch.autograd.gradcheck(surface, weights.requires_grad_())


def test_hidden_empties_what_lies_behind_and_nothing_else(tiny_scene):
    scene = tiny_scene()
    config = resolve_scene("tiny", {"input": {"path": "x"}}, "demo_planes", {})
    data = TrainingData(scene, config.field, config.train, 0.5, torch.device("cpu"))
    model = build_model(scene, config, data)
    batch, setup = data.gather(torch.arange(0, 600, 40), 15), Setup.of(model, data, config.losses, config.train)
    s = torch.linspace(0, 1, 5).expand(15, 5)
    positions = torch.linspace(0, 1, 5)[None, :, None].expand(15, 5, 3)

    def slope(surface: int) -> float:
        weights = torch.zeros(15, 5)
        weights[:, surface] = 1.0
        seen = SimpleNamespace(samples=SimpleNamespace(s=s, positions=positions), weights=weights)
        model.zero_grad()
        Occluded().value(RayContext(setup, model, data, batch, seen, 0, None)).backward()
        return float(model.dynamic.trunk[2].bias.grad[0])

    # Probes at 1/8, 3/8, 5/8, 7/8: all behind a surface at 0, two behind one at 1/2, none behind the last.
    assert slope(0) > slope(2) > 0
    assert slope(4) == 0


def test_total_variation_by_hand():
    field = PlaneStaticField(
        FieldConfig(plane_resolutions=[2], plane_channels=2), torch.tensor([[-1.0] * 3, [1.0] * 3]), 4, 5
    ).double()
    (planes,) = field.planes
    with torch.no_grad():
        planes.zero_()
        planes.view(-1)[0] = 3.0
    # One corner of one of six 2x2 grids: 9 over 12 vertical and 9 over 12 horizontal differences.
    assert field.total_variation().item() == pytest.approx(9 / 12 + 9 / 12)
    with torch.no_grad():
        planes.copy_(torch.randn(planes.shape, generator=torch.Generator().manual_seed(0), dtype=D))
    start = planes.detach().clone().requires_grad_()

    def variation(values: torch.Tensor) -> torch.Tensor:
        own = SimpleNamespace(bounds=field.bounds, planes=[values])
        return PlaneStaticField.total_variation(own)

    assert torch.autograd.gradcheck(variation, start)


def flow_term(weights, guessed=0.0, **changes):
    """The flow term of one ray with samples at z = 2 and 4, that nothing moves: the camera looks along z, f = 10, and
    optical flow leads 3 pixels to the right in both directions."""
    own = {"w_flow": 0.5, "decay_flow": False, **changes}
    config = resolve_scene("a", {"input": {"path": "x"}, "losses": own}, "fast", {})
    positions = torch.tensor([[[0.0, 0.0, 2.0], [4.0, 0.0, 4.0]]], dtype=D)
    space = SimpleNamespace(relative=lambda E: E, project=lambda x, K, E: project(x, K, E)[0])
    K, E = torch.diag(torch.tensor([10.0, 10.0, 1.0], dtype=D)), torch.eye(4, dtype=D)[:3]
    data = SimpleNamespace(n_frames=3, intrinsics=K.expand(3, 3, 3), world_to_camera=E.expand(3, 3, 4))
    ones, right = torch.ones(1, dtype=torch.bool), torch.tensor([[3.0, 0.0]], dtype=D)
    batch = SimpleNamespace(pixel=torch.zeros(1, 2, dtype=D), frame=torch.tensor([1]), flow_post=right, flow_prev=right,
                            valid_post=ones, valid_prev=ones)  # fmt: skip
    sides = {side: SimpleNamespace(positions=positions, field=None) for side in ("prev", "post")}
    setup = replace(Setup.of_config(config), guessed_depth=guessed)
    context = WarpedContext(
        setup, SimpleNamespace(space=space), data, batch, None, None, weights, sides, None, torch.ones(1, dtype=D), 0
    )
    return Flow().factor(setup, 0) * Flow().value(context)


def test_flow_by_hand():
    # Half of the weight at each: (2, 0, 3), seen at 20/3 px where 3 are asked for; the mean over two axes, both ways.
    half = torch.tensor([[0.5, 0.5]], dtype=D)
    expected = 0.5 * 2 * (20 / 3 - 3) / 2
    assert flow_term(half).item() == pytest.approx(expected)
    # What is half transparent is seen at the same place.
    assert flow_term(half / 2).item() == pytest.approx(expected)
    # A third of the depth is a guess: 1 + (4 - 1) / 3 times the weight.
    assert flow_term(half, guessed=1 / 3, flow_guessed=4.0).item() == pytest.approx(2 * expected)
    assert flow_term(half, guessed=1.0, flow_guessed=1.0).item() == pytest.approx(expected)
