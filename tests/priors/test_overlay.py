"""Burnt-in text, logos and black bars are found and kept out of the features; scenery is not taken for them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from nsff.cameras.align import pose_errors
from nsff.cameras.colmap import from_reconstruction
from nsff.config import InputConfig, SfmConfig
from nsff.datasets.ingest import run_ingest
from nsff.imaging.overlay import Overlay, find_overlay
from nsff.priors.sfm.features import extract
from nsff.priors.sfm.stage import run_sfm
from nsff.scene import Scene


@pytest.fixture(scope="module")
def moving(filmed: SimpleNamespace) -> Any:
    s = np.linspace(-1, 1, 14)
    return filmed.film(np.stack([0.9 * s, -0.25 * s**2, 0.2 * s], 1), 0.12 * s)


def marked(frames: np.ndarray, opacity: float = 1.0, clock: bool = False) -> np.ndarray:
    result = frames.copy()
    for i, frame in enumerate(result):
        text = frame.copy()
        cv2.putText(text, f"REC 00:{i if clock else 7:02d} CAM1", (8, 24), 0, 0.6, (255, 255, 255), 2)
        cv2.putText(text, "@watermark", (190, 228), 0, 0.6, (240, 240, 240), 2)
        frame[:] = np.round((1 - opacity) * frame + opacity * text)
    return result


def barred(frames: np.ndarray, rows: int = 0, columns: int = 0) -> np.ndarray:
    result = frames.copy()
    if rows:
        result[:, :rows] = result[:, -rows:] = 16
    if columns:
        result[:, :, :columns] = result[:, :, -columns:] = 3
    return result


def look(frames: np.ndarray) -> Overlay | None:
    return find_overlay(len(frames), lambda i: frames[i])


def test_a_clean_clip_has_none(moving: Any):
    assert look(moving.frames) is None
    assert look(moving.frames[:8]) is None  # too short to tell


@pytest.mark.parametrize(("opacity", "clock"), [(1.0, False), (1.0, True), (0.5, False)])
def test_text_is_found(moving: Any, opacity: float, clock: bool):
    overlay = look(marked(moving.frames, opacity, clock))
    assert overlay is not None and overlay.bars == (0, 0, 0, 0) and 0.001 < overlay.text < 0.15
    mask = overlay.at((240, 320))
    changed = (marked(moving.frames[:1], 1.0) != moving.frames[:1]).any(-1)[0]
    assert mask[changed].mean() > (0.85 if opacity == 1 else 0.6) and mask.mean() < 0.25
    assert "burnt-in text" in overlay.message((240, 320))


@pytest.mark.parametrize(("rows", "columns"), [(30, 0), (0, 40)])
def test_bars_are_found_and_how_to_cut_them_off(moving: Any, rows: int, columns: int):
    overlay = look(barred(moving.frames, rows, columns))
    assert overlay is not None and overlay.bars == (rows, rows, columns, columns) and not overlay.text
    assert f"crop={320 - 2 * columns}:{240 - 2 * rows}:{columns}:{rows}" in overlay.message((240, 320))
    assert overlay.at((240, 320))[:, :columns].all() and overlay.at((240, 320))[:rows].all()


def test_text_on_bars(moving: Any):
    overlay = look(marked(barred(moving.frames, 34)))
    assert overlay is not None and overlay.text > 0
    np.testing.assert_allclose(overlay.bars[:2], 34, atol=2)


def test_a_still_camera_has_none(moving: Any):
    frames = np.repeat(marked(moving.frames[:1]), 14, axis=0)
    for i, frame in enumerate(frames):
        frame[100:140, 10 * i : 10 * i + 40] = 90
    assert look(frames) is None


@pytest.mark.parametrize("step", [(0.05, 0.0), (0.0, 0.05)], ids=["across", "down"])
def test_edges_along_the_motion_are_scenery(filmed: Any, step: tuple[float, float]):
    centres = np.arange(14)[:, None] * np.array([*step, 0.0])
    frames = filmed.film(centres, np.zeros(14)).frames
    stripes = np.full((240, 320, 3), 200, np.uint8)
    if step[0]:
        stripes[::16] = stripes[1::16] = stripes[2::16] = 30
    else:
        stripes[:, ::16] = stripes[:, 1::16] = stripes[:, 2::16] = 30
    frames[:, 60:180, 40:280] = stripes[60:180, 40:280] // 2 + frames[:, 60:180, 40:280] // 2
    overlay = look(frames)
    covered = 0.0 if overlay is None else overlay.at((240, 320))[80:160, 70:250].mean()
    assert covered < 0.1


@pytest.mark.slow
def test_the_case_static_overlay(shared: Path, repo: Path, tmp_path: Path):
    pytest.importorskip("pycolmap")
    subprocess.run(
        [sys.executable, str(shared / "cases" / "static_overlay" / "make.py"), str(tmp_path / "in")],
        check=True,
        cwd=repo,
    )
    scene = Scene(tmp_path / "scene")
    run_ingest(scene, InputConfig(path=str(tmp_path / "in")))
    run_sfm(scene, SfmConfig())
    summary = scene.summary("sfm")
    assert summary["verdict"] == "doubtful" and "burnt-in text or a logo" in summary["message"]
    assert summary["registered"] == 16 and summary["focal"] == pytest.approx(0.9 * 256, rel=0.03)


def test_features_leave_it_out_and_the_summary_says_so(moving: Any, tmp_path: Path):
    pytest.importorskip("pycolmap")
    film = type(moving)(marked(barred(moving.frames, 30)), moving.cameras, 0.0)
    scene = film.save(tmp_path / "marked")
    database = extract(scene, SfmConfig(image_height=240), tmp_path / "features")
    assert database.overlay is not None
    left_out = database.overlay.at((240, 320))
    for i in range(0, 14, 5):
        column, row = database.positions(i).astype(int).T
        assert len(row) > 200 and not left_out[row.clip(0, 239), column.clip(0, 319)].any()
    run_sfm(scene, SfmConfig(image_height=240))
    summary = scene.summary("sfm")
    assert (
        summary["verdict"] == "doubtful" and "black bars" in summary["message"] and "crop=320:180" in summary["message"]
    )
    assert summary["overlay"]["bars"][:2] == [30, 30] and summary["overlay"]["text"] > 0
    import pycolmap

    model = pycolmap.Reconstruction(str(scene.sfm_dir / "sparse"))
    errors = pose_errors(from_reconstruction(model, scene.sfm_dir).cameras, moving.cameras)
    assert errors.position_rmse < 0.01 and abs(errors.focal) < 0.04
