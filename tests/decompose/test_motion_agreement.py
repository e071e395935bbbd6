"""Objects against motion masks: what moves and is no object, or is an object and stands still, is a doubt."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nsff.cameras import Cameras
from nsff.decompose.stability import AGREEING, judge, motion_agreement
from nsff.files.io import write_image, write_json
from nsff.scene import Scene

SIZE = (20, 30)


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """Two frames in which columns 10 to 19 move."""
    scene = Scene(tmp_path)
    write_json(scene.manifest_path, {"n_frames": 2})
    pose, K = np.tile(np.eye(4)[:3], (2, 1, 1)), np.tile(np.diag([20.0, 20, 1]), (2, 1, 1))
    Cameras(K, pose, np.tile([1.0, 2.0], (2, 1)), SIZE[1], SIZE[0]).save(scene.cameras_path)
    for i in range(2):
        write_image(scene.motion_mask_path(i), columns(10, 20).astype(np.uint8) * 255)
    return scene


def columns(first: int, last: int) -> np.ndarray:
    labels = np.zeros(SIZE, int)
    labels[:, first:last] = 1
    return labels


@pytest.mark.parametrize(
    ("first", "last", "agreement"), [(10, 20, 1.0), (10, 15, 0.5), (5, 20, 10 / 15), (20, 30, 0.0)]
)
def test_overlap(scene: Scene, first: int, last: int, agreement: float):
    assert motion_agreement(scene, [columns(first, last)] * 2, [0, 1]) == pytest.approx(agreement)


def test_without_motion_masks_or_at_another_size_nothing_is_said(scene: Scene):
    assert motion_agreement(scene, [np.ones((5, 5), int)], [0]) is None
    scene.motion_mask_path(0).unlink()
    assert motion_agreement(scene, [columns(10, 20)], [0]) is None


@pytest.mark.parametrize(("agreement", "verdict"), [(AGREEING, "good"), (AGREEING - 0.01, "doubtful"), (None, "good")])
def test_verdict(agreement: float | None, verdict: str):
    numbers: dict[str, object] = {
        "foreground_fraction": 0.1, "area_fractions": {"1": 0.1}, "area_jitter": {"1": 0.1}, "warped_overlap": 0.9,
        "motion_agreement": agreement,
    }  # fmt: skip
    level, words = judge(numbers)
    assert level == verdict
    assert ("stands still is called an object" in words) == (verdict == "doubtful")
