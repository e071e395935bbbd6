"""Terms of scene flow: its prior, optical flow, and what regularises it (docs/methods.md#optical-flow-loss,
docs/methods.md#cycle-loss, docs/methods.md#scene-flow-magnitude, docs/methods.md#smoothness-of-scene-flow).

Notation. R rays, K samples along a ray from near to far; scene flow f (R,K,3) is a displacement in normalised space to
frame k-1 ("prev") or k+1 ("post"); p (R,K) in [0,1] is the probability that a sample is not seen there.
"""

from __future__ import annotations

from typing import Literal

from jaxtyping import Bool, Float
from torch import Tensor

from nsff.models.ray_fields.compositing import accumulate
from nsff.models.ray_fields.terms.context import WarpedContext
from nsff.models.ray_fields.terms.means import Scalar, masked_mean
from nsff.models.ray_fields.terms.schedules import Decays
from nsff.models.ray_fields.terms.setup import Setup
from nsff.models.ray_fields.terms.term import WarpedTerm

LEAST_OPACITY = 1e-3
"""The weights of a ray are normalised by their sum, or by this where it is less."""
SMOOTH_PERCENT, KINETIC_PERCENT = 95, 90
"""Per cent of the samples of a ray, the nearest ones, whose flow is smoothed, and whose acceleration is penalised. The
far ones lie near infinity, where normalised displacements mean nothing (NSFF)."""


# --- optical flow ----------------------------------------------------------------------------------------------------
def loss_flow(
    uv: Float[Tensor, "R 2"], target: Float[Tensor, "R 2"], mask: Float[Tensor, "R"] | Bool[Tensor, "R"]
) -> Scalar:
    """Mean absolute difference, pixels, of the projected scene-flow point and pixel + optical flow.

    Source: NSFF, equation 10 (L_geo); compute_mae of run_nerf_helpers.py.
    """
    return masked_mean(mask, (uv - target).abs())


class Flow(WarpedTerm):
    """The expected scene-flow point of a ray, sum_k w_k (x_k + f_k), seen by the neighbour's camera, against where
    optical flow says it is. Both directions are added up.

    With losses.mask_dynamic_always rays count by the dynamic field's weight, and weights are normalised: those of half
    a surface would put the point half-way to the origin.
    """

    name = "flow"
    does = "projected scene flow against optical flow, in pixels"
    source = "NSFF, equation 10 (L_geo)"
    schedule = Decays("decay_flow")

    def scale(self, setup: Setup) -> float | None:
        """More where the depth of what moves is a guess (losses.flow_guessed), by how much of it is."""
        return 1 + (setup.losses.flow_guessed - 1) * setup.guessed_depth

    def in_words(self, setup: Setup) -> str:
        guessed = setup.losses.flow_guessed
        more = (
            "" if guessed == 1 else f"; times {guessed:g}, flow_guessed, as far as the depth of what moves is a guess"
        )
        return super().in_words(setup) + more

    def value(self, context: WarpedContext) -> Scalar:
        weights, post, prev = context.weights, context.sides["post"], context.sides["prev"]
        if context.setup.losses.mask_dynamic_always:
            weights = weights / weights.sum(1, keepdim=True).clamp(min=LEAST_OPACITY)
        forward = self._towards(context, accumulate(weights, post.positions), 1)
        return forward + self._towards(context, accumulate(weights, prev.positions), -1)

    @staticmethod
    def _towards(context: WarpedContext, expected: Float[Tensor, "R 3"], sign: int) -> Scalar:
        batch, space, data = context.batch, context.model.space, context.data
        target = batch.pixel + (batch.flow_post if sign > 0 else batch.flow_prev)
        mask = (batch.valid_post if sign > 0 else batch.valid_prev).float()
        neighbour = context.neighbour(sign)
        cameras = space.relative(data.world_to_camera)
        uv = space.project(expected, data.intrinsics[neighbour], cameras[neighbour])
        # The published loss counts all consistent pixels, also where the dynamic field is empty.
        if context.setup.losses.mask_dynamic_always and context.dynamic_weight is not None:
            mask = mask * context.dynamic_weight
        return loss_flow(uv, target, mask)


# --- consistency and magnitude ---------------------------------------------------------------------------------------
def loss_cycle(
    flow: Float[Tensor, "R K 3"], back: Float[Tensor, "R K 3"], disocclusion: Float[Tensor, "R K"]
) -> Scalar:
    """There and back: mean |f + back|, weighted by 1 - p; ``back`` is the flow at the displaced sample.

    Source: NSFF, equation 9 (L_cyc); compute_mae of run_nerf_helpers.py.
    """
    return masked_mean(1 - disocclusion, (flow + back).abs())


class Cycle(WarpedTerm):
    """Scene flow to a neighbour and back ends where it began, unless the sample is not seen there."""

    name = "cycle"
    does = "scene flow there and back again is zero"
    source = "NSFF, equation 9 (L_cyc)"

    def value(self, context: WarpedContext) -> Scalar:
        post, prev = context.motion("post"), context.motion("prev")
        return loss_cycle(post.flow, post.back, post.disocclusion) + loss_cycle(prev.flow, prev.back, prev.disocclusion)


def loss_scene_flow(
    weights: Float[Tensor, "R K"], flow: Float[Tensor, "R K 3"], axis: Literal["reference", "fixed"]
) -> Scalar:
    """Magnitude of scene flow.

    fixed: mean absolute rendered flow, sum over samples of w f. reference: the published code sums over x, y, z
    instead, so that opposite components cancel. Its y points up and its z' grows with depth as here, so that the sum is
    f_x - f_y + f_z in these axes: mean |w (f_x - f_y + f_z)|.

    Source: NSFF, supplement (minimal scene flow); sf_reg_loss of run_nerf.py.
    """
    if axis == "fixed":
        return (weights[..., None] * flow).sum(1).abs().mean()
    return (weights * (flow[..., 0] - flow[..., 1] + flow[..., 2])).abs().mean()


class SceneFlow(WarpedTerm):
    """Scene flow is small, in both directions."""

    name = "scene_flow"
    does = "rendered scene flow is small"
    source = "NSFF, supplement, scene flow regularisation; run_nerf.py (sf_reg_loss)"

    def value(self, context: WarpedContext) -> Scalar:
        weights, axis = context.weights, context.setup.losses.scene_flow_axis
        backward = loss_scene_flow(weights, context.motion("prev").flow, axis)
        return backward + loss_scene_flow(weights, context.motion("post").flow, axis)


def loss_disocclusion(p: Float[Tensor, "R K"]) -> Scalar:
    """Sparsity of disocclusion: mean |p|.

    Source: NSFF, equation 8, second sum; prob_reg_loss of run_nerf.py.
    """
    return p.abs().mean()


class Disocclusion(WarpedTerm):
    """Few samples are not seen at the neighbouring frames."""

    name = "disocclusion"
    does = "disocclusion is rare"
    source = "NSFF, equation 8, second sum; run_nerf.py (prob_reg_loss)"

    def value(self, context: WarpedContext) -> Scalar:
        prev, post = context.motion("prev"), context.motion("post")
        return loss_disocclusion(prev.disocclusion) + loss_disocclusion(post.disocclusion)


# --- smoothness ------------------------------------------------------------------------------------------------------
def loss_smooth_spatial(flow: Float[Tensor, "R K 3"]) -> Scalar:
    """Spatial smoothness: mean |difference| of flow at adjacent samples, the nearest floor(0.95 K).

    Source: NSFF, supplement (spatial smoothness); compute_sf_sm_loss of run_nerf_helpers.py.
    """
    near = flow[:, : _nearest(flow.shape[1], SMOOTH_PERCENT)]
    return (near[:, 1:] - near[:, :-1]).abs().mean()


def loss_kinetic(before: Float[Tensor, "R K 3"], here: Float[Tensor, "R K 3"], after: Float[Tensor, "R K 3"]) -> Scalar:
    """Least kinetic energy: half the mean squared change of velocity, the nearest floor(0.9 K) samples.

    The three are positions of the same samples at successive frames.

    Source: NSFF, supplement (temporal smoothness); compute_sf_lke_loss of run_nerf_helpers.py.
    """
    change = (after - here) - (here - before)
    return 0.5 * change[:, : _nearest(change.shape[1], KINETIC_PERCENT)].square().mean()


def _nearest(samples: int, percent: int) -> int:
    """floor of a percentage of K in whole numbers, but never fewer than the two samples a difference needs."""
    return max(2, samples * percent // 100)


class Smooth(WarpedTerm):
    """Flow is alike at adjacent samples, and changes little from frame to frame: around k, and around the neighbour
    that the chain goes through. losses.smooth_space says in which space positions and flow are measured."""

    name = "smooth"
    does = "scene flow is smooth along a ray and steady over time"
    source = "NSFF, supplement, scene flow regularisation; run_nerf.py (sf_sm_loss)"

    def value(self, context: WarpedContext) -> Scalar:
        losses, sides, chain = context.setup.losses, context.sides, context.chain
        positions = [context.samples.positions, sides["prev"].positions, sides["post"].positions, chain.positions]
        if losses.smooth_space != "normalised":
            positions = [context.model.space.euclidean(x) for x in positions]
        here, before, after, far = positions
        around_neighbour = (far, before, here) if chain.side == "prev" else (here, after, far)
        return (
            loss_smooth_spatial(after - here)
            + loss_smooth_spatial(before - here)
            + losses.kinetic_energy_count * loss_kinetic(before, here, after)
            + loss_kinetic(*around_neighbour)
        )


TERMS = (Flow(), Cycle(), SceneFlow(), Disocclusion(), Smooth())
