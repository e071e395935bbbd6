"""Means over rays and samples that several terms have in common.

Notation. R rays, K samples along a ray from near to far, C channels.
"""

from __future__ import annotations

from jaxtyping import Bool, Float
from torch import Tensor

EPSILON = 1e-8
"""Keeps denominators and logarithms away from zero (NSFF)."""
Scalar = Float[Tensor, ""]


def masked_mean(mask: Float[Tensor, "*R"] | Bool[Tensor, "*R"], value: Float[Tensor, "*R *C"]) -> Scalar:
    """sum(m x) / (sum(m) + 1e-8), the mask repeated over the channels that ``value`` has and the mask lacks.

    Gradients flow into the mask, in numerator and denominator, unless it is detached (visibility is not).

    >>> import torch
    >>> masked_mean(torch.tensor([1.0, 0.0]), torch.tensor([[2.0, 4.0], [9.0, 9.0]])).item()
    3.0
    """
    mask = mask.to(value.dtype)
    mask = mask.reshape(mask.shape + (1,) * (value.ndim - mask.ndim)).expand_as(value)
    return (mask * value).sum() / (mask.sum() + EPSILON)


def masked_mse(
    prediction: Float[Tensor, "R *C"], target: Float[Tensor, "R *C"], mask: Float[Tensor, "R"] | Bool[Tensor, "R"]
) -> Scalar:
    """Mean squared error over masked rays, for colours, features and saliency.

    Source: compute_mse of NSFF's run_nerf_helpers.py.
    """
    return masked_mean(mask, (prediction - target).square())
