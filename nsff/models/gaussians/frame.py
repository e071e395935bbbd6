"""The model's own frame of reference: the world moved and scaled so that the median depth is 1, whatever its units.

x = (X - centre) / unit, axes unchanged; X is in the world, x in the model's units.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn


class Frame(nn.Module):
    """``centre`` (3,) in the world: the mean camera. ``unit``: world units of one of the model's.

    >>> frame = Frame()
    >>> frame.set(torch.tensor([1.0, 0, 0]), 2.0)
    >>> frame.inside(torch.tensor([[3.0, 0, 0]])).tolist()
    [[1.0, 0.0, 0.0]]
    """

    centre: Float[Tensor, "3"]
    unit: Float[Tensor, ""]

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("centre", torch.zeros(3))
        self.register_buffer("unit", torch.ones(()))

    def set(self, centre: Float[Tensor, "3"], unit: float) -> None:
        """Sets both."""
        self.centre.copy_(centre)
        self.unit.fill_(unit)

    def inside(self, points: Float[Tensor, "*P 3"]) -> Float[Tensor, "*P 3"]:
        """World points in the model's units."""
        return (points - self.centre) / self.unit

    def outside(self, points: Float[Tensor, "*P 3"]) -> Float[Tensor, "*P 3"]:
        """The other way."""
        return points * self.unit + self.centre

    def pose(self, world_to_camera: Float[Tensor, "*N 3 4"]) -> Float[Tensor, "*N 3 4"]:
        """Poses of cameras, from the world's units to the model's; differentiable."""
        R, t = world_to_camera[..., :3], world_to_camera[..., 3]
        return torch.cat([R, ((R @ self.centre + t) / self.unit)[..., None]], -1)
