"""Which of two ways along flow the dynamic Gaussians of a frame go: the one along which pictures show their colours.

Flow between neighbours that is right beats direct flow over several frames, which is right more often where the camera
jumps or links fail. All Gaussians of a frame decide together, time by time: single ones, and small patches, look like
much that they are not.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from nsff.models.gaussians.seeds import Seeds
from nsff.models.gaussians.spans import colour_errors
from nsff.models.supervision import TrainingData


def better_paths(
    data: TrainingData,
    z: Float[Tensor, "N H W"],
    seeds: Seeds,
    first: Float[Tensor, "D W 3"],
    other: Float[Tensor, "D W 3"],
) -> Float[Tensor, "D W 3"]:
    """``other`` for the frames and times at which it fits the pictures better than ``first``, by the mean error of the
    colours of those that both paths show; displacements of ``seeds``."""
    path = first.clone()
    errors, errors_other = (colour_errors(data, z, seeds, one) for one in (first, other))
    gains = errors - errors_other  # NaN where either is not seen
    for own in map(int, seeds.frame.unique()):
        rows = (seeds.frame == own).nonzero()[:, 0]
        better = gains[rows].nanmean(0) > 0
        path[rows] = torch.where(better[:, None], other[rows], first[rows])
    return path
