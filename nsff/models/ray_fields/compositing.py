"""Volume rendering of one field, and of a static and a dynamic field together (docs/methods.md#rendering).

Notation. Samples k = 1..K along a ray, densities sigma_k ≥ 0, distances delta_k, opacity a_k = 1 - exp(-sigma_k
delta_k), transmittance T_k = prod_{l<k} (1 - a_l), weights w_k = T_k a_k. Shapes (R, K).
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor


def distances(positions: Float[Tensor, "R K 3"]) -> Float[Tensor, "R K"]:
    """Distance from each sample to the next in normalised space; the last is taken as infinite (1e10)."""
    step = (positions[:, 1:] - positions[:, :-1]).norm(dim=-1)
    return torch.cat([step, torch.full_like(step[:, :1], 1e10)], dim=1)


def opacities(densities: Float[Tensor, "R K"], deltas: Float[Tensor, "R K"]) -> Float[Tensor, "R K"]:
    """a_k = 1 - exp(-sigma_k delta_k), in [0, 1].

    >>> opacities(torch.tensor([[0.0, 1.0]]), torch.tensor([[1.0, 1e10]]))
    tensor([[0., 1.]])
    """
    return 1 - torch.exp(-densities * deltas)


class _RunningProduct(torch.autograd.Function):
    """Products over all samples up to each, of factors above zero; torch.cumprod asks the device whether one is zero
    and waits for the answer, which a recorded step cannot."""

    @staticmethod
    def forward(ctx: Any, factors: Tensor) -> Tensor:
        products = torch.cumprod(factors, dim=1)
        ctx.save_for_backward(factors, products)
        return products

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        factors, products = ctx.saved_tensors
        # d products_m / d factor_k = products_m / factor_k for m >= k: a sum from the far end.
        weighted = gradients[0] * products
        return (weighted.flip(1).cumsum(1).flip(1)) / factors


def running_product(factors: Float[Tensor, "R K"]) -> Float[Tensor, "R K"]:
    """prod_{l<=k} of factors, which must be positive (compositing adds 1e-10 to each)."""
    return _RunningProduct.apply(factors) if factors.is_cuda else torch.cumprod(factors, dim=1)


def transmittance(opaque: Float[Tensor, "R K"]) -> Float[Tensor, "R K"]:
    """T_k, the light that reaches sample k; 1e-10 keeps the product's gradient alive behind opaque samples (NSFF)."""
    return _before(running_product(1 - opaque + 1e-10))


def _before(products: Float[Tensor, "R K"]) -> Float[Tensor, "R K"]:
    """The products of all factors before each sample: 1 at the first."""
    return torch.cat([torch.ones_like(products[:, :1]), products[:, :-1]], dim=1)


def single_weights(densities: Float[Tensor, "R K"], deltas: Float[Tensor, "R K"]) -> Float[Tensor, "R K"]:
    """Weights of one field alone."""
    alpha = opacities(densities, deltas)
    return transmittance(alpha) * alpha


def blended_weights(
    static: Float[Tensor, "R K"],
    dynamic: Float[Tensor, "R K"],
    blending: Float[Tensor, "R K"],
    deltas: Float[Tensor, "R K"],
) -> tuple[Float[Tensor, "R K"], Float[Tensor, "R K"]]:
    """Static and dynamic weights under NSFF's blending weight v: opacities (1-v) a_s and v a_d.

    T = prod [(1 - v a_d)(1 - (1-v) a_s) + 1e-10]. The weights may sum to more than one; that is the published model.
    """
    alpha_dynamic = blending * opacities(dynamic, deltas)
    alpha_static = (1 - blending) * opacities(static, deltas)
    T = _before(running_product((1 - alpha_dynamic) * (1 - alpha_static) + 1e-10))
    return T * alpha_static, T * alpha_dynamic


def union_weights(
    static: Float[Tensor, "R K"],
    dynamic: Float[Tensor, "R K"],
    blending: Float[Tensor, "R K"],
    deltas: Float[Tensor, "R K"],
) -> Float[Tensor, "R K"]:
    """Weights of what either field stops, T (1 - (1 - v a_d)(1 - (1-v) a_s)): their sum is at most one.

    SAFF composites its depth pictures by them (render_2D); colours by the pair of ``blended_weights``.
    """
    passing = (1 - blending * opacities(dynamic, deltas)) * (1 - (1 - blending) * opacities(static, deltas))
    return _before(running_product(passing + 1e-10)) * (1 - passing)


def additive_weights(
    static: Float[Tensor, "R K"], dynamic: Float[Tensor, "R K"], deltas: Float[Tensor, "R K"]
) -> tuple[Float[Tensor, "R K"], Float[Tensor, "R K"]]:
    """Static and dynamic weights when densities add up; each takes its share of the density, so they sum to at most
    one.
    """
    total = static + dynamic
    weights = single_weights(total, deltas)
    share = dynamic / (total + 1e-10)
    return weights * (1 - share), weights * share


def accumulate(weights: Float[Tensor, "R K"] | None, values: Float[Tensor, "R K *C"] | None) -> Float[Tensor, "R *C"]:
    """Sum of weighted samples along each ray; an error (ValueError) where a field does not model the values."""
    if weights is None or values is None:
        raise ValueError("the field does not model what is to be accumulated")
    if values.ndim == weights.ndim:
        return (weights * values).sum(1)
    return torch.einsum("rk,rkc->rc", weights, values)
