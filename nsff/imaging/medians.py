"""Medians of stacked maps: with missing values, and with weights."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Float32


def nan_median(layers: Sequence[Float32[np.ndarray, "H W"]]) -> Float32[np.ndarray, "H W"]:
    """The median at each pixel over the layers that are not NaN there; NaN where all are."""
    stack = np.sort(np.stack(layers), axis=0)  # NaN sorts last
    count = np.isfinite(stack).sum(0)
    low = np.take_along_axis(stack, np.maximum((count - 1) // 2, 0)[None], axis=0)[0]
    high = np.take_along_axis(stack, np.minimum(count // 2, len(layers) - 1)[None], axis=0)[0]
    return np.where(count > 0, (low + high) / 2, np.nan).astype(np.float32)


def weighted_median(values: Float[np.ndarray, "K *S"], weights: Float[np.ndarray, "K *S"]) -> Float[np.ndarray, "*S"]:
    """The weighted median along the first axis: the first of the sorted values at which half the weight is reached.

    Weights are >= 0; NaN values must have weight 0. Example: the weighted median of ``[1, 2, 9]`` with weights
    ``[1, 1, 3]`` is 9.
    """
    order = np.argsort(values, axis=0)  # NaN last
    values = np.take_along_axis(values, order, axis=0)
    weights = np.take_along_axis(weights, order, axis=0).cumsum(0)
    return np.take_along_axis(values, (weights >= weights[-1] / 2).argmax(0)[None], axis=0)[0]
