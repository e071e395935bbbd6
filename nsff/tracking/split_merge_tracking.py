"""Split-and-merge tracking: moving things that touch for a while stay separate components.

Notation. Labels (H,W) number the components of a motion mask from 1, 0 elsewhere (nsff.tracking.components). Where flow
leads the pixels of one component to several components of the frame before, each of which has been separate for some
frames, the component is split: a pixel belongs to the component that its flow leads to, and pixels whose flow does not
tell belong to the nearest. Splits are propagated forward in time, and then backward.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import cv2
import numpy as np
from jaxtyping import Bool, Int32

from nsff.imaging.flow_sampling import FlowAndMask, labels_along_flow
from nsff.imaging.scale import REFERENCE_ROWS

LEAST_AGE = 3
"""Frames for which a component must have been separate: a hand that leaves the body's mask for a moment is no thing."""
LEAST_SHARE = 0.03
"""Share that must be found in the other: of the component that is split, and of the earlier component."""
MOST_OF_IT = 0.8
"""Share of an earlier component's pixels that its successor must have to be as old: specks that come off do not make
it younger."""


def separate_merged(
    labels: Sequence[Int32[np.ndarray, "H W"]], link: Callable[[int, int], FlowAndMask]
) -> list[Int32[np.ndarray, "H W"]]:
    """Labels of all frames in which components that touch only for a while are split.

    ``link(i, j)`` is flow from frame i to its neighbour j and its mask. Labels of a frame may get other numbers.
    """
    n = len(labels)
    result = _propagate_splits(list(labels), range(n), link)
    return _propagate_splits(result, range(n - 1, -1, -1), link)


def _propagate_splits(
    labels: list[np.ndarray], order: range, link: Callable[[int, int], FlowAndMask]
) -> list[np.ndarray]:
    """Splits the components of each frame by those of the frame that comes before it in ``order``."""
    age: dict[int, int] = {}  # a component that is not in it is one frame old
    for before, i in pairwise(order):
        flow, valid = link(i, before)
        came_from = labels_along_flow(labels[before], flow, (labels[i] > 0) & valid)
        labels[i] = _split_components(labels[i], labels[before], came_from, age)
        age = _ages(labels[i], came_from, age)
    return labels


def _split_components(
    labels: Int32[np.ndarray, "H W"], earlier: Int32[np.ndarray, "H W"], came_from: np.ndarray, age: dict[int, int]
) -> Int32[np.ndarray, "H W"]:
    """The labels of one frame, its components split where they come from several that are old enough."""
    areas = np.bincount(earlier.ravel())
    result, fresh = labels.copy(), int(labels.max(initial=0))
    for component in range(1, int(labels.max(initial=0)) + 1):
        inside = labels == component
        counts = np.bincount(came_from[inside], minlength=len(areas))
        found = [
            k
            for k in range(1, len(areas))
            if age.get(k, 1) >= LEAST_AGE and counts[k] >= LEAST_SHARE * max(int(inside.sum()), int(areas[k]))
        ]
        if len(found) < 2:
            continue
        nearest = np.argmin([_distance_to(inside & (came_from == k)) for k in found], axis=0)
        # Flow is a mixture at the line where they touch: there the majority around a pixel decides.
        window = max(3, round(5 * labels.shape[0] / REFERENCE_ROWS)) | 1
        shares = [cv2.blur((inside & (nearest == n)).astype(np.float32), (window, window)) for n in range(len(found))]
        most = np.argmax(shares, axis=0)
        for n in range(1, len(found)):
            fresh += 1
            result[inside & (most == n)] = fresh
    return _renumber(result)


def _distance_to(region: Bool[np.ndarray, "H W"]) -> np.ndarray:
    """Distance of every pixel to the region, in pixels (approximate); 0 inside."""
    return cv2.distanceTransform((~region).astype(np.uint8), cv2.DIST_L2, 3)


def _renumber(labels: Int32[np.ndarray, "H W"]) -> Int32[np.ndarray, "H W"]:
    """The same labels, numbered from 1 without gaps: a label may have lost all its pixels."""
    values, numbers = np.unique(labels, return_inverse=True)
    return (numbers.reshape(labels.shape) + (values[0] > 0)).astype(np.int32)


def _ages(labels: Int32[np.ndarray, "H W"], came_from: np.ndarray, age: dict[int, int]) -> dict[int, int]:
    """Frames since each component was last merged with another, this frame included."""
    result, all_from = {}, np.bincount(came_from.ravel(), minlength=1)
    for component in range(1, int(labels.max(initial=0)) + 1):
        counts = np.bincount(came_from[labels == component], minlength=1)
        counts[0] = 0
        k = int(counts.argmax())
        result[component] = 1 + (age.get(k, 1) if k and counts[k] >= MOST_OF_IT * all_from[k] else 0)
    return result
