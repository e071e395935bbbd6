"""Windows of an image at three sizes, and averages over them of what a network says about each (SAFF's pyramid).

Notation. A window is (top, left, height, width) in pixels of the image (H,W); a network sees it as (dh,dw) pixels, the
size that the whole image has when its shorter side is ``short_side`` (128). Per window the network gives a grid of
tokens, which counts for all pixels of the window (nearest neighbour). See
docs/methods.md#feature-pyramid (online and offline).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import torch
from jaxtyping import Float32, Int64, UInt8
from torch.nn import functional

Window = tuple[int, int, int, int]


def network_size(height: int, width: int, short_side: int = 128) -> tuple[int, int]:
    """(dh, dw): the shorter side becomes ``short_side``, the longer is rounded down."""
    if height <= width:
        return short_side, int(short_side / height * width)
    return int(short_side / width * height), short_side


def starts(length: int, window: int, cover_border: bool) -> list[int]:
    """First pixels of windows along one side, half a window apart.

    As published (``cover_border`` False) the last one starts at length - window - 1, so that the last pixel is never
    covered, and there is none where the window is as long as the side. Otherwise the last one ends at the border.
    """
    last = length - window - (0 if cover_border else 1)
    if last < 0:
        return []
    result, step = [0], window // 2
    while result[-1] < last:
        result.append(min(last, result[-1] + step))
    return result


def windows(height: int, width: int, size: tuple[int, int], cover_border: bool) -> list[Window]:
    """All windows of one size, row by row."""
    return [(v, u, *size) for v in starts(height, size[0], cover_border) for u in starts(width, size[1], cover_border)]


@dataclass(frozen=True)
class Level:
    """Windows of one size. ``weight`` counts for its average over windows, None: every window counts alike."""

    windows: Sequence[Window]
    weight: float | None


def online_levels(height: int, width: int, short_side: int = 128) -> list[Level]:
    """Whole image, windows of twice the network's size, windows of that size; every window has one vote."""
    dh, dw = network_size(height, width, short_side)
    return [
        Level([(0, 0, height, width)], None),
        Level(windows(height, width, (2 * dh, 2 * dw), False), None),
        Level(windows(height, width, (dh, dw), False), None),
    ]


def offline_levels(
    height: int, width: int, short_side: int = 128, weights: tuple[float, float, float] = (1 / 3, 1 / 3, 1 / 3)
) -> list[Level]:
    """The same up to the border; levels are averaged first, then added with ``weights`` (fine, middle, whole)."""
    dh, dw = network_size(height, width, short_side)
    whole = Level([(0, 0, height, width)], None)
    parts = [Level(windows(height, width, (k * dh, k * dw), True), None) for k in (2, 1)]
    return weighted([whole, *parts], weights)


def weighted(levels: Sequence[Level], weights: tuple[float, float, float]) -> list[Level]:
    """The windows of a pyramid's three levels, with weights (fine, middle, whole) of their own."""
    return [Level(level.windows, weight) for level, weight in zip(levels, reversed(weights), strict=True)]


def single_level(height: int, width: int) -> list[Level]:
    """The whole image alone."""
    return [Level([(0, 0, height, width)], None)]


def crop(
    image: UInt8[np.ndarray, "H W 3"], window: Window, size: tuple[int, int], antialias: bool
) -> UInt8[np.ndarray, "dh dw 3"]:
    """A window at the network's size: by nearest neighbour as published online, or averaged (Lanczos for the whole
    image, by way of twice the size, as published offline)."""
    top, left, height, width = window
    part = image[top : top + height, left : left + width]
    if part.shape[:2] == size:
        return part
    if not antialias:
        rows, columns = nearest(height, size[0]), nearest(width, size[1])
        return part[rows[:, None], columns]
    if (height, width) == image.shape[:2] and height > 2 * size[0]:
        part = cv2.resize(part, (2 * size[1], 2 * size[0]), interpolation=cv2.INTER_LANCZOS4)
        return cv2.resize(part, size[::-1], interpolation=cv2.INTER_LANCZOS4)
    smaller = size[0] < height
    return cv2.resize(part, size[::-1], interpolation=cv2.INTER_AREA if smaller else cv2.INTER_CUBIC)


def whole_frame(image: UInt8[np.ndarray, "H W 3"], size: tuple[int, int]) -> UInt8[np.ndarray, "dh dw 3"]:
    """The image at the network's size by antialiased Lanczos, as the library of SAFF's features prepares pictures."""
    from PIL import Image

    return np.asarray(Image.fromarray(image).resize(size[::-1], Image.Resampling.LANCZOS))


@lru_cache(maxsize=256)
def nearest(n_in: int, n_out: int) -> Int64[np.ndarray, "n_out"]:
    """Source index of each of ``n_out`` samples under torch's nearest-neighbour interpolation of ``n_in``."""
    index = torch.arange(n_in, dtype=torch.float64)[None, None]
    return functional.interpolate(index, size=n_out, mode="nearest")[0, 0].numpy().astype(np.int64)


def sample_rows(length: int, count: int) -> Int64[np.ndarray, "count"]:
    """Pixels of a side that ``count`` samples look at: the middles of equal parts; all of them if count = length."""
    return np.minimum((np.arange(count) + 0.5) * length / count, length - 1).astype(np.int64)


def average(
    grids: Iterable[Float32[np.ndarray, "th tw D"]],
    levels: Sequence[Level],
    size: tuple[int, int],
    samples: tuple[int, int],
) -> Float32[np.ndarray, "h w D"]:
    """Token grids, one for each window of each level in order, as averages at ``samples`` (h,w) pixels of the image.

    ``size`` is (H,W). A pixel's value is the mean over the windows that hold it, or the weighted sum over levels of
    such means where levels have weights (a level without windows passes its weight on to the others).
    """
    rows, columns = (sample_rows(n, m) for n, m in zip(size, samples, strict=True))
    iterator = iter(grids)
    total: np.ndarray | None = None
    counter = np.zeros((*samples, 1), np.float32)
    for level in levels:
        part: np.ndarray | None = None
        count = np.zeros((*samples, 1), np.float32)
        for window in level.windows:
            grid = next(iterator)
            top, left, height, width = window
            inside_rows = np.flatnonzero((rows >= top) & (rows < top + height))
            inside_columns = np.flatnonzero((columns >= left) & (columns < left + width))
            if not len(inside_rows) or not len(inside_columns):
                continue
            if part is None:
                # Windows with one vote each share one sum; weighted levels are summed apart.
                part = (
                    total if level.weight is None and total is not None else np.zeros((*samples, grid.shape[2]), "f4")
                )
            v = nearest(grid.shape[0], height)[rows[inside_rows] - top]
            u = nearest(grid.shape[1], width)[columns[inside_columns] - left]
            box = np.s_[inside_rows[0] : inside_rows[-1] + 1, inside_columns[0] : inside_columns[-1] + 1]
            part[box] += grid[v[:, None], u]
            count[box] += 1
        if part is None:
            continue
        if level.weight is None:
            total, counter = part, counter + count
        else:
            # Where a level does not reach, the others count for it.
            weight = level.weight * (count > 0)
            part *= weight / np.maximum(count, 1)
            total = part if total is None else total + part
            counter = counter + weight
    assert total is not None
    total /= np.maximum(counter, 1e-16)
    return total
