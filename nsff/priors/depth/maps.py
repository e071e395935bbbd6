"""Maps of disparity as every backend of depth writes them, and what the sparse points say of them.

Notation. Disparity (H,W) is 1/z along the optical axis; confidence (H,W) is in [0,1]: 1/2 where the error of the
inverse depth is expected to be 5 %.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Float, Float32, Float64

from nsff.cameras.points import SparsePoints
from nsff.files.io import read_npz
from nsff.layout import depth_name
from nsff.scene import Scene, write_disparity


def write_map(folder: Path, i: int, disparity: Float[np.ndarray, "H W"], confidence: Float[np.ndarray, "H W"]) -> None:
    """Writes the map of frame i: disparity as float32, confidence as float16."""
    write_disparity(folder / depth_name(i), disparity, confidence)


def plausible_bounds(near_far: Float[np.ndarray, " 2"]) -> tuple[float, float]:
    """Least and largest plausible disparity; the cameras' bounds come from points that may miss some of the scene."""
    near, far = near_far
    return 0.5 / float(far), 2.0 / float(near)


def point_ratios(scene: Scene, folder: Path) -> Float64[np.ndarray, " T"]:
    """Disparity of the sparse points, as their frames' maps say it, over their true one; one value per observation.

    Empty without points. Observations outside the picture or behind the camera are left out.
    """
    points = SparsePoints.load(scene.points_path)
    if not len(points.track_point):
        return np.zeros(0)
    height, width = scene.size
    ratios = []
    for i in range(scene.n_frames):
        seen = points.track_point[points.track_frame == i]
        if not len(seen):
            continue
        (uv,), (z,) = scene.cameras[[i]].project(points.xyz[seen])
        column, row = np.floor(uv).astype(int).T
        ok = (z > 0) & (column >= 0) & (column < width) & (row >= 0) & (row < height)
        disparity = read_npz(folder / depth_name(i), ["disparity"])["disparity"]
        ratios.append(disparity[row[ok], column[ok]] * z[ok])
    return np.concatenate(ratios) if ratios else np.zeros(0)


def read_map(folder: Path, i: int) -> tuple[Float32[np.ndarray, "H W"], Float32[np.ndarray, "H W"]]:
    """Disparity and confidence of frame i, as write_map left them."""
    arrays = read_npz(folder / depth_name(i), ["disparity", "confidence"])
    return arrays["disparity"].astype(np.float32), arrays["confidence"].astype(np.float32)


def inverse(depth: Float32[np.ndarray, "h w"]) -> Float32[np.ndarray, "h w"]:
    """1 / depth; depths below a thousandth of the median count as that, since they would be infinitely near."""
    return 1 / np.maximum(depth, max(1e-3 * float(np.median(depth)), 1e-6))
