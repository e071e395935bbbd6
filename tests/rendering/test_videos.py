"""The render stage: target, size and times of the videos, and other maps along the same paths."""

import imageio.v3 as imageio
import numpy as np
import pytest

from nsff.cameras import Cameras
from nsff.cameras.spaces import make_space
from nsff.config import FieldConfig, RenderConfig, SamplingConfig, resolve_scene
from nsff.errors import ConfigError
from nsff.files.io import read_image, write_json
from nsff.models.ray_fields.scene_model import Model
from nsff.rendering import videos
from nsff.rendering.renderer import Renderer
from nsff.rendering.videos import principal_colours, run_render
from nsff.scene import Scene
from nsff.training.model_files import write_model

H, W, N = 36, 26, 5  # portrait


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """A scene with an untrained model."""
    scene = Scene(tmp_path_factory.mktemp("videos") / "a")
    K = np.array([[30.0, 0, W / 2], [0, 30.0, H / 2], [0, 0, 1]])
    poses = np.tile(np.eye(4)[:3], (N, 1, 1))
    poses[:, 0, 3] = -0.1 * np.arange(N)
    cameras = Cameras(np.repeat(K[None], N, 0), poses, np.tile([[2.0, 8.0]], (N, 1)), W, H)
    write_json(scene.manifest_path, {"n_frames": N, "width": W, "height": H})
    cameras.save(scene.cameras_path)
    own = {"input": {"path": "x"}, "field": {"plane_resolutions": [8], "dynamic_resolutions": [8], "hidden": 8}}
    config = resolve_scene("a", own, "demo_planes", {})
    model = Model(
        make_space("auto", cameras), FieldConfig(**config.field.model_dump()),
        SamplingConfig(samples=6, coarse_samples=6), 8, N,
    )  # fmt: skip
    write_model(scene, model, config, 1, 1.0, [])
    return scene


@pytest.mark.parametrize("path", ["view", "time", "spacetime"])
def test_size_and_number_of_frames(scene, path):
    summary = run_render(scene, RenderConfig(frames=5, render_factor=2, frame_rate=5), path)
    assert (summary["frames"], summary["width"], summary["height"]) == (5, 12, 18)  # even, for H.264
    assert imageio.imread(scene.renders_dir / f"{path}.mp4").shape[:3] == (5, 18, 12)
    assert list((scene.renders_dir / f"{path}_maps").iterdir()) == []


def test_target_start_and_end_reach_the_renderer(scene, monkeypatch):
    asked = []
    original = Renderer.render_between

    def watched(self, K, E, height, width, time, *more):
        asked.append((time, -E[0, 3]))
        return original(self, K, E, height, width, time, *more)

    monkeypatch.setattr(Renderer, "render_between", watched)
    run_render(scene, RenderConfig(frames=3, target=1, start=0.5, end=2.5, amplitude=0), "time")
    np.testing.assert_allclose(asked, [(0.5, 0.1), (1.5, 0.1), (2.5, 0.1)])
    with pytest.raises(ConfigError, match="frames 0 to 4"):
        run_render(scene, RenderConfig(target=N), "view")


@pytest.mark.parametrize("interpolation", ["layers", "depth_planes"])
def test_maps_along_a_path(scene, interpolation):
    render = RenderConfig(frames=4, maps=["saliency", "features"], interpolation=interpolation, frame_rate=4)
    run_render(scene, render, "spacetime")
    folder = scene.renders_dir / "spacetime_maps"
    assert {path.name for path in folder.iterdir()} == {"saliency", "features", "saliency.mp4", "features.mp4"}
    for name, shape in (("saliency", (H, W)), ("features", (H, W, 8))):
        values = [np.load(path) for path in sorted((folder / name).iterdir())]
        assert [v.shape for v in values] == [shape] * 4
        assert all(np.isfinite(v).all() for v in values)
        assert imageio.imread(folder / f"{name}.mp4").shape == (4, H, W, 3)


def test_numbered_pictures_beside_each_video(scene, monkeypatch):
    """They are the frames that the encoder was given; another run without them leaves an empty folder."""
    encoded = {}
    monkeypatch.setattr(videos, "write_video", lambda path, frames, rate: encoded.update({path.stem: frames}))
    render = RenderConfig(frames=4, pictures=True, maps=["saliency"], frame_rate=4)
    run_render(scene, render, "time")
    for folder, name in ((scene.renders_dir / "time", "time"), (scene.renders_dir / "time_maps/saliency", "saliency")):
        assert sorted(path.name for path in folder.glob("*.png")) == ["000.png", "001.png", "002.png", "003.png"]
        for i, frame in enumerate(encoded[name]):
            np.testing.assert_array_equal(read_image(folder / f"{i:03d}.png"), frame)
    run_render(scene, render.model_copy(update={"pictures": False}), "time")
    assert list((scene.renders_dir / "time").iterdir()) == []
    assert list((scene.renders_dir / "time_maps/saliency").glob("*.png")) == []
    assert list(scene.renders_dir.glob(".tmp*")) == []


def test_pictures_sort_by_their_names(tmp_path):
    """A thousand and one of them need a fourth digit, or 1000.png would come before 101.png."""
    videos.write_pictures(tmp_path, [np.zeros((2, 2, 3), np.uint8)] * 1001)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert (names[0], names[101], names[-1], len(names)) == ("0000.png", "0101.png", "1000.png", 1001)


def test_principal_colours_by_hand(tmp_path):
    """Two channels that vary together are one component; all files share the same colours."""
    ramp = np.linspace(-1, 1, 4000).reshape(40, 100)
    for i in range(2):
        np.save(tmp_path / f"{i}.npy", np.stack([3 * ramp, 4 * ramp, 0 * ramp, 0 * ramp + 7], -1).astype(np.float16))
    colours = principal_colours([tmp_path / "0.npy", tmp_path / "1.npy"])
    found = colours(np.load(tmp_path / "0.npy"))[..., 0]
    assert abs(np.corrcoef(found.ravel(), ramp.ravel())[0, 1]) > 0.999
    # It fills the range of the pixels it was fit on: every 100th, from -1 to 0.95.
    assert sorted([round(float(found[0, 0]), 2), round(float(found[-1, 0]), 2)]) == [0, 1]
    np.testing.assert_array_equal(found, colours(np.load(tmp_path / "1.npy"))[..., 0])
