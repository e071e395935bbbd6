"""Inverse depth of pixels of something that moves, from flow to several frames at once; each has a velocity of its own.

Notation. A pixel of frame t lies at inverse depth w and moves by V, scene units, in each frame. A motion of the whole
thing that is known already is undone in the poses: from camera j, placed so, the thing would stand still but for V. Its
image in frame j = t + n is that of a + w b + n K_j R_j u, u = w V (a, b: nsff.geometry.epipolar), so that flow makes
two equations in each frame that are linear in (w, u). What is minimised for each pixel is

    sum over j of rho(e_j / s_j) + ((w - w0) / (RANGE w0))^2 + (focal |u| / speed)^2,

e_j the distance in pixels between that image and where flow leads, s_j^2 = FLOW_ERROR^2 |n| + (UNEVEN speed)^2 n^4,
since a velocity lasts only for a while, and rho soft (Cauchy). focal |u| is the velocity in pixels a frame, so that
speed is what is expected of it: with little of it depth is that of triangulation; where the camera moves evenly and
speed is large, motion and depth cannot be told from each other, and the deviation says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float, Float64

from nsff.cameras import Cameras
from nsff.geometry.epipolar import epipolar_curve
from nsff.priors.depth.turning import FLOW_ERROR, TAIL, Sight

RANGE = 0.1
"""Relative standard deviation of w before flow is looked at."""
UNEVEN = 0.15
"""Change of the velocity from one frame to the next, as a part of ``speed`` (chosen on flag)."""
ROUNDS = 8


def triangulate_steady(
    cameras: Cameras,
    t: int,
    at: Float[np.ndarray, "P 2"],
    inverse_depth: float,
    sights: Sequence[Sight],
    poses: Float[np.ndarray, "J 3 4"],
    speed: float,
) -> tuple[Float64[np.ndarray, " P"], Float64[np.ndarray, " P"]]:
    """w and its standard deviation for pixels ``at`` of frame ``t`` (centres at +0.5), in 1/scene units.

    ``inverse_depth`` is w0, ``poses`` the world to camera of each of the ``sights``, with the motion of the thing
    undone, ``speed`` in pixels a frame. A pixel that no sight knows keeps w0, with the deviation RANGE w0.
    """
    world_to_camera = cameras.world_to_camera.copy()
    rows, rights, known = [], [], []
    for sight, pose in zip(sights, poses, strict=True):
        j, steps = sight.frame, sight.frame - t
        world_to_camera[j] = pose
        a, b = epipolar_curve(replace(cameras, world_to_camera=world_to_camera), t, j, at)
        moving = steps * cameras.intrinsics[j] @ pose[:, :3]
        # x'_k (a_3 + w b_3 + m_3 u) = a_k + w b_k + m_k u for k = 1, 2.
        row = np.concatenate([
            (b[:2] - sight.to * b[2])[..., None], moving[:2] - sight.to[..., None] * moving[2]
        ], axis=-1)  # fmt: skip
        depth = np.maximum(np.abs(a[:, 2] + inverse_depth * b[2]), 1e-9)
        scale = 1 / depth / np.hypot(FLOW_ERROR * np.sqrt(abs(steps)), UNEVEN * speed * steps**2)
        rows.append(row * scale[:, None, None])
        rights.append((sight.to * a[:, 2:] - a[:, :2]) * scale[:, None])
        known.append(sight.known)
    return _minimum(np.stack(rows, 1), np.stack(rights, 1), np.stack(known, 1), inverse_depth, cameras.focal / speed)


def _minimum(
    rows: Float[np.ndarray, "P J 2 4"],
    rights: Float[np.ndarray, "P J 2"],
    known: np.ndarray,
    inverse_depth: float,
    slowness: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Iteratively reweighted least squares."""
    expected = 1 / (RANGE * inverse_depth) ** 2
    prior, pull = np.diag([expected, *[slowness**2] * 3]), np.array([expected * inverse_depth, 0, 0, 0])
    curvatures = rows.swapaxes(-1, -2) @ rows
    slopes = np.einsum("pjck,pjc->pjk", rows, rights)
    weight = known.astype(float)
    for _ in range(ROUNDS):
        curvature = (weight[..., None, None] * curvatures).sum(1) + prior
        found = np.linalg.solve(curvature, ((weight[..., None] * slopes).sum(1) + pull)[..., None])
        error = ((rows @ found[:, None])[..., 0] - rights) ** 2
        weight = known / (1 + error.sum(-1) / TAIL)
    return found[:, 0, 0], np.sqrt(np.linalg.inv(curvature)[:, 0, 0])
