"""Two-view geometry of flow: how far its end points lie from where a static world allows them.

Notation. x (H,W,2) are pixel centres (column + 0.5, row + 0.5) of the first view, x' = x + f in the second; K
intrinsics, T = [R|t] leads from the first camera to the second. A static pixel of inverse depth w lies at the image of
a + w b, a = K' R K^-1 x, b = K' t: w = 0 is infinity, and the line over all w is the epipolar line. Distances to whole
lines and to homographies are kornia's (nsff.geometry.two_view).
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Float64

from nsff.cameras import Cameras


def pixel_centres(height: int, width: int) -> Float64[np.ndarray, "H W 2"]:
    """(u, v) of every pixel centre, at +0.5."""
    v, u = np.mgrid[:height, :width] + 0.5
    return np.stack([u, v], axis=-1)


def relative_pose(cameras: Cameras, i: int, j: int) -> tuple[Float64[np.ndarray, "3 3"], Float64[np.ndarray, " 3"]]:
    """R, t with X_j = R X_i + t."""
    first, second = cameras.world_to_camera[i], cameras.world_to_camera[j]
    R = second[:, :3] @ first[:, :3].T
    return R, second[:, 3] - R @ first[:, 3]


def epipolar_curve(
    cameras: Cameras, i: int, j: int, x: Float[np.ndarray, "... 2"]
) -> tuple[Float64[np.ndarray, "... 3"], Float64[np.ndarray, " 3"]]:
    """a and b: pixels x of view i at inverse depth w are seen in view j at the homogeneous point a + w b."""
    R, t = relative_pose(cameras, i, j)
    K_i, K_j = cameras.intrinsics[i], cameras.intrinsics[j]
    return _homogeneous(x) @ (K_j @ R @ np.linalg.inv(K_i)).T, K_j @ t


def curve_distance(
    cameras: Cameras, i: int, j: int, x: Float[np.ndarray, "... 2"], x_other: Float[np.ndarray, "... 2"]
) -> Float64[np.ndarray, " ..."]:
    """Pixels between x' and the epipolar line of x, whatever the depth: what the published masks measure (two_view),
    for stages without torch."""
    line = np.cross(*epipolar_curve(cameras, i, j, x))
    return np.abs((_homogeneous(x_other) * line).sum(-1)) / (np.hypot(line[..., 0], line[..., 1]) + 1e-8)


def segment_distance(
    cameras: Cameras, i: int, j: int, x: Float[np.ndarray, "... 2"], x_other: Float[np.ndarray, "... 2"], nearest: float
) -> Float64[np.ndarray, " ..."]:
    """Pixels between x' and the part of the epipolar line that depths from ``nearest`` (scene units) to infinity fill.

    Unlike the distance to the whole line, this sees things that move along it, as soon as no depth can explain them;
    and for a camera that only turns, the segment is a point and this is the residual of the rotation.
    """
    return np.linalg.norm(x_other - segment_nearest(cameras, i, j, x, x_other, nearest), axis=-1)


def segment_nearest(
    cameras: Cameras, i: int, j: int, x: Float[np.ndarray, "... 2"], x_other: Float[np.ndarray, "... 2"], nearest: float
) -> Float64[np.ndarray, "... 2"]:
    """The position nearest to x' at which view j may see the pixels x of view i if they are static and no nearer than
    ``nearest``."""
    a, b = epipolar_curve(cameras, i, j, x)
    close = a + b / nearest
    # Where the nearest depth lies behind the second camera the segment runs on to the far end of the line.
    behind = close[..., 2] < 1e-3 * a[..., 2]
    start = a[..., :2] / a[..., 2:]
    w_limit = np.where(b[2] < 0, -0.999 * a[..., 2] / min(b[2], -1e-12), 1 / nearest)
    w = np.where(behind, w_limit, 1 / nearest)
    end = a + w[..., None] * b
    span = end[..., :2] / end[..., 2:] - start
    length_squared = (span**2).sum(-1)
    along = np.clip(((x_other - start) * span).sum(-1) / np.maximum(length_squared, 1e-12), 0, 1)
    return start + along[..., None] * span


def has_parallax(cameras: Cameras, i: int, j: int, nearest: float, pixels: float = 0.25) -> bool:
    """Whether a point in mid-view at depth ``nearest`` shifts by more than ``pixels`` against infinity."""
    centre = np.array([cameras.width / 2, cameras.height / 2])
    a, b = epipolar_curve(cameras, i, j, centre)
    close = a + b / nearest
    if close[2] <= 0 or a[2] <= 0:
        return True
    forward = abs(b[2] / nearest / a[2]) * cameras.height / 4  # motion along the axis shifts the rim, not the middle
    return bool(np.hypot(*(close[:2] / close[2] - a[:2] / a[2])) > pixels or forward > pixels)


def infinity_homography(cameras: Cameras, i: int, j: int) -> Float64[np.ndarray, "3 3"]:
    """K' R K^-1: where view j sees points of view i at infinity."""
    R, _ = relative_pose(cameras, i, j)
    return cameras.intrinsics[j] @ R @ np.linalg.inv(cameras.intrinsics[i])


def _homogeneous(x: Float[np.ndarray, "... 2"]) -> Float64[np.ndarray, "... 3"]:
    return np.concatenate([x, np.ones((*x.shape[:-1], 1))], axis=-1)
