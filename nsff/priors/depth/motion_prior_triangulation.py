"""Depth of moving things by triangulation with a motion prior: of all depths, those with which things move most evenly.

Notation. A node is a tracklet in one frame (nsff.tracking.tracklets); x (n,) is the logarithm of the factor on its
inverse depth. A track follows a pixel of frame t to t - k and t + k: X_j = C_j + exp(-x_j) Y_j are its world points, C
(3,) the camera's centres, Y (3,) the rays to the points that the maps have. Two residuals in pixels, f / |X_t - C_t|
times

    acceleration   X_(t+k) - 2 X_t + X_(t-k)          velocity   (X_(t+k) - X_(t-k)) / 2k

each split along the ray, where errors of the maps' shape show, and across it. What is minimised is

    sum over residuals of rho(r / s) + sum (x / sigma)^2 + sum over neighbouring frames of (dx / sigma)^2 + hinges,

rho soft (Charbonnier, then Cauchy), s the median size of a residual of its kind, so that each counts by how well the
depths can explain it. In pixels the residuals are linear in the inverse depth of a thing as a whole, which therefore is
not drawn towards the camera. A camera that stands still or only turns leaves the factor open, and so does one that
keeps a straight and even pace while the thing does too: then the deviation is large.

Source: bundle adjustment with priors of motion, Vo et al., Spatiotemporal Bundle Adjustment for Dynamic 3D
Reconstruction, 2016 (least kinetic energy, least force); trajectory triangulation, Avidan, Shashua 2000.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float64, Int
from scipy import sparse
from scipy.sparse import linalg

from nsff.imaging.differences import difference_rows

ACCELERATION = np.array([1.0, -2.0, 1.0])
VELOCITY = np.array([-0.5, 0.0, 0.5])
SMALLEST_SCALE = 1.0
"""Pixels; no residual counts as better known than that."""
LONGEST_STEP = 0.2
"""Largest change of x in one round."""
CONVEX_ROUNDS = 12
"""Rounds in which far residuals still pull, so that a wrong start is left; afterwards they hardly count."""


@dataclass(frozen=True)
class Tracks:
    """M pixels of moving things, each in three frames t - k, t, t + k."""

    centres: Float[np.ndarray, "M 3 3"]
    """Camera centres of the three frames, scene units."""
    offsets: Float[np.ndarray, "M 3 3"]
    """From there to the point that the maps have."""
    node: Int[np.ndarray, "M 3"]
    tracklet: Int[np.ndarray, " M"]
    frame: Int[np.ndarray, " M"]
    """t."""
    span: Int[np.ndarray, " M"]
    """k."""

    def __len__(self) -> int:
        return len(self.node)


@dataclass(frozen=True)
class Prior:
    """Knowledge of the n factors from other sources than motion."""

    deviation: Float[np.ndarray, " n"]
    """Standard deviation of x from 0; one observation for all nodes of a tracklet together."""
    tracklet: Int[np.ndarray, " n"]
    least: Float[np.ndarray, " n"]
    """x may hardly be below this; -inf where nothing is known."""
    links: Int[np.ndarray, "L 2"]
    """Pairs of nodes whose factors are alike."""
    link_deviation: float
    """Standard deviation of the difference of their x."""


@dataclass(frozen=True)
class Solution:
    log_factor: Float64[np.ndarray, " n"]
    """x: with the inverse depth of the maps times exp(x) things move most evenly."""
    deviation: Float64[np.ndarray, " n"]
    """Standard deviation of x by the curvature of what is minimised, all priors included."""


def triangulate_with_motion_prior(
    tracks: Tracks, prior: Prior, focal: float, velocity_weight: float = 1.0, rounds: int = 40
) -> Solution:
    """The factors of all nodes; ``focal`` in pixels. ``velocity_weight`` 1: all velocities of a tracklet count as
    one."""
    n = len(prior.deviation)
    x = np.zeros(n)
    kinds = _kinds(tracks, velocity_weight)
    for k in range(rounds):
        curvature, slope = _of_priors(x, prior)
        for kind in kinds:
            of_motion, pull = _of_motion(x, tracks, focal, kind, power=0.5 if k < CONVEX_ROUNDS else 1.0)
            curvature, slope = curvature + of_motion, slope + pull
        step = np.clip(-linalg.spsolve(curvature.tocsc(), slope), -LONGEST_STEP, LONGEST_STEP)
        x = x + step
        if k > CONVEX_ROUNDS and np.abs(step).max(initial=0) < 1e-4:
            break
    return Solution(x, np.sqrt(np.diag(np.linalg.inv(curvature.toarray()))))


@dataclass(frozen=True)
class _Kind:
    """One of the two residuals: its coefficients and the weight and family of every track."""

    coefficients: Float[np.ndarray, "M 3"]
    weight: Float[np.ndarray, " M"]
    family: Int[np.ndarray, " M"]
    """Number of the family of tracks whose residuals share one scale: those of one tracklet and span."""


def _kinds(tracks: Tracks, velocity_weight: float) -> list[_Kind]:
    """Tracks of a tracklet, frame and span count as one, and all spans and the two residuals' parts alike."""
    group = _numbered(tracks.tracklet, tracks.frame, tracks.span)
    weight = 1 / np.bincount(group)[group]
    # Accelerations of different frames are independent; a velocity lasts, so that all frames together count once.
    spans_of_frame = _distinct(_numbered(tracks.tracklet, tracks.frame), tracks.span)
    frames_of_tracklet = _distinct(tracks.tracklet, tracks.frame)
    family = _numbered(tracks.tracklet, tracks.span)
    acceleration = np.tile(ACCELERATION, (len(tracks), 1))
    velocity = VELOCITY / tracks.span[:, None]
    return [
        _Kind(acceleration, weight / spans_of_frame, family),
        _Kind(velocity, velocity_weight * weight / spans_of_frame / frames_of_tracklet, family),
    ]


def _numbered(*keys: np.ndarray) -> np.ndarray:
    """0.. for every distinct combination of the keys."""
    return np.unique(np.stack(keys, axis=1), axis=0, return_inverse=True)[1].ravel()


def _distinct(key: np.ndarray, value: np.ndarray) -> np.ndarray:
    """For each entry the number of distinct values that share its key."""
    key = np.unique(key, return_inverse=True)[1].ravel()
    pairs = np.unique(np.stack([key, value], axis=1), axis=0)
    return np.bincount(pairs[:, 0])[key]


def _of_motion(
    x: np.ndarray, tracks: Tracks, focal: float, kind: _Kind, power: float
) -> tuple[sparse.csr_matrix, np.ndarray]:
    """Curvature (Gauss-Newton) and slope of one kind of residual at x; ``power`` as in _soft."""
    lifted = np.exp(-x)[tracks.node][..., None] * tracks.offsets
    distance = np.linalg.norm(lifted[:, 1], axis=1)
    ray = lifted[:, 1] / distance[:, None]
    unit = (focal / distance)[:, None]
    residual = unit * np.einsum("mj,mjc->mc", kind.coefficients, tracks.centres + lifted)
    derivative = -unit[..., None] * kind.coefficients[..., None] * lifted
    derivative[:, 1] += residual  # the unit itself grows with the factor of frame t
    along = (residual * ray).sum(1)
    derivative_along = (derivative * ray[:, None]).sum(2)
    across = residual - along[:, None] * ray
    derivative_across = derivative - derivative_along[..., None] * ray[:, None]
    n, total = len(x), np.zeros(len(x))
    curvature = sparse.csr_matrix((n, n))
    for r, J in ((along[:, None], derivative_along[..., None]), (across, derivative_across)):
        weight = kind.weight * _soft(np.linalg.norm(r, axis=1), kind.family, power)
        for c in range(r.shape[1]):
            rows = np.repeat(np.arange(len(r)), 3)
            matrix = sparse.csr_matrix((J[..., c].ravel(), (rows, tracks.node.ravel())), shape=(len(r), n))
            weighted = matrix.multiply(weight[:, None]).tocsr()
            curvature, total = curvature + matrix.T @ weighted, total + weighted.T @ r[:, c]
    return curvature, total


def _soft(size: np.ndarray, family: np.ndarray, power: float) -> np.ndarray:
    """Weights of residuals by their size: 1/s^2 for those below the median s of their family, then falling with twice
    the ``power`` of size / s: 1/2 Charbonnier, 1 Cauchy.
    """
    scale = np.empty_like(size)
    for one in np.unique(family):
        own = family == one
        scale[own] = max(float(np.median(size[own])), SMALLEST_SCALE)
    return 1 / (scale**2 * (1 + (size / scale) ** 2) ** power)


def _of_priors(x: np.ndarray, prior: Prior) -> tuple[sparse.csr_matrix, np.ndarray]:
    tracklet = np.unique(prior.tracklet, return_inverse=True)[1].ravel()
    own = 1 / prior.deviation**2 / np.bincount(tracklet)[tracklet]
    diagonal, slope = own.copy(), own * x
    short = np.maximum(prior.least - x, 0)
    diagonal += (short > 0) * 400.0  # a twentieth behind counts as one deviation
    slope -= 400.0 * short
    curvature = sparse.diags(diagonal).tocsr()
    if len(prior.links):
        a, b = prior.links.T
        matrix = difference_rows(b, a, len(x))
        curvature = curvature + matrix.T @ matrix / prior.link_deviation**2
        slope = slope + matrix.T @ (x[a] - x[b]) / prior.link_deviation**2
    return curvature, slope
