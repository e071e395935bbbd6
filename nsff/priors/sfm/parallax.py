"""The parallax of a clip: the part of its matches that no camera explains that only turns and zooms.

Notation. Matches a, b (M,2) of two frames are pixels of the working size from the principal point. A camera that stays
at its place maps a ray of one frame to the other by a rotation R and two focal lengths f, g, through a lens with radial
distortion k:

    b = g d(pi(R (u(a / f), 1)))    d(x) = x (1 + k |x|^2),  u = d^-1,  pi(x, y, z) = (x, y) / z

R, f, g and k are fitted robustly; what is left over is parallax, or noise. A single plane can be such a picture, too
(straight towards a wall looks like zooming): it has no depth to tell either. Source of the rotation that fits best:
Kabsch 1976; of conjugate rotations: Hartley and Zisserman, chapter 8.4.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

from nsff.priors.sfm.features import FeatureDatabase

MOST_PAIRS = 40
"""So many pairs of frames are looked at, spread over those with enough matches, the far apart ones first."""
LEAST_MATCHES = 40
MOST_MATCHES = 300
"""Most matches of a pair that are used, evenly taken."""
QUANTILE = 0.8
"""Quantile over the matches of a pair: a fifth may be wrong, or lie on moving objects outside the masks."""
WIDEST = 0.9
"""Quantile over the pairs: some must show depth, not all."""
FIRST_FOCAL = 1.2
"""Over the longer side."""


@dataclass(frozen=True)
class Parallax:
    """The parallax that the matches of a clip show, pixels of the working size."""

    residual: float
    """Distance that turning and zooming leave unexplained, in the pairs with the most of it."""
    shift: float
    """Median shift of the matches in the pairs that shift most."""
    pairs: int
    """Number of pairs that were looked at."""


def parallax(database: FeatureDatabase) -> Parallax | None:
    """The parallax of a clip by its verified matches; None where no pair has enough of them."""
    matches = [pair for pair in database.verified() if len(pair.first) >= LEAST_MATCHES]
    if not matches:
        return None
    # Pairs far apart in time show most; some of every distance are taken, as a path may come back to where it was.
    matches.sort(key=lambda pair: (pair.i - pair.j, pair.i))
    far = matches[: max(1, len(matches) // 2)]
    chosen = [far[k] for k in np.unique(np.linspace(0, len(far) - 1, MOST_PAIRS).astype(int))]
    centre, longer = np.array(database.principal_point), max(database.width, database.height)
    left, shifts = [], []
    for pair in chosen:
        some = np.unique(np.linspace(0, len(pair.first) - 1, MOST_MATCHES).astype(int))
        size = unexplained(pair.first[some] - centre, pair.second[some] - centre, longer)
        left.append(np.quantile(size, QUANTILE))
        shifts.append(np.median(np.linalg.norm(pair.second - pair.first, axis=1)))
    return Parallax(float(np.quantile(left, WIDEST)), float(np.quantile(shifts, WIDEST)), len(chosen))


def unexplained(
    first: Float[np.ndarray, "M 2"], second: Float[np.ndarray, "M 2"], longer: float
) -> Float[np.ndarray, " M"]:
    """Distances in pixels of the end points of matches from where the best rotation and zoom takes them. ``longer``:
    the image side."""
    focal = FIRST_FOCAL * longer
    start = Rotation.align_vectors(with_unit_depth(second / focal), with_unit_depth(first / focal))[0].as_rotvec()
    unknowns = np.r_[start, 0.0, 0.0, 0.0]
    low = np.r_[np.full(3, -np.pi), np.full(2, np.log(0.3)), -0.4]

    def misses(x: Float[np.ndarray, " 6"]) -> Float[np.ndarray, "M 2"]:
        f, g, k = focal * np.exp(x[3]), focal * np.exp(x[4]), x[5]
        turned = Rotation.from_rotvec(x[:3]).apply(with_unit_depth(straightened(first / f, k)))
        plane = turned[:, :2] / np.maximum(turned[:, 2:], 1e-3)
        return g * plane * (1 + k * (plane**2).sum(1, keepdims=True)) - second

    found = least_squares(
        lambda x: misses(x).ravel(), unknowns, bounds=(low, -low), loss="soft_l1",
        x_scale=[0.01, 0.01, 0.01, 0.1, 0.1, 0.1], max_nfev=60,
    )  # fmt: skip
    return np.linalg.norm(misses(found.x), axis=1)


def with_unit_depth(plane: Float[np.ndarray, "M 2"]) -> Float[np.ndarray, "M 3"]:
    return np.concatenate([plane, np.ones((len(plane), 1))], axis=1)


def straightened(seen: Float[np.ndarray, "M 2"], k: float) -> Float[np.ndarray, "M 2"]:
    """Positions without distortion, by a few fixed-point steps."""
    x = seen
    for _ in range(4):
        x = seen / np.maximum(1 + k * (x**2).sum(1, keepdims=True), 0.3)
    return x
