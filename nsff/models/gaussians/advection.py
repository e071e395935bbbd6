"""Paths of dynamic Gaussians through neighbouring frames, by the lifted optical flow of the pixels around them.

From frame to frame a Gaussian goes the median way of the nearest moving pixels in space: pixels of the motion mask
whose flow is consistent and ends on the mask, lifted to the world at both ends. Neighbours share their motion that
way, and what is hidden in a frame moves with what is seen beside it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from nsff.models.gaussians.lifting import centres, inside, lift, read
from nsff.models.supervision import TrainingData

MOST_PIXELS = 8000
"""Pixels of a pair of frames that are asked at most."""
AT_ONCE = 16_384
"""Gaussians whose distances are computed at once on a GPU."""


@dataclass(frozen=True)
class LiftedFlow:
    """Where M pixels that move are at a frame, and how far they go to another frame; world units."""

    start: Float[Tensor, "M 3"]
    way: Float[Tensor, "M 3"]


def lifted_flow(
    data: TrainingData, z: Float[Tensor, "N H W"], frame: int, step: int, generator: torch.Generator
) -> LiftedFlow | None:
    """From ``frame`` to ``frame`` + ``step`` (1 or -1); see ``lifted_pixels``."""
    other = frame + step
    flow, valid = (data.flow_post, data.valid_post) if step > 0 else (data.flow_prev, data.valid_prev)
    pixels = (data.moving[frame] & valid[frame]).nonzero()
    return lifted_pixels(data, z, frame, other, pixels, flow[frame][pixels[:, 0], pixels[:, 1]], generator)


def lifted_pixels(
    data: TrainingData,
    z: Float[Tensor, "N H W"],
    frame: int,
    other: int,
    pixels: Int[Tensor, "P 2"],
    flow: Float[Tensor, "P 2"],
    generator: torch.Generator,
) -> LiftedFlow | None:
    """``flow`` at ``pixels`` (row, column) of ``frame`` to any frame ``other``, MOST_PIXELS at most, lifted at both
    ends where it ends on the mask; None where fewer than eight pixels do."""
    if len(pixels) > MOST_PIXELS:
        chosen = torch.randperm(len(pixels), generator=generator)[:MOST_PIXELS].to(pixels.device)
        pixels, flow = pixels[chosen], flow[chosen]
    rows, columns = pixels[:, 0], pixels[:, 1]
    uv = centres(rows, columns)
    to = uv + flow
    ends = inside(to, data.height, data.width) & (read(data.moving[other][..., None], to, nearest=True)[:, 0] > 0.5)
    if int(ends.sum()) < 8:
        return None
    start = lift(data, frame, uv[ends], z[frame][rows, columns][ends])
    end = lift(data, other, to[ends], read(z[other][..., None], to[ends], nearest=True)[:, 0])
    return LiftedFlow(start, end - start)


def nearest_ways(flow: LiftedFlow, points: Float[Tensor, "P 3"], count: int) -> Float[Tensor, "P 3"]:
    """The median way, component by component, of the ``count`` nearest starts of each point."""
    return flow.way[nearest(flow.start, points, count)[0]].median(1).values


def nearest(
    starts: Float[Tensor, "M 3"], points: Float[Tensor, "P 3"], count: int
) -> tuple[Int[Tensor, "P K"], Float[Tensor, "P K"]]:
    """Indices of the ``count`` starts that are nearest to each point, and their distances, in ascending order."""
    count = min(count, len(starts))
    if points.is_cuda:
        parts = [torch.cdist(part, starts).topk(count, largest=False) for part in points.split(AT_ONCE)]
        return torch.cat([part.indices for part in parts]), torch.cat([part.values for part in parts])
    from scipy.spatial import cKDTree

    distance, found = cKDTree(starts.numpy()).query(points.numpy(), k=count, workers=torch.get_num_threads())
    shape = (len(points), count)
    return (
        torch.from_numpy(np.asarray(found, np.int64).reshape(shape)),
        torch.from_numpy(np.asarray(distance, np.float32).reshape(shape)),
    )


def paths(
    data: TrainingData,
    z: Float[Tensor, "N H W"],
    position: Float[Tensor, "D 3"],
    frame: Int[Tensor, "D"],
    reach: int,
    neighbours: int,
    seed: int,
) -> Float[Tensor, "D W 3"]:
    """Displacements of points from their ``position`` at ``frame`` to frames ``frame`` - reach … ``frame`` + reach, W =
    2 reach + 1. Beyond the ends of the clip, and where no pixel says more, a point stays."""
    generator = torch.Generator().manual_seed(seed)
    path = position.new_zeros(len(position), 2 * reach + 1, 3)
    for step in (1, -1):
        for a in range(data.n_frames - 1) if step > 0 else range(data.n_frames - 1, 0, -1):
            age = (a - frame) * step
            alive = ((age >= 0) & (age < reach)).nonzero()[:, 0]
            if not len(alive):
                continue
            here = reach + step * age[alive]
            moved = path[alive, here]
            flow = lifted_flow(data, z, a, step, generator)
            if flow is not None:
                moved = moved + nearest_ways(flow, position[alive] + moved, neighbours)
            path[alive, here + step] = moved
        # Beyond the ends of the clip the last displacement stays.
        for distance in range(1, reach + 1):
            beyond = frame + step * distance
            out = ((beyond < 0) | (beyond >= data.n_frames)).nonzero()[:, 0]
            path[out, reach + step * distance] = path[out, reach + step * (distance - 1)]
    return path
