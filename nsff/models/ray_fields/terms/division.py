"""Terms that divide the scene between the static and the dynamic field
(docs/methods.md#occlusion-sparsity-and-blending-entropy, docs/methods.md#losses-of-the-plane-fields).

Notation. R rays, K samples along a ray from near to far; v (R,K) in [0,1] is the blending weight of the dynamic field,
opacity (R,) the sum of a ray's dynamic weights, s (R,K) in [0,1] the ray parameter.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from nsff.models.ray_fields.compositing import accumulate
from nsff.models.ray_fields.terms.context import RayContext
from nsff.models.ray_fields.terms.means import EPSILON, Scalar, masked_mse
from nsff.models.ray_fields.terms.schedules import Fades
from nsff.models.ray_fields.terms.setup import Setup
from nsff.models.ray_fields.terms.term import RayTerm

OCCLUDED_PROBES = 4
"""Points of each ray at which term occluded looks."""
LOGARITHM_KNEE = 0.01
"""Below it term dynamic_mask continues the logarithm as a straight line."""


# --- entropy ---------------------------------------------------------------------------------------------------------
def loss_entropy(v: Float[Tensor, "R K"]) -> Scalar:
    """One-sided entropy of the blending weight: mean of -v log(v + 1e-8); 0 at v = 0 and v = 1.

    Source: NSFF, entropy_loss of run_nerf.py; not in the paper.
    """
    return (-v * torch.log(v + EPSILON)).mean()


class Entropy(RayTerm):
    """The blending weight is nearly 0 or 1."""

    name = "entropy"
    does = "blending weights are near 0 or 1"
    source = "NSFF, run_nerf.py (entropy_loss)"
    dynamic = True

    def absent(self, setup: Setup) -> str:
        if setup.field.composition != "blending":
            return f"field.composition is {setup.field.composition}: there is no blending weight"
        return "field.dynamic_only is true" if setup.field.dynamic_only else super().absent(setup)

    def value(self, context: RayContext) -> Scalar:
        v = context.evaluation.static.blending
        assert v is not None
        return loss_entropy(v)


# --- motion masks ----------------------------------------------------------------------------------------------------
class StaticRgb(RayTerm):
    """Mean squared error of the static field's own colour over rays outside the motion masks."""

    name = "static_rgb"
    does = "colour of the static field alone where the motion masks see no motion"
    source = "ours"
    dynamic = True

    def value(self, context: RayContext) -> Scalar:
        evaluation, batch = context.evaluation, context.batch
        static = accumulate(evaluation.static_alone(), evaluation.static.rgb)
        return masked_mse(static, batch.rgb, (~batch.moving).float())


def loss_mask(opacity: Float[Tensor, "R"], moving: Float[Tensor, "R"] | Bool[Tensor, "R"]) -> Scalar:
    """Binary cross entropy of the rendered dynamic opacity with the motion mask.

    Blended opacities may exceed 1: they count as 1 where something moves, and are pulled back where nothing does. The
    logarithm goes on as a straight line below 0.01, so that values and gradients stay finite and never vanish.

    Source: ours.
    """
    moving = moving.to(opacity.dtype)
    return -(moving * _safe_log(opacity.clamp(max=1)) + (1 - moving) * _safe_log(1 - opacity)).mean()


def _safe_log(x: Float[Tensor, "R"]) -> Float[Tensor, "R"]:
    clamped = x.clamp(min=LOGARITHM_KNEE)
    return clamped.log() + (x - clamped) / LOGARITHM_KNEE


class DynamicMask(RayTerm):
    """The composite shows the dynamic field where the motion masks see motion, and nowhere else."""

    name = "dynamic_mask"
    does = "opacity of the dynamic field in the composite against the motion masks"
    source = "ours"
    schedule = Fades("mask_fade", "mask_floor")
    dynamic = True

    def value(self, context: RayContext) -> Scalar:
        weights = context.evaluation.dynamic_weights
        assert weights is not None
        return loss_mask(weights.sum(1), context.batch.moving.float())


# --- behind what is seen ---------------------------------------------------------------------------------------------
def loss_occluded(
    probes: Float[Tensor, "R P"],
    opacity: Float[Tensor, "R P"],
    s: Float[Tensor, "R K"],
    weights: Float[Tensor, "R K"],
    margin: float,
) -> Scalar:
    """Mean opacity at points of the rays, each times the ray's weight that lies more than ``margin`` before it.

    ``probes`` are ray parameters in [0,1], ``opacity`` that of the dynamic field there. The weights are taken as given:
    the opacity alone learns.

    Source: ours. One camera sees each moment, so that the dynamic field is free behind every surface; from the side
    such matter shows as the object's shape drawn out along the rays.
    """
    is_before = (s[:, None] < probes[..., None] - margin).to(weights.dtype)
    weight_before = (is_before * weights.detach()[:, None]).sum(-1)
    return (weight_before * opacity).mean()


class Occluded(RayTerm):
    """Opacity of the dynamic field behind what each ray sees: at random points of the ray, or, without a generator, at
    regular ones. A point is as opaque as a step of the ray's mean length makes it."""

    name = "occluded"
    does = "the dynamic field is empty behind what a ray sees"
    source = "ours"
    dynamic = True

    def value(self, context: RayContext) -> Scalar:
        model, batch, samples = context.model, context.batch, context.evaluation.samples
        assert model.dynamic is not None
        probes = self._probes(len(batch.rgb), batch.rgb.device, context.generator)
        origins, directions = model.space.normalise_rays(batch.rays.origins, batch.rays.directions)
        positions = model.space.positions(origins, directions, probes)
        times = batch.rays.time[:, None].expand_as(probes)
        density = model.dynamic.activate(model.dynamic.raw_density(positions, times))
        length = (samples.positions[:, -1] - samples.positions[:, 0]).norm(dim=-1, keepdim=True)
        opacity = 1 - torch.exp(-density * length / model.sampling.samples)
        return loss_occluded(probes, opacity, samples.s, context.weights, context.setup.losses.occluded_margin)

    @staticmethod
    def _probes(rays: int, device: torch.device, generator: torch.Generator | None) -> Float[Tensor, "R P"]:
        if generator is None:
            middles = (torch.arange(OCCLUDED_PROBES, device=device) + 0.5).expand(rays, OCCLUDED_PROBES)
            return middles / OCCLUDED_PROBES
        return torch.rand(rays, OCCLUDED_PROBES, generator=generator, device=device)


TERMS = (Entropy(), StaticRgb(), DynamicMask(), Occluded())
