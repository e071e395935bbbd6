"""Whether flow belongs to its frames, by the change that it takes away: a texture that moves by a known flow."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from nsff.priors.flow.signs import EXPLAINED, explained_change, judged_by_change

SIZE = (60, 80)
SHIFT = np.float32([3.0, -2.0])


def texture(shift: np.ndarray) -> np.ndarray:
    """A smooth random picture, moved by ``shift`` (right, down)."""
    noise = np.random.default_rng(0).uniform(0, 255, (SIZE[0] + 20, SIZE[1] + 20)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 2.0)
    smooth = 127 + (smooth - smooth.mean()) * 60 / smooth.std()
    move = np.float32([[1, 0, shift[0] - 10], [0, 1, shift[1] - 10]])
    picture = cv2.warpAffine(smooth, move, SIZE[::-1])
    return np.repeat(picture.clip(0, 255).astype(np.uint8)[..., None], 3, axis=2)


FIRST, SECOND = texture(np.float32([0, 0])), texture(SHIFT)
EVERYWHERE = np.ones(SIZE, bool)


def flow_of(vector: np.ndarray) -> np.ndarray:
    return np.tile(np.float32(vector), (*SIZE, 1))


def explained(vector: np.ndarray) -> float:
    found = explained_change(FIRST, SECOND, flow_of(vector), EVERYWHERE)
    assert found is not None
    return found


def test_right_flow_explains_the_change_and_wrong_flow_does_not():
    assert explained(SHIFT) > 0.98
    assert explained(np.float32([0, 0])) == 0
    assert explained(-SHIFT) < 0.4
    assert explained(1.5 * SHIFT) < explained(1.2 * SHIFT) < explained(SHIFT)


def test_pixels_that_are_not_consistent_do_not_count():
    flow, half = flow_of(SHIFT), EVERYWHERE.copy()
    flow[:, 40:], half[:, 40:] = -SHIFT, False
    assert explained_change(FIRST, SECOND, flow, half) > 0.98
    assert explained_change(FIRST, SECOND, flow, EVERYWHERE) < 0.8


def test_where_nothing_changes_nothing_is_said():
    assert explained_change(FIRST, FIRST, flow_of([0, 0]), EVERYWHERE) is None
    summary = {"verdict": "good", "message": "Flow."}
    assert judged_by_change(summary, [None, None]) == {**summary, "explained_change": None}


@pytest.mark.parametrize(
    ("before", "share", "after"),
    [
        ("good", EXPLAINED[0], "good"),
        ("good", EXPLAINED[0] - 0.01, "doubtful"),
        ("good", EXPLAINED[1] - 0.01, "poor"),
        ("doubtful", EXPLAINED[0], "doubtful"),
        ("poor", EXPLAINED[1], "poor"),
    ],
)
def test_verdicts(before: str, share: float, after: str):
    found = judged_by_change({"verdict": before, "message": "Flow."}, [share, None, share])
    assert found["verdict"] == after
    assert ("other frames" in found["message"]) == (share < EXPLAINED[0])
