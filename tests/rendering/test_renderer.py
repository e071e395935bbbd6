"""Whole pictures from a model: shapes, chunks, agreement of paths through the code, and damage named."""

import copy
from collections import Counter

import numpy as np
import pytest
import torch

from nsff.cameras import Cameras
from nsff.cameras.spaces import make_space
from nsff.config import FieldConfig, SamplingConfig, resolve_scene
from nsff.errors import StageError
from nsff.files.io import write_json
from nsff.machine.gpu_memory import peak_of
from nsff.models.base import OUTPUTS
from nsff.models.ray_fields.scene_model import Model
from nsff.models.ray_model import CHUNKS
from nsff.rendering.maps import canonical_views, run_maps
from nsff.rendering.renderer import Renderer
from nsff.rendering.videos import even, write_video
from nsff.scene import Scene
from nsff.training.model_files import write_model

H, W = 12, 16


@pytest.fixture(scope="module")
def cameras():
    K = np.array([[20.0, 0, W / 2], [0, 20.0, H / 2], [0, 0, 1]])
    poses = np.tile(np.eye(4)[:3], (4, 1, 1))
    poses[:, 0, 3] = -0.1 * np.arange(4)
    return Cameras(np.repeat(K[None], 4, 0), poses, np.tile([[2.0, 8.0]], (4, 1)), W, H)


@pytest.fixture(scope="module", params=["additive", "blending"])
def renderer(request, cameras):
    torch.manual_seed(0)
    field = FieldConfig(
        plane_resolutions=[8], dynamic_resolutions=[8], hidden=8, plane_channels=4, composition=request.param
    )
    model = Model(make_space("auto", cameras), field, SamplingConfig(samples=8, coarse_samples=8), 64, 4)
    with torch.no_grad():
        model.dynamic.trunk[2].bias[0] += 4.0
        model.dynamic.motion.weight.mul_(100)
    return Renderer(model)


def camera(cameras, i=1):
    return cameras.intrinsics[i], cameras.world_to_camera[i], H, W


def test_maps_have_their_shapes(renderer, cameras):
    names = ("rgb", "depth", "blend", "saliency", "features", "static_rgb", "dynamic_rgb", "opacity")
    maps = renderer.render(*camera(cameras), 1.0, names)
    shapes = {name: tuple(value.shape) for name, value in maps.items()}
    assert shapes == {
        "rgb": (H, W, 3), "depth": (H, W), "blend": (H, W), "saliency": (H, W), "features": (H, W, 64),
        "static_rgb": (H, W, 3), "dynamic_rgb": (H, W, 3), "opacity": (H, W),
    }  # fmt: skip
    assert all(bool(torch.isfinite(value).all()) for value in maps.values())
    assert float(maps["depth"].min()) > 0


def test_chunks_do_not_matter(renderer, cameras):
    whole = renderer.render(*camera(cameras), 1.0)["rgb"]
    parts = Renderer(renderer.model, chunk=7).render(*camera(cameras), 1.0)["rgb"]
    torch.testing.assert_close(whole, parts)


def test_chunks_on_a_cpu_follow_the_samples(renderer, cameras):
    rays = renderer.model.frame_rays(renderer.camera(*camera(cameras)), 1.0)
    assert renderer.model.rays_at_once(rays) == 2**29 // (2048 * 16)
    assert renderer.model.rays_at_once(rays, 7) == 7
    many = renderer.model.sampling.model_copy(update={"samples": 2**20})
    other = Model(make_space("auto", cameras), renderer.model.field_config, many, 64, 4)
    assert other.rays_at_once(rays) == CHUNKS[0]


@pytest.mark.gpu
def test_chunks_fit_into_the_memory_that_is_free(renderer, cameras, monkeypatch):
    """A picture large enough that its chunks fill what they may, seen by the device's own counter."""
    K, pose = cameras.intrinsics[1] * np.array([[32], [32], [1]]), cameras.world_to_camera[1]
    device = torch.device("cuda")
    model = copy.deepcopy(renderer.model).to(device)
    whole = Renderer(model, chunk=10**6).render(K, pose, 32 * H, 32 * W, 1.0, ("rgb", "features"))
    free = 150 * 2**20
    monkeypatch.setattr("nsff.models.ray_model.free_memory", lambda device: free)
    own = Renderer(model)
    rays = model.frame_rays(own.camera(K, pose, 32 * H, 32 * W), 1.0)
    assert CHUNKS[0] < own.chunk < CHUNKS[1]
    before = torch.cuda.memory_allocated(device)
    peak = peak_of(device, lambda: own.render(K, pose, 32 * H, 32 * W, 1.0, OUTPUTS))
    assert 0.3 * free < peak - before < 0.8 * free  # SHARE, and the rays of the whole picture
    maps = own.render(K, pose, 32 * H, 32 * W, 1.0, ("rgb", "features"))
    torch.testing.assert_close(maps, whole, rtol=1e-3, atol=1e-3)
    monkeypatch.setattr("nsff.models.ray_model.free_memory", lambda device: 2**40)
    assert model.chunk_from_memory(rays) == CHUNKS[1]


def test_frames_are_rays_in_row_order(renderer, cameras):
    K, E, h, w = camera(cameras)
    rays = renderer.model.frame_rays(renderer.camera(K, E, h, w), 1.0)
    one = renderer.model.render_rays(rays.origins[W + 3 : W + 4], rays.directions[W + 3 : W + 4], rays.time[:1])["rgb"]
    torch.testing.assert_close(renderer.render(K, E, h, w, 1.0)["rgb"][1, 3], one[0])


def test_between_frames_equals_render_at_whole_frames(renderer, cameras):
    torch.testing.assert_close(
        renderer.render_between(*camera(cameras), 2.0), renderer.render(*camera(cameras), 2.0)["rgb"].clamp(0, 1)
    )


def test_between_frames_is_finite_and_between(renderer, cameras):
    half = renderer.render_between(*camera(cameras), 1.5)
    assert half.shape == (H, W, 3)
    assert bool(torch.isfinite(half).all())


def test_rays_are_differentiable_in_their_origin(renderer, cameras):
    K, E, h, w = camera(cameras)
    rays = renderer.model.frame_rays(renderer.camera(K, E, h, w), 1.0)
    shift = torch.zeros(3, requires_grad=True)
    renderer.model.render_rays(rays.origins + shift, rays.directions, rays.time)["rgb"].sum().backward()
    assert bool(torch.isfinite(shift.grad).all())
    assert float(shift.grad.abs().max()) > 0


def test_unknown_map_is_refused(renderer, cameras):
    with pytest.raises(ValueError, match="normals"):
        renderer.render(*camera(cameras), 1.0, ("normals",))


def test_a_damaged_model_is_named(tmp_path):
    (tmp_path / "model.json").write_text('{"space": {"kind": "ndc"}}')
    with pytest.raises(StageError, match="missing"):
        Renderer.load(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"no tensors")
    with pytest.raises(StageError, match=str(tmp_path)):
        Renderer.load(tmp_path)


def test_canonical_views_generalise_saffs_sixty():
    views = canonical_views(24, "saff")
    assert len(views) == 60
    assert views[24] == {"index": 24, "split": "nv_spatial", "camera": 0, "time": 0}
    assert views[59] == {"index": 59, "split": "nv_static", "camera": 11, "time": 0}
    assert len(canonical_views(7, "saff")) == 7 + 7 + 7
    assert len(canonical_views(7, "training")) == 7


def splits(views) -> list[tuple[str, int]]:
    return sorted(Counter(view["split"] for view in views).items())


def test_views_that_saff_has_by_the_number_of_frames():
    """24 frames: 24, then camera 0 at 24 times, then 12 cameras at time 0; 48: camera 0 at 48 times; others none."""
    assert canonical_views(24, "auto") == canonical_views(24, "saff")
    assert splits(canonical_views(24, "auto")) == [("nv_spatial", 24), ("nv_static", 12), ("training", 24)]
    views = canonical_views(48, "auto", 2)
    assert splits(views) == [("heldout", 24), ("nv_spatial", 48), ("training", 24)]
    assert views[48:] == [{"index": 48 + k, "split": "nv_spatial", "camera": 0, "time": k} for k in range(48)]
    for n in (7, 23, 30, 49):
        assert canonical_views(n, "auto") == canonical_views(n, "training")


@pytest.mark.parametrize(("kind", "views"), [("nvidia", 4 + 4 + 4), ("video", 4)])
def test_scenes_in_nsffs_layout_have_saffs_views(tmp_path, cameras, kind, views):
    """Preset saff without an overlay, through the stage itself."""
    scene = Scene(tmp_path / kind)
    write_json(scene.manifest_path, {"n_frames": 4, "width": W, "height": H, "source": {"kind": kind}})
    cameras.save(scene.cameras_path)
    config = resolve_scene(
        "a", {"input": {"path": "x"}, "field": {"width": 8, "depth": 1}, "sampling": {"samples": 4}}, "saff", {}
    )
    torch.manual_seed(0)
    model = Model(make_space("auto", cameras), config.field, config.sampling, 64, 4)
    write_model(scene, model, config, 1, 0.0, [])
    assert run_maps(scene, config.render)["views"] == views
    assert len(list(scene.maps_dir.glob("*_rgb.png"))) == views


def test_videos_are_h264_of_even_size(tmp_path):
    import av

    frames = [np.full((12, 16, 3), 20 * i, np.uint8) for i in range(5)]
    write_video(tmp_path / "v.mp4", frames, 10)
    with av.open(str(tmp_path / "v.mp4")) as container:
        stream = container.streams.video[0]
        decoded = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
        assert stream.codec_context.name == "h264"
    assert len(decoded) == 5
    assert abs(float(decoded[4].mean()) - 80) < 4
    assert [even(v) for v in (180, 181.2, 0.3)] == [180, 182, 2]


def test_models_know_how_much_larger_pictures_are():
    """The camera that models get says it, also without some of the scene."""

    class Model(torch.nn.Module):
        device = torch.device("cpu")

        def chunk_for(self, camera):
            return 1

        def without(self, left_out):
            return Model()

    renderer = Renderer(Model(), enlarged=2.0)
    for own in (renderer, renderer.without(lambda points, time: None)):
        assert own.camera(np.eye(3), np.eye(4), 4, 6).enlarged == 2
    assert Renderer(Model()).camera(np.eye(3), np.eye(4), 4, 6).enlarged == 1
