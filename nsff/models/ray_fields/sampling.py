"""Samples along rays: parameters s in [0, 1], sorted, R rays × K samples."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def stratified(
    rays: int, samples: int, generator: torch.Generator | None, device: torch.device | str
) -> Float[Tensor, "R K"]:
    """K uniform values 0..1; with a generator each is moved at random between its mid-points to the neighbours
    (NSFF).
    """
    s = torch.linspace(0, 1, samples, device=device).expand(rays, samples)
    if generator is None:
        return s
    middle = 0.5 * (s[:, 1:] + s[:, :-1])
    lower, upper = torch.cat([s[:, :1], middle], 1), torch.cat([middle, s[:, -1:]], 1)
    return lower + (upper - lower) * torch.rand(rays, samples, device=device, generator=generator)


def importance(
    s: Float[Tensor, "R Kc"],
    weights: Float[Tensor, "R Kc"],
    samples: int,
    generator: torch.Generator | None,
    floor: float = 0.01,
) -> Float[Tensor, "R K"]:
    """Draws K sorted values from the piecewise constant density that coarse weights define (NeRF, section 5.2).

    The weight of coarse sample k is spread over the interval between its mid-points; ``floor`` is mixed in uniformly
    per interval, so that no part of a ray is ever ignored. Without a generator the draws are at regular quantiles.
    """
    middle = 0.5 * (s[:, 1:] + s[:, :-1])
    edges = torch.cat([s[:, :1], middle, s[:, -1:]], dim=1)
    # A neighbour's weight counts as well: surfaces fall between coarse samples.
    padded = torch.nn.functional.pad(weights[:, None], (1, 1), mode="replicate")[:, 0]
    wide = 0.5 * torch.maximum(padded[:, :-2], padded[:, 1:-1]) + 0.5 * torch.maximum(padded[:, 1:-1], padded[:, 2:])
    density = wide + floor / weights.shape[1] + 1e-6
    cdf = torch.cumsum(density, dim=1)
    cdf = torch.cat([torch.zeros_like(cdf[:, :1]), cdf / cdf[:, -1:]], dim=1)
    step = torch.arange(samples, device=s.device, dtype=s.dtype)
    if generator is None:
        u = ((step + 0.5) / samples).expand(len(s), samples)
    else:
        u = (step + torch.rand(len(s), samples, device=s.device, generator=generator)) / samples
    index = torch.searchsorted(cdf, u.contiguous(), right=True).clamp(1, cdf.shape[1] - 1)
    low, high = torch.gather(cdf, 1, index - 1), torch.gather(cdf, 1, index)
    start, end = torch.gather(edges, 1, index - 1), torch.gather(edges, 1, index)
    return start + (end - start) * ((u - low) / (high - low).clamp(min=1e-8)).clamp(0, 1)
