"""Which darkened parts of the still scene are shadows: those in which its finest texture goes on.

A shadow is the still scene times a factor for each channel. Pixel by pixel a dark thing before even ground is so, too.
But under a shadow the texture of the ground goes on, so that the logarithm of brightness follows that of the clean
plate with a slope of one; on a thing it hardly follows it. A window of a few pixels is too noisy to tell. Therefore all
pixels of the clip that are darkened by nearly the same factors are asked together, since mostly one light casts all
shadows of a clip; a larger window around each pixel is asked besides.

Notation. Colours in [0,1]. f (3,) are log factors, -log(picture / plate) in each channel, in cells of width CELL. a and
b are log brightness of picture and plate less their means over the darkened pixels of a window. Slopes are
s = sum(a b) / sum(b^2).
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from jaxtyping import Bool, Float32, Float64, Int16
from scipy.ndimage import gaussian_filter

from nsff.decompose.motion_groups.clean_plate import CleanPlate

DARKENED = (0.15, 0.9)
"""Brightness over that of the plate of what may be a shadow."""
CELL, CELLS = 0.2, 13
"""Width of a cell of log factors, and cells along each channel."""
SPREAD = 0.7
"""Standard deviation, in cells, over which the sums of cells are smoothed."""
FINE = 5
"""Side in pixels of the window over which the finest texture is compared: larger ones hold edges of things."""
FILLED = 0.3
"""Share of that window that is darkened, at least."""
OF_THINGS, OF_SHADOWS = 0.2, 0.9
"""Slopes of things and of shadows, measured: .13 to .32, and .61 to .96 where the plate is sharp."""
APART = 0.6
"""Standard deviation of slopes, about that of things, before anything is known."""
LEAST = 0.02
"""Least share of shadows, and of things, among the pixels of a cell."""
INDEPENDENT = 0.5
"""Share of the pixels of a window that count as independent."""
LOG_NOISE = 0.05
"""Standard deviation of log brightness, at least."""
BLACK = 0.03
"""Brightness that is added before logarithms, so that noise in black says little."""
MOST = 3.0
"""The texture around one pixel says at most so much."""


def darkened(picture: Float32[np.ndarray, "H W 3"], plate: CleanPlate) -> Bool[np.ndarray, "H W"]:
    """Pixels that are darker than the plate by as much as a shadow can be."""
    low, high = DARKENED
    ratio = picture.mean(-1) / np.maximum(plate.colour.mean(-1), 1e-3)
    return plate.known & (ratio > low) & (ratio < high)


def factor_cells(
    picture: Float32[np.ndarray, "H W 3"], plate: CleanPlate, dark: Bool[np.ndarray, "H W"]
) -> Int16[np.ndarray, "H W"]:
    """The number of the cell of each darkened pixel's log factors, -1 elsewhere."""
    factors = -np.log((picture + 0.01) / (plate.colour + 0.01))
    r, g, b = np.moveaxis(np.clip(factors / CELL, 0, CELLS - 1).astype(np.int16), -1, 0)
    return np.where(dark, (r * CELLS + g) * CELLS + b, -1).astype(np.int16)


class ShadowFactors:
    """How much of what is darkened by which factors is shadow, by the frames of a clip that were added."""

    def __init__(self) -> None:
        self._sums = np.zeros((4, CELLS**3))

    def add(
        self,
        picture: Float32[np.ndarray, "H W 3"],
        plate: CleanPlate,
        dark: Bool[np.ndarray, "H W"],
        cells: Int16[np.ndarray, "H W"],
        near: Bool[np.ndarray, "H W"],
    ) -> None:
        """Counts the darkened pixels of a frame at or ``near`` what moves."""
        share, mean = _windows(dark, FINE)
        a, b = (one - mean(one) for one in _logarithms(picture, plate))
        chosen = dark & near & (share > FILLED)
        for total, value in zip(self._sums, (np.ones_like(a), a * b, b * b, a * a), strict=True):
            total += np.bincount(cells[chosen], value[chosen], CELLS**3)

    def log_odds(self) -> Float64[np.ndarray, " C"]:
        """Log odds, for each cell, that a pixel with its factors lies in a shadow. Slopes are means of their posterior:
        those of few pixels, or of even ground, stay those of things."""
        cube = (CELLS, CELLS, CELLS)
        count, product, square, of_picture = (gaussian_filter(one.reshape(cube), SPREAD).ravel() for one in self._sums)
        variance = max(of_picture.sum() / max(count.sum(), 1e-9), LOG_NOISE**2)
        weight = variance / (INDEPENDENT * APART**2)
        slope = (product + OF_THINGS * weight) / (square + weight)
        share = np.clip((slope - OF_THINGS) / (OF_SHADOWS - OF_THINGS), LEAST, 1 - LEAST)
        return np.log(share / (1 - share))


def texture_evidence(
    picture: Float32[np.ndarray, "H W 3"], plate: CleanPlate, dark: Bool[np.ndarray, "H W"], window: int
) -> Float32[np.ndarray, "H W"]:
    """Log likelihood ratio of a slope of one against none, over the darkened pixels of a window of odd size around each
    pixel, within MOST; near 0 where the plate has no texture."""
    share, mean = _windows(dark, window)
    a, b = _logarithms(picture, plate)
    mean_a, mean_b = mean(a), mean(b)
    of_a, of_b = (np.maximum(mean(one * one) - own**2, 0) for one, own in ((a, mean_a), (b, mean_b)))
    both = mean(a * b) - mean_a * mean_b
    left = np.maximum(of_a - np.maximum(both, 0) ** 2 / np.maximum(of_b, 1e-6), 0) + LOG_NOISE**2
    ratio = INDEPENDENT * share * window**2 * (2 * both - of_b) / (2 * left)
    return np.clip(ratio, -MOST, MOST).astype(np.float32)


def _logarithms(
    picture: Float32[np.ndarray, "H W 3"], plate: CleanPlate
) -> tuple[Float32[np.ndarray, "H W"], Float32[np.ndarray, "H W"]]:
    a, b = (np.log(one.mean(-1) + BLACK).astype(np.float32) for one in (picture, plate.colour))
    return a, b


def _windows(
    chosen: Bool[np.ndarray, "H W"], window: int
) -> tuple[Float32[np.ndarray, "H W"], Callable[[np.ndarray], np.ndarray]]:
    """The share of a window around each pixel that is chosen, and the function that takes a map to its mean over it."""
    weight = chosen.astype(np.float32)
    share = cv2.blur(weight, (window, window))

    def mean(one: np.ndarray) -> np.ndarray:
        return cv2.blur(one * weight, (window, window)) / np.maximum(share, 1e-4)

    return share, mean
