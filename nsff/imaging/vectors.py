"""Vectors of pixels and points, such as descriptors and positions: arrays whose last axis has the components."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Float32

LEAST_LENGTH = 1e-8
"""Shorter vectors are divided by this, so that a zero vector stays zero."""


def unit_length(values: Float[np.ndarray, "... C"]) -> Float32[np.ndarray, "... C"]:
    """The vectors along the last axis with length 1; a zero vector stays zero.

    >>> unit_length(np.array([[3.0, 4.0], [0.0, 0.0]])).tolist()
    [[0.6000000238418579, 0.800000011920929], [0.0, 0.0]]
    """
    values = np.asarray(values, np.float32)
    return values / np.maximum(np.linalg.norm(values, axis=-1, keepdims=True), LEAST_LENGTH)
