"""The content of each pixel of a frame: the still scene, a shadow on it, or something that moves.

Densities of colour are compared. The still scene is the clean plate with the noise that still pixels have; a shadow is
the plate darkened, its texture and nearly its chroma kept; what moves has the colours that the motion masks show where
they differ from the plate. Where the plate is unknown, colours around the masks stand for the still scene.

Notation. Colours in [0,1]; log densities in natural units, in RGB space. Evidence (H,W) is a log likelihood ratio.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float32, Float64, UInt8

from nsff.decompose.motion_groups.clean_plate import CleanPlate

BINS = 16
"""Bins of a colour histogram, along each channel."""
UNIFORM = 0.05
"""Share of colours that no model has foreseen: a uniform density that each mixes in."""
SHADOW_RANGE = (0.3, 0.95)
"""Factors on brightness that a shadow can have."""
CHROMA = 0.6
"""A shadow's factor differs by at most this share between channels: the sky's light is bluer than the sun's."""
LEAST_NOISE = 1.5 / 255
"""Standard deviation of a colour below which nothing is believed: that of rounding and compression."""


@dataclass(frozen=True)
class PlateNoise:
    """Deviation of a still pixel from the plate: sensor noise, and misplacement times the gradient of colour."""

    noise: float
    misplaced: float
    """Pixels."""

    def deviation(self, plate: CleanPlate) -> Float32[np.ndarray, "H W"]:
        """Standard deviation of each channel."""
        variance = self.noise**2 + (self.misplaced * gradient(plate.colour)) ** 2 + plate.deviation**2
        return np.sqrt(variance).astype(np.float32)


def gradient(colour: Float32[np.ndarray, "H W 3"]) -> Float32[np.ndarray, "H W"]:
    """Length of the gradient of colour per pixel, the largest of the channels, over the neighbourhood that a
    misplacement by a pixel reaches."""
    u, v = (cv2.Scharr(colour, cv2.CV_32F, *axis) / 32 for axis in ((1, 0), (0, 1)))
    return cv2.dilate(np.hypot(u, v).max(-1), np.ones((3, 3), np.uint8))


def plate_noise(image: Float32[np.ndarray, "H W 3"], plate: CleanPlate, still: Bool[np.ndarray, "H W"]) -> PlateNoise:
    """From the pixels that stand still: noise where the plate is flat, misplacement where it is steep."""
    chosen = still & plate.known
    if chosen.sum() < 100:
        return PlateNoise(0.05, 1.0)
    difference = np.sqrt(((image - plate.colour)[chosen] ** 2).mean(-1))
    steepness = gradient(plate.colour)[chosen]
    flat = steepness <= np.quantile(steepness, 0.3)
    steep = steepness >= np.quantile(steepness, 0.9)
    noise = max(LEAST_NOISE, 1.4826 * float(np.median(difference[flat])))
    beyond = np.sqrt(np.maximum(difference[steep] ** 2 - noise**2, 0))
    return PlateNoise(noise, float(1.4826 * np.median(beyond / np.maximum(steepness[steep], 1e-3))))


def log_still(
    image: Float32[np.ndarray, "H W 3"], plate: CleanPlate, deviation: Float32[np.ndarray, "H W"]
) -> Float64[np.ndarray, "H W"]:
    """Log density of the colours of the still scene; 0 (uniform) where the plate is unknown."""
    return _log_gaussian(image - plate.colour, deviation, plate.known)


def log_shadow(
    image: Float32[np.ndarray, "H W 3"],
    plate: CleanPlate,
    deviation: Float32[np.ndarray, "H W"],
    window: int,
) -> Float64[np.ndarray, "H W"]:
    """Log density of the colours of a shadow on the still scene: the plate times factors fitted in a window of odd size
    around each pixel; the same share of the range of factors for each. -inf where these are no shadow's."""
    size = (window, window)
    weight = (1 / deviation**2)[..., None]
    product = cv2.blur(image * plate.colour * weight, size)
    square = cv2.blur(plate.colour**2 * weight, size)
    factor = product / np.maximum(square, 1e-9)
    mean = factor.mean(-1)
    low, high = SHADOW_RANGE
    dark = (mean > low) & (mean < high) & (np.abs(factor / np.maximum(mean, 1e-6)[..., None] - 1).max(-1) < CHROMA)
    residual = cv2.blur(_log_gaussian(image - factor * plate.colour, deviation, plate.known), size)
    return np.where(dark & plate.known, residual, -np.inf)


def _log_gaussian(
    difference: Float32[np.ndarray, "H W 3"], deviation: Float32[np.ndarray, "H W"], known: Bool[np.ndarray, "H W"]
) -> Float64[np.ndarray, "H W"]:
    squared = (difference.astype(np.float64) ** 2).sum(-1) / deviation**2
    density = (1 - UNIFORM) * np.exp(-0.5 * squared) / (np.sqrt(2 * np.pi) * deviation.astype(np.float64)) ** 3
    return np.where(known, np.log(density + UNIFORM), 0.0)


class ColourModel:
    """A histogram of colours, smoothed, with a uniform share."""

    def __init__(self, colours: UInt8[np.ndarray, "P 3"], weights: Float32[np.ndarray, "P"] | None = None) -> None:
        """From P colours, each with a weight; without any colour the density is uniform."""
        flat = _bins(colours)
        counts = np.bincount(flat, weights, BINS**3).reshape(BINS, BINS, BINS)
        for axis in range(3):
            padded = np.pad(counts, [(1, 1) if a == axis else (0, 0) for a in range(3)], mode="edge")
            counts = 0.25 * (np.take(padded, range(BINS), axis) + np.take(padded, range(2, BINS + 2), axis)) + (
                0.5 * np.take(padded, range(1, BINS + 1), axis)
            )
        total = counts.sum()
        share = counts / total * BINS**3 if total > 0 else np.ones_like(counts)
        self._log = np.log((1 - UNIFORM) * share + UNIFORM).ravel()

    def log_density(self, image: UInt8[np.ndarray, "*S 3"]) -> Float64[np.ndarray, "*S"]:
        return self._log[_bins(image.reshape(-1, 3))].reshape(image.shape[:-1])


def _bins(colours: UInt8[np.ndarray, "P 3"]) -> np.ndarray:
    index = (colours.astype(np.int64) * BINS) // 256
    return (index[:, 0] * BINS + index[:, 1]) * BINS + index[:, 2]


def likelihood_ratio(
    values: Sequence[Float32[np.ndarray, "H W"]],
    moving: Sequence[Bool[np.ndarray, "H W"]],
    still: Sequence[Bool[np.ndarray, "H W"]],
    top: float,
    bins: int = 20,
) -> list[Float32[np.ndarray, "H W"]]:
    """Log ratio of how often a value, from 0 to ``top``, is found where things move and where the scene is still, over
    all frames; 0 where the value is NaN. Histograms are smoothed, and rare values say little."""
    index = [np.clip(np.nan_to_num(v) / top * bins, 0, bins - 1).astype(int) for v in values]
    shares = []
    for where in (moving, still):
        counts = sum(
            np.bincount(k[w & np.isfinite(v)], minlength=bins) for k, w, v in zip(index, where, values, strict=True)
        )
        smooth = cv2.GaussianBlur(np.asarray(counts, np.float64)[:, None], (1, 5), 1.0)[:, 0]
        shares.append(smooth / max(smooth.sum(), 1.0) + 1e-3)
    ratio = np.log(shares[0] / shares[1]).astype(np.float32)
    return [np.where(np.isfinite(v), ratio[k], np.float32(0)) for k, v in zip(index, values, strict=True)]
