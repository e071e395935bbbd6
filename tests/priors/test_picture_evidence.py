"""Whether pictures tell motion from stillness: texture that moves does, a bare wall does not."""

from __future__ import annotations

import cv2
import numpy as np

from nsff.config import MotionConfig
from nsff.geometry.epipolar import pixel_centres
from nsff.priors.motion.picture_evidence import told_by_picture
from nsff.priors.motion.stage import evidence_of
from nsff.priors.motion.track_evidence import fitted

H, W = 64, 96
SHIFT = np.array([5.0, 0.0])


def textured(seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).uniform(0, 255, (H, W, 3)).astype(np.float32)
    return cv2.GaussianBlur(noise, (0, 0), 1.0).astype(np.uint8)


def test_texture_that_moves_is_told_and_a_bare_wall_is_not():
    x = pixel_centres(H, W)
    first = textured()
    second = np.roll(first, 5, axis=1)
    told = told_by_picture(first, second, x + SHIFT, x)
    assert told[:, 8:-8].min() == 1
    bare = np.full((H, W, 3), 90, np.uint8)
    assert told_by_picture(bare, bare, x + SHIFT, x).max() == 0
    # A still world that explains the frames better than the flow is no evidence of motion.
    assert told_by_picture(first, first, x + SHIFT, x).max() == 0


def test_what_the_pictures_do_not_tell_goes_with_its_colours():
    """A red square moves; the flow of the grey ground on its right is dragged along."""
    image = np.full((H, W, 3), 110, np.uint8)
    image[20:44, 30:54] = (200, 60, 50)
    square, dragged = np.zeros((H, W), bool), np.zeros((H, W), bool)
    square[20:44, 30:54] = True
    dragged[20:44, 54:60] = True
    distance = np.where(square | dragged, 6.0, 0.0).astype(np.float32)
    told = square.astype(np.float32)

    def moving(*of_pictures):
        return fitted(*evidence_of(distance, MotionConfig(), *of_pictures), image, MotionConfig().refine_radius) > 0.5

    assert moving()[dragged].mean() > 0.8
    mask = moving(told)
    assert mask[dragged].mean() < 0.4
    assert mask[square].mean() > 0.9
