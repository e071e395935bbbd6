"""The cross product as a matrix."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Float64


def cross_matrix(v: Float[np.ndarray, "... 3"]) -> Float64[np.ndarray, "... 3 3"]:
    """[v] with [v] x = v cross x.

    >>> cross_matrix(np.array([0.0, 0.0, 1.0])) @ np.array([1.0, 0.0, 0.0])
    array([0., 1., 0.])
    """
    result = np.zeros((*v.shape[:-1], 3, 3))
    for row, column, k, sign in ((0, 1, 2, -1), (1, 0, 2, 1), (0, 2, 1, 1), (2, 0, 1, -1), (1, 2, 0, -1), (2, 1, 0, 1)):
        result[..., row, column] = sign * v[..., k]
    return result
