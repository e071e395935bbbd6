"""Paths of dynamic Gaussians by flow between neighbours and between frames further apart.

Flow chained from frame to frame drifts, and is lost where a link fails. Where there is direct flow over several frames
that starts at the Gaussian's place, is consistent and ends on the motion mask, it says where the Gaussian is then; the
others take the median of what that changed for their neighbours, so that a thing is moved as a whole. The chain goes on
from there.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from nsff.models.gaussians.advection import LiftedFlow, lifted_flow, lifted_pixels, nearest, nearest_ways
from nsff.models.gaussians.lifting import camera_centres
from nsff.models.supervision import TrainingData

NEAR = 3.0
"""Direct flow starts at a Gaussian's place if half of the pixels that are asked lie within so many pixels of it."""
FEWEST = 8
"""So many Gaussians have to have direct flow before others follow them."""


class Ways:
    """Lifted flow of all pairs of frames, each lifted once; see ``lifted_flow``."""

    def __init__(self, data: TrainingData, z: Float[Tensor, "N H W"], seed: int) -> None:
        self._data, self._z, self._generator = data, z, torch.Generator().manual_seed(seed)
        self._known: dict[tuple[int, int], LiftedFlow | None] = {}

    def __call__(self, frame: int, other: int) -> LiftedFlow | None:
        """From ``frame`` to ``other``; None where there is no flow, or of fewer than eight pixels."""
        pair, step = (frame, other), other - frame
        if pair not in self._known:
            if abs(step) == 1:
                self._known[pair] = lifted_flow(self._data, self._z, frame, step, self._generator)
            elif pair in self._data.far:
                pixels, flow = self._data.far[pair]
                self._known[pair] = lifted_pixels(self._data, self._z, frame, other, pixels, flow, self._generator)
            else:
                self._known[pair] = None
        return self._known[pair]


def far_paths(
    data: TrainingData,
    z: Float[Tensor, "N H W"],
    position: Float[Tensor, "D 3"],
    frame: Int[Tensor, "D"],
    reach: int,
    neighbours: int,
    seed: int,
) -> Float[Tensor, "D W 3"]:
    """Displacements as ``nsff.models.gaussians.advection.paths`` gives them, with the same arguments, held to direct
    flow (``data.far``) where there is some."""
    ways = Ways(data, z, seed)
    distances = sorted({abs(i - j) for i, j in data.far}, reverse=True)
    centres = camera_centres(data)
    path = position.new_zeros(len(position), 2 * reach + 1, 3)
    for own in map(int, frame.unique()):
        rows = (frame == own).nonzero()[:, 0]
        start = position[rows]
        near = NEAR * (start - centres[own]).norm(dim=1) / data.intrinsics[own, 0, 0]
        mine = path[rows]
        for step in (1, -1):
            for k in range(1, reach + 1):
                at, column = own + step * k, reach + step * k
                mine[:, column] = mine[:, column - step]
                if not 0 <= at < data.n_frames:
                    continue
                flow = ways(at - step, at)
                if flow is not None:
                    mine[:, column] += nearest_ways(flow, start + mine[:, column - step], neighbours)
                for distance in distances:
                    direct = ways(at - step * distance, at) if distance <= k else None
                    if direct is not None:
                        before = mine[:, column - step * distance]
                        there, ok = _direct(direct, start + before, neighbours, near)
                        mine[:, column] = _followed(mine[:, column], before + there, ok, start, neighbours)
                        break
        path[rows] = mine
    return path


def _direct(
    flow: LiftedFlow, points: Float[Tensor, "P 3"], count: int, near: Float[Tensor, "P"]
) -> tuple[Float[Tensor, "P 3"], Bool[Tensor, "P"]]:
    """The ways of points by direct flow, and whether half of the pixels that say so are near."""
    index, distance = nearest(flow.start, points, count)
    return flow.way[index].median(1).values, distance[:, (distance.shape[1] - 1) // 2] < near


def _followed(
    chained: Float[Tensor, "P 3"],
    direct: Float[Tensor, "P 3"],
    ok: Bool[Tensor, "P"],
    start: Float[Tensor, "P 3"],
    count: int,
) -> Float[Tensor, "P 3"]:
    """``direct`` where ``ok``; elsewhere ``chained``, moved by the median of what that changes for those around."""
    result = torch.where(ok[:, None], direct, chained)
    if int(ok.sum()) >= FEWEST and not bool(ok.all()):
        index, _ = nearest(start[ok], start[~ok], count)
        result[~ok] += (direct - chained)[ok][index].median(1).values
    return result
