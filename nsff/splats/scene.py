"""A scene of Gaussians as plain arrays, as models hand it out and as files hold it.

Notation. S Gaussians of a set, D that move, N frames. A Gaussian has a mean in the world (OpenCV axes: x right, y down,
z forward of the first camera), a rotation as a quaternion w, x, y, z, scales (standard deviations along its axes, scene
units), an opacity, and a display colour as pictures have it, in [0, 1], composited without any further curve. Times are
frame indices, as floats. Arrays are float32, object numbers int16 (0: of no object).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields, replace
from typing import Any, Self

import numpy as np
from jaxtyping import Bool, Float32, Int16, Int32, Integer

MIN_OPACITY = 1 / 255
"""Gaussians of less opacity are not drawn, by any rasteriser here."""
COLOURS = ("colours", "feature_colours")
SHAPES: dict[str, tuple[str | int, ...]] = {
    "means": (3,), "quaternions": (4,), "scales": (3,), "opacities": (), "colours": (3,), "objects": (),
    "feature_colours": (3,), "reference": (), "span": (), "first": (), "path": ("W", 3),
}  # fmt: skip
TYPES: dict[str, type[np.int16] | type[np.int32]] = {"objects": np.int16, "first": np.int32}
"""Types of the arrays that are not float32."""


@dataclass(frozen=True)
class SplatSet:
    """S Gaussians at one time. Raises ValueError for shapes that disagree and for values that no Gaussian has.

    >>> one = np.ones((1, 3), np.float32)
    >>> len(SplatSet(one, np.array([[1, 0, 0, 0]]), one, np.ones(1), one, np.zeros(1)))
    1
    """

    means: Float32[np.ndarray, "S 3"]
    quaternions: Float32[np.ndarray, "S 4"]
    """w, x, y, z, of any length but 0."""
    scales: Float32[np.ndarray, "S 3"]
    """Positive."""
    opacities: Float32[np.ndarray, "S"]
    """In [0, 1]."""
    colours: Float32[np.ndarray, "S 3"]
    """In [0, 1]."""
    objects: Int16[np.ndarray, "S"]
    """Object numbers, 0 for none."""
    feature_colours: Float32[np.ndarray, "S 3"] | None = None
    """Features shown as colours, in [0, 1]."""

    def __post_init__(self) -> None:
        for name, array in self.arrays():
            _check(name, array, len(self.means))
            object.__setattr__(self, name, np.ascontiguousarray(array, TYPES.get(name, np.float32)))
        lengths = np.linalg.norm(self.quaternions, axis=1)
        _require("quaternions", lengths > 0, "have length 0")
        _require("scales", self.scales > 0, "are not positive")
        for name, array in self.arrays():
            if name == "opacities" or name in COLOURS:
                _require(name, (array >= 0) & (array <= 1), "are outside of 0 to 1")

    def __len__(self) -> int:
        return len(self.means)

    def arrays(self) -> Iterator[tuple[str, np.ndarray]]:
        """Names and arrays, but for those that are None."""
        for entry in fields(self):
            if (value := getattr(self, entry.name)) is not None:
                yield entry.name, np.asarray(value)

    def chosen(self, index: Integer[np.ndarray, "K"] | Bool[np.ndarray, "S"]) -> Self:
        """The Gaussians of an index or of a mask, in its order."""
        changed: dict[str, Any] = {name: array[index] for name, array in self.arrays()}
        return replace(self, **changed)

    @staticmethod
    def empty(feature_colours: bool = False) -> SplatSet:
        """No Gaussians."""
        none = np.zeros((0, 3), np.float32)
        opacities, objects = np.zeros(0, np.float32), np.zeros(0, np.int16)
        return SplatSet(none, np.zeros((0, 4)), none, opacities, none, objects, none if feature_colours else None)


@dataclass(frozen=True, kw_only=True)
class MovingSplats(SplatSet):
    """D Gaussians that move: those of SplatSet at their reference times, and where they are at all others.

    At time t a Gaussian's opacity counts times exp(−(t − reference)² / (2 span²)). It is at path[:, 0] until frame
    ``first``, then passes a place of its path each frame in straight lines, and stays at the last one.
    """

    reference: Float32[np.ndarray, "D"]
    """Times at which opacities count in full, frames."""
    span: Float32[np.ndarray, "D"]
    """Standard deviations τ of the opacity over time, frames; positive."""
    first: Int32[np.ndarray, "D"]
    """Frames of the first places of the paths."""
    path: Float32[np.ndarray, "D W 3"]
    """Places in the world at frames first, first + 1, … first + W − 1; W is 1 or more."""

    def __post_init__(self) -> None:
        super().__post_init__()
        _require("span", self.span > 0, "are not positive")
        if self.path.shape[1] < 1:
            raise ValueError(f"splats: path {self.path.shape} has no place")

    def places(self, time: float | Float32[np.ndarray, "D"]) -> Float32[np.ndarray, "D 3"]:
        """Means at a time, or each at its own."""
        last = self.path.shape[1] - 1
        at = np.clip(time - self.first, 0, last)
        before = np.minimum(at.astype(np.int64), max(last - 1, 0))
        rows, share = np.arange(len(self)), (at - before)[:, None]
        start, end = self.path[rows, before], self.path[rows, np.minimum(before + 1, last)]
        return (start + share * (end - start)).astype(np.float32)

    def gates(self, time: float) -> Float32[np.ndarray, "D"]:
        """Factors of the opacities at a time, in [0, 1]."""
        return np.exp(-np.square((time - self.reference) / self.span) / 2)

    def at(self, time: float) -> SplatSet:
        """These Gaussians at a time, those that are not seen included."""
        still = {entry.name: getattr(self, entry.name) for entry in fields(SplatSet)}
        return SplatSet(**still | {"means": self.places(time), "opacities": self.opacities * self.gates(time)})


@dataclass(frozen=True)
class SplatCameras:
    """The clip's N pinhole cameras and the size of their pictures (pixel centres at +0.5)."""

    intrinsics: Float32[np.ndarray, "N 3 3"]
    """Pixels."""
    world_to_camera: Float32[np.ndarray, "N 3 4"]
    height: int
    width: int

    def __post_init__(self) -> None:
        for name, shape in (("intrinsics", (3, 3)), ("world_to_camera", (3, 4))):
            array = np.ascontiguousarray(getattr(self, name), np.float32)
            if array.shape != (len(self.intrinsics), *shape) or not np.isfinite(array).all():
                raise ValueError(f"splats: {name} {array.shape} of {len(self.intrinsics)} cameras, or not finite")
            object.__setattr__(self, name, array)
        if self.height < 1 or self.width < 1:
            raise ValueError(f"splats: cameras with pictures of {self.height} x {self.width} pixels")

    def __len__(self) -> int:
        return len(self.intrinsics)


@dataclass(frozen=True)
class SplatScene:
    """A scene of N frames: Gaussians that rest, and others that move. Raises ValueError for what does not fit together.

    >>> scene.at(7).means.shape  # doctest: +SKIP
    (104211, 3)
    """

    n_frames: int
    static: SplatSet
    moving: MovingSplats
    frame_rate: float = 24.0
    """Frames a second of the clip."""
    cameras: SplatCameras | None = None
    """One for each frame of the clip. Models leave them to whoever writes files (see ``SceneModel.splats``)."""
    object_names: dict[int, str] = field(default_factory=dict)
    """Names of objects by number, where they have some."""

    def __post_init__(self) -> None:
        if self.n_frames < 1 or not 0 < self.frame_rate < np.inf:
            raise ValueError(f"splats: {self.n_frames} frames at {self.frame_rate} a second")
        if self.cameras is not None and len(self.cameras) != self.n_frames:
            raise ValueError(f"splats: {len(self.cameras)} cameras, {self.n_frames} frames")
        sets = [part for part in (self.static, self.moving) if len(part)]
        if len({part.feature_colours is None for part in sets}) > 1:
            raise ValueError("splats: feature_colours of the static or of the moving Gaussians alone")

    @property
    def object_numbers(self) -> list[int]:
        """Numbers of the objects that have Gaussians, in order."""
        found = np.concatenate([self.static.objects, self.moving.objects])
        return [int(number) for number in np.unique(found) if number > 0]

    def at(self, time: float) -> SplatSet:
        """The Gaussians that are drawn at a time, first the static ones; those below MIN_OPACITY are left out."""
        parts = [self.static, self.moving.at(time)]
        parts = [part.chosen(part.opacities >= MIN_OPACITY) for part in parts if len(part)]
        if not parts:
            return SplatSet.empty()
        return SplatSet(**{name: np.concatenate([getattr(p, name) for p in parts]) for name, _ in parts[0].arrays()})

    def of_object(self, number: int) -> SplatScene:
        """The scene with the Gaussians of one object alone."""
        static = self.static.chosen(self.static.objects == number)
        return replace(self, static=static, moving=self.moving.chosen(self.moving.objects == number))


def _check(name: str, array: np.ndarray, count: int) -> None:
    """ValueError where an array has another shape than (count, …) or holds what is no finite number."""
    shape = SHAPES[name]
    fits = array.ndim == 1 + len(shape) and len(array) == count
    if not fits or any(n != m for n, m in zip(shape, array.shape[1:], strict=True) if isinstance(n, int)):
        wanted = ", ".join(map(str, (count, *shape)))
        raise ValueError(f"splats: {name} {array.shape}, not ({wanted})")
    if array.dtype.kind not in "fiu" or not np.isfinite(array).all():
        raise ValueError(f"splats: {name} has values that are no finite numbers (type {array.dtype})")
    if name in TYPES:
        limits = np.iinfo(TYPES[name])
        _require(name, (array >= limits.min) & (array <= limits.max) & (array == np.round(array)), "are no such number")


def _require(name: str, fine: np.ndarray, problem: str) -> None:
    if not fine.all():
        raise ValueError(f"splats: {name}: {int((~fine).sum())} of {fine.size} values {problem}")
