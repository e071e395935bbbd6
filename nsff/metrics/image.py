"""PSNR and SSIM of pictures, whole or within a mask, in two variants.

Notation. Pictures a, b are (H,W,C) in [0,1]; a mask m is (H,W), or (H,W,C) for each channel apart, bool or weights in
[0,1]. All functions are torch and differentiable; results are scalars (0-d tensors). An empty mask gives NaN: such a
view has no score and is left out of means.

Variant ``standard``: data range 1. Variant ``reference``: what published evaluation code does (NSFF's
``evaluation.py``, SAFF's ``evaluate_recon_ours.py``): SSIM with data range 2, which inflates it, and 0 dB where a
masked error is zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float, Shaped
from torch import Tensor
from torch.nn.functional import avg_pool2d

Variant = Literal["standard", "reference"]

PSNR_CAP = 100.0
"""Identical pictures score this many dB in the standard variant (not infinity), so that means stay finite."""
SSIM_WINDOW = 7
"""Side of scikit-image's default (uniform) SSIM window, pixels."""
K1, K2 = 0.01, 0.03


def psnr(
    a: Float[Tensor, "H W C"],
    b: Float[Tensor, "H W C"],
    mask: Shaped[Tensor, "H W *C"] | None = None,
    variant: Variant = "standard",
) -> Float[Tensor, ""]:
    """Peak signal-to-noise ratio, dB: -10 log10(mean squared error), or -10 log10(Σ m (a-b)² / (C Σ m)) with a mask.

    No error at all: PSNR_CAP (standard, which also caps at it); reference: infinity, and 0 with a mask (NSFF).

    >>> psnr(torch.full((8, 8, 3), 0.5), torch.full((8, 8, 3), 0.6)).item()  # doctest: +ELLIPSIS
    19.999...
    """
    _check(a, b, mask)
    squared = (a - b).square()
    if mask is None:
        error = squared.mean()
    else:
        weight = _by_channel(mask, squared)
        error = (weight * squared).sum() / weight.sum()
    if variant == "standard":
        return -10 * torch.log10(error.clamp(min=10 ** (-PSNR_CAP / 10)))
    if mask is not None and bool(error == 0):
        return torch.zeros_like(error)
    return -10 * torch.log10(error)


def psnr_8bit(a: Float[Tensor, "H W C"], b: Float[Tensor, "H W C"]) -> Float[Tensor, ""]:
    """PSNR of the 8-bit pictures as OpenCV computes it, and DynamicNeRF's evaluation with it: identical ones score
    361.2 dB."""
    _check(a, b, None)
    x, y = ((v.clamp(0, 1) * 255).round().double() for v in (a, b))
    return 20 * torch.log10(255 / ((x - y).square().mean().sqrt() + torch.finfo(torch.float64).eps))


def ssim_maps(
    a: Float[Tensor, "H W C"], b: Float[Tensor, "H W C"], data_ranges: Sequence[float]
) -> list[Float[Tensor, "H W C"]]:
    """Structural similarity per pixel and channel, one map for each data range.

    scikit-image's convention: uniform 7×7 window, sample covariance, K1 = 0.01, K2 = 0.03, borders mirrored (Wang et
    al. 2004, with scikit-image's defaults).
    """
    _check(a, b, None)
    if min(a.shape[:2]) < SSIM_WINDOW:
        raise ValueError(
            f"SSIM needs pictures of at least {SSIM_WINDOW}x{SSIM_WINDOW} pixels, got {tuple(a.shape[:2])}"
        )
    # Double precision: variances are differences of nearly equal numbers.
    x, y = a.double(), b.double()
    mean_x, mean_y, xx, yy, xy = (_window_mean(v) for v in (x, y, x * x, y * y, x * y))
    n = SSIM_WINDOW**2
    unbiased = n / (n - 1)
    var_x, var_y = unbiased * (xx - mean_x**2), unbiased * (yy - mean_y**2)
    cov = unbiased * (xy - mean_x * mean_y)
    maps = []
    for data_range in data_ranges:
        c1, c2 = (K1 * data_range) ** 2, (K2 * data_range) ** 2
        numerator = (2 * mean_x * mean_y + c1) * (2 * cov + c2)
        maps.append((numerator / ((mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2))).to(a.dtype))
    return maps


def mean_similarity(values: Float[Tensor, "H W C"], mask: Shaped[Tensor, "H W *C"] | None = None) -> Float[Tensor, ""]:
    """The mean of an SSIM map. Without a mask the border of 3 pixels is left out (scikit-image); with one it is
    Σ m ssim_map / (C Σ m) over the whole picture (NSFF)."""
    if mask is None:
        border = (SSIM_WINDOW - 1) // 2
        return values[border:-border, border:-border].mean()
    weight = _by_channel(mask, values)
    return (weight * values).sum() / weight.sum()


def ssim(
    a: Float[Tensor, "H W C"],
    b: Float[Tensor, "H W C"],
    mask: Shaped[Tensor, "H W *C"] | None = None,
    variant: Variant = "standard",
) -> Float[Tensor, ""]:
    """Mean structural similarity, see ``ssim_maps`` and ``mean_similarity``. The reference variant has data range 2.

    >>> ssim(torch.ones(16, 16, 3), torch.ones(16, 16, 3)).item()
    1.0
    """
    _check(a, b, mask)
    return mean_similarity(ssim_maps(a, b, (1.0 if variant == "standard" else 2.0,))[0], mask)


def _by_channel(mask: Shaped[Tensor, "H W *C"], values: Float[Tensor, "H W C"]) -> Float[Tensor, "H W C"]:
    weight = mask.to(values.dtype)
    return (weight[..., None] if weight.ndim == 2 else weight).expand_as(values)


def _window_mean(values: Float[Tensor, "H W C"]) -> Float[Tensor, "H W C"]:
    """Mean over the window around each pixel; outside, the picture is mirrored with its edge pixel repeated (SciPy's
    'reflect')."""
    border = SSIM_WINDOW // 2
    for axis in (0, 1):
        size = values.shape[axis]
        head, tail = values.narrow(axis, 0, border).flip(axis), values.narrow(axis, size - border, border).flip(axis)
        values = torch.cat([head, values, tail], axis)
    # One axis after the other: 14 instead of 49 terms.
    planes = values.permute(2, 0, 1)[None]
    return avg_pool2d(avg_pool2d(planes, (SSIM_WINDOW, 1), stride=1), (1, SSIM_WINDOW), stride=1)[0].permute(1, 2, 0)


def _check(a: Tensor, b: Tensor, mask: Tensor | None) -> None:
    if a.shape != b.shape or a.ndim != 3 or (mask is not None and mask.shape not in (a.shape[:2], a.shape)):
        weights = None if mask is None else tuple(mask.shape)
        raise ValueError(f"pictures {tuple(a.shape)}, {tuple(b.shape)} and mask {weights} disagree")
