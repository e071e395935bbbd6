"""Videos without objects: what the scene has behind them is seen, and without the setting nothing changes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from nsff.config import FieldConfig, RenderConfig, SamplingConfig, resolve_scene
from nsff.decompose.clusters import Clusters
from nsff.decompose.removal import left_out_of
from nsff.errors import ConfigError
from nsff.files.io import write_image
from nsff.models.base import Points
from nsff.models.ray_fields.scene_model import Model
from nsff.rendering.videos import run_render
from tests.decompose.test_extract import RESTING, moving

WALL, GREEN, RED = np.array([0.2, 0.2, 0.2]), np.array([0.0, 1.0, 0.0]), np.array([1.0, 0.0, 0.0])


def drawn(scene, renderer, time, interpolation="layers"):
    K, E = scene.cameras.intrinsics[0], scene.cameras.world_to_camera[0]
    return renderer.render_between(K, E, *scene.size, time, interpolation).numpy()


def assert_colour(picture, where, colour):
    assert where.sum() > 20
    assert picture[where] == pytest.approx(np.broadcast_to(colour, picture[where].shape), abs=2e-2)


@pytest.mark.parametrize(
    ("composition", "time", "interpolation"),
    [
        ("blending", 2.0, "layers"), ("additive", 2.0, "layers"), ("blending", 1.5, "layers"),
        ("additive", 1.5, "layers"), ("blending", 1.5, "depth_planes"), ("additive", 1.5, "depth_planes"),
    ],
)  # fmt: skip
def test_what_is_behind_shows(boxes, composition, time, interpolation):
    scene, renderer = boxes(composition)
    front, rest = moving(time), RESTING == 1
    whole = drawn(scene, renderer, time, interpolation)
    assert_colour(whole, front == 1, RED)
    without = drawn(scene, renderer.without(left_out_of(scene, [2])), time, interpolation)
    assert_colour(without, (front == 1) & rest, GREEN)
    assert_colour(without, (front == 1) & (RESTING == 0), WALL)
    assert without[front == 0] == pytest.approx(whole[front == 0], abs=1e-5)


def test_any_and_all_objects(boxes):
    scene, renderer = boxes()
    front, rest = moving(2), RESTING == 1
    whole = drawn(scene, renderer, 2.0)
    without = drawn(scene, renderer.without(left_out_of(scene, [1])), 2.0)
    assert_colour(without, rest & (front == 0), WALL)
    assert_colour(without, front == 1, RED)
    empty = drawn(scene, renderer.without(left_out_of(scene, "objects")), 2.0)
    assert_colour(empty, np.ones_like(rest), WALL)
    np.testing.assert_array_equal(drawn(scene, renderer, 2.0), whole)  # the model itself stays as it is
    assert renderer.without(left_out_of(scene, [])) is renderer
    still = drawn(scene, renderer.without(left_out_of(scene, "moving")), 2.0)
    assert_colour(still, rest, GREEN)
    assert_colour(still, (front == 1) & (RESTING == 0), WALL)


def shadow_of(scene, number, frames):
    """The moving box, now no object, is the shadow of ``number`` at some frames."""
    Clusters(np.eye(4, dtype=np.float32)[:3], np.arange(3), [1]).save(scene.clusters_dir, {})
    for i in range(scene.n_frames):
        write_image(scene.shadow_path(i), (number * (moving(i) == 1) * (i in frames)).astype(np.uint8))


@pytest.mark.parametrize(
    ("number", "frames", "time", "gone"),
    [(1, [0, 1, 2], 2.0, True), (1, [0, 1, 2], 1.5, True), (2, [0, 1, 2], 2.0, False), (1, [0], 2.0, False)],
)
def test_a_shadow_goes_with_its_caster(boxes, number, frames, time, gone):
    scene, renderer = boxes()
    shadow_of(scene, number, frames)
    front, rest = moving(time), RESTING == 1
    without = drawn(scene, renderer.without(left_out_of(scene, [1])), time, "depth_planes")
    assert_colour(without, front == 1, WALL if gone else RED)
    assert_colour(without, rest & (front == 0), WALL)


def test_a_shadow_is_looked_for_in_the_next_frames_too(boxes):
    """Of points it is known where they are a frame earlier and later; what rests, or is of an object, is no shadow."""
    scene = boxes()[0]
    shadow_of(scene, 1, frames=[1])
    positions = torch.tensor([[0.0, 0, 2.0]]).repeat(4, 1)
    features = torch.eye(4)[[2, 2, 1, 2]]
    motion = torch.tensor([[0.0, 0, 0], [9.0, 0, 0], [0, 0, 0], [0, 0, 0]])
    points = Points(positions, positions, features, motion=motion, moving=torch.tensor([True, True, True, False]))
    left_out = left_out_of(scene, [1])
    assert left_out(points, 2.0).tolist() == [True, False, True, False]
    assert left_out(replace(points, motion=None), 2.0).tolist() == [False, False, True, False]


def test_samples_are_drawn_behind_what_is_left_out(box_world):
    """The coarse pass of sampling by importance sees the scene without it, or all samples would lie within it."""
    scene, renderer = box_world("additive", n=3)
    own = renderer.model
    model = Model(
        own.space, own.field_config, SamplingConfig(kind="importance", samples=16, coarse_samples=64), 4, scene.n_frames
    )
    model.static, model.dynamic = own.static, own.dynamic
    rays = model.frame_rays(renderer.camera(scene.cameras.intrinsics[0], scene.cameras.world_to_camera[0], 48, 64), 1.0)
    ray = rays[slice(24 * 64 + 32, 24 * 64 + 33)]
    both = (model, model.without(lambda points, time: points.moving.numpy()))
    depths = [m.space.to_world(m.sample(ray, None).positions)[..., 2] for m in both]
    assert (depths[0] < 2.6).all()
    assert (depths[1] > 2.6).all()


def test_the_render_stage_and_its_words(boxes):
    scene = boxes()[0]
    render = RenderConfig(frames=2, without=[2], render_factor=4)
    assert "Left out: [2]." in run_render(scene, render, "time", left_out_of(scene, [2]))["message"]
    with pytest.raises(ConfigError, match="names object 3, but the scene has objects 1 to 2"):
        left_out_of(scene, [3])
    with pytest.raises(ValueError, match="greater than or equal"):
        RenderConfig(without=[0])


def test_objects_need_features():
    own = {"input": {"path": "x"}, "field": {"features": False, "saliency": False}, "evaluation": []}
    resolve_scene("a", own | {"render": {"without": "moving"}}, "fast", {})
    with pytest.raises(ConfigError, match=r"render\.without names objects"):
        resolve_scene("a", own | {"render": {"without": [1]}}, "fast", {})


@pytest.mark.parametrize("kind", ["mlp", "planes"])
def test_fields_of_either_kind(box_world, kind):
    """A function that leaves nothing out changes nothing, one that leaves all out leaves nothing."""
    renderer = box_world(n=3)[1]
    torch.manual_seed(0)
    sizes = {"width": 16, "plane_resolutions": [8], "dynamic_resolutions": [8], "hidden": 8}
    for composition in ("blending", "additive"):
        field = FieldConfig(kind=kind, composition=composition, **sizes)
        model = Model(renderer.model.space, field, SamplingConfig(samples=8, coarse_samples=8), 4, 3).eval()
        camera = renderer.camera(np.diag([6.0, 6, 1]), np.eye(4)[:3], 3, 4)
        with torch.no_grad():
            plain = model.render(camera, 1.0, ("rgb", "depth"))
            same = nothing_of(model).render(camera, 1.0, ("rgb", "depth"))
            gone = model.without(lambda points, time: np.ones(len(points.positions), bool))
            opacity = gone.render(camera, 1.0, ("opacity",))["opacity"]
        for name in plain:
            torch.testing.assert_close(plain[name], same[name], rtol=1e-5, atol=1e-6)
        assert float(opacity.max()) < 0.05


def nothing_of(model):
    return model.without(lambda points, time: np.zeros(len(points.positions), bool))
