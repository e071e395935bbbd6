"""Rays in the world, for supervision and for models that are drawn ray by ray.

Origins and directions are in world axes (OpenCV). A direction has unit length along its camera's z axis, so that
distances along it are depths. Times are frame indices, as floats.
"""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor


@dataclass
class Rays:
    """R world rays and the time of each."""

    origins: Float[Tensor, "R 3"]
    directions: Float[Tensor, "R 3"]
    time: Float[Tensor, "R"]

    def __len__(self) -> int:
        return len(self.origins)

    def __getitem__(self, index: slice | Tensor) -> Rays:
        return Rays(self.origins[index], self.directions[index], self.time[index])
