"""A focal length to begin with, from the two-view geometry of many pairs of frames.

Notation. F (3,3) is the fundamental matrix of a pair, for positions over the longer image side, from the principal
point; K = diag(f, f, 1). With the right f, E = K F K is an essential matrix: its two larger singular values s1 >= s2
are equal. Each pair has a cost (s1 - s2) / (s1 + s2) for every f of a grid; one pair may be mistaken by far (a plane, a
camera that looks where it goes), the median over the pairs is not. Source of the condition: Mendonça and Cipolla 1999;
of F from many matches: Hartley 1997.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from nsff.priors.sfm.features import FeatureDatabase

LEAST_MATCHES = 60
MOST_PAIRS = 1000
LEAST_PAIRS = 10
"""Fewer pairs are no majority."""
RANGE = (0.5, 2.6)
"""Focal lengths that are asked, over the longer image side."""
STEPS = 80


def focal_by_pairs(database: FeatureDatabase) -> float | None:
    """The focal length (working pixels) that most verified pairs agree with; None where there are too few of them."""
    matches = [pair for pair in database.verified() if len(pair.first) >= LEAST_MATCHES]
    if len(matches) < LEAST_PAIRS:
        return None
    chosen = np.unique(np.linspace(0, len(matches) - 1, MOST_PAIRS).astype(int))
    centre, longer = np.array(database.principal_point), max(database.width, database.height)
    grid = np.geomspace(*RANGE, STEPS)
    costs = [
        essential_costs(
            fundamental_matrix((matches[k].first - centre) / longer, (matches[k].second - centre) / longer), grid
        )
        for k in chosen
    ]
    return float(grid[np.median(costs, axis=0).argmin()] * longer)


def fundamental_matrix(first: Float[np.ndarray, "M 2"], second: Float[np.ndarray, "M 2"]) -> Float[np.ndarray, "3 3"]:
    """The fundamental matrix of rank 2 with least algebraic error, of M >= 8 matches (second^T F first = 0)."""
    N = np.diag([*np.repeat(1 / max(float(np.std(first)), 1e-9), 2), 1.0])
    x, y = (np.concatenate([at, np.ones((len(at), 1))], axis=1) @ N for at in (first, second))
    equations = np.einsum("ni,nj->nij", y, x).reshape(len(x), 9)
    F = np.linalg.eigh(equations.T @ equations)[1][:, 0].reshape(3, 3)
    U, s, V = np.linalg.svd(F)
    return N @ (U * [s[0], s[1], 0]) @ V @ N


def essential_costs(F: Float[np.ndarray, "3 3"], focals: Float[np.ndarray, " G"]) -> Float[np.ndarray, " G"]:
    """Distance of F from an essential matrix for each focal length: 0 where it is one, at most 1."""
    K = np.stack([focals, focals, np.ones_like(focals)], axis=1)
    s = np.linalg.svd(K[:, :, None] * F * K[:, None, :], compute_uv=False)
    return (s[:, 0] - s[:, 1]) / np.maximum(s[:, 0] + s[:, 1], 1e-12)
