"""A sign, without truth, that flow belongs to its frames: it takes away the change between them.

Flow that was computed for other frames, at another size, or in another unit may agree with its own return. But where
two frames differ, a frame carried back along right flow looks like the one before it, and along wrong flow it does not.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from jaxtyping import Bool, Float32, UInt8

from nsff.layout import worse

BLUR = 1.0
"""Standard deviation, pixels, of the blur of both frames before they are compared."""
CHANGE = 8.0
"""Grey levels of 255 by which a pixel has to change, without flow, to count."""
LEAST = 0.003
"""Share of the picture that has to change for a pair to tell anything."""
TAKEN = 0.5
"""Part of a pixel's change that right flow takes away at least."""
EXPLAINED = (0.7, 0.5)
"""Shares of the changed pixels that flow explains, mean over pairs, down to which flow is good, and doubtful
(docs/quality.md)."""


def explained_change(
    first: UInt8[np.ndarray, "H W 3"],
    second: UInt8[np.ndarray, "H W 3"],
    flow: Float32[np.ndarray, "H W 2"],
    consistent: Bool[np.ndarray, "H W"],
) -> float | None:
    """Share of the pixels of ``first`` that differ from ``second`` whose difference ``flow`` takes away by half and
    more, where it is consistent. None where hardly anything changes.

    >>> ramp = np.tile(np.arange(0, 240, 10, dtype=np.uint8)[None, :, None], (24, 1, 3))
    >>> shift = np.zeros((24, 24, 2), np.float32) + np.float32([2, 0])
    >>> explained_change(ramp, np.roll(ramp, 2, axis=1), shift, np.ones((24, 24), bool))
    1.0
    """
    a, b = (cv2.GaussianBlur(cv2.cvtColor(x, cv2.COLOR_RGB2GRAY).astype(np.float32), (0, 0), BLUR)
            for x in (first, second))  # fmt: skip
    rows, columns = np.mgrid[: a.shape[0], : a.shape[1]].astype(np.float32)
    u, v = columns + flow[..., 0], rows + flow[..., 1]
    inside = consistent & (u >= 0) & (v >= 0) & (u <= a.shape[1] - 1) & (v <= a.shape[0] - 1)
    before, after = np.abs(b - a), np.abs(cv2.remap(b, u, v, cv2.INTER_LINEAR) - a)
    changed = inside & (before > CHANGE)
    if changed.mean() < LEAST:
        return None
    return float((after[changed] < (1 - TAKEN) * before[changed]).mean())


def judged_by_change(summary: dict[str, Any], explained: list[float | None]) -> dict[str, Any]:
    """The summary of flow with the mean of ``explained``, and a worse verdict where that is low."""
    known = [value for value in explained if value is not None]
    mean = float(np.mean(known)) if known else None
    summary = {**summary, "explained_change": mean}
    if mean is None or mean >= EXPLAINED[0]:
        return summary
    verdict = worse(summary["verdict"], "poor" if mean < EXPLAINED[1] else "doubtful")
    message = (
        f"{summary['message']} It takes away the change between frames at {mean:.0%} of the pixels that change: flow "
        "of other frames, of another size or unit, or motion that it does not follow."
    )
    return {**summary, "verdict": verdict, "message": message}
