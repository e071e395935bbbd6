"""Inputs that users are known to bring, as the makers beside the repository write them: what ingest makes of each."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from nsff.cameras import Cameras
from nsff.config import InputConfig
from nsff.datasets import run_ingest
from nsff.errors import InputError
from nsff.scene import Scene


@pytest.fixture
def made(shared: Path, tmp_path: Path, repo: Path) -> Callable[..., Path]:
    """A function that makes a case by its name and gives the folder; skips where ffmpeg or the maker is missing."""

    def make(name: str, **environment: str) -> Path:
        maker = shared / "cases" / name / "make.py"
        if not maker.exists():
            pytest.skip(f"no maker of case {name}")
        if "ffmpeg(" in maker.read_text() and shutil.which("ffmpeg") is None:
            pytest.skip("no ffmpeg on PATH")
        own = os.environ | {"NSFF": str(repo), "SCENES": str(shared / "scenes"), **environment}
        subprocess.run([sys.executable, str(maker), str(tmp_path / "made")], check=True, env=own, timeout=300)
        return tmp_path / "made"

    return make


def ingested(path: Path, **settings) -> tuple[Scene, dict]:
    scene = Scene(path.parent / "scene")
    run_ingest(scene, InputConfig(path=str(path), **settings))
    return scene, scene.summary("ingest")


def true_cameras(shared: Path, count: int = 12) -> Cameras:
    from nsff.cameras.colmap import read_model

    return read_model(shared / "scenes" / "toss" / "dense").cameras[list(range(count))].resized(135, 240)


def test_decimal_times(made):
    scene, _ = ingested(made("decimal_times"))
    assert [frame["name"] for frame in scene.manifest["frames"]] == [f"frame_{i * 0.25}.png" for i in range(8)]


def test_depth_at_twice_the_rate(made):
    path = made("depth_at_twice_the_rate")
    with pytest.raises(InputError, match="16 depth maps for 8 frames"):
        ingested(path / "clip.mp4", depth={"path": str(path / "depth")})


def test_duplicates_over_half(made):
    _, summary = ingested(made("duplicates_over_half") / "clip.mp4")
    assert len(summary["duplicates"]) == 72
    assert summary["verdict"] == "poor"
    assert "input.stride: 4" in summary["message"]


@pytest.mark.parametrize("orientation", ["3", "6"])
def test_exif_given_cameras(made, shared: Path, orientation: str):
    scene, summary = ingested(made("exif_given_cameras", ORIENTATION=orientation))
    assert scene.frame(0).shape == (135, 240, 3)
    assert summary["given"]["cameras"]
    found = Cameras.load(scene.given_dir / "cameras.json")
    np.testing.assert_allclose(found.world_to_camera, true_cameras(shared).world_to_camera, atol=1e-6)


def test_flow_numbered_from_zero(made):
    path = made("flow_numbered_from_zero")
    scene, _ = ingested(path)
    for i in range(11):
        own = np.load(path / "flow_i1" / f"{i:05d}_fwd.npz")["flow"]
        given = np.load(scene.given_dir / "flow" / f"{i:05d}_fwd.npz")["flow"]
        np.testing.assert_allclose(given, own, atol=0.01)
    assert any("counted from 0" in note for note in scene.manifest["notes"])


def test_heic_among_jpg(made):
    with pytest.raises(InputError, match=r"8 pictures of a kind that is not read .*HEIC") as caught:
        ingested(made("heic_among_jpg"))
    assert "convert" in caught.value.remedy


def test_interlaced(made):
    scene, summary = ingested(made("interlaced") / "clip.mpg")
    assert any("deinterlaced" in note for note in scene.manifest["notes"])
    assert summary["combed"] == []


def test_masks_among_frames(made):
    with pytest.raises(InputError, match=r"8 like 000\.png and 8 like 000_mask\.png"):
        ingested(made("masks_among_frames"))


@pytest.mark.parametrize("name", ["no_points", "only_1", "nerfstudio", "gs"])
def test_model_not_found(made, shared: Path, name: str):
    scene, summary = ingested(made("model_not_found") / name)
    assert summary["given"]["cameras"]
    assert summary["given"]["points"]
    found, expected = Cameras.load(scene.given_dir / "cameras.json"), true_cameras(shared)
    np.testing.assert_allclose(found.world_to_camera, expected.world_to_camera, atol=1e-6)
    # Also where points had to be triangulated, depths are about those of the model that has them.
    assert np.median(found.near_far, axis=0) == pytest.approx(np.median(expected.near_far, axis=0), rel=0.4)


def test_one_bad_frame(made):
    path = made("one_bad_frame")
    _, summary = ingested(path)
    assert summary["verdict"] == "doubtful"
    assert "source frame 6 (006.png)" in summary["message"]
    scene, summary = ingested(path, skip=[6])
    assert scene.n_frames == 13
    assert "shows nothing" not in summary["message"]


@pytest.mark.slow
def test_one_bad_frame_up_to_cameras(made):
    from nsff.config import resolve_scene
    from nsff.priors.canonical.stage import run_canonical
    from nsff.priors.flow.stage import run_flow
    from nsff.priors.motion.stage import run_coarse_masks
    from nsff.priors.sfm.stage import run_sfm

    scene, _ = ingested(made("one_bad_frame"))
    config = resolve_scene("x", {"input": {"path": "x"}}, "demo_planes", {})
    run_flow(scene, config.flow, config.canonical.resize_height)
    run_coarse_masks(scene, config.motion)
    run_sfm(scene, config.sfm)
    run_canonical(scene, config.canonical)
    assert scene.summary("sfm")["verdict"] == scene.summary("cameras")["verdict"] == "doubtful"
    assert scene.summary("cameras")["interpolated_frames"] == [6]
    assert "(frames 6)" in scene.summary("sfm")["message"]


def test_one_unregistered(made, shared: Path):
    scene, summary = ingested(made("one_unregistered"))
    assert summary["verdict"] == "doubtful"
    assert "1 of 12 frames have no given camera (source frames 5 (00005))" in summary["message"]
    found, expected = Cameras.load(scene.given_dir / "cameras.json"), true_cameras(shared)
    others = [i for i in range(12) if i != 5]
    np.testing.assert_allclose(found.world_to_camera[others], expected.world_to_camera[others], atol=1e-6)
    np.testing.assert_allclose(found.centres[5], expected.centres[[4, 6]].mean(0), atol=1e-6)


def test_poses_bounds_unpadded(made, shared: Path):
    scene, _ = ingested(made("poses_bounds_unpadded"))
    found = Cameras.load(scene.given_dir / "cameras.json")
    np.testing.assert_allclose(found.world_to_camera, true_cameras(shared).world_to_camera, atol=1e-6)
    assert any("as text" in note for note in scene.manifest["notes"])


def test_ten_bits_in_sixteen(made):
    scene, _ = ingested(made("ten_bits_in_sixteen"))
    assert 100 < scene.frame(0).mean() < 130


def test_dangling_link(made):
    scene, _ = ingested(made("dangling_link"))
    assert scene.n_frames == 8


def test_input_holds_results(made):
    from nsff.datasets.digest import input_digest

    path = made("input_holds_results")
    before = input_digest(InputConfig(path=str(path)))
    (path / "results" / "here").mkdir(parents=True)
    (path / "results" / "here" / "0.png").touch()
    (path / ".DS_Store").touch()
    assert input_digest(InputConfig(path=str(path))) == before


def test_config_twice(made, monkeypatch: pytest.MonkeyPatch):
    from nsff.config import load_config
    from nsff.errors import ConfigError

    path = made("config_twice")
    with pytest.raises(ConfigError, match="train is given twice, in line 1 and in line 5"):
        load_config(path / "config.yaml")
    with pytest.raises(ConfigError, match="write the name in quotes: '20240501_123456'"):
        load_config(path / "phone.yaml")
    monkeypatch.setenv("HOME", str(path))
    (path / "videos").mkdir()
    (path / "videos" / "walk.mp4").touch()
    assert load_config(path / "home.yaml")["walk"].input.path == str(path / "videos" / "walk.mp4")
