"""Depth against parallax: a static scene of known depth, filmed by a camera that moves sideways."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from nsff.cameras import Cameras
from nsff.geometry.epipolar import pixel_centres
from nsff.priors.depth.parallax import ERROR, Parallax, judged_by_parallax, parallax_of_depth

SIZE, FRAMES = (48, 64), 4
K = np.array([[60.0, 0, 32], [0, 60.0, 24], [0, 0, 1]])
ROW = np.linspace(0.2, 0.6, SIZE[0])[:, None]
TRUE = np.tile(ROW, (1, SIZE[1]))
"""Disparity, 1/z: the ground comes nearer from above to below, the same in all frames."""
NOTHING_MOVES = np.zeros(SIZE, bool)


@pytest.fixture(scope="module")
def cameras() -> Cameras:
    poses = np.tile(np.eye(4)[:3], (FRAMES, 1, 1))
    poses[:, 0, 3] = -0.4 * np.arange(FRAMES)
    return Cameras(np.tile(K, (FRAMES, 1, 1)), poses, np.tile([1.6, 5.0], (FRAMES, 1)), SIZE[1], SIZE[0])


def pairs() -> list:
    """The flow of a sideways step of 0.4 is 60 · 0.4 · d to the left."""
    x = pixel_centres(*SIZE).reshape(-1, 2)
    way = np.stack([-60 * 0.4 * TRUE.ravel(), np.zeros(x.shape[0])], 1)
    return [(i, i + 1, x, x + way) for i in range(FRAMES - 1)]


def measured(cameras: Cameras, disparity: np.ndarray, metric: bool = True, moving: np.ndarray = NOTHING_MOVES):
    found = parallax_of_depth(cameras, pairs(), lambda i: disparity, lambda i: moving, metric)
    assert found is not None
    return found


def test_right_depth_fits(cameras: Cameras):
    found = measured(cameras, TRUE)
    assert found.error < 1e-6
    assert found.scale == pytest.approx(1)
    assert found.order > 0.999


@pytest.mark.parametrize(
    ("change", "error", "scale", "words"),
    [
        (lambda d: d / 1.3, 0.3, 1 / 1.3, "unit is off: disparity is 0.77 times"),
        (lambda d: 0.8 - d, None, None, "near and far are exchanged"),
        (lambda d: np.full_like(d, 0.4), None, None, "other frames"),
    ],
)
def test_wrong_depth_is_poor_by_its_cause(
    cameras: Cameras, change: Callable[[np.ndarray], np.ndarray], error: float | None, scale: float | None, words: str
):
    found = measured(cameras, change(TRUE))
    if error is not None:
        assert found.error == pytest.approx(error)
        assert found.scale == pytest.approx(scale)
    judged = judged_by_parallax({"verdict": "good", "message": "Depth.", "metric": True}, found)
    assert judged["verdict"] in ("doubtful", "poor")
    assert words in judged["message"]


def test_depth_without_a_unit_is_brought_to_that_of_the_cameras(cameras: Cameras):
    assert measured(cameras, 7 * TRUE, metric=False).error < 1e-6
    assert measured(cameras, 7 * TRUE).error == pytest.approx(6 / 7)


def test_what_moves_does_not_count(cameras: Cameras):
    moving = np.arange(SIZE[1]) > 40
    wrong = np.where(moving, 3 * TRUE, TRUE)
    assert measured(cameras, wrong, moving=np.tile(moving, (SIZE[0], 1))).error < 1e-6
    assert measured(cameras, np.where(~moving, 3 * TRUE, TRUE)).error > 0.5


def test_without_parallax_nothing_is_said(cameras: Cameras):
    still = [(i, j, x, x + (there - x) * 0.01) for i, j, x, there in pairs()]
    assert parallax_of_depth(cameras, still, lambda i: TRUE, lambda i: NOTHING_MOVES, True) is None
    summary = {"verdict": "good", "message": "Depth."}
    assert judged_by_parallax(summary, None) == {**summary, "parallax": None}


@pytest.mark.parametrize(
    ("before", "error", "after"),
    [("good", ERROR[0], "good"), ("good", ERROR[0] + 0.01, "doubtful"), ("good", ERROR[1] + 0.01, "poor"),
     ("doubtful", 0.0, "doubtful"), ("poor", ERROR[0] + 0.01, "poor")],
)  # fmt: skip
def test_verdicts(before: str, error: float, after: str):
    judged = judged_by_parallax({"verdict": before, "message": "Depth."}, Parallax(error, 1.0, 0.5))
    assert judged["verdict"] == after
