"""A first look at a clip, before any stage: length, size, frame rate, shots, quality, and how the camera moves.

Notation. Source frames are counted from 0 in order of display; a shot is (first, end), one past its last frame. Motion
is measured on links (nsff.priors.flow.frame_links) between frames about BETWEEN seconds apart, in shares of the frame's
width. What is found chooses settings and is told to people; the stages look for themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Set
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import cv2
import numpy as np

from nsff.datasets.base import FOLDER_FRAME_RATE, Source
from nsff.datasets.quality import QualityMeter, judge
from nsff.datasets.registry import open_source
from nsff.errors import InputError
from nsff.priors.flow.cuts import find_cuts, shots
from nsff.priors.flow.frame_links import Features, describe, link

MOST_LOOKED_AT = 240
"""Frames that are looked at, which takes about 0.1 s each on one core."""
LOWEST_RATE = 8.0
"""Frames a second below which a clip is not thinned out, but shortened: flow between its frames would be long."""
BETWEEN = 0.5
"""Seconds between the frames of a pair whose motion is measured."""
PAIRS = 8
"""Pairs that are measured, spread over the clip."""
FEWEST_LINKS = 24
"""A pair with fewer says nothing about parallax."""
NO_PARALLAX = 0.0004
"""Below this share of the width a homography explains the motion: the camera turns and hardly moves. Chosen below the
least of seven clips whose cameras move, the first 24 frames of each: demo 0.0197, davis-horsejump-high 0.0028,
davis-dog 0.0021, davis-train 0.0013, davis-car-roundabout 0.0012, balloon1 0.0009, davis-camel 0.0005."""

STANDS_STILL = 0.01
"""Shares of the width a second by which the picture of a camera that stands still moves at most. Tripods: 0.0004 (noise
alone) to 0.005; the least of ten clips whose cameras move: demo 0.04, davis-camel 0.10."""


@dataclass(frozen=True)
class ClipLook:
    """The clip as seen. ``count`` (source frames) is None where the file does not say; ``size`` is (height, width).

    ``start``, ``end`` and ``stride`` select the frames to take, without those of ``skip``, which show nothing; frames
    that show nothing at either end of a shot belong to none (``bare`` of them in the shot that was taken). ``shift``
    is the median motion of the picture in a second, ``parallax`` what of it no homography explains, in half a second;
    both are shares of the width, or None where too little could be linked.
    """

    path: Path
    kind: str
    count: int | None
    rate: float
    rate_known: bool
    size: tuple[int, int]
    start: int
    end: int | None
    stride: int
    frames: int
    shots: tuple[tuple[int, int], ...] = ()
    complaints: tuple[str, ...] = ()
    shift: float | None = None
    parallax: float | None = None
    skip: tuple[int, ...] = ()
    bare: int = 0

    @property
    def whole(self) -> bool:
        """Whether all frames of the source are taken."""
        return self.start == 0 and self.end is None and self.stride == 1 and not self.skip

    def described(self) -> str:
        """The clip in one line: size, length, frame rate, motion."""
        height, width = self.size
        text = f"{width}x{height}" + (f", {self.count} frames" if self.count else "")
        if self.rate_known and self.count:
            text += f" in {self.count / self.rate:.1f} s ({self.rate:.3g} a second)"
        if self.shift is not None:
            text += f"; the picture moves by {100 * self.shift:.0f} % of its width a second"
        return text


def look_at(
    path: Path,
    most_frames: int,
    start: int | str = 0,
    end: int | str | None = None,
    tell: Callable[[str], None] = lambda text: None,
) -> ClipLook:
    """Looks at a clip, and chooses at most ``most_frames`` frames of it.

    ``start`` and ``end`` bound the choice: a frame's number, or seconds as text (``"1.5s"``). A clip of more frames is
    thinned out to no less than LOWEST_RATE frames a second; of what is still too long the first part is taken, and of
    several shots the longest. Frames of one colour, such as black ones before the picture, are left out. Raises
    InputError where the source cannot be read.
    """
    source = open_source(path)
    rate = source.frame_rate or FOLDER_FRAME_RATE
    first, stop = frame_number(start, rate), None if end is None else frame_number(end, rate)
    total = source.count or (max(source.about) if source.about else None)
    length = (min(stop, total) if stop is not None and total else stop or total or most_frames) - first
    if length < 2:
        raise _too_short(path, start, end, max(length, 0), total)
    pace = source.frame_rate or 0.0
    step = fitting_stride(length, MOST_LOOKED_AT, pace)
    beyond = first + step * MOST_LOOKED_AT
    seen = _Seen()
    tell("looking at the clip ...")
    for frame in source.frames(first, min(beyond, stop) if stop else _bounded(beyond, total), step):
        seen.add(frame.index, frame.image, linked=not _tied(source))
    blank = set(seen.meter.blank())
    found = [trimmed(shot, blank) for shot in seen.shots()]
    begin, finish = max(found, key=lambda shot: shot[1] - shot[0])
    bare = next(end - first for first, end in seen.shots() if first <= begin < end) - (finish - begin)
    stride = fitting_stride(finish - begin, most_frames, pace / step)
    taken = range(begin, finish, stride)[:most_frames]
    chosen = [i for i in taken if i not in blank] if len(blank) < len(seen.indices) else list(taken)
    to_the_end = taken[-1] + stride >= len(seen.indices) and (total or beyond) <= seen.indices[-1] + step
    shift, parallax = seen.motion(begin, taken[-1] + 1, step, rate)
    figures = seen.meter.part(begin, taken[-1] + 1).values()
    skip = [i for i in taken if i not in chosen]
    if skip:  # which are left out, and need no complaint
        figures["blank"] = []
    verdict, complaints = judge(len(chosen), seen.size[0], figures, lambda i: str(seen.indices[begin + i]), step)
    return ClipLook(
        Path(path), source.kind, total, rate, source.frame_rate is not None, seen.size, seen.indices[begin],
        None if to_the_end else seen.indices[chosen[-1]] + 1, step * stride, len(chosen),
        tuple((seen.indices[a], seen.indices[b - 1] + 1) for a, b in found),
        tuple(complaints if verdict != "good" else ()), shift, parallax,
        tuple(seen.indices[i] for i in skip), bare * step,
    )  # fmt: skip


def _too_short(path: Path, start: int | str, end: int | str | None, left: int, total: int | None) -> InputError:
    if total is not None and total < 2:
        problem = f"has {total} frame{'s' * (total != 1)}"
        return InputError(path, problem, "give a clip of a moving scene: one to five seconds, 24 frames or more")
    asked = " and ".join(f"{name} {value}" for name, value in (("start", start), ("end", end)) if value is not None)
    return InputError(path, f"{asked} leave {left} of {total} frames", "choose a longer part (--start, --end)")


def trimmed(shot: tuple[int, int], blank: Set[int]) -> tuple[int, int]:
    """A shot without the frames at its ends that show nothing; as it is where no frame shows anything.

    >>> trimmed((0, 8), {0, 1, 4, 7})
    (2, 7)
    """
    shown = [i for i in range(*shot) if i not in blank]
    return (shown[0], shown[-1] + 1) if shown else shot


def frame_number(value: int | str, rate: float) -> int:
    """A frame's number as given, or of a time in seconds.

    >>> frame_number("1.5s", 30.0), frame_number("12", 30.0)
    (45, 12)
    """
    text = str(value).strip()
    try:
        return round(float(text[:-1]) * rate) if text.endswith("s") else int(text)
    except ValueError:
        raise InputError(
            f"{value}", "is no frame and no time", "give a frame's number (45) or seconds (1.5s)"
        ) from None


def fitting_stride(frames: int, most: int, rate: float) -> int:
    """The stride that brings a clip to at most ``most`` frames, or as near as LOWEST_RATE allows (rate 0: unknown).

    >>> fitting_stride(150, 60, 30.0), fitting_stride(1800, 60, 30.0), fitting_stride(40, 60, 30.0)
    (3, 3, 1)
    """
    wanted = -(-frames // most)
    allowed = max(1, int(rate / LOWEST_RATE)) if rate else wanted
    return max(1, min(wanted, allowed))


def _bounded(beyond: int, total: int | None) -> int | None:
    """Where to stop reading: the end of the source is left to its reader, which checks that the file is whole."""
    return beyond if total is None or beyond < total else None


def _tied(source: Source) -> bool:
    """Whether cameras come with the source: they tie its frames together, however different they look."""
    try:
        return source.cameras() is not None
    except InputError:
        return False


class _Seen:
    """The frames as far as they are kept: their numbers, quality, and features."""

    def __init__(self) -> None:
        self.indices: list[int] = []
        self.meter = QualityMeter()
        self.features: list[Features] = []
        self.size = (0, 0)

    def add(self, index: int, image: np.ndarray, linked: bool) -> None:
        self.size = image.shape[:2]
        self.indices.append(index)
        self.meter.add(image)
        if linked:
            self.features.append(describe(image))

    def shots(self) -> list[tuple[int, int]]:
        """The shots, in numbers of the frames that were looked at; one where nothing tells cuts."""
        count = len(self.indices)
        return shots(count, find_cuts(count, self.features.__getitem__)) if self.features else [(0, count)]

    def motion(self, begin: int, end: int, stride: int, rate: float) -> tuple[float | None, float | None]:
        """Median motion in a second, and what of it no homography explains in half a second, shares of the width."""
        if not self.features or end - begin < 3:
            return None, None
        gap = min(max(1, round(BETWEEN * rate / stride)), end - begin - 1)
        starts = np.unique(np.linspace(begin, end - 1 - gap, PAIRS).astype(int))
        found = [m for i in starts if (m := _moved(self.features[i], self.features[i + gap])) is not None]
        if not found:
            return None, None
        return median(m[0] for m in found) * rate / (stride * gap), median(m[1] for m in found)


def _moved(first: Features, second: Features) -> tuple[float, float] | None:
    """Median length of the links between two frames, and of their distance to the best homography; None for few."""
    pairs = link(first, second)
    if len(pairs) < FEWEST_LINKS:
        return None
    there, here = first.positions[pairs[:, 0]], second.positions[pairs[:, 1]]
    width = first.grey.shape[1]
    homography, _ = cv2.findHomography(there, here, cv2.RANSAC, 1.5)
    if homography is None:
        return None
    led = cv2.perspectiveTransform(there[:, None], homography)[:, 0]
    # The farthest quarter: a homography follows the nearest large plane.
    beside = float(np.percentile(np.linalg.norm(led - here, axis=1), 75))
    return float(np.median(np.linalg.norm(here - there, axis=1))) / width, beside / width
