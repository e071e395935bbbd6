"""Quality of a clip from its pixels alone: frozen, blank and blurred frames, jumps of exposure, interlacing combs. One
pass, constant memory.

Measures per frame, on grey values at a height of at most 270 rows: mean luminance (linear light, gamma 2.2), sharpness
(variance of the Laplacian), mean absolute difference to the frame before (grey levels of 255), mean grey and spread
(standard deviation) of it. At full height: the comb, mean difference of neighbouring rows over that of next but one
rows, which is below 1 for pictures and above it where rows are of two moments.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import cv2
import numpy as np
from jaxtyping import UInt8

QUALITY_ROWS = 270
FROZEN_RELATIVE = 0.1
"""A frame is frozen if it differs from the last by less than this times the median difference of those that move ..."""
FROZEN_ABSOLUTE = 0.5
"""... and by less than this, in grey levels."""
MOVING_SHARE = 0.1
"""Frames that differ by more than FROZEN_ABSOLUTE are those that move, where they are at least this share of all."""
EXPOSURE_STOPS = 0.25
"""A jump of exposure: the mean luminance changes by more than this factor of two to the power."""
BLUR_RELATIVE = 0.35
"""A frame is blurred if its sharpness is below this times the median of the nine frames around it."""
BLANK = 2.0
"""A frame whose grey values spread less than this (standard deviation) shows nothing."""
DARK_LEVELS = (10.0, 25.0)
"""Mean grey of the median frame below which a clip is poor, and doubtful; the same from 255 down."""
COMB = 1.15
"""A frame with a larger comb is combed."""
LITTLE = 0.2
"""Grey levels between neighbouring frames, in the median, below which they hardly differ."""
MOST_NAMED = 12
"""Most frames that a complaint names which asks to leave them out."""
EVEN_SHARE = 0.8
"""A stride fits repeated frames where this share of the distances between new ones is the same."""


class QualityMeter:
    """Fed with frames in order; ``values`` then says what was found."""

    def __init__(self) -> None:
        self._last: np.ndarray | None = None
        self.luminance: list[float] = []
        self.sharpness: list[float] = []
        self.difference: list[float] = []
        self.grey: list[float] = []
        self.spread: list[float] = []
        self.comb: list[float] = []

    def part(self, first: int, end: int) -> QualityMeter:
        """The same of frames first to end - 1 alone, which then count from 0."""
        some = QualityMeter()
        for name in ("luminance", "sharpness", "grey", "spread", "comb"):
            getattr(some, name).extend(getattr(self, name)[first:end])
        some.difference.extend(self.difference[first : max(first, end - 1)])
        return some

    def add(self, image: UInt8[np.ndarray, "H W 3"]) -> None:
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        self.comb.append(comb(grey))
        if grey.shape[0] > QUALITY_ROWS:
            grey = cv2.resize(
                grey,
                (max(1, round(grey.shape[1] * QUALITY_ROWS / grey.shape[0])), QUALITY_ROWS),
                interpolation=cv2.INTER_AREA,
            )
        values = grey.astype(np.float32)
        self.luminance.append(float(np.mean((values / 255) ** 2.2)))
        self.sharpness.append(float(cv2.Laplacian(values, cv2.CV_32F).var()))
        self.grey.append(float(values.mean()))
        self.spread.append(float(values.std()))
        if self._last is not None:
            self.difference.append(float(np.abs(values - self._last).mean()))
        self._last = values

    def frozen(self) -> list[int]:
        """Frames that repeat the one before, beside blank ones."""
        difference = np.array(self.difference)
        if not len(difference):
            return []
        blank = set(self.blank())
        moving = difference[difference > FROZEN_ABSOLUTE]
        if len(moving) < max(1, MOVING_SHARE * len(difference)):
            moving = difference[difference > 0]
        bound = min(FROZEN_ABSOLUTE, FROZEN_RELATIVE * float(np.median(moving))) if len(moving) else 0.0
        return [int(i) + 1 for i in np.flatnonzero(difference <= bound) if not {int(i), int(i) + 1} <= blank]

    def blank(self) -> list[int]:
        """Frames of one grey value: black, white, or a lens cap."""
        return [int(i) for i in np.flatnonzero(np.array(self.spread) < BLANK)]

    def exposure_jumps(self) -> list[int]:
        """Frames whose brightness jumps against the one before, beside blank ones."""
        stops = np.log2(np.maximum(self.luminance, 1e-4))
        jumps = np.flatnonzero(np.abs(np.diff(stops)) > EXPOSURE_STOPS) + 1
        blank = set(self.blank())
        return [int(i) for i in jumps if not {int(i), int(i) - 1} & blank]

    def blurred(self) -> list[int]:
        """Frames much softer than their neighbours, beside blank ones."""
        sharpness = np.array(self.sharpness)
        around = [np.median(sharpness[max(0, i - 4) : i + 5]) for i in range(len(sharpness))]
        blank = set(self.blank())
        return [int(i) for i in np.flatnonzero(sharpness < BLUR_RELATIVE * np.array(around)) if int(i) not in blank]

    def values(self) -> dict[str, Any]:
        """Lists of frame numbers and medians, for the summary."""
        frozen = self.frozen()
        moving = [value for i, value in enumerate(self.difference) if i + 1 not in frozen]
        return {
            "duplicates": frozen,
            "fitting_stride": fitting_stride(frozen, len(self.luminance)),
            "blank": self.blank(),
            "combed": [int(i) for i in np.flatnonzero(np.array(self.comb) > COMB)],
            "exposure_jumps": self.exposure_jumps(),
            "blurred": self.blurred(),
            "median_grey": float(np.median(self.grey)) if self.grey else 0.0,
            "median_sharpness": float(np.median(self.sharpness)),
            "median_difference": float(np.median(self.difference)) if self.difference else 0.0,
            "moving_difference": float(np.median(moving)) if moving else 0.0,
        }


def comb(grey: UInt8[np.ndarray, "H W"]) -> float:
    """Mean difference of neighbouring rows over that of next but one rows; 0 for a picture without detail."""
    values = grey.astype(np.float32)
    if len(values) < 3:
        return 0.0
    near, far = np.abs(np.diff(values, axis=0)).mean(), np.abs(values[2:] - values[:-2]).mean()
    return float(near / far) if far > 0.5 or near > 0.5 else 0.0


def fitting_stride(frozen: Sequence[int], n_frames: int) -> int | None:
    """The stride that takes every new frame once, where repeats come evenly; None where none does."""
    repeats = set(frozen)
    new = [i for i in range(1, n_frames) if i not in repeats]
    gaps = np.diff(new)
    if not repeats or not len(gaps):
        return None
    values, counts = np.unique(gaps, return_counts=True)
    stride = int(values[np.argmax(counts)])
    return stride if stride > 1 and counts.max() >= EVEN_SHARE * len(gaps) else None


def judge(
    n_frames: int, height: int, found: dict[str, Any], source: Callable[[int], str] = str, stride: int = 1
) -> tuple[str, list[str]]:
    """The verdict (good, doubtful, poor) and one clause per complaint, with cause and remedy.

    ``source`` gives what a frame is called in the source, whose every ``stride``-th frame was taken.
    """
    named = partial(_named, source=source)
    frozen, jumps, blurred = found["duplicates"], found["exposure_jumps"], found["blurred"]
    complaints: list[tuple[str, str]] = [*_shows_little(n_frames, found, source)]
    if frozen:
        grade = "poor" if len(frozen) > n_frames / 2 else "doubtful"
        complaints.append((grade, f"{named(frozen, 'repeats', 'repeat')} the one before; {_thin(found, stride)}"))
    elif found["median_difference"] < LITTLE:
        remedy = "the camera has to move: take a larger stride or a longer clip"
        complaints.append(("doubtful", f"neighbouring frames hardly differ; {remedy}"))
    if jumps:
        remedy = "lock the exposure, or leave these frames out"
        complaints.append(("doubtful", f"the brightness jumps at {named(jumps)}; {remedy}"))
    if blurred:
        grade = "poor" if len(blurred) > 0.3 * n_frames else "doubtful"
        complaints.append((grade, f"{named(blurred, 'is', 'are')} blurred; shorten the exposure time"))
    if n_frames < 6:
        complaints.append(("doubtful", f"{n_frames} frames are few: poses and motion need more views"))
    if height < 120:
        complaints.append(("doubtful", f"{height} rows are few: features will be hard to find"))
    verdict = next((grade for grade in ("poor", "doubtful") if any(grade == g for g, _ in complaints)), "good")
    return verdict, [text for _, text in complaints]


def _shows_little(n_frames: int, found: dict[str, Any], source: Callable[[int], str]) -> list[tuple[str, str]]:
    """Complaints of blank, combed, dark and bright frames."""
    complaints = []
    blank, combed, grey = found.get("blank", []), found.get("combed", []), found.get("median_grey", 127.0)
    if blank:
        grade = "poor" if len(blank) > 0.3 * n_frames else "doubtful"
        which = _named(blank, "shows", "show", source=source, most=MOST_NAMED)
        complaints.append((grade, f"{which} nothing; leave {'it' if len(blank) == 1 else 'them'} out by input.skip"))
    if len(combed) > max(1, 0.1 * n_frames):
        remedy = "deinterlace the video first: ffmpeg -i IN -vf bwdif OUT"
        which = _named(combed, "has", "have", source=source)
        complaints.append(("poor", f"{which} combs of interlacing; {remedy}"))
    for value, what in ((grey, "dark"), (255 - grey, "bright")):
        if value < DARK_LEVELS[1]:
            remedy = "features will be hard to find: use a better exposed clip"
            grade = "poor" if value < DARK_LEVELS[0] else "doubtful"
            complaints.append((grade, f"the frames are very {what} (mean grey {grey:.0f} of 255); {remedy}"))
    return complaints


def _thin(found: dict[str, Any], stride: int) -> str:
    fitting = found.get("fitting_stride")
    if fitting:
        return f"the recording repeats frames evenly: set input.stride: {fitting * stride}"
    if found["moving_difference"] < LITTLE:
        return "the picture hardly changes: the camera has to move"
    return "the recording dropped frames: use the original file, or leave repeats out (ffmpeg -i IN -vf mpdecimate OUT)"


def _named(
    frames: Sequence[int], one: str = "", more: str = "", *, source: Callable[[int], str] = str, most: int = 4
) -> str:
    """Frames with their numbers in the source, and a verb.

    >>> _named([7], "is", "are"), _named([7, 9], most=1)
    ('1 frame (source frame 7) is', '2 frames (source frames 7, ...)')
    """
    plural = "s" if len(frames) != 1 else ""
    listed = ", ".join(source(i) for i in frames[:most]) + (", ..." if len(frames) > most else "")
    return f"{len(frames)} frame{plural} (source frame{plural} {listed}) {more if plural else one}".rstrip()
