"""Terms that hold rendered depth to the depth prior: up to scale and shift (NSFF), or in scene units (ours)
(docs/methods.md#depth-loss, docs/methods.md#losses-of-the-plane-fields).

Notation. R rays, K samples along a ray; s (R,K) in [0,1] is the ray parameter, weights (R,K) are volume rendering
weights.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from nsff.models.ray_fields.compositing import accumulate
from nsff.models.ray_fields.terms.context import RayContext, WarpedContext
from nsff.models.ray_fields.terms.means import EPSILON, Scalar
from nsff.models.ray_fields.terms.schedules import Decays, Fades
from nsff.models.ray_fields.terms.setup import Setup
from nsff.models.ray_fields.terms.term import RayTerm, WarpedTerm

NEAREST_DISPARITY = 1e-6
"""Times the unit of normalised space: the least disparity that is inverted, so that the far is at a finite distance."""


# --- up to scale and shift -------------------------------------------------------------------------------------------
def loss_depth(depth: Float[Tensor, "R"], target: Float[Tensor, "R"]) -> Scalar:
    """Scale- and shift-invariant depth: the mean squared difference of both after (x - median) / mean|x - median|.

    ``depth`` is the rendered ray parameter s, ``target`` minus the prior's disparity: in NDC the one is affine in the
    other. The median is the lower of the two middle values. A constant input counts as zero everywhere.

    Source: NSFF, equation 11 (L_z); compute_depth_loss of run_nerf_helpers.py.

    >>> import torch
    >>> loss_depth(torch.tensor([1.0, 2.0, 4.0]), torch.tensor([10.0, 20.0, 40.0])).item()
    0.0
    """
    return (_standardised(depth) - _standardised(target)).square().mean()


def _standardised(x: Float[Tensor, "R"]) -> Float[Tensor, "R"]:
    centred = x - x.median()
    return centred / centred.abs().mean().clamp(min=EPSILON)


class CompositedDepth(RayTerm):
    """The depth loss on the depth of the composite (losses.depth_full), or of a static field that is alone."""

    name = "depth"
    does = "depth of the composite against the prior, up to scale and shift"
    source = "NSFF, equation 11 (L_z); SAFF, run_nerf.py (depth_full)"
    schedule = Decays("decay_depth")

    def absent(self, setup: Setup) -> str:
        wanted = setup.losses.depth_full or setup.field.static_only
        return super().absent(setup) or ("" if wanted else "losses.depth_full is false")

    def value(self, context: RayContext) -> Scalar:
        return loss_depth(accumulate(context.weights, context.evaluation.samples.s), -context.batch.disparity)


class DynamicDepth(WarpedTerm):
    """The depth loss on the depth of the dynamic field alone, as published."""

    name = "depth"
    does = "depth of the dynamic field alone against the prior, up to scale and shift"
    source = "NSFF, equation 11 (L_z)"
    schedule = Decays("decay_depth")

    def absent(self, setup: Setup) -> str:
        return super().absent(setup) or ("losses.depth_full is true" if setup.losses.depth_full else "")

    def value(self, context: WarpedContext) -> Scalar:
        return loss_depth(accumulate(context.weights, context.samples.s), -context.batch.disparity)


# --- in scene units --------------------------------------------------------------------------------------------------
class Surface(RayTerm):
    """The expected distance, along the normalised ray, to the surface that a metric prior sees: zero only where all
    weight lies within losses.surface_tolerance of it.

    mean over rays of c sum_k w_k max(0, |s_k - t| - tolerance), t being the surface and c the prior's confidence. Where
    nothing moves the static field alone counts as well as the composite.
    """

    name = "surface"
    does = "weights gather at the prior's surface; only where depth is metric"
    source = "ours"
    schedule = Fades("surface_fade", "surface_floor")

    def absent(self, setup: Setup) -> str:
        return super().absent(setup) or ("" if setup.metric_depth else "the scene's depth is not metric")

    def value(self, context: RayContext) -> Scalar:
        batch, evaluation, space = context.batch, context.evaluation, context.model.space
        distance = 1 / batch.disparity.clamp(min=NEAREST_DISPARITY * space.scale)
        target = space.s_of_depth(batch.rays.origins, batch.rays.directions, distance).clamp(0, 1)
        tolerance = context.setup.losses.surface_tolerance
        miss = ((evaluation.samples.s - target[:, None]).abs() - tolerance).clamp(min=0)
        per_ray = accumulate(context.weights, miss)
        if context.model.dynamic is not None:
            per_ray = per_ray + ~batch.moving * accumulate(evaluation.static_alone(), miss)
        return (batch.confidence * per_ray).mean()


TERMS = (CompositedDepth(), Surface(), DynamicDepth())
