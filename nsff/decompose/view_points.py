"""Samples near surfaces in one view, as arrays: sampling by saliency, descriptors, and their files.

Notation. P points; C feature channels. Descriptors (P,D) as in nsff.decompose.descriptors.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Int64

from nsff.config import DecomposeConfig
from nsff.decompose.views import View
from nsff.errors import StageError
from nsff.files.io import read_npz, write_npz
from nsff.files.reading import reading
from nsff.imaging.vectors import unit_length


@dataclass(frozen=True)
class ViewPoints:
    """P samples near surfaces in one view: world points, unit features, colours and saliency in [0,1], flat pixels."""

    points: Float32[np.ndarray, "P 3"]
    normalised: Float32[np.ndarray, "P 3"]
    features: Float32[np.ndarray, "P C"]
    rgb: Float32[np.ndarray, "P 3"]
    saliency: Float32[np.ndarray, " P"]
    pixel: Int64[np.ndarray, " P"]

    def __len__(self) -> int:
        return len(self.points)

    def __getitem__(self, index: np.ndarray) -> ViewPoints:
        return ViewPoints(**{name: value[index] for name, value in vars(self).items()})

    def save(self, path: Path) -> None:
        write_npz(path, **vars(self))

    @staticmethod
    def load(path: Path) -> ViewPoints:
        """Raises StageError naming the file where it is damaged."""
        values = read_npz(path, [field.name for field in fields(ViewPoints)])
        with reading(path, "delete the folder and run again"):
            lengths = {len(value) for value in values.values()}
            finite = all(np.isfinite(value).all() for value in values.values())
        if len(lengths) > 1 or not finite:
            raise StageError(path, "has arrays of different lengths, or not finite", "delete the folder and run again")
        return ViewPoints(**values)


def draw_by_saliency(points: ViewPoints, decompose: DecomposeConfig, generator: np.random.Generator) -> ViewPoints:
    """One of ``point_interval`` of the salient points, drawn with replacement, odds proportional to saliency (SAFF)."""
    salient = np.flatnonzero(points.saliency > 0)
    count = -(-len(salient) // decompose.point_interval)
    if not count:
        return points[salient]
    odds = points.saliency[salient].astype(np.float64)
    return points[generator.choice(salient, count, replace=True, p=odds / odds.sum())]


def describe_points(
    points: ViewPoints, view: View, n_frames: int, use_position: bool, use_time: bool
) -> Float32[np.ndarray, "P D"]:
    """Descriptors of points, as those of pixels (nsff.decompose.descriptors)."""
    parts = [points.features]
    if use_position:
        parts.append(unit_length(points.normalised))
    if use_time:
        parts.append(np.full((len(points), 1), np.sign(2 * view.time / n_frames - 1), np.float32))
    return np.concatenate(parts, axis=1).astype(np.float32)
