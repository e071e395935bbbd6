"""Smoothing filters: a Gaussian blur, and a guided filter that keeps the edges of a colour image."""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Float32


def blur(value: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian blur of a map (H,W) or (H,W,C), up to four channels.

    ``sigma`` is the standard deviation in pixels; below 0.3 the values are returned as they are.
    """
    return cv2.GaussianBlur(value, (0, 0), sigma, borderType=cv2.BORDER_REFLECT) if sigma > 0.3 else value


def guided_filter(
    guide: Float32[np.ndarray, "H W 3"],
    signal: Float32[np.ndarray, "H W"],
    confidence: Float32[np.ndarray, "H W"],
    radius: int,
    epsilon: float,
) -> Float32[np.ndarray, "H W"]:
    """Edge-aware smoothing: in each window the result is the affine function of the guide's colours nearest to the
    signal.

    Pixels count by their confidence, > 0. ``radius`` in pixels, ``epsilon`` a variance of colours in [0,1]. Source:
    He, Sun, Tang, Guided Image Filtering, eqs. 19-21, with weighted means.
    """
    size = (2 * radius + 1, 2 * radius + 1)
    weight = cv2.blur(confidence, size, borderType=cv2.BORDER_REFLECT)

    def mean(value: np.ndarray) -> np.ndarray:
        weights = confidence if value.ndim == 2 else confidence[..., None]
        total = weight if value.ndim == 2 else weight[..., None]
        return cv2.blur(value * weights, size, borderType=cv2.BORDER_REFLECT) / total

    mean_guide, mean_signal = mean(guide), mean(signal)
    covariance = np.empty((*signal.shape, 3, 3), np.float32)
    for a in range(3):
        for b in range(a, 3):
            value = mean(guide[..., a] * guide[..., b]) - mean_guide[..., a] * mean_guide[..., b]
            covariance[..., a, b] = covariance[..., b, a] = value
    covariance += epsilon * np.eye(3, dtype=np.float32)
    cross = mean(guide * signal[..., None]) - mean_guide * mean_signal[..., None]
    slope = np.linalg.solve(covariance, cross[..., None])[..., 0]
    offset = mean_signal - (slope * mean_guide).sum(2)
    # Windows that are sure of themselves count more in the final average.
    slope, offset = cv2.blur(slope * weight[..., None], size), cv2.blur(offset * weight, size)
    return (((slope * guide).sum(2) + offset) / cv2.blur(weight, size)).astype(np.float32)
