"""What can be said of a clip from its pixels alone: frozen frames, jumps of exposure, blur. One pass, constant memory.

Measures per frame, on grey values at a height of at most 270 rows: mean luminance (linear light, gamma 2.2), sharpness
(variance of the Laplacian), and mean absolute difference to the frame before (grey levels of 255).
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from jaxtyping import UInt8

ROWS = 270
FROZEN_RELATIVE = 0.1
"""A frame is frozen if it differs from the last by less than this times the median difference ..."""
FROZEN_ABSOLUTE = 0.5
"""... and by less than this, in grey levels."""
EXPOSURE_STOPS = 0.25
"""A jump of exposure: the mean luminance changes by more than this factor of two to the power."""
BLUR_RELATIVE = 0.35
"""A frame is blurred if its sharpness is below this times the median of the nine frames around it."""


class QualityMeter:
    """Fed with frames in order; ``values`` then says what was found."""

    def __init__(self) -> None:
        self._last: np.ndarray | None = None
        self.luminance: list[float] = []
        self.sharpness: list[float] = []
        self.difference: list[float] = []

    def add(self, image: UInt8[np.ndarray, "H W 3"]) -> None:
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        if grey.shape[0] > ROWS:
            grey = cv2.resize(
                grey, (max(1, round(grey.shape[1] * ROWS / grey.shape[0])), ROWS), interpolation=cv2.INTER_AREA
            )
        values = grey.astype(np.float32)
        self.luminance.append(float(np.mean((values / 255) ** 2.2)))
        self.sharpness.append(float(cv2.Laplacian(values, cv2.CV_32F).var()))
        if self._last is not None:
            self.difference.append(float(np.abs(values - self._last).mean()))
        self._last = values

    def frozen(self) -> list[int]:
        """Frames that repeat the one before."""
        difference = np.array(self.difference)
        if not len(difference):
            return []
        moving = difference[difference > 0]
        bound = min(FROZEN_ABSOLUTE, FROZEN_RELATIVE * float(np.median(moving))) if len(moving) else 0.0
        return [int(i) + 1 for i in np.flatnonzero(difference <= bound)]

    def exposure_jumps(self) -> list[int]:
        """Frames whose brightness jumps against the one before."""
        stops = np.log2(np.maximum(self.luminance, 1e-4))
        return [int(i) + 1 for i in np.flatnonzero(np.abs(np.diff(stops)) > EXPOSURE_STOPS)]

    def blurred(self) -> list[int]:
        """Frames much softer than their neighbours."""
        sharpness = np.array(self.sharpness)
        around = [np.median(sharpness[max(0, i - 4) : i + 5]) for i in range(len(sharpness))]
        return [int(i) for i in np.flatnonzero(sharpness < BLUR_RELATIVE * np.array(around))]

    def values(self) -> dict[str, Any]:
        """Lists of frame numbers and medians, for the summary."""
        return {
            "duplicates": self.frozen(),
            "exposure_jumps": self.exposure_jumps(),
            "blurred": self.blurred(),
            "median_sharpness": float(np.median(self.sharpness)),
            "median_difference": float(np.median(self.difference)) if self.difference else 0.0,
        }


def judge(n_frames: int, height: int, found: dict[str, Any]) -> tuple[str, list[str]]:
    """The verdict (good, doubtful, poor) and one clause per complaint, with cause and remedy."""
    frozen, jumps, blurred = found["duplicates"], found["exposure_jumps"], found["blurred"]
    complaints: list[tuple[str, str]] = []
    if frozen:
        grade = "poor" if len(frozen) > n_frames / 2 else "doubtful"
        remedy = "the recording dropped frames: use the original file, or a larger stride"
        complaints.append((grade, f"{len(frozen)} frames repeat the one before ({_some(frozen)}); {remedy}"))
    elif found["median_difference"] < 0.2:
        remedy = "the camera has to move: take a larger stride or a longer clip"
        complaints.append(("doubtful", f"neighbouring frames hardly differ; {remedy}"))
    if jumps:
        remedy = "lock the exposure, or leave these frames out"
        complaints.append(("doubtful", f"the brightness jumps at {len(jumps)} frames ({_some(jumps)}); {remedy}"))
    if blurred:
        grade = "poor" if len(blurred) > 0.3 * n_frames else "doubtful"
        complaints.append((grade, f"{len(blurred)} frames are blurred ({_some(blurred)}); shorten the exposure time"))
    if n_frames < 6:
        complaints.append(("doubtful", f"{n_frames} frames are few: poses and motion need more views"))
    if height < 120:
        complaints.append(("doubtful", f"{height} rows are few: features will be hard to find"))
    verdict = next((grade for grade in ("poor", "doubtful") if any(grade == g for g, _ in complaints)), "good")
    return verdict, [text for _, text in complaints]


def _some(frames: list[int]) -> str:
    return ", ".join(map(str, frames[:4])) + (", ..." if len(frames) > 4 else "")
