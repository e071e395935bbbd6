"""One factor on the depth of each moving thing and frame, so that distances within the thing stay the same over time.

A network's depth of what moves differs from frame to frame by a factor that no static point can tell. Where a thing
hardly changes its size from one frame to the next, its own points tell it.

Notation. A part is a connected region of a frame's motion mask, p of frame t and q of frame t ± 1; s is the logarithm
of the factor of a part. d and d' are the distances of two points of p, lifted with the prior's depth, at the starts and
at the ends of their flow, which lie in q. With factors, e^s(p) d = e^s(q) d', so that s(q) - s(p) = median log(d / d').
Least squares over all pairs of parts give s, with a weak pull towards 0: over its life a thing keeps the prior's mean.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.ndimage import label
from scipy.sparse import csr_matrix, diags, vstack
from scipy.sparse.linalg import spsolve
from torch import Tensor

from nsff.models.gaussians.advection import LiftedFlow, lifted_flow
from nsff.models.gaussians.lifting import project_pixels
from nsff.models.supervision import TrainingData

PAIRS = 2000
"""Pairs of points whose distances are compared."""
LEAST = 30
"""Parts that share fewer pixels say nothing about each other."""
PULL = 0.05
"""Weight of the pull of s towards 0, beside 1 for each pair of parts."""
MOST = 0.7
"""|s| is at most this: a factor of two."""


def rigid_depths(data: TrainingData, z: Float[Tensor, "N H W"], strength: float) -> Float[Tensor, "N H W"]:
    """``z`` with the factors of what moves: ``strength`` times their logarithms."""
    parts = parts_of(data)
    s = part_factors(data, z, parts)
    factor = torch.cat([s.new_zeros(1), strength * s]).exp()
    return z * factor[parts]


def parts_of(data: TrainingData) -> Int[Tensor, "N H W"]:
    """Numbers of parts, from 1, unique over all frames; 0 where nothing moves."""
    masks, count = data.moving.cpu().numpy(), 0
    numbers = np.zeros(masks.shape, np.int64)
    for i, mask in enumerate(masks):
        found, n = label(mask, structure=np.ones((3, 3)))
        numbers[i] = np.where(found > 0, found + count, 0)
        count += n
    return torch.from_numpy(numbers).to(data.device)


def part_factors(data: TrainingData, z: Float[Tensor, "N H W"], parts: Int[Tensor, "N H W"]) -> Float[Tensor, "P"]:
    """s of parts 1 to P."""
    count = int(parts.max())
    generator = torch.Generator().manual_seed(0)
    rows, values = [], []
    for frame in range(data.n_frames):
        for step in (1, -1):
            if not 0 <= frame + step < data.n_frames:
                continue
            flow = lifted_flow(data, z, frame, step, generator)
            if flow is None:
                continue
            of = lambda points, at: parts[at][project_pixels(data, at, points)]  # noqa: E731
            p, q = of(flow.start, frame), of(flow.start + flow.way, frame + step)
            for both in torch.stack([p, q], 1).unique(dim=0).tolist():
                own = (p == both[0]) & (q == both[1])
                if min(both) == 0 or int(own.sum()) < LEAST:
                    continue
                shared = LiftedFlow(flow.start[own], flow.way[own])
                rows.append((both[0] - 1, both[1] - 1))
                values.append(-float(change_of_size(shared, generator)))
    if not rows:
        return z.new_zeros(count)
    return torch.from_numpy(_least_squares(count, np.array(rows), np.array(values))).to(z).clamp(-MOST, MOST)


def _least_squares(count: int, rows: np.ndarray, values: np.ndarray) -> np.ndarray:
    pairs = len(rows)
    at = np.arange(pairs)
    A = csr_matrix((np.r_[-np.ones(pairs), np.ones(pairs)], (np.r_[at, at], np.r_[rows[:, 0], rows[:, 1]])), (pairs, count))
    A = vstack([A, diags(np.full(count, PULL))]).tocsc()
    b = np.r_[values, np.zeros(count)]
    return np.atleast_1d(spsolve((A.T @ A).tocsc(), A.T @ b))


def change_of_size(flow: LiftedFlow, generator: torch.Generator) -> Float[Tensor, ""]:
    """The median of log(d' / d) over random pairs of points."""
    start, end, count = flow.start, flow.start + flow.way, len(flow.start)
    pick = lambda: torch.randint(count, (PAIRS,), generator=generator).to(start.device)  # noqa: E731
    i, j = pick(), pick()
    d, moved = (start[i] - start[j]).norm(dim=1), (end[i] - end[j]).norm(dim=1)
    far = (d > d.median() * 0.2) & (moved > 0)
    return (moved[far] / d[far]).log().median() if bool(far.any()) else d.new_zeros(())
