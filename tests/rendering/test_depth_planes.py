"""Space-time interpolation over depth planes: whole times are plain renderings, motion goes where flow says."""

import numpy as np
import pytest
import torch

from nsff.cameras.rays import pixel_rays
from nsff.cameras.spaces import NdcSpace
from nsff.config import FieldConfig, SamplingConfig
from nsff.models.base import Camera
from nsff.models.ray_fields.depth_planes import depth_planes
from nsff.models.ray_fields.field import Field, FieldSamples
from nsff.models.ray_fields.scene_model import Model
from nsff.models.rays import Rays
from nsff.rendering.between import composite, splatted
from nsff.rendering.renderer import Renderer

H, W, N, P = 10, 14, 4, 12
K = torch.tensor([[12.0, 0, W / 2], [0, 12.0, H / 2], [0, 0, 1]])
E = torch.tensor([[1.0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]])


def space() -> NdcSpace:
    return NdcSpace(1.0, np.eye(3), np.zeros(3), [[-1.5, -1.5, -1.1], [1.5, 1.5, 1.1]], 24 / W, 24 / H)


def rays(time: float) -> Rays:
    row, column = torch.meshgrid(torch.arange(H) + 0.5, torch.arange(W) + 0.5, indexing="ij")
    n = H * W
    origins, directions = pixel_rays(K.expand(n, 3, 3), E.expand(n, 3, 4), column.flatten(), row.flatten())
    return Rays(origins, directions, torch.full((n,), time))


def model(**field) -> Model:
    torch.manual_seed(0)
    sampling = SamplingConfig(kind="stratified", samples=P)
    result = Model(space(), FieldConfig(**{"kind": "mlp", "width": 16, **field}), sampling, 4, N)
    with torch.no_grad():
        for network in (result.static, result.dynamic):
            for name in ("alpha_linear", "trunk.2"):
                layer = network.get_submodule(name) if name.split(".")[0] in dict(network.named_children()) else None
                if isinstance(layer, torch.nn.Linear):
                    layer.bias[0] += 1.0
    return result


def render_depth_planes(scene: Model, time: float, budget: int = 2**20, output: str = "rgb") -> torch.Tensor:
    """The planes of all groups, splatted and composited; whole times go through the planes too."""
    frame = max(0, min(int(time), N - 2))
    picture, transmittance = 0.0, torch.ones(1, H, W)
    with torch.no_grad():
        for planes in depth_planes(scene, rays(0), Camera(K, E, H, W), frame, time - frame, budget, output):
            light, transmittance = composite(planes, time - frame, transmittance)
            picture = picture + light
    return picture.permute(1, 2, 0)


def plain(scene: Model, time: float) -> torch.Tensor:
    with torch.no_grad():
        return scene.composited(scene.evaluate(scene.sample(rays(time), None)), "rgb").reshape(H, W, 3)


@pytest.mark.parametrize(
    "field",
    [
        {},
        {"composition": "additive"},
        {"dynamic_only": True},
        {"kind": "planes", "composition": "additive", "hidden": 8},
    ],
)
@pytest.mark.parametrize("time", [0, 1, N - 1])
def test_whole_times_are_plain_renderings(field, time):
    scene = model(**field)
    found = render_depth_planes(scene, float(time), budget=3 * H * W)
    torch.testing.assert_close(found, plain(scene, time), atol=2e-5, rtol=1e-4)
    assert float(found.std()) > 0.01


@pytest.mark.parametrize("output", ["saliency", "features"])
@pytest.mark.parametrize("kind", ["mlp", "planes"])
@pytest.mark.parametrize("interpolation", ["layers", "depth_planes"])
def test_other_maps_at_whole_times_are_plain_too(output, kind, interpolation):
    scene = model(kind=kind, composition="additive", hidden=8)
    renderer = Renderer(scene, chunk=64)
    found = renderer.render_between(K.numpy(), E.numpy(), H, W, 1.0, interpolation, output)
    expected = renderer.render(K.numpy(), E.numpy(), H, W, 1.0, (output,))[output]
    torch.testing.assert_close(found, expected)
    assert found.shape == ((H, W) if output == "saliency" else (H, W, 4))
    # Through the planes themselves, which at a whole time do not move.
    planes = render_depth_planes(scene, 1.0, output=output)
    torch.testing.assert_close(planes.reshape(expected.shape), expected, atol=2e-5, rtol=1e-4)
    between = renderer.render_between(K.numpy(), E.numpy(), H, W, 1.4, interpolation, output)
    assert between.shape == found.shape
    assert bool(torch.isfinite(between).all())


@pytest.mark.parametrize("budget", [1, 50, H * W, 5 * H * W, 10**6])
def test_the_budget_changes_nothing(budget):
    scene = model()
    whole = render_depth_planes(scene, 1.3)
    torch.testing.assert_close(render_depth_planes(scene, 1.3, budget=budget), whole)


class Bar(Field):
    """A white bar two pixels wide at depth 2.2, column 3 + 4 k in frame k; opaque within one plane. Flow follows it."""

    dynamic = True

    def forward(self, positions, directions, time):
        world = space().to_world(positions)
        u = 12 * world[..., 0] / world[..., 2] + W / 2
        inside = (u > 3 + 4 * time) & (u < 5 + 4 * time) & ((world[..., 2] - 2.2).abs() < 0.1)
        zero = torch.zeros_like(time)
        # Four pixels to the right are 4 / (W/2) in NDC at every depth.
        step = torch.stack([zero + 8 / W, zero, zero], -1)
        return FieldSamples(
            inside * 1e4, rgb=torch.ones_like(positions), flow_prev=-step, flow_post=step,
            disocclusion_prev=zero, disocclusion_post=zero, saliency=zero + 0.5, features=torch.stack([zero + 2], -1),
        )  # fmt: skip


class Empty(Field):
    """A static field of nothing, at v = 1."""

    dynamic = False

    def __init__(self):
        super().__init__()
        self.unused = torch.nn.Parameter(torch.zeros(1))

    def forward(self, positions, directions, time):
        zero = torch.zeros_like(positions[..., 0])
        nothing = torch.zeros_like(positions)
        return FieldSamples(zero, rgb=nothing, blending=zero + 1, saliency=zero, features=nothing[..., :1])


@pytest.mark.parametrize(("rho", "column"), [(0.0, 3), (0.25, 4), (0.5, 5), (0.75, 6)])
@pytest.mark.parametrize("composition", ["blending", "additive"])
def test_a_bar_is_where_its_flow_takes_it(rho, column, composition):
    scene = model(composition=composition)
    scene.static, scene.dynamic = Empty(), Bar()
    picture = render_depth_planes(scene, rho)
    expected = torch.zeros(H, W, 3)
    expected[:, column : column + 2] = 1
    torch.testing.assert_close(picture, expected, atol=1e-3, rtol=0)


@pytest.mark.parametrize("interpolation", ["layers", "depth_planes"])
def test_saliency_and_features_go_where_the_flow_takes_them(interpolation):
    scene = model(composition="additive")
    scene.static, scene.dynamic = Empty(), Bar()
    renderer = Renderer(scene, chunk=64)
    for output, value in (("saliency", 0.5), ("features", 2.0)):
        found = renderer.render_between(K.numpy(), E.numpy(), H, W, 0.5, interpolation, output).reshape(H, W)
        expected = torch.zeros(H, W)
        expected[:, 5:7] = value
        torch.testing.assert_close(found, expected, atol=4e-3, rtol=0)


def test_a_static_scene_is_refused():
    scene = Model(space(), FieldConfig(kind="mlp", width=8, static_only=True), SamplingConfig(), 4, N)
    with pytest.raises(ValueError, match="dynamic"):
        render_depth_planes(scene, 0.5)


def test_both_interpolations_agree_on_a_bar_in_front_of_nothing():
    scene = model(composition="additive")
    scene.static, scene.dynamic = Empty(), Bar()
    scene.space = space()
    renderer = Renderer(scene, chunk=64)
    pictures = [renderer.render_between(K.numpy(), E.numpy(), H, W, 0.5, kind) for kind in ("layers", "depth_planes")]
    torch.testing.assert_close(*pictures, atol=1e-3, rtol=0)
    assert pictures[0][:, 5:7].mean() > 0.99


def test_layers_at_rest_are_the_plain_picture():
    """Just after a whole frame nothing has moved yet, and faint content must not jump."""
    scene = model(composition="additive")
    with torch.no_grad():
        layer, static = splatted(scene.moving_layer(Camera(K, E, H, W), 1, "post", 0.0, chunk=64))
    evaluation = scene.evaluate(scene.sample(rays(1.0), None))
    weights = evaluation.dynamic_weights
    expected = torch.cat([(weights[..., None] * evaluation.dynamic.rgb).sum(1), weights.sum(1)[:, None]], 1)
    torch.testing.assert_close(layer.permute(1, 2, 0), expected.reshape(H, W, 4), atol=1e-4, rtol=1e-3)
    assert static.shape == (3, H, W)
