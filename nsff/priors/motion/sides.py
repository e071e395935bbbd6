"""Distances of flow to a static world, by the frames before and by those after."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float32

Distances = Float32[np.ndarray, "H W"]
"""Distances in pixels; NaN where there is no consistent flow."""


def combine_sides(sides: Sequence[Distances], how: str) -> Distances:
    """One distance from those of past and future: their geometric mean or maximum; NaN only where both are."""
    if len(sides) == 1:
        return sides[0]
    past, future = sides
    both = np.maximum(past, future) if how == "max" else np.sqrt(past * future)
    return np.where(np.isnan(past), future, np.where(np.isnan(future), past, both)).astype(np.float32)
