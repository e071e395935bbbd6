"""Depth of the user's own: PNG, NPY and NPZ, their units, holes, sizes and names, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nsff.cameras import Cameras
from nsff.cameras.points import SparsePoints
from nsff.config import DepthConfig, InputConfig, load_config
from nsff.datasets.ingest import run_ingest
from nsff.errors import ConfigError, InputError
from nsff.files.io import read_npz
from nsff.priors.depth.given import given_depth, resize_known
from nsff.scene import Scene


def write_maps(folder: Path, depth: np.ndarray, suffix: str, picture_writer, names=None) -> None:
    """z (N,H,W) in metres; PNG in millimetres, with a hole of 0; NPY and NPZ with a hole of NaN."""
    folder.mkdir()
    for i, z in enumerate(depth):
        path = folder / f"{names[i] if names else f'{i:03d}'}.{suffix}"
        hole = z.copy()
        hole[:6, :6] = 0 if suffix == "png" else np.nan
        if suffix == "png":
            picture_writer(path, np.round(1000 * hole).astype(np.uint16))
        elif suffix == "npy":
            np.save(path, hole)
        else:
            np.savez(path, depth=hole, other=np.zeros(3))


def ingested(tmp_path, source, **depth) -> Scene:
    scene = Scene(tmp_path / "scene")
    run_ingest(scene, InputConfig(path=str(source), depth=depth))
    return scene


@pytest.mark.parametrize("suffix", ["png", "npy", "npz"])
@pytest.mark.parametrize("source", ["video", "frames_dir"])
def test_maps_become_disparity_with_holes_of_no_confidence(tmp_path, tiny_clip, picture_writer, suffix, source):
    write_maps(tmp_path / "lidar", tiny_clip.depth, suffix, picture_writer)
    scene = ingested(tmp_path, getattr(tiny_clip, source), path=str(tmp_path / "lidar"))
    assert scene.manifest["given"] == {"cameras": False, "points": False, "depth": True, "flow": False}
    arrays = read_npz(scene.given_dir / "depth" / "00005.npz", ["disparity", "confidence"])
    expected = 1 / tiny_clip.depth[5]
    outside = np.ones((48, 64), bool)
    outside[:6, :6] = False
    np.testing.assert_allclose(arrays["disparity"][outside], expected[outside], rtol=1e-3)
    assert (arrays["confidence"][outside] == 1).all()
    assert (arrays["confidence"][:6, :6] == 0).all()
    # A hole takes after the pixel beside it.
    assert arrays["disparity"][0, 0] in arrays["disparity"][outside]


def test_kind_and_scale(tmp_path, tiny_clip, picture_writer):
    folder = tmp_path / "maps"
    folder.mkdir()
    for i in range(8):
        np.save(folder / f"{i}.npy", np.full((12, 16), 4.0))
    for settings, disparity in (
        ({}, 0.25),
        ({"scale": 0.5}, 0.5),
        ({"kind": "disparity"}, 4),
        ({"kind": "disparity", "scale": 0.1}, 0.4),
    ):
        scene = ingested(tmp_path, tiny_clip.frames_dir, path=str(folder), **settings)
        found = read_npz(scene.given_dir / "depth" / "00000.npz", ["disparity"])["disparity"]
        assert found == pytest.approx(np.full((12, 16), disparity))  # the maps' own size
    for i in range(8):
        picture_writer(folder / f"{i}.png", np.full((12, 16), 3000, np.uint16))
        (folder / f"{i}.npy").unlink()
    for settings, disparity in (({}, 1 / 3), ({"scale": 0.01}, 1 / 30), ({"kind": "disparity"}, 3000)):
        scene = ingested(tmp_path, tiny_clip.frames_dir, path=str(folder), **settings)
        found = read_npz(scene.given_dir / "depth" / "00000.npz", ["disparity"])["disparity"]
        assert found == pytest.approx(np.full((12, 16), disparity))


def test_names_come_before_order(tmp_path, tiny_clip, picture_writer):
    # Named as the frames are, among others that belong to none.
    names = [f"{i:05d}" for i in range(8)]
    write_maps(tmp_path / "lidar", tiny_clip.depth, "npy", picture_writer, names)
    np.save(tmp_path / "lidar" / "00000_extra.npy", np.ones((4, 4)))
    scene = ingested(tmp_path, tiny_clip.frames_dir, path=str(tmp_path / "lidar"))
    found = read_npz(scene.given_dir / "depth" / "00007.npz", ["disparity"])["disparity"]
    assert found[20, 20] == pytest.approx(1 / tiny_clip.depth[7, 20, 20])


def test_sensor_depth_becomes_canonical_and_its_holes_do_not_spread(tmp_path, tiny_clip, picture_writer):
    write_maps(tmp_path / "lidar", tiny_clip.depth, "png", picture_writer)
    scene = ingested(tmp_path, tiny_clip.frames_dir, path=str(tmp_path / "lidar"))
    n = len(tiny_clip)
    cameras = Cameras(np.tile(tiny_clip.K, (n, 1, 1)), tiny_clip.world_to_camera, np.tile([1.8, 4.5], (n, 1)), 64, 48)
    cameras.resized(24, 32).save(scene.cameras_path)
    SparsePoints.empty().save(scene.points_path)
    given_depth(scene, DepthConfig(align=False), scene.depth_dir)
    disparity, confidence = scene.disparity(2)
    assert (confidence[:3, :3] == 0).all()
    assert (confidence[3:, 3:] == 1).all()
    assert (disparity > 0).all()


def test_holes_do_not_mix_into_what_is_known():
    disparity, confidence = np.full((8, 8), 0.5, np.float32), np.ones((8, 8), np.float32)
    disparity[:3], confidence[:3] = 100, 0
    values, trust = resize_known(disparity, confidence, (4, 4))
    # Row 1 averages rows 2 (a hole) and 3: half is known, and that half alone counts.
    assert values[1:] == pytest.approx(np.full((3, 4), 0.5))
    assert trust[:, 0].tolist() == [0, 0.5, 1, 1]
    with_size = resize_known(disparity, confidence, (8, 8))
    assert (with_size[1] == confidence).all()


def text(folder):
    (folder / "003.npy").write_text("none")


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda f, w: w(f / "003.png", np.zeros((48, 64), np.uint8)) or (f / "003.npy").unlink(), "1 channels of 8"),
        (lambda f, w: w(f / "003.png", np.zeros((48, 64, 3), np.uint8)) or (f / "003.npy").unlink(), "3 channels of 8"),
        (lambda f, w: np.save(f / "003.npy", np.zeros((48, 64))), "no number above 0"),
        (lambda f, w: np.save(f / "003.npy", np.ones((48, 48))), "another aspect"),
        (lambda f, w: np.save(f / "003.npy", np.ones((3, 48, 64))), r"has shape \(3, 48, 64\)"),
        (lambda f, w: np.save(f / "003.npy", np.full((48, 64), 1e-42)), "too small for depth"),
        (lambda f, w: np.save(f / "003.npy", np.full((48, 64), "a")), "expected .height, width. of numbers"),
        (lambda f, w: text(f), "not readable"),
        (lambda f, w: (f / "003.npy").unlink(), "7 depth maps, but there are 8 frames"),
        (lambda f, w: np.savez(f / "003.npz", a=np.ones(2), b=np.ones(2)), "same name"),
    ],
)
def test_what_is_no_depth_is_named(tmp_path, tiny_clip, picture_writer, harm, message):
    write_maps(tmp_path / "lidar", tiny_clip.depth, "npy", picture_writer)
    harm(tmp_path / "lidar", picture_writer)
    with pytest.raises(InputError, match=message) as caught:
        ingested(tmp_path, tiny_clip.frames_dir, path=str(tmp_path / "lidar"))
    assert "lidar" in str(caught.value)
    assert not (tmp_path / "scene" / "manifest.json").exists()


def test_npz_without_the_array_and_short_folders(tmp_path, tiny_clip, picture_writer):
    write_maps(tmp_path / "lidar", tiny_clip.depth[:6], "npy", picture_writer)
    with pytest.raises(InputError, match="6 depth maps, none for source frame 6"):
        ingested(tmp_path, tiny_clip.video, path=str(tmp_path / "lidar"))
    folder = tmp_path / "other"
    folder.mkdir()
    with pytest.raises(InputError, match="has no depth maps"):
        ingested(tmp_path, tiny_clip.video, path=str(folder))
    for i in range(8):
        np.savez(folder / f"{i}.npz", a=np.ones((48, 64)), b=np.ones((48, 64)))
    with pytest.raises(InputError, match="no array depth"):
        ingested(tmp_path, tiny_clip.video, path=str(folder))


def test_configuration(tmp_path, tiny_clip):
    def scenes(**values):
        return {"scenes": {"a": {"input": {"path": str(tiny_clip.video), **values}}}}

    with pytest.raises(ConfigError, match=r"input\.depth\.path: no such file or folder: /no/maps"):
        load_config(scenes(depth={"path": "/no/maps"}))
    with pytest.raises(ConfigError, match="exclude each other"):
        load_config(scenes(depth={"path": str(tmp_path)}, truth_priors=str(tmp_path)))
    with pytest.raises(ConfigError, match=r"depth\.scale"):
        load_config(scenes(depth={"path": str(tmp_path), "scale": 0}))
    loaded = load_config(scenes(depth={"path": str(tmp_path), "kind": "disparity"}))["a"]
    assert loaded.input.depth.kind == "disparity"
