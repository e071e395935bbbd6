"""The similarity X' = s R X + t that brings the truth's world onto ours, fitted to the cameras of the same frames.

Both camera positions and orientations count: positions alone leave the rotation open where the camera moves on a line.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from nsff.cameras import Cameras


@dataclass(frozen=True)
class Similarity:
    scale: float
    rotation: Float64[np.ndarray, "3 3"]
    translation: Float64[np.ndarray, "xyz=3"]
    position_error: float
    """Root mean square distance of the camera positions after the fit, as a fraction of their spread in our world."""
    rotation_error: float
    """Root mean square angle between the camera orientations after the fit, degrees."""

    def apply(self, cameras: Cameras) -> Cameras:
        """Cameras of the truth's world in ours."""
        return cameras.moved(self.scale, self.rotation, self.translation)

    def relative(self, view: Cameras, theirs: Cameras, ours: Cameras, time: float) -> Float64[np.ndarray, "3 4"]:
        """World to camera of a true view, carried from the frame nearest in time: true motion between the two, then
        our camera.

        Where our camera path is bent, this leaves out the bend between that frame and the rest.
        """
        i = int(np.clip(round(time), 0, len(ours) - 1))
        R_view, t_view = view.world_to_camera[0, :, :3], view.world_to_camera[0, :, 3]
        R_frame, t_frame = theirs.world_to_camera[i, :, :3], theirs.world_to_camera[i, :, 3]
        R = R_view @ R_frame.T
        t = self.scale * (t_view - R @ t_frame)
        own = ours.world_to_camera[i]
        return np.concatenate([R @ own[:, :3], (R @ own[:, 3] + t)[:, None]], axis=1)


def fit_similarity(theirs: Cameras, ours: Cameras, rounds: int = 5) -> Similarity:
    """Fits the truth's world to ours by the N cameras both know.

    Rotation: the closest to positions and orientations together (Umeyama 1991 on both, each normalised); scale and
    translation by least squares on the positions. Cameras far off lose weight in later rounds (Cauchy weights at
    twice the median distance).
    """
    if len(theirs) != len(ours):
        raise ValueError(f"{len(theirs)} true cameras, {len(ours)} of ours")
    x, y = theirs.centres, ours.centres
    spread = float(np.sqrt(((y - y.mean(0)) ** 2).sum(1).mean()))
    # R = A^T B for each camera, since A R = B for rotations A (ours) and B (theirs) of world to camera.
    turns = np.einsum("nij,nik->njk", ours.world_to_camera[:, :, :3], theirs.world_to_camera[:, :, :3])
    weights = np.ones(len(x))
    for _ in range(rounds):
        w = weights / weights.sum()
        x0, y0 = x - w @ x, y - w @ y
        size_x, size_y = np.sqrt(w @ (x0**2).sum(1)), np.sqrt(w @ (y0**2).sum(1))
        positions = np.einsum("n,ni,nj->ij", w, y0, x0) / max(size_x * size_y, 1e-12)
        U, _, Vt = np.linalg.svd(positions + np.einsum("n,nij->ij", w, turns))
        R = U @ np.diag([1.0, 1.0, np.linalg.det(U @ Vt)]) @ Vt
        scale = float(np.einsum("n,ni,ni->", w, y0, x0 @ R.T) / max(size_x**2, 1e-12))
        if scale <= 1e-9:
            # The paths have nothing in common, or do not move: sizes still do, and the residual tells.
            scale = float(size_y / size_x) if size_x > 1e-9 and size_y > 1e-9 else 1.0
        t = w @ y - scale * R @ (w @ x)
        distance = np.linalg.norm(y - (scale * x @ R.T + t), axis=1)
        limit = max(2 * float(np.median(distance)), 1e-9 * max(spread, 1e-9))
        weights = 1 / (1 + (distance / limit) ** 2)
    cosines = (np.einsum("nij,ij->n", turns, R) - 1) / 2
    angles = np.degrees(np.arccos(np.clip(cosines, -1, 1)))
    return Similarity(
        scale, R, t, float(np.sqrt((distance**2).mean()) / max(spread, 1e-9)), float(np.sqrt((angles**2).mean()))
    )
