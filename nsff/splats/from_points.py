"""Gaussians from the coloured points of any scene model, for models that have none of their own.

Points that rest are merged over all frames in cells as large as they look to the camera that saw them; points that move
keep to their frame: each is seen for about a frame, and goes along its own motion meanwhile. All Gaussians are round.

Notation. P points of a frame; ``sizes`` are the distances at which neighbouring points lie, in scene units (depth
divided by the focal length in pixels, times the pixels from one point to the next).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64

from nsff.splats.scene import MovingSplats, SplatScene, SplatSet

SCALE = 0.55
"""Standard deviation of a Gaussian, in distances to the next point: their sum is nearly even."""
OPACITY = 0.95
SPAN = 0.5
"""Standard deviation over time of a moving point's opacity, frames: halfway between two frames both count 0.6."""
GROWTH = 1.25
"""Cells grow by this factor until few enough points are left."""


@dataclass(frozen=True)
class FramePoints:
    """P points at one frame; ``motion`` (displacement to the next frame, in the world) is 0 for those that rest."""

    frame: int
    positions: Float32[np.ndarray, "P 3"]
    colours: Float32[np.ndarray, "P 3"]
    """In [0, 1]."""
    sizes: Float32[np.ndarray, "P"]
    motion: Float32[np.ndarray, "P 3"]
    objects: Int64[np.ndarray, "P"]
    """Object numbers, 0 for none."""
    feature_colours: Float32[np.ndarray, "P 3"] | None = None

    def __len__(self) -> int:
        return len(self.positions)

    def chosen(self, index: Int64[np.ndarray, "K"] | Bool[np.ndarray, "P"]) -> FramePoints:
        """The points of an index or of a mask."""
        arrays = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "frame"}
        changed: dict[str, Any] = {name: None if a is None else a[index] for name, a in arrays.items()}
        return replace(self, **changed)


def scene_of_points(
    frames: Sequence[FramePoints], frame_rate: float, largest_static: int, largest_moving: int, seed: int = 0
) -> SplatScene:
    """The scene of the points of all frames, with at most so many Gaussians that rest and that move.

    >>> one = np.ones((1, 3), np.float32)
    >>> frame = FramePoints(0, one, one, one[:, 0], 0 * one, np.zeros(1, np.int64))
    >>> scene = scene_of_points([frame, replace(frame, frame=1)], 24.0, 10, 10)
    >>> len(scene.static), len(scene.moving)
    (1, 0)
    """
    moves = [(points.motion != 0).any(axis=1) for points in frames]
    still = _joined([points.chosen(~m) for points, m in zip(frames, moves, strict=True)])
    apart = [points.chosen(m) for points, m in zip(frames, moves, strict=True)]
    return SplatScene(
        len(frames), _resting(still, largest_static), _moving(apart, largest_moving, np.random.default_rng(seed)),
        frame_rate,
    )  # fmt: skip


def _resting(points: FramePoints, largest: int) -> SplatSet:
    factor = 1.0
    cells, cell, sides = _cells(points, factor)
    while len(cells) > largest:
        factor *= max(GROWTH, (len(cells) / largest) ** 0.4)
        cells, cell, sides = _cells(points, factor)
    count = np.bincount(cell, minlength=len(cells)).astype(np.float64)

    def mean(values: np.ndarray) -> np.ndarray:
        columns = [np.bincount(cell, column, len(cells)) / count for column in np.atleast_2d(values.T)]
        return np.stack(columns, axis=1).reshape(len(cells), *values.shape[1:])

    sizes = np.maximum(mean(points.sizes) * factor, sides)
    features = None if points.feature_colours is None else mean(points.feature_colours)
    return SplatSet(
        **_round(mean(points.positions), mean(points.colours), sizes, points.objects[cells], features),
    )


def _cells(
    points: FramePoints, factor: float
) -> tuple[Int64[np.ndarray, "K"], Int64[np.ndarray, "P"], Float64[np.ndarray, "K"]]:
    """A point of each of K cells, the cell of each point, and the cells' sides: powers of two near ``factor`` sizes."""
    level = np.round(np.log2(np.maximum(points.sizes, 1e-12) * factor)).astype(np.int64)
    place = np.floor(points.positions / np.exp2(level)[:, None]).astype(np.int64)
    keys = np.concatenate([level[:, None], place], axis=1)
    _, first, cell = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    return first, cell.reshape(-1), np.exp2(level[first].astype(np.float64))


def _moving(frames: Sequence[FramePoints], largest: int, generator: np.random.Generator) -> MovingSplats:
    total = sum(map(len, frames))
    share = min(1.0, largest / max(total, 1))
    kept = [p.chosen(np.sort(generator.permutation(len(p))[: int(len(p) * share)])) for p in frames]
    points = _joined(kept)
    frame = np.repeat([p.frame for p in kept], [len(p) for p in kept])
    # Fewer points are larger, so that they still cover what moves.
    sizes = points.sizes / np.sqrt(share)
    values = _round(points.positions, points.colours, sizes, points.objects, points.feature_colours)
    path = points.positions[:, None] + points.motion[:, None] * np.array([-1, 0, 1])[:, None]
    return MovingSplats(
        **values, reference=frame.astype(np.float32), span=np.full(len(points), SPAN, np.float32),
        first=frame.astype(np.int32) - 1, path=path.astype(np.float32),
    )  # fmt: skip


def _round(
    positions: np.ndarray, colours: np.ndarray, sizes: np.ndarray, objects: np.ndarray, features: np.ndarray | None
) -> dict[str, Any]:
    return {
        "means": positions.astype(np.float32),
        "quaternions": np.tile(np.array([1, 0, 0, 0], np.float32), (len(positions), 1)),
        "scales": np.repeat(np.maximum(SCALE * sizes, 1e-9)[:, None], 3, axis=1).astype(np.float32),
        "opacities": np.full(len(positions), OPACITY, np.float32),
        "colours": colours.clip(0, 1).astype(np.float32),
        "objects": objects.astype(np.int16),
        "feature_colours": None if features is None else features.clip(0, 1).astype(np.float32),
    }


def _joined(frames: Sequence[FramePoints]) -> FramePoints:
    """All points, of the first frame's number."""
    arrays: dict[str, Any] = {}
    for entry in fields(FramePoints):
        values = [getattr(points, entry.name) for points in frames]
        if entry.name != "frame":
            arrays[entry.name] = None if values[0] is None else np.concatenate(values)
    return FramePoints(frames[0].frame, **arrays)
