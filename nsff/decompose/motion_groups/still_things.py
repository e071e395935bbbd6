"""Near things at the lower border of the picture that stand still: no objects.

What lies nearer than all points of structure from motion moves faster in the picture than depth allows, and motion
masks take it for a mover: a beam, a ledge or a plant beside the camera. Such things reach into the picture from below.
There a static point explains each of their trajectories over all frames, which it does for nothing that moves by
itself. Farther off, where a static point nearly explains a slow car too, the question is not asked.

Notation. N frames, P trajectories; positions as in nsff.tracking.point_tracks. Errors are pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Float64, Int64

from nsff.cameras import Cameras
from nsff.imaging.scale import REFERENCE_ROWS
from nsff.tracking.point_tracks import PointTracks

BORDER, AT_BORDER = 3.0, 0.9
"""Pixels at 288 rows from the lower border, and the share of its frames in which a near thing reaches there."""
STILL = 1.2
"""Pixels at 288 rows: median error of the static points of a thing that stands still."""
LEAST_FRAMES = 4
"""Shorter trajectories say nothing."""
LEAST_TRACKS = 5
"""With fewer trajectories nothing is said of a thing."""
ROUNDS = 4
"""Rounds of the fit, each weighted by the depths of the one before."""


def without_still_things(
    labels: Sequence[Int64[np.ndarray, "H W"]], tracks: PointTracks, cameras: Cameras
) -> list[Int64[np.ndarray, "H W"]]:
    """The labels without near things that stand still; numbers stay in their order, from 1 on."""
    count = max((int(one.max(initial=0)) for one in labels), default=0)
    lookup, fresh = np.zeros(count + 1, np.int64), 0
    for k in range(1, count + 1):
        if not _stands_still(labels, k, tracks, cameras):
            fresh += 1
            lookup[k] = fresh
    return [lookup[one] for one in labels]


def _stands_still(labels: Sequence[np.ndarray], k: int, tracks: PointTracks, cameras: Cameras) -> bool:
    rows = labels[0].shape[0] / REFERENCE_ROWS
    shown = [i for i, one in enumerate(labels) if (one == k).any()]
    thick = max(1, round(BORDER * rows))
    if np.mean([(labels[i][-thick:] == k).any() for i in shown]) < AT_BORDER:
        return False
    on, seen = np.zeros(len(tracks), int), tracks.alive.sum(0)
    for i in shown:
        alive = np.flatnonzero(tracks.alive[i])
        at = np.rint(tracks.positions[i, alive]).astype(int)
        on[alive] += labels[i][at[:, 1], at[:, 0]] == k
    own = (on > 0.5 * seen) & (seen >= LEAST_FRAMES)
    if own.sum() < LEAST_TRACKS:
        return False
    return bool(np.median(static_errors(tracks.positions[:, own], cameras)) <= STILL * rows)


def static_errors(positions: Float[np.ndarray, "N P 2"], cameras: Cameras) -> Float64[np.ndarray, "P"]:
    """Root mean square distance, over its frames, of each trajectory to the image of the static point nearest to it.

    Points come of linear triangulation (Hartley and Zisserman, Multiple View Geometry, 12.2), weighted anew by depth;
    inf where one lies behind a camera that sees it.
    """
    M = np.einsum("nij,njk->nik", cameras.intrinsics, cameras.world_to_camera)
    alive = np.isfinite(positions[..., 0])
    x = np.where(alive[..., None], positions.astype(np.float64) + 0.5, 0)
    weight = np.ones(alive.shape)
    for _ in range(ROUNDS):
        # (x_k M_3 - M_k) X = 0 for k = 1, 2, over the depth that X had.
        lines = x[..., None] * M[:, None, None, 2] - M[:, None, :2]
        lines = lines * (weight * alive)[..., None, None]
        system = np.einsum("npka,npkb->pab", lines, lines)
        X = np.linalg.eigh(system)[1][..., 0]
        there = np.einsum("nij,pj->npi", M, X)
        # A point's fourth coordinate may have either sign, and its depth has it too.
        forwards = np.where(X[:, 3] < 0, -1.0, 1.0)
        z = there[..., 2] * forwards
        weight = 1 / np.maximum(np.abs(z), 1e-9)
        weight /= np.median(weight, axis=0)
    image = there[..., :2] * forwards[:, None] / np.maximum(np.abs(z), 1e-12)[..., None]
    squared = ((image - x) ** 2).sum(-1) * alive
    errors = np.sqrt(squared.sum(0) / np.maximum(alive.sum(0), 1))
    return np.where((alive & (z <= 0)).any(0), np.inf, errors)
