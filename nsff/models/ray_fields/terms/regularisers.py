"""Terms that ask the fields to be simple, whatever the images show: compact along a ray, smooth in space and time
(docs/methods.md#losses-of-the-plane-fields).

Notation. R rays, K sorted samples s (R,K) along a ray, with volume rendering weights (R,K).
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from nsff.models.ray_fields.terms.context import RayContext
from nsff.models.ray_fields.terms.means import Scalar
from nsff.models.ray_fields.terms.schedules import AtUpdates
from nsff.models.ray_fields.terms.setup import Setup
from nsff.models.ray_fields.terms.term import RayTerm


def loss_distortion(s: Float[Tensor, "R K"], weights: Float[Tensor, "R K"]) -> Scalar:
    """Compactness of the weights along a ray, mean over rays.

    sum_ij w_i w_j |s_i - s_j| + 1/3 sum_i w_i² d_i for sorted samples s; d_i is the width of the interval that a point
    sample stands for, between its mid-points to the neighbours. In O(K): for sorted s the double sum is
    2 sum_i w_i (s_i sum_{j<i} w_j - sum_{j<i} w_j s_j).

    Source: mip-NeRF 360 (Barron et al. 2022), equation 15.
    """
    moment = weights * s
    before = torch.cumsum(weights, 1) - weights
    moment_before = torch.cumsum(moment, 1) - moment
    apart = 2 * (weights * (s * before - moment_before)).sum(1)
    middle = 0.5 * (s[:, 1:] + s[:, :-1])
    widths = torch.diff(torch.cat([s[:, :1], middle, s[:, -1:]], 1), dim=1)
    return (apart + (weights.square() * widths).sum(1) / 3).mean()


class Distortion(RayTerm):
    """Compactness of the composite's weights."""

    name = "distortion"
    does = "weights along a ray lie close together"
    source = "mip-NeRF 360, equation 15"

    def value(self, context: RayContext) -> Scalar:
        return loss_distortion(context.evaluation.samples.s, context.weights)


class PlaneSmooth(RayTerm):
    """Total variation of the feature planes of both fields. Planes that are updated every k steps alone count at those
    steps, k times, so that an update sees as much of it as elsewhere."""

    name = "plane_smooth"
    does = "total variation of the feature planes"
    source = "K-Planes (Fridovich-Keil et al. 2023), total variation in space"
    schedule = AtUpdates()

    def absent(self, setup: Setup) -> str:
        return super().absent(setup) or ("" if setup.planes else "the fields have no planes")

    def value(self, context: RayContext) -> Scalar:
        setup, step, model = context.setup, context.step, context.model
        both: tuple[tuple[Any, int], ...] = (
            (model.static, self.schedule.multiplier(setup, step, dynamic=False)),
            (model.dynamic, self.schedule.multiplier(setup, step, dynamic=True)),
        )
        return sum(n * field.total_variation() for field, n in both if n and field is not None)


TERMS = (Distortion(), PlaneSmooth())
