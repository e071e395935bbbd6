"""Cuts, fades and dissolves are named with the shots to take; flashes, blur, pans and dropped frames are none."""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from nsff.config import FlowConfig, InputConfig
from nsff.datasets.ingest import run_ingest
from nsff.errors import StageError
from nsff.files.io import write_image, write_json
from nsff.priors.flow.cuts import Cut, bare_cuts, colour_difference, find_cuts, shots
from nsff.priors.flow.frame_links import describe, link
from nsff.priors.flow.stage import run_flow
from nsff.scene import Scene


@pytest.fixture(scope="module")
def takes(filmed: SimpleNamespace) -> tuple[np.ndarray, np.ndarray]:
    """Two shots of 26 frames (N,120,160,3) of two places, alike in brightness and colours."""
    s = np.linspace(-1, 1, 26)
    first = filmed.film(np.stack([0.9 * s, 0 * s, 0.2 * s], 1), 0.1 * s, height=120, width=160, focal=144.0).frames
    # Features are not those of the mirrored picture.
    return first, first[:, :, ::-1].copy()


def found(frames: Any) -> list[Cut]:
    features = [describe(frame) for frame in frames]
    return find_cuts(len(features), features.__getitem__)


def saved(root: Path, frames: Any, start: int = 0, stride: int = 1, cameras: bool = False) -> Scene:
    """A scene as ingest leaves it, of source frames start, start + stride, ..."""
    scene = Scene(root)
    listed = [{"index": start + i * stride, "name": f"take_{start + i * stride}.png"} for i in range(len(frames))]
    write_json(scene.manifest_path, {"n_frames": len(frames), "frames": listed})
    scene.given_dir.mkdir()
    if cameras:
        write_json(scene.given_dir / "cameras.json", {})
    for i, frame in enumerate(frames):
        write_image(scene.frames_dir / f"{i:05d}.png", frame)
    return scene


def scaled(frames: np.ndarray, factors: Any) -> list[np.ndarray]:
    return [np.clip(frame * factor, 0, 255).astype(np.uint8) for frame, factor in zip(frames, factors, strict=True)]


def test_frames_of_one_place_are_linked_and_others_are_not(takes: tuple[np.ndarray, np.ndarray]):
    first, second, other = describe(takes[0][3]), describe(takes[0][4]), describe(takes[1][4])
    pairs = link(first, second)
    assert len(pairs) > 80 and len(link(first, other)) < 0.2 * len(pairs)
    shift = second.positions[pairs[:, 1]] - first.positions[pairs[:, 0]]
    assert np.abs(shift - np.median(shift, axis=0)).max() < 20
    blank = describe(np.full((60, 80, 3), 90, np.uint8))
    assert len(blank) == 0 and link(blank, first).shape == (0, 2)


@pytest.mark.parametrize("at", [2, 7, 14])
def test_a_cut_is_named(takes: tuple[np.ndarray, np.ndarray], at: int):
    assert found([*takes[0][:at], *takes[1][at:16]]) == [Cut(at - 1, at, "cut")]


def test_several_shots_and_one_that_comes_back(takes: tuple[np.ndarray, np.ndarray]):
    one, other = takes
    cuts = found([*one[:8], *other[:7], *one[8:16]])
    assert cuts == [Cut(7, 8, "cut"), Cut(14, 15, "cut")]
    assert shots(23, cuts) == [(0, 8), (8, 15), (15, 23)]


def test_a_fade_through_black_is_a_cut_and_a_blink_is_not(takes: tuple[np.ndarray, np.ndarray]):
    one, other = takes
    down = [0.8, 0.4, 0.1, 0.0]
    (cut,) = found([*one[:8], *scaled(one[8:12], down), *scaled(other[:4], down[::-1]), *other[4:12]])
    assert cut.kind == "fade" and 9 <= cut.last <= 11 and 12 <= cut.first <= 14
    assert found([*one[:8], *scaled(one[8:12], down), *scaled(one[12:16], down[::-1]), *one[16:24]]) == []


@pytest.mark.parametrize("length", [6, 9])
def test_a_dissolve_is_named(takes: tuple[np.ndarray, np.ndarray], length: int):
    one, other = takes
    share = np.linspace(0, 1, length + 2)[1:-1, None, None, None]
    blend = ((1 - share) * one[9 : 9 + length] + share * other[9 : 9 + length]).astype(np.uint8)
    cuts = found([*one[:9], *blend, *other[9 + length :]])
    assert len(cuts) == 1
    # In the middle of it both scenes show; what is left of either shot may begin a little early.
    assert cuts[0].last < 9 + length / 2 < cuts[0].first + 1


@pytest.mark.parametrize("case", ["flash", "exposure", "black frame", "stray frame", "blur", "dropped", "noise"])
def test_what_is_no_cut(takes: tuple[np.ndarray, np.ndarray], case: str):
    one, other = takes
    frames = one[:20].astype(float)
    if case == "flash":
        frames[9] *= 4
    elif case == "exposure":
        frames[9:] *= 0.4
    elif case == "black frame":
        frames[9] = 0
    elif case == "stray frame":
        frames[9] = other[9]
    elif case == "blur":
        for i in range(8, 12):
            frames[i] = cv2.blur(frames[i], (9, 1))
    elif case == "dropped":
        frames = np.delete(frames, np.arange(8, 14), axis=0)
    else:
        frames += np.random.default_rng(0).normal(0, 12, frames.shape)
    assert found(np.clip(frames, 0, 255).astype(np.uint8)) == []


def test_a_fast_pan_is_no_cut():
    # A quarter of the picture from frame to frame, blurred: frames five apart have nothing in common.
    generator = np.random.default_rng(5)
    wide = cv2.resize(
        generator.integers(0, 256, (24, 120, 3), dtype=np.uint8), (600, 120), interpolation=cv2.INTER_CUBIC
    )
    frames = [cv2.blur(wide[:, 40 * i : 40 * i + 160], (6, 1)) for i in range(11)]
    assert len(link(describe(frames[0]), describe(frames[5]))) < 12
    assert found(frames) == []


def test_bare_shots_are_told_apart_by_flow_and_colours():
    def plain(grey: int) -> np.ndarray:
        return np.full((40, 60, 3), grey, np.uint8)

    frames = [plain(40)] * 6 + [plain(200)] * 6
    features = [describe(frame) for frame in frames]
    colours = [colour_difference(a, b) for a, b in pairwise(frames)]
    assert colours[5] == 1 and sum(colours) == 1
    low = [0.9] * 11
    low[5] = 0.3
    assert bare_cuts(12, features.__getitem__, low, colours) == [Cut(5, 6, "cut")]
    assert bare_cuts(12, features.__getitem__, [0.9] * 11, colours) == []  # flow agrees: light was switched on
    flash = colours.copy()
    flash[6], low[6] = 1.0, 0.3
    assert bare_cuts(12, features.__getitem__, low, flash) == []


def test_the_flow_stage_stops_and_names_the_shots(takes: tuple[np.ndarray, np.ndarray], tmp_path: Path):
    scene = saved(tmp_path / "cut", [*takes[0][:6], *takes[1][:9]], start=10, stride=2)
    with pytest.raises(StageError, match=r"frame 22 \(take_22\.png\) begins another shot") as error:
        run_flow(scene, FlowConfig(backend="dis"), 96)
    assert "input.start: 10 and input.end: 21 (6 frames)" in error.value.remedy
    assert "input.start: 22 and input.end: 39 (9 frames)" in error.value.remedy
    assert not scene.raw_flow_dir.exists() and scene.summary("flow") is None


def test_cuts_are_reported_where_that_is_asked_for(takes: tuple[np.ndarray, np.ndarray], tmp_path: Path):
    scene = saved(tmp_path / "cut", [*takes[0][:5], *takes[1][:5]])
    run_flow(scene, FlowConfig(backend="dis", cuts="report"), 96)
    summary = scene.summary("flow")
    assert summary["verdict"] == "poor" and "frame 5 (take_5.png) begins another shot" in summary["message"]
    assert summary["cuts"] == [{"kind": "cut", "last": 4, "first": 5}]


def test_clips_with_given_cameras_are_not_asked(takes: tuple[np.ndarray, np.ndarray], tmp_path: Path):
    scene = saved(tmp_path / "rig", [*takes[0][:5], *takes[1][:5]], cameras=True)
    run_flow(scene, FlowConfig(backend="dis"), 96)
    assert scene.summary("flow")["cuts"] == []


def test_burnt_in_text_does_not_hide_a_cut(takes: tuple[np.ndarray, np.ndarray], tmp_path: Path):
    frames = np.concatenate([takes[0][:8], takes[1][:8]])
    for frame in frames:
        for row in range(3):
            cv2.putText(frame, "REC 2024-05-01 CAM", (4, 14 + 14 * row), 0, 0.42, (255, 255, 255), 1)
    with pytest.raises(StageError, match=r"frame 8 .*begins another shot"):
        run_flow(saved(tmp_path / "text", frames), FlowConfig(backend="dis"), 96)


def test_the_case_two_shots(shared: Path, repo: Path, tmp_path: Path):
    make = shared / "cases" / "two_shots" / "make.py"
    subprocess.run([sys.executable, str(make), str(tmp_path / "in")], check=True, cwd=repo)
    scene = Scene(tmp_path / "scene")
    run_ingest(scene, InputConfig(path=str(tmp_path / "in")))
    with pytest.raises(StageError, match=r"frame 10 .*begins another shot") as error:
        run_flow(scene, FlowConfig(backend="dis"), 288)
    assert "input.start: 0 and input.end: 10" in error.value.remedy


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    ["demo", "toss", "flag", "balloon1", "davis-camel", "davis-car-roundabout", "davis-dog", "davis-horsejump-high",
     "davis-scooter-black", "davis-train"],
)  # fmt: skip
def test_no_clip_of_one_shot_has_cuts(shared: Path, name: str):
    folder = shared / "scenes" / name
    folder = folder / "dense" / "images" if (folder / "dense").is_dir() else folder / "images"
    paths = sorted([*folder.glob("*.jpg"), *folder.glob("*.png")])
    assert found(cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB) for path in paths) == []
