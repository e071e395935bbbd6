"""Gaussian filtering in many dimensions on the permutohedral lattice, as sparse matrices.

Notation. N points with features f (N,d), already divided by their standard deviations, so that the kernel between
points is exp(-|f_i - f_j|²/2). The lattice has M vertices in the plane of d+1 coordinates that add up to zero; each
point lies in a simplex of d+1 vertices. Filtering is S·B_d···B_0·Sᵀ: splat with barycentric weights, blur along each
of the d+1 axes, slice. Source: Adams, Baek, Davis, Fast High-Dimensional Filtering Using the Permutohedral Lattice,
sections 3 and 4.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sparse
from jaxtyping import Float, Float64, Int64


class PermutohedralLattice:
    """The lattice of a set of points; ``filter`` applies the (unnormalised) kernel to values on the points."""

    def __init__(self, features: Float[np.ndarray, "N d"]) -> None:
        keys, weights = simplices(np.asarray(features, np.float64))
        n, dimensions = weights.shape[0], weights.shape[1] - 1
        unique, inverse = unique_rows(keys.reshape(-1, dimensions + 1))
        m = len(unique)
        rows = np.repeat(np.arange(n), dimensions + 1)
        self.slice = sparse.csr_matrix((weights.ravel(), (rows, inverse)), shape=(n, m))
        self.splat = self.slice.T.tocsr()
        self.blurs = [blur_matrix(unique, axis) for axis in range(dimensions + 1)]

    def filter(self, values: Float[np.ndarray, "N L"]) -> Float64[np.ndarray, "N L"]:
        """Values (N,L) summed over points with the kernel's weights, up to a common factor."""
        lattice = self.splat @ values
        for blur in self.blurs:
            lattice = blur @ lattice
        return self.slice @ lattice


def simplices(
    features: Float64[np.ndarray, "N d"],
) -> tuple[Int64[np.ndarray, "N d+1 d+1"], Float64[np.ndarray, "N d+1"]]:
    """Integer coordinates of the d+1 vertices around each point, and the point's barycentric weights (they add up to
    1)."""
    n, d = features.shape
    # Orthogonal basis of the plane (Adams et al. 2010, section 3.1), scaled so that the blur below has unit standard
    # deviation in feature space.
    scale = np.sqrt(2 / 3) * (d + 1) / np.sqrt(np.arange(1, d + 1) * np.arange(2, d + 2))
    basis = np.triu(np.ones((d + 1, d)), 0) - np.diag(np.arange(1, d + 1), -1)[:, :d]
    elevated = (features * scale) @ basis.T
    # Nearest point whose coordinates are multiples of d+1; its coordinates may not add up to zero yet.
    base = np.round(elevated / (d + 1)).astype(np.int64) * (d + 1)
    excess = base.sum(1) // (d + 1)
    remainder = elevated - base
    order = np.argsort(-remainder, axis=1, kind="stable")
    rank = np.empty_like(order)
    np.put_along_axis(rank, order, np.broadcast_to(np.arange(d + 1), (n, d + 1)), axis=1)
    # Moving the coordinates with the largest error by one cell brings the sum to zero (their rank wraps around).
    rank = rank + excess[:, None]
    low, high = rank < 0, rank > d
    rank, base = rank + (d + 1) * low - (d + 1) * high, base + (d + 1) * low - (d + 1) * high
    order = np.argsort(rank, axis=1)
    falling = np.take_along_axis((elevated - base) / (d + 1), order, axis=1)
    # Weight of vertex k is the step between remainders of rank d-k and d+1-k; vertex 0 closes the circle.
    weights = np.empty((n, d + 1))
    weights[:, 1:] = (falling[:, :-1] - falling[:, 1:])[:, ::-1]
    weights[:, 0] = 1 - weights[:, 1:].sum(1)
    k = np.arange(d + 1)
    canonical = np.where(k[None, :] <= d - k[:, None], k[:, None], k[:, None] - (d + 1))
    return base[:, None, :] + canonical[:, rank].transpose(1, 0, 2), weights


def unique_rows(keys: Int64[np.ndarray, "P c"]) -> tuple[Int64[np.ndarray, "M c"], Int64[np.ndarray, P]]:
    """Distinct vertices in ascending order of their code, and where each row went."""
    codes = encode(keys, keys.min(0) - 1, keys.max(0) + 1)
    _, first, inverse = np.unique(codes, return_index=True, return_inverse=True)
    return keys[first], inverse.reshape(-1)


def encode(
    keys: Int64[np.ndarray, "P c"], low: Int64[np.ndarray, c], high: Int64[np.ndarray, c]
) -> Int64[np.ndarray, P]:
    """One integer per vertex; the last coordinate follows from the others. Raises OverflowError for too wide a
    lattice."""
    span = (high - low + 1)[:-1]
    if np.prod(span.astype(np.float64)) > 2.0**62:
        raise OverflowError(f"lattice of extent {span.tolist()} does not fit one integer: use larger deviations")
    code = np.zeros(len(keys), np.int64)
    for axis, size in enumerate(span):
        code = code * size + (keys[:, axis] - low[axis])
    return code


def blur_matrix(vertices: Int64[np.ndarray, "M c"], axis: int) -> sparse.csr_matrix:
    """(M,M): each vertex plus half of its two neighbours along an axis, where these exist."""
    m, c = vertices.shape
    step = -np.ones(c, np.int64)
    step[axis] += c
    low, high = vertices.min(0) - c, vertices.max(0) + c
    codes = encode(vertices, low, high)
    rank = np.argsort(codes)
    ordered = codes[rank]
    rows, columns = [], []
    for sign in (1, -1):
        wanted = encode(vertices + sign * step, low, high)
        position = np.minimum(np.searchsorted(ordered, wanted), m - 1)
        found = ordered[position] == wanted
        rows.append(np.flatnonzero(found))
        columns.append(rank[position[found]])
    row, column = np.concatenate(rows), np.concatenate(columns)
    half = sparse.csr_matrix((np.full(len(row), 0.5), (row, column)), shape=(m, m))
    return (half + sparse.identity(m, format="csr")).tocsr()
