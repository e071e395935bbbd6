"""The losses: one small pure function per term, each a scalar to be multiplied by its weight w_* in LossConfig.

Notation. R rays, K samples along a ray from near to far, C channels; weights (R,K) are volume rendering weights, p
disocclusion probabilities and v blending weights in [0, 1]. Source: NSFF (Li et al. 2021) and SAFF (Liang et al. 2023)
as their run_nerf.py computes them, with the functions of run_nerf_helpers.py in brackets; terms that they do not have
say where they come from.
"""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

EPSILON = 1e-8
Scalar = Float[Tensor, ""]


# --- helpers ---------------------------------------------------------------------------------------------------------
def decay_factor(step: int, decay_steps: int) -> float:
    """10^-q with q = step // decay_steps: what is left of a decaying weight at a step."""
    return 10.0 ** -(step // decay_steps)


def masked_mean(mask: Float[Tensor, "*R"] | Bool[Tensor, "*R"], value: Float[Tensor, "*R *C"]) -> Scalar:
    """sum(m x) / (sum(m) + 1e-8), the mask repeated over the channels that ``value`` has and it has not.

    Gradients flow into the mask, in numerator and denominator, unless it is detached (visibility is not).
    """
    mask = mask.to(value.dtype)
    mask = mask.reshape(mask.shape + (1,) * (value.ndim - mask.ndim)).expand_as(value)
    return (mask * value).sum() / (mask.sum() + EPSILON)


# --- appearance ------------------------------------------------------------------------------------------------------
def masked_mse(
    prediction: Float[Tensor, "R *C"], target: Float[Tensor, "R *C"], mask: Float[Tensor, "R"] | Bool[Tensor, "R"]
) -> Scalar:
    """Mean squared error over masked rays, for colours, features and saliency (compute_mse)."""
    return masked_mean(mask, (prediction - target).square())


# --- priors ----------------------------------------------------------------------------------------------------------
def loss_depth(depth: Float[Tensor, "R"], target: Float[Tensor, "R"]) -> Scalar:
    """Scale- and shift-invariant depth (compute_depth_loss): mean squared difference of both after
    (x - median) / mean|x - median|.

    ``depth`` is the rendered ray parameter s, ``target`` minus the prior's disparity: in NDC the one is affine in the
    other. The median is the lower of the two middle values. A constant input counts as zero everywhere.
    """
    return (_standardised(depth) - _standardised(target)).square().mean()


def _standardised(x: Float[Tensor, "R"]) -> Float[Tensor, "R"]:
    centred = x - x.median()
    return centred / centred.abs().mean().clamp(min=EPSILON)


def loss_flow(
    uv: Float[Tensor, "R 2"], target: Float[Tensor, "R 2"], mask: Float[Tensor, "R"] | Bool[Tensor, "R"]
) -> Scalar:
    """Optical flow (compute_mae): mean absolute difference, pixels, of the projected scene-flow point and p + flow."""
    return masked_mean(mask, (uv - target).abs())


# --- scene flow ------------------------------------------------------------------------------------------------------
def loss_cycle(
    flow: Float[Tensor, "R K 3"], back: Float[Tensor, "R K 3"], disocclusion: Float[Tensor, "R K"]
) -> Scalar:
    """There and back (compute_mae): mean |flow + back|, weighted by 1 - p; ``back`` is met at the displaced sample."""
    return masked_mean(1 - disocclusion, (flow + back).abs())


def loss_scene_flow(
    weights: Float[Tensor, "R K"], flow: Float[Tensor, "R K 3"], axis: Literal["reference", "fixed"]
) -> Scalar:
    """Magnitude of scene flow (sf_reg_loss of run_nerf.py).

    fixed: mean absolute rendered flow, sum over samples of w f. reference: the published code sums over x, y, z
    instead, so that opposite components cancel. Its y points up and its z' grows with depth as here, so that the sum is
    f_x - f_y + f_z in these axes: mean |w (f_x - f_y + f_z)|.
    """
    if axis == "fixed":
        return (weights[..., None] * flow).sum(1).abs().mean()
    return (weights * (flow[..., 0] - flow[..., 1] + flow[..., 2])).abs().mean()


def loss_smooth_spatial(flow: Float[Tensor, "R K 3"]) -> Scalar:
    """Spatial smoothness (compute_sf_sm_loss): mean |difference| of flow at adjacent samples, nearest floor(0.95 K)."""
    near = flow[:, : _nearest(flow.shape[1], 95)]
    return (near[:, 1:] - near[:, :-1]).abs().mean()


def loss_kinetic(before: Float[Tensor, "R K 3"], here: Float[Tensor, "R K 3"], after: Float[Tensor, "R K 3"]) -> Scalar:
    """Least kinetic energy (compute_sf_lke_loss): half the mean squared change of velocity, nearest floor(0.9 K)."""
    change = (after - here) - (here - before)
    return 0.5 * change[:, : _nearest(change.shape[1], 90)].square().mean()


def _nearest(samples: int, percent: int) -> int:
    """floor of a percentage of K in whole numbers, but never fewer than the two samples a difference needs."""
    return max(2, samples * percent // 100)


def loss_disocclusion(p: Float[Tensor, "R K"]) -> Scalar:
    """Sparsity of disocclusion (prob_reg_loss of run_nerf.py): mean |p|."""
    return p.abs().mean()


# --- what tells static from dynamic ----------------------------------------------------------------------------------
def loss_entropy(v: Float[Tensor, "R K"]) -> Scalar:
    """One-sided entropy of the blending weight (entropy_loss): mean of -v log(v + 1e-8); 0 at v = 0 and v = 1."""
    return (-v * torch.log(v + EPSILON)).mean()


def loss_mask(opacity: Float[Tensor, "R"], moving: Float[Tensor, "R"] | Bool[Tensor, "R"]) -> Scalar:
    """Binary cross entropy of the rendered dynamic opacity with the motion mask (not in NSFF).

    Blended opacities may exceed 1: they count as 1 where something moves, and are pulled back where nothing does. The
    logarithm goes on as a straight line below 0.01, so that values and gradients stay finite and never vanish.
    """
    moving = moving.to(opacity.dtype)
    return -(moving * _safe_log(opacity.clamp(max=1)) + (1 - moving) * _safe_log(1 - opacity)).mean()


def _safe_log(x: Tensor, knee: float = 0.01) -> Tensor:
    clamped = x.clamp(min=knee)
    return clamped.log() + (x - clamped) / knee


def loss_hidden(
    places: Float[Tensor, "R P"],
    opacity: Float[Tensor, "R P"],
    s: Float[Tensor, "R K"],
    weights: Float[Tensor, "R K"],
    margin: float,
) -> Scalar:
    """Nothing is where nothing was seen (not in NSFF): mean opacity at places along rays.

    Each counts by how much of the ray's weight lies more than ``margin`` before it.

    One camera sees each moment, so that the dynamic field is free behind every surface; from the side such matter shows
    as the object's shape drawn out along the rays. The weights are taken as given.
    """
    before = (s[:, None] < places[..., None] - margin).to(weights.dtype)
    hidden = (before * weights.detach()[:, None]).sum(-1)
    return (hidden * opacity).mean()


def loss_distortion(s: Float[Tensor, "R K"], weights: Float[Tensor, "R K"]) -> Scalar:
    """Compactness of the weights along a ray (mip-NeRF 360, Barron et al. 2022, equation 15), mean over rays.

    sum_ij w_i w_j |s_i - s_j| + 1/3 sum_i w_i² d_i for sorted samples s; d_i is the width of the interval that a point
    sample stands for, between its mid-points to the neighbours. In O(K): for sorted s the double sum is
    2 sum_i w_i (s_i sum_{j<i} w_j - sum_{j<i} w_j s_j).
    """
    moment = weights * s
    before = torch.cumsum(weights, 1) - weights
    moment_before = torch.cumsum(moment, 1) - moment
    apart = 2 * (weights * (s * before - moment_before)).sum(1)
    middle = 0.5 * (s[:, 1:] + s[:, :-1])
    widths = torch.diff(torch.cat([s[:, :1], middle, s[:, -1:]], 1), dim=1)
    return (apart + (weights.square() * widths).sum(1) / 3).mean()
