"""Flow of large pictures in overlapping tiles, blended; for estimators whose memory grows faster than the picture.

Notation. Tiles are boxes (top, left, height, width) in pixels, all of one size. A tile's weight rises from its inner
borders: 0 within ``MARGIN`` pixels, where the estimator lacked what lies beyond, then linearly to 1 over the rest of
the overlap; borders of the picture itself count fully. What leaves its tile between the two pictures is not found in
it: tiles should be several times larger than the motion.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from jaxtyping import Float32, UInt8

MARGIN = 16
OVERLAP = 0.25
"""Overlap of neighbouring tiles, as a share of a tile's side."""
SMALLEST = 192

Box = tuple[int, int, int, int]
Estimate = Callable[[UInt8[np.ndarray, "h w 3"], UInt8[np.ndarray, "h w 3"]], Float32[np.ndarray, "h w 2"]]


def estimate_tiled(
    estimate: Estimate, first: UInt8[np.ndarray, "H W 3"], second: UInt8[np.ndarray, "H W 3"], max_pixels: int
) -> Float32[np.ndarray, "H W 2"]:
    """Flow from ``first`` to ``second``, at most ``max_pixels`` pixels at a time (but tiles of 192 at least)."""
    height, width = first.shape[:2]
    if height * width <= max_pixels:
        return estimate(first, second)
    total = np.zeros((height, width, 2), np.float64)
    weights = np.zeros((height, width, 1), np.float64)
    for box in tiles(height, width, max_pixels):
        top, left, h, w = box
        window = np.s_[top : top + h, left : left + w]
        weight = tile_weight(box, height, width)[..., None]
        total[window] += weight * estimate(np.ascontiguousarray(first[window]), np.ascontiguousarray(second[window]))
        weights[window] += weight
    return (total / weights).astype(np.float32)


def tiles(height: int, width: int, max_pixels: int) -> list[Box]:
    """The fewest tiles of at most ``max_pixels`` that cover the picture with the overlap, row by row."""
    for count in range(2, height * width):
        # Of the splits into that many tiles, the one whose tiles are nearest to a square.
        splits = [(rows, count // rows) for rows in range(1, count + 1) if count % rows == 0]
        sizes = [(_side(height, rows), _side(width, columns), rows, columns) for rows, columns in splits]
        h, w, rows, columns = min(sizes, key=lambda size: abs(math.log(size[0] / size[1])))
        if h * w <= max_pixels or (h <= SMALLEST and w <= SMALLEST):
            tops = np.linspace(0, height - h, rows).round().astype(int) if rows > 1 else [0]
            lefts = np.linspace(0, width - w, columns).round().astype(int) if columns > 1 else [0]
            return [(int(top), int(left), h, w) for top in tops for left in lefts]
    return [(0, 0, height, width)]


def _side(length: int, count: int) -> int:
    """The side of ``count`` tiles that overlap by OVERLAP of it, never below SMALLEST where the picture has that."""
    return min(length, max(SMALLEST, math.ceil(length / (count - (count - 1) * OVERLAP))))


def tile_weight(box: Box, height: int, width: int) -> Float32[np.ndarray, "h w"]:
    """The weight of each pixel of a tile in a picture of that size."""
    top, left, h, w = box
    return np.outer(_ramp(h, top > 0, top + h < height), _ramp(w, left > 0, left + w < width)).astype(np.float32)


def _ramp(length: int, inner_start: bool, inner_end: bool) -> np.ndarray:
    """Weights along one side, at pixel centres."""
    rise = max(1.0, length * OVERLAP - 2 * MARGIN)
    distance = np.arange(length) + 0.5
    weight = np.ones(length)
    for inner, d in ((inner_start, distance), (inner_end, length - distance)):
        if inner:
            weight *= np.clip((d - MARGIN) / rise, 0, 1)
    return weight
