"""Connected components of motion masks.

Notation. Labels (H,W) number the components of a frame from 1, 0 elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from jaxtyping import Bool, Int32

from nsff.imaging.flow_sampling import FlowAndMask
from nsff.imaging.morphology import morphology
from nsff.imaging.scale import REFERENCE_ROWS
from nsff.tracking.split_merge_tracking import separate_merged

BRIDGED = 4
"""Radius of the closing that joins what narrow gaps part, pixels at 288 rows."""
SMALLEST = 60
"""Area of the smallest component, square pixels at 288 rows, and never less than 8 pixels."""


def label_components(mask: Bool[np.ndarray, "H W"]) -> Int32[np.ndarray, "H W"]:
    """Labels of the connected components of a mask; narrow gaps do not separate, and specks get the label 0."""
    rows = mask.shape[0] / REFERENCE_ROWS
    joined = morphology(mask, cv2.MORPH_CLOSE, max(1, round(BRIDGED * rows)))
    count, labels, statistics, _ = cv2.connectedComponentsWithStats(joined.astype(np.uint8), connectivity=8)
    smallest = max(8.0, SMALLEST * rows**2)
    kept = [k for k in range(1, count) if statistics[k, cv2.CC_STAT_AREA] >= smallest]
    lookup = np.zeros(count, np.int32)
    lookup[kept] = np.arange(1, len(kept) + 1)
    return np.where(mask, lookup[labels], 0).astype(np.int32)


def moving_components(
    masks: Bool[np.ndarray, "N H W"], link: Callable[[int, int], FlowAndMask]
) -> list[Int32[np.ndarray, "H W"]]:
    """Labels of the components of all frames; components that touch in some frames only are separate in all frames.

    ``link(i, j)`` is flow from frame i to its neighbour j and its mask.
    """
    return separate_merged([label_components(mask) for mask in masks], link)
