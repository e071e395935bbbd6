"""Points followed through a clip: trajectories on a grid, chained from flow between neighbouring frames.

Notation. N frames, P trajectories. Positions are (u, v) in pixels, pixel centres at whole numbers: the pixel in column
u and row v. A trajectory lives from its birth until its flow is inconsistent or leads out of the picture, and is NaN
before and after. Where trajectories have thinned out (uncovered ground, the picture's border) new ones begin.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float32

from nsff.imaging.flow_sampling import FlowAndMask

CONSISTENT = 0.6
"""Share of a bilinear reading that must be consistent flow for a trajectory to go on."""


@dataclass(frozen=True)
class PointTracks:
    """P trajectories through N frames."""

    positions: Float32[np.ndarray, "N P 2"]
    """NaN where a trajectory does not live."""

    @property
    def alive(self) -> Bool[np.ndarray, "N P"]:
        return np.isfinite(self.positions[..., 0])

    def __len__(self) -> int:
        return self.positions.shape[1]

    def sample(self, frame: int, values: np.ndarray) -> np.ndarray:
        """Values (H,W) or (H,W,C) of a frame at the trajectories, bilinear; NaN where they do not live."""
        return sample_points(values, self.positions[frame])


def sample_points(values: np.ndarray, points: Float32[np.ndarray, "P 2"]) -> np.ndarray:
    """Bilinear values of a map (H,W) or (H,W,C) at points (u, v); NaN for points that are NaN.

    >>> sample_points(np.float32([[0, 1], [2, 3]]), np.float32([[0.5, 1]]))
    array([2.5], dtype=float32)
    """
    known = np.isfinite(points[:, 0])
    channels = values.shape[2:]
    result = np.full((len(points), *channels), np.nan, np.float32)
    if known.any():
        u, v = (np.ascontiguousarray(points[known, k][:, None]) for k in (0, 1))
        # cv2.remap takes no more than 32767 rows.
        parts = [
            cv2.remap(values.astype(np.float32), u[a : a + 30000], v[a : a + 30000], cv2.INTER_LINEAR,
                      borderMode=cv2.BORDER_REPLICATE)
            for a in range(0, len(u), 30000)
        ]  # fmt: skip
        result[known] = np.concatenate(parts).reshape(-1, *channels)
    return result


def track_points(link: Callable[[int, int], FlowAndMask], count: int, size: tuple[int, int], step: int) -> PointTracks:
    """Trajectories of points ``step`` pixels apart through a clip of ``count`` frames of ``size`` (H, W).

    ``link(i, j)`` is flow from frame i to its neighbour j and its mask, as for ``chain_flows``. Example: for a still
    camera and a still scene every grid point is one trajectory through all frames.
    """
    height, width = size
    grid = np.stack(np.meshgrid(np.arange(step // 2, width, step), np.arange(step // 2, height, step)), -1)
    grid = grid.reshape(-1, 2).astype(np.float32)
    cells = (-(-height // step), -(-width // step))
    current, rows = grid.copy(), np.arange(len(grid))
    frames: list[tuple[np.ndarray, np.ndarray]] = [(rows, current)]
    total = len(grid)
    for i in range(count - 1):
        flow, mask = link(i, i + 1)
        ahead = current + sample_points(flow, current)
        u, v = ahead.T
        going = sample_points(mask.astype(np.float32), current) > CONSISTENT
        going &= (u >= 0) & (v >= 0) & (u <= width - 1) & (v <= height - 1)
        rows, current = rows[going], ahead[going]
        taken = np.zeros(cells, bool)
        at = (current / step).astype(int)
        taken[at[:, 1].clip(0, cells[0] - 1), at[:, 0].clip(0, cells[1] - 1)] = True
        fresh = grid[~taken[(grid[:, 1] // step).astype(int), (grid[:, 0] // step).astype(int)]]
        rows = np.concatenate([rows, total + np.arange(len(fresh))])
        current = np.concatenate([current, fresh])
        total += len(fresh)
        frames.append((rows, current))
    positions = np.full((count, total, 2), np.nan, np.float32)
    for i, (rows, points) in enumerate(frames):
        positions[i, rows] = points
    return PointTracks(positions)
