"""The digest of inputs: it changes with every file that is read, and with none beside it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from nsff.cameras import Cameras
from nsff.cameras.colmap import write_model
from nsff.cameras.llff import write_poses_bounds
from nsff.config import InputConfig
from nsff.datasets.digest import folder_digest, input_digest
from nsff.files.io import write_npz


@pytest.fixture
def everything(tmp_path: Path, tiny_clip) -> Path:
    """A folder with frames, cameras of two kinds, and priors."""
    root = tmp_path / "in"
    shutil.copytree(tiny_clip.frames_dir, root / "images")
    cameras = Cameras(np.tile(tiny_clip.K, (8, 1, 1)), tiny_clip.world_to_camera, np.tile([1.5, 6.0], (8, 1)), 64, 48)
    write_model(root / "sparse" / "0", cameras, [f"{i:05d}.png" for i in range(8)])
    write_poses_bounds(root / "poses_bounds.npy", cameras)
    (root / "disp").mkdir()
    np.save(root / "disp" / "00000.npy", np.ones((4, 4)))
    write_npz(root / "flow_i1" / "00000_fwd.npz", flow=np.ones((4, 4, 2)))
    return root


def digest(path: Path, **settings) -> str:
    return input_digest(InputConfig(path=str(path), **settings))


def test_files_beside_what_is_read_do_not_count(everything: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(everything)
    before = digest(everything)
    assert before
    for place in ("", "images", "disp", "sparse/0"):
        for name in (".DS_Store", "Thumbs.db", "desktop.ini", ".#notes.txt", "._0.png", ".00001.png.swp"):
            (everything / place / name).write_text("x")
        (everything / place / ".#lock").symlink_to("user@host.1234:567")
        (everything / place / "dangling.txt").symlink_to("nowhere")
    for name in ("results/here/images/0.png", ".snakemake/log", "notes.txt", "config.yaml", "gt/0.png"):
        (everything / name).parent.mkdir(parents=True, exist_ok=True)
        (everything / name).write_text("x")
    assert digest(everything) == before
    assert digest(Path()) == before


@pytest.mark.parametrize(
    "name",
    ["images/00003.png", "images/00009.png", "sparse/0/images.bin", "sparse/1/cameras.txt", "poses_bounds.npy",
     "disp/00000.npy", "disp/00001.npy", "flow_i1/00000_fwd.npz", "flow/00000_bwd.npz", "images/00009.heic",
     "colmap/sparse/0/images.bin"],
)  # fmt: skip
def test_files_that_are_read_do(everything: Path, name: str):
    file = everything / name
    if "sparse" in name and not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        for stem in ("cameras", "images"):  # a model is one when both are there
            file.with_name(f"{stem}{file.suffix}").write_text("first")
    before = digest(everything)
    (everything / name).parent.mkdir(exist_ok=True)
    (everything / name).write_text("other, longer")
    changed = digest(everything)
    assert changed != before
    (everything / name).unlink()
    assert digest(everything) != changed


def test_the_same_size_at_another_time_counts(everything: Path):
    before = digest(everything)
    os.utime(everything / "images" / "00000.png", (1, 1))
    assert digest(everything) != before


def test_links_are_followed_and_may_dangle(tmp_path: Path, everything: Path):
    linked = tmp_path / "linked"
    linked.mkdir()
    (linked / "images").symlink_to(everything / "images")
    before = digest(linked)
    (everything / "images" / "00002.png").write_text("changed")
    changed = digest(linked)
    assert changed != before
    (linked / "whole").symlink_to(everything)
    whole = digest(linked / "whole")
    (everything / "images" / "00008.png").symlink_to("nowhere")
    assert digest(linked) != changed  # a frame that is not there: its reader will say so
    assert digest(linked / "whole") != whole


def test_depth_and_priors_of_the_users_own(tmp_path: Path, tiny_clip):
    assert digest(tiny_clip.video) == ""  # a file's own time counts
    maps = tmp_path / "lidar"
    maps.mkdir()
    np.save(maps / "0.npy", np.ones((4, 4)))
    settings = {"depth": {"path": str(maps)}}
    before = digest(tiny_clip.video, **settings)
    (maps / ".DS_Store").write_text("x")
    (maps / "readme.txt").write_text("x")
    assert digest(tiny_clip.video, **settings) == before
    np.save(maps / "1.npy", np.ones((4, 4)))
    assert digest(tiny_clip.video, **settings) != before
    truth = tmp_path / "truth"
    write_npz(truth / "depth" / "00000.npz", depth=np.ones((4, 4)))
    before = digest(tiny_clip.video, truth_priors=str(truth))
    write_npz(truth / "flow" / "00000_fwd.npz", flow=np.ones((4, 4, 2)))
    assert digest(tiny_clip.video, truth_priors=str(truth)) != before


def test_what_is_wrong_with_a_source_its_reader_says(tmp_path: Path):
    (tmp_path / "empty").mkdir()
    empty = digest(tmp_path / "empty")
    (tmp_path / "empty" / "0.png").write_text("no picture")
    assert digest(tmp_path / "empty") != empty
    assert digest(tmp_path / "none") == ""
    assert digest(tmp_path / "empty", kind="dycheck")
    assert digest(tmp_path / "empty", kind="colmap")


def test_folders_of_truth(tmp_path: Path, picture_writer: Callable, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    picture_writer(tmp_path / "labels" / "0.png", np.zeros((4, 4), np.uint8))
    before = folder_digest([tmp_path])
    for name in ("results/clip/maps/0.png", ".DS_Store", "labels/Thumbs.db", "labels/._0.png", "notes.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    (tmp_path / "round").symlink_to(tmp_path)
    assert folder_digest([tmp_path]) == before
    away = tmp_path.parent / f"{tmp_path.name}_away"
    picture_writer(away / "0.png", np.zeros((4, 4), np.uint8))
    (tmp_path / "masks").symlink_to(away)
    linked = folder_digest([tmp_path])
    assert linked != before
    picture_writer(away / "1.png", np.zeros((4, 4), np.uint8))
    assert folder_digest([tmp_path]) != linked
    assert folder_digest([]) == folder_digest([tmp_path / "none"])
