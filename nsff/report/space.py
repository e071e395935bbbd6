"""The camera's path, points that rest and tracks of what moves, as data of a drawing that turns under the pointer.

Coordinates are right, up and away of the mean camera (nsff.report.charts), as whole numbers of a cube of ±1000.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from nsff.cameras import Cameras
from nsff.report.charts import local_axes, within
from nsff.report.pictures import colour_map

POINTS = 2500
CUBE = 1000


def space_data(
    cameras: Cameras,
    points: Float[np.ndarray, "P 3"],
    colours: UInt8[np.ndarray, "P 3"],
    tracks: Float[np.ndarray, "T Q 3"] | None,
) -> dict[str, Any]:
    """``points``: [x, y, z, r, g, b] each; ``path``: the cameras; ``corners``: of frusta of some of them, four each;
    ``tracks``: runs of [x, y, z, r, g, b] from blue, the first frame, to red, the last.
    """
    axes, middle = local_axes(cameras), cameras.centres.mean(0)
    cloud, path = (points - middle) @ axes.T, (cameras.centres - middle) @ axes.T
    kept = np.flatnonzero(within(cloud))
    kept = kept if len(kept) <= POINTS else np.random.default_rng(0).choice(kept, POINTS, replace=False)
    cloud, colours = cloud[kept], colours[kept]
    moved = (tracks - middle) @ axes.T if tracks is not None else np.zeros((0, 0, 3))
    seen = moved[np.isfinite(moved).all(axis=2)]
    if len(seen):
        moved = np.where(_near(moved, seen)[..., None], moved, np.nan)
        seen = moved[np.isfinite(moved).all(axis=2)]
    every = np.concatenate([cloud, path, seen])
    centre = (every.min(0) + every.max(0)) / 2
    unit = CUBE / max(float(np.abs(every - centre).max()), 1e-9)

    def whole(p: np.ndarray) -> list[Any]:
        return np.round((p - centre) * unit).astype(int).tolist()

    some = np.arange(0, len(path), max(1, len(path) // 10))
    depth = max(0.25 * float(np.linalg.norm(np.ptp(path, axis=0))), 0.12 * float(np.median(cameras.near_far[:, 0])))
    shades = colour_map(np.arange(len(moved), dtype=float)[None], 0, max(len(moved) - 1, 1))[0].tolist()
    runs = []
    for q in range(moved.shape[1]):
        there = np.flatnonzero(np.isfinite(moved[:, q]).all(axis=1))
        if len(there) > 1:
            runs.append([[*p, *shades[t]] for p, t in zip(whole(moved[there, q]), there.tolist(), strict=True)])
    return {
        "points": [[*p, *c] for p, c in zip(whole(cloud), colours.tolist(), strict=True)],
        "path": whole(path),
        "frusta": [[whole(path[i : i + 1])[0], *whole(_corners(cameras, int(i), axes, depth) + path[i])] for i in some],
        "tracks": runs,
    }


def _corners(cameras: Cameras, i: int, axes: np.ndarray, depth: float) -> np.ndarray:
    """The picture's corners at a depth, from the camera's centre, in ``axes``."""
    w, h = cameras.width, cameras.height
    rays = np.array([[0, 0, 1], [w, 0, 1], [w, h, 1], [0, h, 1]]) @ np.linalg.inv(cameras.intrinsics[i]).T
    return depth * rays @ cameras.world_to_camera[i, :, :3] @ axes.T


def _near(moved: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Points of tracks that depth has not led far astray."""
    low, high = np.percentile(seen, [5, 95], axis=0)
    slack = 0.75 * (high - low) + 1e-9
    with np.errstate(invalid="ignore"):
        return ((moved >= low - slack) & (moved <= high + slack)).all(axis=2)
