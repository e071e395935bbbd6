"""Objects left out of pictures: the samples that belong to them become transparent.

The two fields are judged apart, each by its own features: where somebody stands on the ground, the dynamic field's
samples are of the person and go, the static field's are of the ground and stay.
See docs/exports.md#a-scene-without-an-object.

Notation. R rays, K samples; positions (R,K,3) in normalised space, deltas and densities (R,K) as in
nsff.models.ray_fields.compositing.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from nsff.cameras.spaces import Space
from nsff.models.base import LeftOut, Points
from nsff.models.ray_fields.compositing import opacities
from nsff.models.ray_fields.field import Field, FieldSamples

EMPTY = 1e-3
"""Opacity below which nobody asks what a sample belongs to: it stays."""


@torch.no_grad()
def stays(
    left_out: LeftOut,
    space: Space,
    field: Field,
    positions: Float[Tensor, "R K 3"],
    deltas: Float[Tensor, "R K"],
    time: float,
    found: FieldSamples,
    density: Float[Tensor, "R K"],
) -> Bool[Tensor, "R K"]:
    """Which samples of a field stay. ``found`` and ``density`` are what the field has at the ``positions``; all rays
    are of one ``time``."""
    solid = opacities(density, deltas) > EMPTY
    stay = torch.ones_like(solid)
    normalised = positions[solid]
    if len(normalised):
        features = None if found.features is None else field.decode_features(found.features[solid].float())
        points = Points(
            space.to_world(normalised),
            normalised,
            None if features is None else torch.nn.functional.normalize(features, dim=-1),
            moving=torch.full_like(normalised[:, 0], field.dynamic, dtype=torch.bool),
        )
        stay[solid] = ~torch.from_numpy(left_out(points, time)).to(stay.device)
    return stay
