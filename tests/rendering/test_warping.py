"""Warped renderings: both sides at once; frozen fields; colours that do not depend on the view."""

import torch

from nsff.cameras.spaces import NdcSpace
from nsff.config import FieldConfig, SamplingConfig
from nsff.models.ray_fields.model import RayFields
from nsff.models.ray_fields.warping import warp, warp_sides
from nsff.models.rays import Rays


def model(kind: str) -> RayFields:
    torch.manual_seed(0)
    space = NdcSpace(1.0, torch.eye(3), torch.zeros(3), [[-1, -1, -1], [1, 1, 1]], 2.0, 2.0)
    field = FieldConfig(
        kind=kind, width=16, plane_resolutions=[8], dynamic_resolutions=[8], plane_channels=4, hidden=8,
        features=False, saliency=False,
    )  # fmt: skip
    scene = RayFields(space, field, SamplingConfig(kind="stratified", samples=6), 0, 4)
    if kind == "mlp":
        torch.nn.init.constant_(scene.dynamic.alpha_linear.bias, 1.0)  # something to see
    return scene


def test_frozen_field_learns_nothing_and_shows_the_same():
    rays = Rays(torch.zeros(5, 3), torch.tensor([[0.1, 0.2, 1.0]]).repeat(5, 1), torch.ones(5))
    for kind in ("mlp", "planes"):
        scene = model(kind)
        with torch.no_grad():
            samples = scene.sample(rays, None)
        pictures = []
        for frozen in (False, True):
            moved = samples.positions.clone().requires_grad_()
            picture = warp(scene, samples, moved, 1, None, frozen).render("rgb")
            scene.zero_grad(set_to_none=True)
            picture.square().sum().backward()
            learned = [p for p in scene.parameters() if p.grad is not None and bool((p.grad != 0).any())]
            assert bool((moved.grad != 0).any()), kind
            assert bool(learned) != frozen, kind
            pictures.append((picture.detach(), moved.grad))
        torch.testing.assert_close(pictures[0][0], pictures[1][0])
        torch.testing.assert_close(pictures[0][1], pictures[1][1])


def test_dynamic_planes_without_views_show_the_same_from_everywhere():
    for sees in (True, False):
        torch.manual_seed(1)
        field = model("planes").field_config.model_copy(update={"dynamic_views": sees})
        scene = RayFields(model("planes").space, field, SamplingConfig(kind="stratified", samples=6), 0, 4)
        x, time = torch.rand(7, 3) - 0.5, torch.ones(7)
        directions = torch.nn.functional.normalize(torch.randn(2, 7, 3), dim=-1)
        colours = [scene.dynamic(x, d, time).rgb for d in directions]
        assert torch.equal(*colours) != sees
        assert not torch.equal(*(scene.static(x, d, time).rgb for d in directions))


def test_both_sides_at_once_are_those_one_by_one():
    rays = Rays(torch.zeros(5, 3), torch.tensor([[0.1, 0.2, 1.0]]).repeat(5, 1), torch.arange(5) % 2 + 1.0)
    for kind in ("mlp", "planes"):
        scene = model(kind)
        samples = scene.sample(rays, None)
        flows = [0.1 * torch.randn(5, 6, 3) for _ in range(2)]
        both = warp_sides(scene, samples, *flows, None)
        for name, flow, sign in (("prev", flows[0], -1), ("post", flows[1], 1)):
            alone = warp(scene, samples, samples.positions + flow, sign, None)
            torch.testing.assert_close(both[name].positions, alone.positions)
            torch.testing.assert_close(both[name].weights, alone.weights)
            torch.testing.assert_close(both[name].render("rgb"), alone.render("rgb"))
            torch.testing.assert_close(both[name].field.flow_post, alone.field.flow_post)
