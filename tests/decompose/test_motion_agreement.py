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
    ("first", "last", "agreement"),
    [(10, 20, (1, 0, 0)), (10, 15, (0.5, 0, 0.5)), (5, 20, (10 / 15, 1 / 3, 0)), (20, 30, (0, 1, 1))],
)
def test_overlap(scene: Scene, first: int, last: int, agreement: tuple[float, float, float]):
    found = motion_agreement(scene, [columns(first, last)] * 2, [0, 1])
    assert found is not None
    assert (found.overlap, found.still, found.missing) == pytest.approx(agreement)


def test_without_motion_masks_or_at_another_size_nothing_is_said(scene: Scene):
    assert motion_agreement(scene, [np.ones((5, 5), int)], [0]) is None
    scene.motion_mask_path(0).unlink()
    assert motion_agreement(scene, [columns(10, 20)], [0]) is None


@pytest.mark.parametrize(
    ("agreement", "verdict", "words"),
    [
        ((AGREEING[0], 0.3, 0.0), "good", "0.90 from frame to frame."),
        ((AGREEING[0] - 0.01, 0.3, 0.0), "doubtful", "30% of what is called an object stands still"),
        ((0.5, 0.0, 0.5), "doubtful", "50% of what moves is on no object"),
        ((AGREEING[1] - 0.01, 0.9, 0.5), "poor", "90% of what is called an object stands still"),
        (None, "good", "0.90 from frame to frame."),
    ],
)
def test_verdict(agreement: tuple[float, float, float] | None, verdict: str, words: str):
    numbers: dict[str, object] = {
        "foreground_fraction": 0.1, "area_fractions": {"1": 0.1}, "area_jitter": {"1": 0.1}, "warped_overlap": 0.9,
        "motion_agreement": agreement and dict(zip(("overlap", "still", "missing"), agreement, strict=True)),
    }  # fmt: skip
    level, message = judge(numbers)
    assert level == verdict
    assert words in message
