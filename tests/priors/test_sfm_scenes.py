"""Cameras of whole clips, from pixels alone, against rendered truth: flow, coarse masks, structure from motion."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from nsff.cameras import Cameras
from nsff.cameras.align import pose_errors
from nsff.config import CanonicalConfig, FlowConfig, InputConfig, MotionConfig, SfmConfig
from nsff.datasets.ingest import run_ingest
from nsff.priors.canonical.stage import run_canonical
from nsff.priors.flow.stage import run_flow
from nsff.priors.motion.stage import run_coarse_masks
from nsff.priors.sfm.stage import run_sfm
from nsff.scene import Scene


def estimated(source: Path, root: Path) -> Scene:
    pytest.importorskip("pycolmap")
    scene = Scene(root)
    run_ingest(scene, InputConfig(path=str(source), cameras="estimate"))
    run_flow(scene, FlowConfig(), 288)
    run_coarse_masks(scene, MotionConfig())
    run_sfm(scene, SfmConfig())
    run_canonical(scene, CanonicalConfig())
    return scene


def check(scene: Scene, truth: dict, order: list[str]) -> None:
    poses = {entry["id"]: np.array(entry["w2c"])[:3] for entry in truth["cameras"]}
    K = np.tile(np.array(truth["K"], float), (len(order), 1, 1))
    height, width = scene.size
    true = Cameras(K, np.array([poses[name] for name in order]), scene.cameras.near_far, width, height)
    assert scene.summary("sfm")["registered"] == 24 and scene.summary("sfm")["verdict"] == "good"
    assert scene.summary("cameras")["verdict"] == "good"
    errors = pose_errors(scene.cameras, true)
    assert errors.position_rmse < 0.03
    assert errors.rotation_mean < 1.0
    assert abs(errors.focal) < 0.05


@pytest.mark.slow
def test_demo(repo: Path, tmp_path: Path):
    truth = json.loads((repo / "demo" / "truth" / "cameras.json").read_text())
    scene = estimated(repo / "demo" / "video.mp4", tmp_path / "demo")
    check(scene, truth, [entry["id"] for entry in truth["cameras"][:24]])


@pytest.mark.slow
def test_toss(shared: Path, tmp_path: Path):
    folder = shared / "scenes" / "toss"
    truth = json.loads((folder / "truth" / "cameras.json").read_text())
    check(
        estimated(folder, tmp_path / "toss"), truth,
        [camera for camera, _ in sorted(truth["mono"], key=lambda pair: pair[1])],
    )  # fmt: skip


@pytest.mark.slow
def test_hand_held_pan(shared: Path, tmp_path: Path):
    scene = estimated(shared / "scenes" / "davis-train", tmp_path / "davis")
    summary = scene.summary("sfm")
    assert summary["registered"] >= 0.95 * 48
    assert summary["reprojection_error"] < 1 and summary["triangulation_angle"] > 2
    assert scene.summary("cameras")["epipolar_residual"] < 0.2
