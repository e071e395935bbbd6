"""Where a scene moves, estimated from true pictures alone, for protocols whose data has no region of motion.

Notation. Pictures are (N,H,W,3) uint8 RGB of one camera that stands still, at N times.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Bool, UInt8

from nsff.datasets.truth import TruthView
from nsff.files.io import read_image

CHANGE = 0.08
"""Colour difference (largest of the channels, of 1) that counts as motion."""
MIN_VIEWS = 3
"""Pictures of a camera below which their median says nothing."""


def changing_regions(pictures: UInt8[np.ndarray, "N H W 3"]) -> Bool[np.ndarray, "N H W"]:
    """Pixels that depart from the median over the times, with specks dropped, holes closed and a rim of 2 pixels.

    Blur of 1 pixel first; opened 3x3, closed 9x9, dilated 5x5, all at 270 rows and scaled with the height. What never
    moves away from a pixel is missed there.
    """
    scale = pictures.shape[1] / 270
    kernels = [np.ones((size, size), np.uint8) for size in (_odd(3 * scale), _odd(9 * scale), _odd(5 * scale))]
    smooth = np.stack([cv2.GaussianBlur(picture.astype(np.float32) / 255, (0, 0), scale) for picture in pictures])
    changed = np.abs(smooth - np.median(smooth, axis=0)).max(-1) > CHANGE
    result = []
    for mask in changed.astype(np.uint8):
        opened = cv2.morphologyEx(mask, cv2.MORPH_OPEN, kernels[0])
        result.append(cv2.dilate(cv2.morphologyEx(opened, cv2.MORPH_CLOSE, kernels[1]), kernels[2]) > 0)
    return np.stack(result)


def changing_region(view: TruthView, views: Sequence[TruthView]) -> Bool[np.ndarray, "H W"] | None:
    """The region of motion of a view among all ``views`` of its training camera, at the truth's size; None where there
    are too few."""
    same = tuple(v.image_path for v in views if v.training_camera == view.training_camera and v.image_path is not None)
    if view.training_camera is None or view.image_path is None or len(same) < MIN_VIEWS:
        return None
    return _regions_of(same)[same.index(view.image_path)]


@lru_cache(maxsize=2)
def _regions_of(paths: tuple[Path, ...]) -> Bool[np.ndarray, "N H W"]:
    first = read_image(paths[0])
    return changing_regions(np.stack([first, *(read_image(path, (len(first), first.shape[1])) for path in paths[1:])]))


def _odd(size: float) -> int:
    """The nearest odd number, at least 1."""
    return 2 * max(round((size - 1) / 2), 0) + 1
