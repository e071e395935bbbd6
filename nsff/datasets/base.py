"""The interface of readers: a source of frames, and of cameras and priors where its layout brings them.

Notation. A source has frames 0, 1, ... in order of display (the *source index*); ``start:end:stride`` decides which of
them are taken. Images are (H,W,3) uint8 RGB, upright, without alpha. Times are seconds from the first source frame.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Bool, Float32, UInt8

from nsff.cameras import Cameras
from nsff.cameras.points import SparsePoints
from nsff.errors import InputError

FOLDER_FRAME_RATE = 24.0
"""Frames per second assumed of a folder of images, which knows no time."""


@dataclass(frozen=True)
class Frame:
    """One frame as ingested; ``name`` is what errors call it."""

    index: int
    name: str
    time: float
    image: UInt8[np.ndarray, "H W 3"]


@dataclass(frozen=True)
class GivenCameras:
    """Cameras of the source frames ``frames`` (not all need have one); tracks of the points count in that list."""

    cameras: Cameras
    frames: list[int]
    points: SparsePoints | None = None
    bounded: bool = True
    """Whether depth bounds are known; if not, those of the cameras mean nothing."""


class Source:
    """A source of frames. ``alpha``, ``rotation``, ``resized`` and ``notes`` are complete once the frames are read."""

    kind = ""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self.count: int | None = None
        """Number of source frames, exact for folders; for videos what the file declares, or None."""
        self.about: list[int] = []
        """About how many source frames there are, by the count that is declared and by the duration, where known."""
        self.frame_rate: float | None = None
        """Frames per second on average; None where the source does not say."""
        self.rotation = 0
        """Degrees counterclockwise that frames were turned to stand upright."""
        self.turned_unseen = False
        """Whether frames were turned or mirrored in a way that their shape does not show."""
        self.focal_guess: float | None = None
        """Focal length over the diagonal of the frames by the camera's own word (nsff.datasets.focal), or None."""
        self.alpha = False
        """Whether transparent pixels were met (they are laid over white)."""
        self.skip: frozenset[int] = frozenset()
        """Source frames that are left out, and not even decoded where that can be done."""
        self.notes: list[str] = []
        self.complaints: list[str] = []
        """Notes that make the verdict doubtful."""

    def frames(self, start: int, end: int | None, stride: int) -> Iterator[Frame]:
        """The frames start, start + stride, ... before end, one at a time; InputError for the first bad one."""
        raise NotImplementedError

    def cameras(self) -> GivenCameras | None:
        """Cameras that come with the source, or None. Raises InputError where they are there and unusable."""
        return None

    def use_cameras(self, given: GivenCameras | None) -> None:
        """Called before frames are read: whether the cameras that come with them are used."""

    def frame_names(self) -> list[str] | None:
        """Names of the source frames without suffix, in their order; None where frames have no names."""
        return None

    has_depth = False
    has_flow = False
    has_masks = False

    def match(self, taken: Sequence[int], flow: bool = True, depth: bool = True) -> None:
        """Pairs given flow and depth, where wanted, with frames (nsff.datasets.pairing); ``taken`` are used."""

    def disparity(self, index: int) -> Float32[np.ndarray, "h w"]:
        """Given relative inverse depth of source frame ``index``, at its own size."""
        raise NotImplementedError

    def confidence(self, index: int) -> Float32[np.ndarray, "h w"] | None:
        """Trust in the given depth, in [0,1], or None where all of it counts."""
        return None

    def flow(self, index: int, direction: str) -> tuple[Float32[np.ndarray, "h w 2"], Bool[np.ndarray, "h w"]]:
        """Given flow (right, down; pixels of its own size) to the next (fwd) or last (bwd) source frame, and mask."""
        raise NotImplementedError

    def motion_mask(self, index: int) -> Bool[np.ndarray, "h w"]:
        """Given mask of what moves in source frame ``index`` (True moves), at its own size."""
        raise NotImplementedError

    def note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)

    def complain(self, text: str) -> None:
        """A note that makes the verdict doubtful."""
        self.note(text)
        if text not in self.complaints:
            self.complaints.append(text)


def check_range(path: Path, count: int, start: int, end: int | None, stride: int, skip: Collection[int] = ()) -> int:
    """How many frames start:end:stride without ``skip`` takes of ``count``; InputError for none, one, or numbers beyond
    the end.
    """
    if count == 0:
        raise InputError(path, "has no frames", "give a source with at least two frames")
    if count == 1:
        raise InputError(path, "has one frame", "a moving scene needs at least two frames")
    length = f"it has {count} frames"
    if start >= count:
        raise InputError(path, f"input.start {start} lies beyond the end: {length}", f"choose start below {count - 1}")
    if end is not None and end > count:
        raise InputError(path, f"input.end {end} lies beyond the end: {length}", f"set end to {count} or null")
    if skip and max(skip) >= count:
        raise InputError(path, f"input.skip names frame {max(skip)}: {length}", f"frames are 0 to {count - 1}")
    taken = len(set(range(start, count if end is None else end, stride)) - set(skip))
    if taken < 2:
        what = f"start {start}, end {end}, stride {stride}" + (f", skip {sorted(skip)}" if skip else "")
        problem = f"{what} take {taken or 'no'} frame of {count}".replace("take 1 frame", "take one frame")
        raise InputError(path, problem, "take at least two: a smaller start or stride")
    return taken


def over_white(image: UInt8[np.ndarray, "H W 4"]) -> tuple[UInt8[np.ndarray, "H W 3"], bool]:
    """RGBA (straight alpha) laid over white, and whether any pixel was not opaque."""
    alpha = image[..., 3:]
    if (alpha == 255).all():
        return np.ascontiguousarray(image[..., :3]), False
    weight = alpha.astype(np.float32) / 255
    return np.round(image[..., :3] * weight + 255 * (1 - weight)).astype(np.uint8), True


def limit_height(image: UInt8[np.ndarray, "H W 3"], max_height: int | None) -> UInt8[np.ndarray, "h w 3"]:
    """The image reduced by area averaging to at most ``max_height`` rows; the width follows, rounded."""
    height, width = image.shape[:2]
    if max_height is None or height <= max_height:
        return image
    return cv2.resize(image, (max(1, round(width * max_height / height)), max_height), interpolation=cv2.INTER_AREA)


def same_aspect(first: tuple[int, int], second: tuple[int, int], tolerance: float = 0.02) -> bool:
    """Whether two (height, width) have the same aspect, relative to ``tolerance``."""
    return abs(first[1] * second[0] / (first[0] * second[1]) - 1) <= tolerance
