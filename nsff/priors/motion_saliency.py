"""Soft saliency from motion: how much a pixel belongs to something that moves, in [0, 1], with edges that follow the image.

Notation. Image (H,W,3) RGB in [0,1]; mask (H,W) is the motion mask; flow (H,W,2) is (right, down) in pixels. The residual is the
distance in pixels between a pixel's flow and the flow that the static world around it suggests. Lengths made for 288 rows scale
with the height.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Bool, Float32

REFERENCE_ROWS = 288.0


def soft_saliency(
    image: Float32[np.ndarray, "H W 3"], mask: Bool[np.ndarray, "H W"], flows: Sequence[Float32[np.ndarray, "H W 2"]]
) -> Float32[np.ndarray, "H W"]:
    """Saliency of one frame: the motion mask, weighted by the residuals of its flows, smoothed along image edges.

    ``flows`` are those of the frame (to the next, to the previous, or both). A masked pixel keeps at least half its weight
    where the residual is small, since a limb at rest belongs to the body that moves. The background is 0.
    """
    rows = mask.shape[0] / REFERENCE_ROWS
    residual = (
        np.max([flow_residual(flow, mask) for flow in flows], axis=0) if flows else np.zeros(mask.shape, np.float32)
    )
    # One pixel at 288 rows is what the epipolar test of the masks calls motion too.
    evidence = mask * (0.5 + 0.5 * (1.0 - np.exp(-((residual / max(rows, 1e-6)) ** 2))))
    smooth = guided_filter(image, evidence.astype(np.float32), radius=max(2, round(8 * rows)), epsilon=0.02**2)
    # A guided filter leaves faint values far from the mask; the gate and the offset take them to zero.
    gate = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), max(1.0, 4 * rows))
    return np.clip((smooth * np.clip(2 * gate, 0, 1) - 0.05) / 0.95, 0, 1).astype(np.float32)


def flow_residual(flow: Float32[np.ndarray, "H W 2"], mask: Bool[np.ndarray, "H W"]) -> Float32[np.ndarray, "H W"]:
    """Pixels between the flow and its surroundings: flow outside the mask, spread into it by normalised convolution.

    Zero where the mask leaves too little of the frame to know what the surroundings do.
    """
    outside = (~mask).astype(np.float32)
    sigma = 0.08 * mask.shape[0]
    weight = cv2.GaussianBlur(outside, (0, 0), sigma)
    # The floor falls back to the mean flow of the static pixels deep inside large masks.
    mean = (flow * outside[..., None]).sum((0, 1)) / max(outside.sum(), 1.0)
    floor = 1e-3
    background = (cv2.GaussianBlur(flow * outside[..., None], (0, 0), sigma) + floor * mean) / (weight + floor)[
        ..., None
    ]
    residual = np.linalg.norm(flow - background, axis=2) * mask
    return residual.astype(np.float32) if outside.mean() > 0.02 else np.zeros(mask.shape, np.float32)


def guided_filter(
    guide: Float32[np.ndarray, "H W 3"], signal: Float32[np.ndarray, "H W"], radius: int, epsilon: float
) -> Float32[np.ndarray, "H W"]:
    """Edge-aware smoothing: in each window the result is the affine function of the guide's colours nearest to the signal.

    ``radius`` in pixels, ``epsilon`` a variance of colours in [0,1]. Source: He, Sun, Tang, Guided Image Filtering, eqs. 19-21.
    """
    size = (2 * radius + 1, 2 * radius + 1)

    def mean(value: np.ndarray) -> np.ndarray:
        return cv2.blur(value, size, borderType=cv2.BORDER_REFLECT)

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
    return ((mean(slope) * guide).sum(2) + mean(offset)).astype(np.float32)
