"""Sharp edges of depth: networks blur the step between a thing and what lies behind it, and pixels lifted from such a
slope float between the two. Each pixel of a slope is given to the side whose colours it has.

Notation. d is disparity, ℓ = log d. A pixel is flat where ℓ hardly changes around it; near and far are the largest and
smallest ℓ of flat pixels within reach. Pixels of which colours count are flat ones (joint bilateral filtering, Kopf et
al. 2007).
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor
from torch.nn.functional import max_pool2d, pad

REACH = 1 / 45
"""Width of the widest slope, of the picture's height."""
FLAT = 0.03
"""Largest change of ℓ over three pixels where a surface is flat."""
STEP = 0.1
"""Steps of ℓ below this stay as they are."""
BETWEEN = 0.1
"""Pixels are on a slope where they keep this part of the step from near and far."""
COLOUR = 0.08
"""Standard deviation of colours that are alike, colours in [0, 1]."""
BESIDE = 1 / 135
"""How far from a step pixels lie beside it, of the picture's height."""


def sharpened(disparity: Float[Tensor, "N H W"], images: UInt8[Tensor, "N H W 3"]) -> Float[Tensor, "N H W"]:
    """``disparity`` with steps instead of slopes; what is no slope stays to the bit."""
    return torch.stack([_one(d, image) for d, image in zip(disparity, images, strict=True)])


def _largest(values: Tensor, radius: int) -> Tensor:
    return max_pool2d(values[None], 2 * radius + 1, 1, radius)[0]


def slopes(log_d: Float[Tensor, "H W"], reach: int) -> tuple[Bool[Tensor, "H W"], Bool[Tensor, "H W"], Tensor]:
    """Where it is flat, where it is a slope, and the middle of the step there."""
    around = _largest(log_d, 1), -_largest(-log_d, 1)
    flat = around[0] - around[1] < FLAT
    near = _largest(torch.where(flat, log_d, -torch.inf), reach)
    far = -_largest(torch.where(flat, -log_d, -torch.inf), reach)
    step = near - far
    slope = ~flat & step.isfinite() & (step > STEP)
    # What is nearest or farthest of its neighbours is a thin thing or the rim of a sharp step, and no slope.
    for high, low in ((near, far), around):
        place = (log_d - low) / (high - low).clamp(min=1e-9)
        slope &= (place > BETWEEN) & (place < 1 - BETWEEN)
    return flat, slope, (near + far) / 2


def _one(disparity: Float[Tensor, "H W"], image: UInt8[Tensor, "H W 3"]) -> Float[Tensor, "H W"]:
    H, W = disparity.shape
    reach = max(2, round(REACH * H))
    log_d = disparity.clamp(min=1e-12).log()
    flat, slope, middle = slopes(log_d, reach)
    rows, columns = slope.nonzero(as_tuple=True)
    if not len(rows):
        return disparity
    colours, own, half = image.float() / 255, image[rows, columns].float() / 255, middle[rows, columns]
    weight, total = torch.zeros(2, len(rows), device=half.device), torch.zeros(2, len(rows), device=half.device)
    for dy in range(-reach, reach + 1):
        for dx in range(-reach, reach + 1):
            y, x = (rows + dy).clamp(0, H - 1), (columns + dx).clamp(0, W - 1)
            alike = (-(colours[y, x] - own).square().sum(1) / (2 * COLOUR**2)).exp() * flat[y, x]
            value = log_d[y, x]
            near = value > half
            for side, there in enumerate((near, ~near)):
                weight[side] += alike * there
                total[side] += alike * there * value
    found = (total / weight.clamp(min=1e-12))[weight.argmax(0), torch.arange(len(rows), device=half.device)]
    result = disparity.clone()
    known = weight.max(0).values > 1e-6
    result[rows[known], columns[known]] = found[known].exp().to(result.dtype)
    return result


def beside_steps(log_d: Float[Tensor, "H W"]) -> Bool[Tensor, "H W"]:
    """Pixels beside a step of ``log_d``, where another pixel nearby that is not beside one has nearly the same value:
    those of things too thin to have such a pixel are left out."""
    H, W = log_d.shape
    radius = max(1, round(BESIDE * H))
    beside = _largest(log_d, radius) + _largest(-log_d, radius) > STEP
    stands_for, reach = torch.zeros_like(beside), 2 * radius
    value, clear = (pad(x[None, None], (reach,) * 4, "replicate")[0, 0] for x in (log_d, (~beside).to(log_d)))
    for dy in range(2 * reach + 1):
        for dx in range(2 * reach + 1):
            near = (slice(dy, dy + H), slice(dx, dx + W))
            stands_for |= (clear[near] > 0) & ((value[near] - log_d).abs() < STEP / 2)
    return beside & stands_for
