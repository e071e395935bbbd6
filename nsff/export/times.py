"""When the frames of a scene were taken: seconds, and frames a second."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64

from nsff.scene import Scene

USUAL_RATE = 24.0
"""Frames a second where nobody knows."""


def frame_times(scene: Scene) -> Float64[np.ndarray, " N"]:
    """Seconds of every frame by the manifest; a 24th of a second apart where that has no times that increase."""
    times = np.array([frame.time for frame in scene.ingest_result.frames], np.float64)
    if len(times) == scene.n_frames and (np.diff(times) > 0).all():
        return times
    return np.arange(scene.n_frames) / USUAL_RATE


def frame_rate(scene: Scene) -> float:
    """Frames a second of those that were taken, to a thousandth: one over the median distance of two of them. Of every
    second frame of a video (``input.stride``) it is half of the video's, which the manifest has."""
    times = np.array([frame.time for frame in scene.ingest_result.frames], np.float64)
    if len(times) != scene.n_frames or len(times) < 2 or not (np.diff(times) > 0).all():
        return scene.ingest_result.frame_rate or USUAL_RATE
    return round(1 / float(np.median(np.diff(times))), 3)
