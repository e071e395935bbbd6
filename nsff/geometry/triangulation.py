"""Inverse depth of static pixels, triangulated along flow to several other frames with known cameras.

Notation. w is inverse depth 1/z in the frame's own camera, in units of 1/scene unit. In frame j the pixel is seen at
the image of a + w b (see nsff.geometry.epipolar); s = |d x' / d w| is the parallax in pixels that a unit of inverse
depth makes there, so that a flow error of one pixel is an error of 1/s in w.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32, Float64

from nsff.cameras import Cameras
from nsff.geometry.epipolar import epipolar_curve, pixel_centres
from nsff.imaging.flow_sampling import FlowAndMask, lands_on_mask
from nsff.imaging.medians import weighted_median

FLOW_ERROR = 0.3
"""Assumed standard deviation of one link of flow, pixels."""


@dataclass(frozen=True)
class Triangulation:
    """The triangulated pixels of one frame; everything is 0 where nothing is known."""

    inverse_depth: Float32[np.ndarray, "H W"]
    """1/scene units."""
    confidence: Float32[np.ndarray, "H W"]
    """Confidence in [0,1]: 1/2 where the error of the inverse depth is expected to be 5 %."""
    views: Float32[np.ndarray, "H W"]
    """Number of frames that agree."""


def solve_pair(
    cameras: Cameras, i: int, j: int, flow: Float[np.ndarray, "H W 2"]
) -> tuple[Float64[np.ndarray, "H W"], Float64[np.ndarray, "H W"], Float64[np.ndarray, "H W"]]:
    """Inverse depth w, sensitivity s and residual (pixels) of every pixel of frame i: least squares on a + w b ~ x + f.

    Exact for exact flow. w may be negative or meaningless where s is 0 (no baseline).
    """
    x = pixel_centres(cameras.height, cameras.width)
    a, b = epipolar_curve(cameras, i, j, x)
    x_other = x + flow
    # x'_k (a_3 + w b_3) = a_k + w b_k for k = 1, 2: two equations for w.
    slope = b[:2] - x_other * b[2]
    right = x_other * a[..., 2:] - a[..., :2]
    square = (slope**2).sum(-1)
    w = (slope * right).sum(-1) / np.maximum(square, 1e-24)
    depth = np.maximum(np.abs(a[..., 2] + w * b[2]), 1e-12)
    residual = np.linalg.norm(right - w[..., None] * slope, axis=-1) / depth
    return w, np.sqrt(square) / depth, residual


def triangulate(
    cameras: Cameras,
    i: int,
    flows: Mapping[int, FlowAndMask],
    moving: Mapping[int, Bool[np.ndarray, "H W"]],
    bounds: tuple[float, float],
    min_parallax: float,
    max_residual: float = 1.5,
) -> Triangulation:
    """Fuses the pairs (i, j) of ``flows``, flow from i to j with validity, by a weighted median of inverse depths.

    ``moving`` are motion masks of frame i and of every j: pixels that move, or arrive on something that does, are left
    out. ``bounds`` are the least and largest plausible inverse depth. Estimates that the median's depth contradicts by
    more than ``max_residual`` pixels do not count; the rest are averaged by their precision. Where the parallax between
    the pixel and infinity is below ``min_parallax`` pixels in every frame nothing is known.
    """
    low, high = bounds
    estimates, precisions, sensitivities = [], [], []
    for j, (flow, mask) in flows.items():
        w, s, residual = solve_pair(cameras, i, j, flow)
        valid = mask & (residual < max_residual) & (w > 0.5 * low) & (w < 2 * high) & ~lands_on_mask(moving[j], flow)
        valid &= s * np.maximum(w, low) > min_parallax
        estimates.append(np.where(valid, w, np.nan))
        # Errors of chained flow grow with the square root of the number of links.
        precisions.append(np.where(valid, s**2 / abs(j - i), 0.0))
        sensitivities.append(s)
    if not estimates:
        nothing = np.zeros((cameras.height, cameras.width), np.float32)
        return Triangulation(nothing, nothing, nothing)
    w, precision = np.stack(estimates), np.stack(precisions)
    median = weighted_median(w, precision)
    agree = np.abs(w - median) * np.stack(sensitivities) < max_residual
    precision = np.where(agree, precision, 0.0)
    total = precision.sum(0)
    known = (total > 0) & ~moving[i]
    fused = np.where(known, (precision * np.nan_to_num(w)).sum(0) / np.maximum(total, 1e-24), 0.0)
    relative_error = FLOW_ERROR / np.sqrt(np.maximum(total, 1e-24)) / np.maximum(fused, low)
    confidence = np.where(known, 1 / (1 + (relative_error / 0.05) ** 2), 0.0)
    return Triangulation(
        np.where(known, np.clip(fused, low, high), 0.0).astype(np.float32),
        confidence.astype(np.float32),
        np.where(known, (precision > 0).sum(0), 0).astype(np.float32),
    )
