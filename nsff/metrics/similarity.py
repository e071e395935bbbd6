"""The similarity X' = s R X + t that brings the truth's world onto ours, from the cameras of the same frames.

Unlike ``nsff.cameras.align.align`` positions and orientations always count together, and wild cameras lose weight: on
a short arc, which nearly is a line, positions alone leave the rotation about it to their noise.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64

from nsff.cameras import Cameras
from nsff.cameras.align import Similarity, project_to_rotation

SMALL = 1e-12


def fit_similarity(theirs: Cameras, ours: Cameras, rounds: int = 5) -> Similarity:
    """Fits the truth's world to ours by the N cameras both know.

    Rotation: closest to the normalised positions and to the orientations together; scale and translation by least
    squares on the positions (Umeyama 1991). Cameras far off lose weight in later rounds (Cauchy weights at twice the
    median distance). Where positions say nothing about the scale, it is that of the paths' spreads, or 1.
    """
    if len(theirs) != len(ours):
        raise ValueError(f"{len(theirs)} true cameras, {len(ours)} of ours")
    x, y = theirs.centres, ours.centres
    # R = A^T B for each camera, since A R = B for rotations A (ours) and B (theirs) of world to camera.
    turns = np.einsum("nij,nik->njk", ours.world_to_camera[:, :, :3], theirs.world_to_camera[:, :, :3])
    weights = np.ones(len(x))
    for _ in range(rounds):
        w = weights / weights.sum()
        x0, y0 = x - w @ x, y - w @ y
        size_x, size_y = np.sqrt(w @ (x0**2).sum(1)), np.sqrt(w @ (y0**2).sum(1))
        positions = np.einsum("n,ni,nj->ij", w, y0, x0) / max(size_x * size_y, SMALL)
        R = project_to_rotation(positions + np.einsum("n,nij->ij", w, turns))
        scale = float(np.einsum("n,ni,ni->", w, y0, x0 @ R.T) / max(size_x**2, SMALL))
        if scale <= SMALL:
            scale = float(size_y / size_x) if min(size_x, size_y) > SMALL else 1.0
        t = w @ y - scale * R @ (w @ x)
        distance = np.linalg.norm(y - (scale * x @ R.T + t), axis=1)
        weights = 1 / (1 + (distance / max(2 * float(np.median(distance)), 1e-9 * size_y, SMALL)) ** 2)
    return Similarity(scale, R, t)


def carried(
    view: Cameras, theirs: Cameras, ours: Cameras, similarity: Similarity, time: float
) -> Float64[np.ndarray, "3 4"]:
    """World to camera of a true view, carried from the frame nearest in time: our camera there, then the true motion
    to the view.

    Where our camera path is bent, this leaves out the bend between that frame and the rest.
    """
    i = int(np.clip(round(time), 0, len(ours) - 1))
    R_view, t_view = view.world_to_camera[0, :, :3], view.world_to_camera[0, :, 3]
    R_frame, t_frame = theirs.world_to_camera[i, :, :3], theirs.world_to_camera[i, :, 3]
    R = R_view @ R_frame.T
    t = similarity.scale * (t_view - R @ t_frame)
    own = ours.world_to_camera[i]
    return np.concatenate([R @ own[:, :3], (R @ own[:, 3] + t)[:, None]], axis=1)
