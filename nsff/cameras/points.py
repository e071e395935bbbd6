"""Sparse points of structure from motion, with the frames that see them.

Notation. P points in world axes and scene units; T observations: point track_point[k] is seen in frame track_frame[k].
Depths are z along the optical axis.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float, Float64, Int64, UInt8

from nsff.cameras.model import Cameras
from nsff.files.io import read_npz, write_npz
from nsff.files.reading import reading


@dataclass(frozen=True)
class SparsePoints:
    """P points and T observations; both may be 0."""

    xyz: Float64[np.ndarray, "P 3"]
    rgb: UInt8[np.ndarray, "P 3"]
    error: Float64[np.ndarray, " P"]
    """Mean reprojection error, pixels; -1 where unknown."""
    track_point: Int64[np.ndarray, " T"]
    track_frame: Int64[np.ndarray, " T"]

    def __post_init__(self) -> None:
        for name, kind in (
            ("xyz", np.float64),
            ("rgb", np.uint8),
            ("error", np.float64),
            ("track_point", np.int64),
            ("track_frame", np.int64),
        ):
            object.__setattr__(self, name, np.asarray(getattr(self, name), dtype=kind))
        count = len(self.xyz)
        if self.xyz.shape != (count, 3) or self.rgb.shape != (count, 3) or self.error.shape != (count,):
            raise ValueError(f"points: xyz {self.xyz.shape}, rgb {self.rgb.shape}, error {self.error.shape} disagree")
        if self.track_point.shape != self.track_frame.shape or self.track_point.ndim != 1:
            raise ValueError(
                f"points: track_point {self.track_point.shape} and track_frame {self.track_frame.shape} disagree"
            )
        if not np.isfinite(self.xyz).all() or not np.isfinite(self.error).all():
            raise ValueError("points: positions or errors that are not finite")
        if len(self.track_point) and not (
            self.track_point.min() >= 0 and self.track_point.max() < count and self.track_frame.min() >= 0
        ):
            raise ValueError("points: a track names a point or frame that does not exist")

    def __len__(self) -> int:
        return len(self.xyz)

    @staticmethod
    def empty() -> SparsePoints:
        nothing = np.zeros(0)
        return SparsePoints(np.zeros((0, 3)), np.zeros((0, 3)), nothing, nothing, nothing)

    def seen_in(self, frame: int) -> Int64[np.ndarray, " p"]:
        """Indices of the points that frame ``frame`` sees, ascending."""
        return np.unique(self.track_point[self.track_frame == frame])

    def selected(self, frames: Sequence[int]) -> SparsePoints:
        """The points seen in ``frames`` alone, whose numbers become 0, 1, ... in the order given."""
        index_of = {frame: i for i, frame in enumerate(frames)}
        keep = np.isin(self.track_frame, list(index_of))
        points, track_point = np.unique(self.track_point[keep], return_inverse=True)
        track_frame = np.array([index_of[int(frame)] for frame in self.track_frame[keep]], dtype=np.int64)
        return SparsePoints(self.xyz[points], self.rgb[points], self.error[points], track_point, track_frame)

    def moved(self, scale: float, R: Float[np.ndarray, "3 3"], t: Float[np.ndarray, " 3"]) -> SparsePoints:
        """The points in the world X' = scale R X + t (as Cameras.moved)."""
        return replace(self, xyz=scale * self.xyz @ np.asarray(R).T + t)

    def save(self, path: Path) -> None:
        write_npz(path, **{field.name: getattr(self, field.name) for field in fields(self)})

    @staticmethod
    def load(path: Path) -> SparsePoints:
        """Reads points.npz; raises StageError naming the file and what is wrong."""
        arrays = read_npz(path, [field.name for field in fields(SparsePoints)])
        with reading(path, message="is no set of points"):
            return SparsePoints(**arrays)


def depth_bounds(
    cameras: Cameras, points: SparsePoints, percentiles: tuple[float, float] = (5.0, 95.0)
) -> Float64[np.ndarray, "N 2"]:
    """Near and far of each camera: percentiles of the depths of the points it sees (LLFF, NSFF save_poses_nerf).

    Points behind a camera do not count. A camera that sees none gets the median bounds of the others; ValueError if
    no camera sees any.
    """
    camera = np.einsum("tj,tj->t", cameras.world_to_camera[points.track_frame, 2, :3], points.xyz[points.track_point])
    depth = camera + cameras.world_to_camera[points.track_frame, 2, 3]
    bounds = np.full((len(cameras), 2), np.nan)
    for i in range(len(cameras)):
        seen = depth[(points.track_frame == i) & (depth > 0)]
        if len(seen):
            bounds[i] = np.percentile(seen, percentiles)
    missing = np.isnan(bounds[:, 0])
    if missing.all():
        raise ValueError("no camera sees any point")
    bounds[missing] = np.median(bounds[~missing], axis=0)
    return bounds
