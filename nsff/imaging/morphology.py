"""What coarse and final motion masks share: robust medians, morphology, and the summary of what is covered."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Bool, Float32

from nsff.config import MotionConfig

Distances = Float32[np.ndarray, "H W"]
"""Pixels; NaN where there is no consistent flow."""


def nan_median(layers: Sequence[Distances]) -> Distances:
    """Median over the layers that are not NaN; NaN where all are."""
    stack = np.sort(np.stack(layers), axis=0)  # NaN sorts last
    count = np.isfinite(stack).sum(0)
    low = np.take_along_axis(stack, np.maximum((count - 1) // 2, 0)[None], axis=0)[0]
    high = np.take_along_axis(stack, np.minimum(count // 2, len(layers) - 1)[None], axis=0)[0]
    return np.where(count > 0, (low + high) / 2, np.nan).astype(np.float32)


def morphology(mask: Bool[np.ndarray, "H W"], operation: int, radius: int) -> Bool[np.ndarray, "H W"]:
    """Morphology with the digital disk x^2 + y^2 <= radius^2; radius 0 changes nothing. The border repeats nothing."""
    if radius == 0:
        return mask
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    disk = (x**2 + y**2 <= radius**2).astype(np.uint8)
    return cv2.morphologyEx(mask.astype(np.uint8), operation, disk) > 0


def summarise(coverage: Sequence[float], motion: MotionConfig, start: str) -> dict[str, object]:
    """Summary of the covered fractions of all frames, with verdict and words."""
    mean, low, high = float(np.mean(coverage)), min(coverage), max(coverage)
    least, most = motion.coverage_warning
    message = f"{start} {mean:.1%} of the pixels on average ({low:.1%} to {high:.1%})."
    verdict = "good"
    if mean < least:
        verdict = "doubtful"
        message += " Hardly anything moves against the scene, or it moves too little for the flow to tell."
    elif mean > most:
        verdict = "poor"
        message += " Nearly everything moves: the cameras or the flow are likely wrong."
    elif high > most:
        verdict = "doubtful"
        message += f" Frame {int(np.argmax(coverage))} is nearly covered: look at its flow."
    return {
        "coverage": mean,
        "coverage_min": low,
        "coverage_max": high,
        "per_frame": list(coverage),
        "verdict": verdict,
        "message": message,
    }
