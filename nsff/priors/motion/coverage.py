"""Summary and verdict of motion masks by how much of the frames they cover."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nsff.config import MotionConfig


def summarise_coverage(coverage: Sequence[float], motion: MotionConfig, start: str) -> dict[str, Any]:
    """Summary of the covered fractions of all frames, with verdict and message."""
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
