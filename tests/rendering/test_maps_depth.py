"""The depth pictures that guide SAFF's CRF: its loop over samples written out, and a picture worked out by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from nsff.cameras import Cameras
from nsff.cameras.spaces import make_space
from nsff.config import FieldConfig, RenderConfig, SamplingConfig
from nsff.files.io import read_mask, write_json
from nsff.models.ray_fields.scene_model import Model
from nsff.rendering.maps import grey_levels, run_maps
from nsff.rendering.renderer import Renderer
from nsff.scene import Scene

H, W, N = 14, 20, 3


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """Cameras on a line, nearest depth 2."""
    scene = Scene(tmp_path / "scene")
    K = np.array([[22.0, 0, W / 2], [0, 22.0, H / 2], [0, 0, 1]])
    poses = np.tile(np.eye(4)[:3], (N, 1, 1))
    poses[:, 0, 3] = -0.1 * np.arange(N)
    Cameras(np.repeat(K[None], N, 0), poses, np.tile([[2.0, 8.0]], (N, 1)), W, H).save(scene.cameras_path)
    write_json(scene.manifest_path, {"n_frames": N, "width": W, "height": H, "frames": []})
    write_json(scene.model_dir / "model.json", {})
    return scene


def rendered(scene: Scene, monkeypatch, kind: str = "ndc", **field) -> Renderer:
    torch.manual_seed(3)
    config = FieldConfig(kind="mlp", width=16, composition="blending", space=kind, features=False, **field)
    sampling = SamplingConfig(kind="stratified", samples=24, pixel_centre=0.0)
    renderer = Renderer(Model(make_space(kind, scene.cameras), config, sampling, 4, N), chunk=97)
    with torch.no_grad():
        for part in (renderer.model.static, renderer.model.dynamic):
            for parameter in part.parameters():
                parameter.mul_(3.0)
    monkeypatch.setattr(Renderer, "load", staticmethod(lambda *a, **k: renderer))
    run_maps(scene, RenderConfig())
    return renderer


def published(renderer: Renderer, cameras: Cameras, i: int, folder: Path, dynamic_only: bool) -> np.ndarray:
    """SAFF's render_2D, sample by sample, and the file that OpenCV writes of it."""
    model = renderer.model
    camera = renderer.camera(cameras.intrinsics[i], cameras.world_to_camera[i], H, W)
    rays = model.frame_rays(camera, float(i))
    seen = model.evaluate(model.sample(rays, None))
    v = torch.ones_like(seen.static.blending) if dynamic_only else seen.static.blending
    T, depth = torch.ones(H * W), torch.zeros(H * W)
    for j in range(24):
        delta = seen.samples.deltas[:, j]
        dynamic = v[:, j] * (1 - torch.exp(-seen.dynamic_density[:, j] * delta))
        static = (1 - v[:, j]) * (1 - torch.exp(-seen.static_density[:, j] * delta))
        opacity = 1 - (1 - dynamic) * (1 - static)
        depth = depth + T * opacity * seen.samples.s[:, j]
        T = T * (1 - opacity + 1e-10)
    cv2.imwrite(str(folder / "depth.png"), depth.reshape(H, W).numpy() * 255.0)
    return cv2.imread(str(folder / "depth.png"))[..., 0]


@pytest.mark.parametrize("dynamic_only", [False, True])
def test_picture_is_that_of_the_published_loop(scene: Scene, tmp_path: Path, monkeypatch, dynamic_only: bool):
    renderer = rendered(scene, monkeypatch, dynamic_only=dynamic_only)
    for i in range(N):
        own = read_mask(scene.maps_dir / f"{i}_ndc.png", (H, W))
        theirs = published(renderer, scene.cameras, i, tmp_path, dynamic_only)
        assert own.dtype == np.uint8
        np.testing.assert_array_equal(own, theirs)
        assert len(np.unique(own)) > 10


def test_other_spaces_have_no_such_picture(scene: Scene, monkeypatch):
    rendered(scene, monkeypatch, kind="contraction")
    assert (scene.maps_dir / "0_depth.png").exists()
    assert not list(scene.maps_dir.glob("*_ndc.png"))


def test_grey_is_steep_in_the_inverse_depth(scene: Scene, monkeypatch):
    """A wall at depth Z: 255 (1 - 0.9 near/Z), 1/0.5556 of what the disparity picture rises by."""
    space = make_space("ndc", scene.cameras)
    renderer = rendered(scene, monkeypatch)
    for Z in (2.5, 3.0, 7.0, 24.0):
        s = space.s_of_depth(torch.zeros(1, 3), torch.tensor([[0.0, 0, 1]]), torch.tensor([Z]))
        camera = renderer.camera(scene.cameras.intrinsics[0], scene.cameras.world_to_camera[0], H, W)
        rays = renderer.model.frame_rays(camera, 0.0)
        seen = renderer.model.evaluate(renderer.model.sample(rays, None))
        wall = torch.full_like(seen.static_density, 1e6)
        samples = replace(seen.samples, s=torch.full_like(seen.samples.s, float(s)))
        seen = replace(seen, samples=samples, static_density=wall, dynamic_density=wall)
        grey = grey_levels(renderer.model.ray_parameter(seen).numpy())
        assert set(grey.tolist()) == {round(255 * (1 - 0.9 * 2 / Z))}


def test_rounding_is_that_of_opencv(tmp_path: Path):
    values = np.concatenate([np.arange(-3, 520) / 510, [1.7, -0.2]]).astype(np.float32)[None]
    cv2.imwrite(str(tmp_path / "v.png"), values * 255.0)
    np.testing.assert_array_equal(grey_levels(values), cv2.imread(str(tmp_path / "v.png"), cv2.IMREAD_UNCHANGED))
    assert grey_levels(np.float32([[0.5 / 255, 1.5 / 255, 2.5 / 255]])).tolist() == [[0, 2, 2]]
