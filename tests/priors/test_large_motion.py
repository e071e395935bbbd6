"""Large motion of the whole picture, found by features before dense inverse search."""

from __future__ import annotations

import cv2
import numpy as np

from nsff.priors.flow.dis import DisFlow
from nsff.priors.flow.large_motion import best_of, large_motions, moved

H, W = 144, 256
SHIFT = 52


def texture(seed: int, height: int, width: int) -> np.ndarray:
    noise = np.random.default_rng(seed).uniform(0, 255, (height, width, 3)).astype(np.float32)
    soft = cv2.GaussianBlur(noise, (0, 0), 1.5)
    return np.clip((soft - soft.mean()) * 4 + 128, 0, 255).astype(np.uint8)


def pan() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A background that moves left by a fifth of the width behind a square that stays; where the square is."""
    wide, square = texture(0, H, W + SHIFT), texture(1, 60, 80)
    mover = np.zeros((H, W), bool)
    mover[40:100, 90:170] = True
    frames = []
    for left in (0, SHIFT):
        frame = wide[:, left : left + W].copy()
        frame[40:100, 90:170] = square
        frames.append(frame)
    return frames[0], frames[1], mover


def test_a_fast_pan_is_found_and_followed():
    first, second, mover = pan()
    found = large_motions(first, second)
    centre = np.array([W / 2, H / 2])
    assert np.abs(moved(found[0], centre) - centre - [-SHIFT, 0]).max() < 0.5
    flow = DisFlow().estimate(first, second)
    inner = cv2.erode(mover.astype(np.uint8), np.ones((13, 13))) > 0
    outer = ~(cv2.dilate(mover.astype(np.uint8), np.ones((13, 13))) > 0)
    outer[:, : SHIFT + 6] = False  # leaves the picture
    outer[:, 90 : 170 + SHIFT + 6] = False  # is covered by the square in the second picture
    assert np.median(np.linalg.norm(flow[outer] - [-SHIFT, 0], axis=1)) < 0.3
    assert np.median(np.linalg.norm(flow[inner], axis=1)) < 0.3
    plain = DisFlow(large_motion=False).estimate(first, second)
    far = [(np.linalg.norm(one[outer] - [-SHIFT, 0], axis=1) > 2).mean() for one in (flow, plain)]
    assert far[0] < 0.02 < far[1]


def test_small_motion_is_left_to_the_search():
    wide = texture(2, H, W + 3)
    first, second = wide[:, :W].copy(), wide[:, 3:].copy()
    assert large_motions(first, second) == []
    assert np.array_equal(DisFlow().estimate(first, second), DisFlow(large_motion=False).estimate(first, second))


def test_the_flow_along_which_pictures_agree_is_taken():
    first = texture(3, H, W)
    second = np.roll(first, 10, axis=1)
    right, wrong = np.zeros((H, W, 2), np.float32), np.zeros((H, W, 2), np.float32)
    right[..., 0] = 10
    chosen = best_of([wrong, right], first, second)
    assert (chosen[:, : W - 16, 0] == 10).mean() > 0.99
