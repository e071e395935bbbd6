"""Differences between pairs of unknowns, as rows of a sparse matrix: what smoothness terms are sums of squares of."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int
from scipy import sparse


def difference_rows(first: Int[np.ndarray, " L"], second: Int[np.ndarray, " L"], count: int) -> sparse.csr_matrix:
    """The matrix (L, count) that gives x[second] - x[first] of ``count`` unknowns x."""
    rows = np.arange(len(first))
    data = np.r_[-np.ones(len(first)), np.ones(len(first))]
    return sparse.csr_matrix((data, (np.r_[rows, rows], np.r_[first, second])), shape=(len(first), count))
