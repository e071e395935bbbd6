"""Anchors, pixels of known inverse depth: the sparse points that a frame sees, else pixels triangulated along flow.

Pixels on the motion mask, and within a few pixels of it, are never anchors.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float
from tqdm import tqdm

from nsff.cameras.points import SparsePoints
from nsff.config import DepthConfig
from nsff.geometry.triangulation import Triangulation
from nsff.priors.depth.alignment import Anchors
from nsff.priors.depth.maps import read_map
from nsff.priors.depth.static_triangulation import SceneTriangulation, near_motion, smoothness
from nsff.scene import Scene

SURE = 0.1
"""Triangulated pixels below this confidence (an expected error of 15 %) are no anchors; the rest count by it."""
SMOOTH = 0.5
"""Triangulated pixels with a smoothness below this are no anchors: next to a step of depth flow mixes near and far."""
MOST = 4000
"""Triangulated anchors of a frame."""


def find_anchors(scene: Scene, depth: DepthConfig, folder: Path) -> list[Anchors]:
    """Anchors of every frame with the disparity that the maps in ``folder`` have there; some may be empty.

    Pixels of confidence 0 (a sensor that saw nothing) do not count. Raises StageError where points, flow, masks or a
    map are missing or corrupt.
    """
    points = SparsePoints.load(scene.points_path)
    triangulation: SceneTriangulation | None = None
    found = []
    for i in tqdm(range(scene.n_frames), desc="anchors of depth", unit="frame"):
        disparity, confidence = read_map(folder, i)
        usable = ~near_motion(scene.motion_mask(i)) & (confidence > 0)
        anchors = of_points(scene, points, i, disparity, usable)
        if len(anchors) < depth.align_min_points:
            # Made only where needed: it reads all flow.
            triangulation = triangulation or SceneTriangulation(scene, depth)
            dense = of_triangulation(triangulation(i), disparity, usable, seed=i)
            anchors = dense if len(dense) > len(anchors) else anchors
        found.append(anchors)
    return found


def of_points(
    scene: Scene, points: SparsePoints, i: int, disparity: Float[np.ndarray, "H W"], usable: Bool[np.ndarray, "H W"]
) -> Anchors:
    """The sparse points that frame i sees."""
    seen = points.seen_in(i)
    if not len(seen):
        return Anchors.nowhere()
    (uv,), (z,) = scene.cameras[[i]].project(points.xyz[seen])
    column, row = np.floor(np.nan_to_num(uv, nan=-1.0)).astype(int).T
    height, width = disparity.shape
    kept = (z > 0) & (column >= 0) & (column < width) & (row >= 0) & (row < height)
    kept[kept] = usable[row[kept], column[kept]]
    found = disparity[row[kept], column[kept]].astype(float)
    return Anchors(found, 1 / z[kept], np.ones(int(kept.sum())), at=uv[kept])


def of_triangulation(
    measured: Triangulation, disparity: Float[np.ndarray, "H W"], usable: Bool[np.ndarray, "H W"], seed: int
) -> Anchors:
    """Sure pixels of a triangulated frame, by their confidence; some of them where they are many."""
    sure = usable & (measured.confidence > SURE) & (smoothness(measured.inverse_depth) > SMOOTH)
    indices = np.flatnonzero(sure)
    if len(indices) > MOST:
        indices = np.sort(np.random.default_rng(seed).choice(indices, MOST, replace=False))
    inverse, weight = measured.inverse_depth.ravel()[indices], measured.confidence.ravel()[indices]
    at = np.stack(np.unravel_index(indices, disparity.shape)[::-1], axis=1) + 0.5
    return Anchors(
        disparity.ravel()[indices].astype(float), inverse.astype(float), weight.astype(float), "triangulation", at
    )
