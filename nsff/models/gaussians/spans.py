"""How long dynamic Gaussians are seen at the start: as long as pictures show their colour where paths carry them.

Where flow is right a Gaussian keeps its colour for as long as it is seen, and may well be drawn at other times; where
flow fails it soon lies on something else.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from nsff.cameras.rays import project
from nsff.models.gaussians.lifting import inside, read
from nsff.models.gaussians.seeds import Seeds
from nsff.models.supervision import TrainingData

BEHIND = 1.05
"""Seeds that lie this many times deeper than the surface are hidden, and their colour is not seen."""
FRAMES_PER_SPAN = 1.5
"""A Gaussian that keeps its colour through k frames on either side gets a span of k divided by this."""


def colour_errors(
    data: TrainingData, z: Float[Tensor, "N H W"], seeds: Seeds, path: Float[Tensor, "D W 3"]
) -> Float[Tensor, "D W"]:
    """Mean absolute difference between the colour of each seed and the picture of each training frame of its path, in
    [0, 1]. NaN where it is hidden or out of the picture, and beyond the clip."""
    reach = path.shape[1] // 2
    errors = path.new_full(path.shape[:2], torch.nan)
    for frame in data.frames:
        rows = ((frame - seeds.frame).abs() <= reach).nonzero()[:, 0]
        column = reach + frame - seeds.frame[rows]
        place = seeds.position[rows] + path[rows, column]
        K, pose = data.intrinsics[frame].expand(len(rows), 3, 3), data.world_to_camera[frame].expand(len(rows), 3, 4)
        uv, depth = project(place, K, pose)
        seen = (depth > 0) & inside(uv, data.height, data.width)
        seen &= depth < BEHIND * read(z[frame][..., None], uv, nearest=True)[:, 0]
        off = (read(data.images[frame], uv) / 255 - seeds.colour[rows]).abs().mean(1)
        errors[rows, column] = torch.where(seen, off, torch.nan)
    return errors


def spans_of(errors: Float[Tensor, "D W"], most: float, least: float, longest: float) -> Float[Tensor, "D"]:
    """Spans in frames, between ``least`` and ``longest``: k over FRAMES_PER_SPAN, where up to k frames before and after
    the mean of both errors is at most ``most``, or unknown.

    >>> nan = float("nan")
    >>> spans_of(torch.tensor([[0.2, 0.0, 0, 0.1, nan], [0.0, 0.3, 0, nan, 0.0]]), 0.1, 0.5, 9.0).tolist()
    [0.6666666865348816, 0.5]
    """
    reach = errors.shape[1] // 2
    span, alive = torch.full_like(errors[:, 0], least), torch.ones(len(errors), dtype=torch.bool, device=errors.device)
    for k in range(1, reach + 1):
        mean = errors[:, [reach - k, reach + k]].nanmean(1)
        alive &= ~(mean > most)
        span[alive & ~mean.isnan()] = k / FRAMES_PER_SPAN
    return span.clamp(least, longest)
