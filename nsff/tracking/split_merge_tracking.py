"""Moving things that touch are kept apart where they were apart before, or will be later.

Notation. Labels (H,W) number the connected parts of a motion mask from 1, 0 elsewhere
(nsff.priors.depth.ground_contact). A part that flow carries back into several parts of the frame before, each of them
older than a moment, is divided: a pixel belongs where its flow leads, and what flow does not tell to the nearest. The
same is done backwards in time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int32

from nsff.priors.motion.saliency import REFERENCE_ROWS
from nsff.tracking.chaining import Link

LEAST_AGE = 3
"""Frames that a part must have been apart: a hand that leaves the body's mask for a moment is no thing."""
LEAST_SHARE = 0.03
"""Of the divided part, and of the earlier one, that must be seen in the other."""
MOST_OF_IT = 0.8
"""Of an earlier part's pixels: specks that come off a thing leave it as old as it was."""


def separated(
    labels: Sequence[Int32[np.ndarray, "H W"]], link: Callable[[int, int], Link]
) -> list[Int32[np.ndarray, "H W"]]:
    """Labels of all frames with parts divided that touch; ``link(i, j)`` is flow between neighbours and its mask."""
    n = len(labels)
    result = _onwards(list(labels), range(n), link)
    return _onwards(result, range(n - 1, -1, -1), link)


def _onwards(labels: list[np.ndarray], order: range, link: Callable[[int, int], Link]) -> list[np.ndarray]:
    age: dict[int, int] = {}  # what is not in it was not there before, and is one frame old
    for before, i in pairwise(order):
        flow, valid = link(i, before)
        came_from = led_to(labels[before], flow, (labels[i] > 0) & valid)
        labels[i] = _divided(labels[i], labels[before], came_from, age)
        age = _ages(labels[i], came_from, age)
    return labels


def led_to(
    labels: Int32[np.ndarray, "H W"], flow: Float[np.ndarray, "H W 2"], where: Bool[np.ndarray, "H W"]
) -> Int32[np.ndarray, "H W"]:
    """The label of the other frame that the flow of each pixel in ``where`` leads to; 0 elsewhere and out of it."""
    height, width = labels.shape
    v, u = np.nonzero(where)
    to = np.rint(np.stack([u, v]) + flow[v, u].T).astype(int)
    inside = (to >= 0).all(0) & (to[0] < width) & (to[1] < height)
    result = np.zeros(labels.shape, np.int32)
    result[v[inside], u[inside]] = labels[to[1][inside], to[0][inside]]
    return result


def _divided(
    labels: Int32[np.ndarray, "H W"], earlier: Int32[np.ndarray, "H W"], came_from: np.ndarray, age: dict[int, int]
) -> Int32[np.ndarray, "H W"]:
    areas = np.bincount(earlier.ravel())
    result, fresh = labels.copy(), int(labels.max(initial=0))
    for part in range(1, int(labels.max(initial=0)) + 1):
        inside = labels == part
        counts = np.bincount(came_from[inside], minlength=len(areas))
        found = [
            k
            for k in range(1, len(areas))
            if age.get(k, 1) >= LEAST_AGE and counts[k] >= LEAST_SHARE * max(int(inside.sum()), int(areas[k]))
        ]
        if len(found) < 2:
            continue
        nearest = np.argmin([_distance(inside & (came_from == k)) for k in found], axis=0)
        # What flow mixes at the line where they touch is settled by the many around it.
        window = max(3, round(5 * labels.shape[0] / REFERENCE_ROWS)) | 1
        shares = [cv2.blur((inside & (nearest == n)).astype(np.float32), (window, window)) for n in range(len(found))]
        most = np.argmax(shares, axis=0)
        for n in range(1, len(found)):
            fresh += 1
            result[inside & (most == n)] = fresh
    return _renumbered(result)


def _distance(region: Bool[np.ndarray, "H W"]) -> np.ndarray:
    return cv2.distanceTransform((~region).astype(np.uint8), cv2.DIST_L2, 3)


def _renumbered(labels: Int32[np.ndarray, "H W"]) -> Int32[np.ndarray, "H W"]:
    """1.. without gaps: a share may have lost all its pixels."""
    values, numbers = np.unique(labels, return_inverse=True)
    return (numbers.reshape(labels.shape) + (values[0] > 0)).astype(np.int32)


def _ages(labels: Int32[np.ndarray, "H W"], came_from: np.ndarray, age: dict[int, int]) -> dict[int, int]:
    """Frames since each part was last one with another of its size, itself included."""
    result, all_from = {}, np.bincount(came_from.ravel(), minlength=1)
    for part in range(1, int(labels.max(initial=0)) + 1):
        counts = np.bincount(came_from[labels == part], minlength=1)
        counts[0] = 0
        k = int(counts.argmax())
        result[part] = 1 + (age.get(k, 1) if k and counts[k] >= MOST_OF_IT * all_from[k] else 0)
    return result
