"""LLFF's poses_bounds.npy to and from Cameras.

Notation. Each of the N rows holds 17 numbers: a 3x5 matrix, row-major, and near, far. The matrix is camera-to-world
with the columns (down, right, backward), the camera centre, and (h, w, f) in pixels. Cameras are OpenCV: the columns of
the rotation of camera-to-world are (right, down, forward). Depth bounds and lengths are in scene units.
Source: LLFF (Mildenhall et al. 2019), imgs2poses; NSFF save_poses_nerf.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Float64

from nsff.cameras.model import Cameras
from nsff.errors import InputError
from nsff.files.arrays import load
from nsff.files.io import atomic_path
from nsff.files.reading import reading


def poses_bounds(cameras: Cameras) -> Float64[np.ndarray, "N 17"]:
    """The rows of poses_bounds.npy.

    The format knows one focal length (fx is taken) and a principal point at the image centre; the rest is lost.
    """
    right, down, forward, centre = np.moveaxis(cameras.camera_to_world, 2, 0)
    size = np.stack(
        [np.full(len(cameras), cameras.height), np.full(len(cameras), cameras.width), cameras.intrinsics[:, 0, 0]],
        axis=1,
    )
    matrix = np.stack([down, right, -forward, centre, size], axis=2)
    return np.concatenate([matrix.reshape(-1, 15), cameras.near_far], axis=1)


def cameras_from_poses_bounds(rows: Float64[np.ndarray, "N 17"]) -> Cameras:
    """Cameras from the rows of poses_bounds.npy; raises ValueError that says what is wrong with them."""
    rows = np.asarray(rows)
    if rows.ndim != 2 or rows.shape[1] != 17 or len(rows) == 0:
        raise ValueError(f"has shape {rows.shape}, expected (number of frames, 17)")
    if rows.dtype.kind not in "fiu":
        raise ValueError(f"holds {rows.dtype}, not numbers")
    rows = rows.astype(np.float64)
    if not np.isfinite(rows).all():
        raise ValueError(f"row {int(np.flatnonzero(~np.isfinite(rows).all(axis=1))[0])} has values that are not finite")
    matrix = rows[:, :15].reshape(-1, 3, 5)
    down, right, backward, centre, size = np.moveaxis(matrix, 2, 0)
    height, width, focal = size.T
    if not (np.all(height == height[0]) and np.all(width == width[0])):
        raise ValueError("has frames of different sizes")
    if height[0] < 1 or width[0] < 1 or (focal <= 0).any():
        raise ValueError(f"has size {width[0]:g}x{height[0]:g} and least focal length {focal.min():g}")
    rotation = np.stack([right, down, -backward], axis=2)
    if (
        not np.allclose(rotation.transpose(0, 2, 1) @ rotation, np.eye(3), atol=1e-3)
        or (np.linalg.det(rotation) < 0).any()
    ):
        raise ValueError("has a pose whose columns (down, right, backward) are no rotation")
    near_far = rows[:, 15:]
    if (near_far[:, 0] <= 0).any() or (near_far[:, 1] <= near_far[:, 0]).any():
        raise ValueError("has depth bounds that are not 0 < near < far")
    inverse = rotation.transpose(0, 2, 1)
    intrinsics = np.zeros((len(rows), 3, 3))
    intrinsics[:, 0, 0] = intrinsics[:, 1, 1] = focal
    intrinsics[:, 0, 2], intrinsics[:, 1, 2], intrinsics[:, 2, 2] = width / 2, height / 2, 1.0
    return Cameras(
        intrinsics,
        np.concatenate([inverse, -inverse @ centre[:, :, None]], axis=2),
        near_far,
        int(width[0]),
        int(height[0]),
    )


def write_poses_bounds(path: Path, cameras: Cameras) -> None:
    """Writes poses_bounds.npy, (N,17) float64."""
    with atomic_path(path) as temporary:
        np.save(temporary, poses_bounds(cameras), allow_pickle=False)


def read_poses_bounds(path: Path) -> Cameras:
    """Reads poses_bounds.npy; raises InputError naming the file and what is wrong."""
    remedy = "make it again (LLFF: imgs2poses), or set input.cameras: estimate"
    with reading(path, remedy, InputError, "give a folder with poses_bounds.npy, or set input.cameras: estimate"):
        rows = load(path)
        try:
            return cameras_from_poses_bounds(rows)
        except ValueError as error:
            raise InputError(path, str(error), remedy) from None
