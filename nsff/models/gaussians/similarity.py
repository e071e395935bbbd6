"""Structural similarity (Wang et al. 2004) as a loss: all moments by two convolutions instead of ten, since a training
step of Gaussians takes hardly longer than its launches."""

from __future__ import annotations

import functools

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import conv2d, pad

WINDOW, SIGMA = 11, 1.5
"""Side and standard deviation of the Gaussian window, pixels."""
C1, C2 = 0.01**2, 0.03**2
"""Stabilise the quotients, for values in [0, 1]."""


@functools.cache
def _window(device: torch.device, dtype: torch.dtype) -> Float[Tensor, "1 1 11 1"]:
    """The window along one axis. It is the same in all calls, whoever asks with or without gradients."""
    with torch.inference_mode(False):
        at = torch.arange(WINDOW, device=device, dtype=torch.float64) - WINDOW // 2
        weights = (-at.square() / (2 * SIGMA**2)).exp()
        return (weights / weights.sum()).to(dtype)[None, None, :, None]


def structural_similarity(a: Float[Tensor, "H W C"], b: Float[Tensor, "H W C"]) -> Float[Tensor, ""]:
    """The mean over pixels and channels, 1 for equal pictures; values in [0, 1], borders reflected. Gradients reach
    both. Pictures are at least 6 pixels high and wide."""
    channels = a.shape[-1]
    a, b = a.permute(2, 0, 1), b.permute(2, 0, 1)
    maps = torch.cat([a, b, a * a, b * b, a * b])[None]
    half, count = WINDOW // 2, 5 * channels
    window = _window(a.device, a.dtype).expand(count, 1, WINDOW, 1)
    # A channel is a group: as pictures of one channel, their gradients are a hundred times slower on a GPU.
    rows = conv2d(pad(maps, (half,) * 4, "reflect"), window, groups=count)
    blurred = conv2d(rows, window.transpose(2, 3), groups=count)[0]
    mean_a, mean_b, aa, bb, ab = blurred.split(channels)
    product, squares = mean_a * mean_b, mean_a.square() + mean_b.square()
    above = (2 * product + C1) * (2 * (ab - product) + C2)
    below = (squares + C1) * (aa + bb - squares + C2)
    return (above / below).mean()
