"""Morphology with disks, for masks of any kind."""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Bool


def morphology(mask: Bool[np.ndarray, "H W"], operation: int, radius: int) -> Bool[np.ndarray, "H W"]:
    """Morphology with the digital disk x^2 + y^2 <= radius^2.

    ``operation`` is one of OpenCV, such as cv2.MORPH_OPEN; ``radius`` in pixels, 0 changes nothing. Pixels beyond the
    border do not count. Example: ``morphology(mask, cv2.MORPH_DILATE, 2)``.
    """
    if radius == 0:
        return mask
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    disk = (x**2 + y**2 <= radius**2).astype(np.uint8)
    return cv2.morphologyEx(mask.astype(np.uint8), operation, disk) > 0


def dilate_by_distance(mask: Bool[np.ndarray, "H W"], radius: int) -> Bool[np.ndarray, "H W"]:
    """Dilation with a disk of ``radius`` pixels, by the distance transform, which costs the same for any radius."""
    return cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE) <= radius


def close_by_distance(mask: Bool[np.ndarray, "H W"], radius: int) -> Bool[np.ndarray, "H W"]:
    """Closing with a disk of ``radius`` >= 1 pixels.

    Nothing beyond the picture's border counts as the mask: otherwise the pixels between a mask and the border would be
    taken for a gap.
    """
    inner = slice(radius, -radius)
    return ~dilate_by_distance(~dilate_by_distance(np.pad(mask, radius), radius), radius)[inner, inner]
