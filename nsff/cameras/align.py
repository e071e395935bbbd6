"""Similarities between worlds that know the same cameras, and the pose errors left after them.

Notation. A similarity maps X' = s R X + t; it is fitted from N corresponding cameras, by their centres c (N,3) and,
where those leave a rotation open (cameras on a line or in one place), by their orientations. Extent is the diagonal
of the box around the centres. Sources: Umeyama (1991), least-squares similarity; Sturm et al. (2012), relative pose
error.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float64

from nsff.cameras.model import Cameras

# Centres whose second singular value is below this fraction of the first lie on a line as far as a rotation is
# concerned.
COLLINEAR = 0.05


@dataclass(frozen=True)
class Similarity:
    """X' = scale R X + t."""

    scale: float
    R: Float64[np.ndarray, "3 3"]
    t: Float64[np.ndarray, " 3"]

    def apply(self, points: Float[np.ndarray, "P 3"]) -> Float64[np.ndarray, "P 3"]:
        return self.scale * np.asarray(points) @ self.R.T + self.t

    def apply_cameras(self, cameras: Cameras) -> Cameras:
        """The same cameras seen in the new world; depth bounds scale along."""
        return cameras.moved(self.scale, self.R, self.t)

    def inverse(self) -> Similarity:
        return Similarity(1 / self.scale, self.R.T, -self.R.T @ self.t / self.scale)


@dataclass(frozen=True)
class PoseErrors:
    """Errors of estimated poses that remain after the best similarity to the true ones."""

    position_rmse: float
    """Root mean square distance of the centres, as a fraction of the extent of the true ones (0 if they coincide)."""
    rotation_mean: float
    """Mean angle in degrees between estimated and true relative rotations, over all pairs of cameras."""
    rotation_max: float
    """The largest such angle, degrees."""
    focal: float
    """Estimated over true focal length, both per image width, minus 1."""


def project_to_rotation(M: Float[np.ndarray, "*B 3 3"]) -> Float64[np.ndarray, "*B 3 3"]:
    """The proper rotation nearest to M (Frobenius), i.e. argmax_R trace(R^T M)."""
    U, _, Vt = np.linalg.svd(M)
    sign = np.ones(M.shape[:-1])
    sign[..., 2] = np.sign(np.linalg.det(U @ Vt))
    return (U * sign[..., None, :]) @ Vt


def umeyama(source: Float[np.ndarray, "N 3"], target: Float[np.ndarray, "N 3"]) -> Similarity:
    """The similarity that takes ``source`` to ``target`` with the least sum of squares (Umeyama 1991, eqs. 40-42).

    Raises ValueError for fewer than three points or points on a line, which leave the rotation open.

    >>> points = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
    >>> found = umeyama(points, 3 * points + [1.0, 2.0, 3.0])
    >>> round(found.scale, 6), found.t.round(6)
    (3.0, array([1., 2., 3.]))
    """
    source, target = np.asarray(source, float), np.asarray(target, float)
    if source.shape != target.shape or len(source) < 3:
        raise ValueError(f"a similarity needs at least three corresponding points, got {source.shape}, {target.shape}")
    if collinear(source) or collinear(target, 1e-9):
        raise ValueError("the points lie on a line: the rotation about it is open")
    a, b = source - source.mean(0), target - target.mean(0)
    R = project_to_rotation(b.T @ a)
    return _with_rotation(source, target, R)


def align(source: Cameras, target: Cameras) -> Similarity:
    """The similarity from the world of ``source`` to that of ``target``, camera i of one being camera i of the other.

    By the centres alone where they span a plane; otherwise (a straight path, two cameras, a rotating camera) the
    rotation comes from the orientations, and centres give scale and translation only. Where all centres coincide,
    scale is 1. Raises ValueError for sets of different sizes or none.
    """
    if len(source) != len(target) or len(source) == 0:
        raise ValueError(f"{len(source)} and {len(target)} cameras cannot be aligned")
    a, b = source.centres, target.centres
    if len(a) >= 3 and not collinear(a) and not collinear(b):
        return umeyama(a, b)
    # R R_i^T = R'_i^T for camera-to-world rotations R_i^T: average R'_i^T R_i.
    R = project_to_rotation(
        np.einsum("nji,njk->ik", target.world_to_camera[:, :, :3], source.world_to_camera[:, :, :3])
    )
    return _with_rotation(a, b, R)


def collinear(points: Float[np.ndarray, "N 3"], ratio: float = COLLINEAR) -> bool:
    """True if the points lie on a line (or in one place) within ``ratio`` of their spread along it."""
    singular = np.linalg.svd(points - points.mean(0), compute_uv=False)
    return bool(len(points) < 3 or singular[1] <= ratio * singular[0])


def extent(points: Float[np.ndarray, "N 3"]) -> float:
    """Diagonal of the box around the points."""
    return float(np.linalg.norm(np.ptp(points, axis=0)))


def pose_errors(estimated: Cameras, true: Cameras) -> PoseErrors:
    """Errors of ``estimated`` against ``true`` after `align`; camera i of one is camera i of the other."""
    moved = align(estimated, true).apply_cameras(estimated)
    rmse = float(np.sqrt(((moved.centres - true.centres) ** 2).sum(1).mean()))
    size = extent(true.centres)
    Re, Rt = estimated.world_to_camera[:, :, :3], true.world_to_camera[:, :, :3]
    first, second = np.triu_indices(len(true), 1)
    difference = np.einsum(
        "nij,nkj->nik",
        np.einsum("nij,nkj->nik", Re[first], Re[second]),
        np.einsum("nij,nkj->nik", Rt[first], Rt[second]),
    )
    angles = rotation_angle(difference) if len(first) else np.zeros(1)
    return PoseErrors(
        rmse / size if size > 0 else 0.0,
        float(angles.mean()),
        float(angles.max()),
        estimated.focal / estimated.width / (true.focal / true.width) - 1,
    )


def rotation_angle(R: Float[np.ndarray, "*B 3 3"]) -> Float64[np.ndarray, "*B"]:
    """Angle of rotations in degrees, 0..180, accurate for small angles too."""
    sine = np.linalg.norm(
        np.stack([R[..., 2, 1] - R[..., 1, 2], R[..., 0, 2] - R[..., 2, 0], R[..., 1, 0] - R[..., 0, 1]]), axis=0
    )
    return np.degrees(np.arctan2(sine, np.trace(R, axis1=-2, axis2=-1) - 1))


def _with_rotation(
    source: Float[np.ndarray, "N 3"], target: Float[np.ndarray, "N 3"], R: Float[np.ndarray, "3 3"]
) -> Similarity:
    """Least-squares scale and translation for a given rotation."""
    a, b = source - source.mean(0), target - target.mean(0)
    power = float((a**2).sum())
    scale = float((b * (a @ R.T)).sum() / power) if power > 1e-24 else 1.0
    scale = scale if scale > 0 else 1.0
    return Similarity(scale, R, target.mean(0) - scale * R @ source.mean(0))
