"""Rendering the dynamic field of a neighbouring frame through scene flow.

The samples of a ray at frame k are moved by their scene flow to frame k' = k ± 1 (± 2 when chained), the dynamic
field is asked there, and its answer is rendered with its own densities along the *original* sample distances.
See docs/methods.md#warped-rendering and docs/methods.md#chained-frames.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from nsff.models.ray_fields.compositing import accumulate
from nsff.models.ray_fields.field import FieldSamples
from nsff.models.ray_fields.model import RayFields, Samples


@dataclass
class Warped:
    """The dynamic field at displaced samples and another frame."""

    positions: Float[Tensor, "R K 3"]
    field: FieldSamples
    weights: Float[Tensor, "R K"]

    def render(self, name: str) -> Tensor:
        """The rendered rgb, saliency or (undecoded) features."""
        return accumulate(self.weights, getattr(self.field, name))

    def visibility(self, disocclusion: Float[Tensor, "R K"]) -> Float[Tensor, "R"]:
        """V = sum stopgrad(w)(1 - p): how much of what is rendered was visible there."""
        return accumulate(self.weights.detach(), 1 - disocclusion)


def warp(
    model: RayFields,
    samples: Samples,
    positions: Float[Tensor, "R K 3"],
    steps: int,
    generator: torch.Generator | None,
    frozen: bool = False,
) -> Warped:
    """Asks the dynamic field ``steps`` frames away (-2..2) at already displaced positions.

    ``frozen``: only the displacement learns from what is found there, not the field.
    """
    field, weights = model.dynamic_at(samples, positions, samples.time + steps, generator, frozen)
    return Warped(positions, field, weights)


def warp_sides(
    model: RayFields,
    samples: Samples,
    flow_prev: Float[Tensor, "R K 3"],
    flow_post: Float[Tensor, "R K 3"],
    generator: torch.Generator | None,
    frozen: bool = False,
) -> dict[str, Warped]:
    """``warp`` to both neighbouring frames, "prev" and "post", in one call of the field: half as many kernels."""
    R = len(samples.s)
    positions = torch.cat([samples.positions + flow_prev, samples.positions + flow_post])
    time = torch.cat([samples.time - 1, samples.time + 1])
    field, weights = model.dynamic_at(samples.repeated(2), positions, time, generator, frozen)
    sides = {"prev": slice(0, R), "post": slice(R, 2 * R)}
    return {
        name: Warped(positions[part], field.map(lambda value, p=part: value[p]), weights[part])  # type: ignore[misc]
        for name, part in sides.items()
    }
