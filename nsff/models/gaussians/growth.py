"""Pruning and growth of clouds: Gaussians that nobody sees go, those that too much pulls at are split.

Kerbl et al. 2023, 3D Gaussian Splatting, section 5.2: where the picture pulls hard at the position of a Gaussian, it
covers more than it can show. The gradient on the picture is that of the position, times depth over focal length.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from nsff.models.gaussians.cloud import Cloud
from nsff.models.gaussians.options import Options
from nsff.models.gaussians.twin import rotations

if TYPE_CHECKING:
    from nsff.models.gaussians.scene import GaussianScene

SHRINK = 1.6
"""The halves of a Gaussian are this many times smaller."""


class Growth:
    """Decides after which steps clouds grow and shrink, and carries it out."""

    def __init__(self, model: GaussianScene, options: Options, steps: int, most: int) -> None:
        """``most``: Gaussians that a cloud grows to."""
        self.model, self.options, self.steps, self.most = model, options, steps, most

    def after_step(self, step: int, optimiser: torch.optim.Adam) -> bool:
        """Removes and splits Gaussians at equal intervals; whether any cloud changed."""
        if not self.options.growths:
            return False
        every = max(1, int(self.options.grow_until * self.steps / self.options.growths))
        if (step + 1) % every or step + 1 >= self.steps:
            return False
        changed = [self._renew(cloud, step, optimiser) for cloud in (self.model.static, self.model.moving)]
        return any(changed)

    def _renew(self, cloud: Cloud, step: int, optimiser: torch.optim.Adam) -> bool:
        kept = cloud.opacity.detach() >= self.options.prune_opacity
        split = torch.zeros_like(kept)
        if self.options.grow_threshold and step + 1 <= self.options.grow_until * self.steps:
            split = self._pulled(cloud, optimiser, kept)
        if bool(kept.all()) and not bool(split.any()):
            return False
        rows = torch.arange(len(cloud), device=kept.device)
        index = torch.cat([rows[kept], rows[split]])
        twins = torch.arange(len(index), device=kept.device) >= int(kept.sum())
        cloud.select(index, twins, optimiser)
        if bool(split.any()):
            first = split[rows[kept]].nonzero()[:, 0]
            halve(cloud, first, twins.nonzero()[:, 0])
        return True

    def _pulled(self, cloud: Cloud, optimiser: torch.optim.Adam, kept: Tensor) -> Tensor:
        """Gaussians among ``kept`` whose position is pulled at by more than the threshold: by the root of Adam's mean
        square of the gradient, at the depth that the Gaussian has from the mean camera. No more of them than there is
        room for."""
        state = optimiser.state.get(cloud.position, {})
        room = self.most - int(kept.sum())
        if "exp_avg_sq" not in state or room <= 0:
            return torch.zeros_like(kept)
        pull = state["exp_avg_sq"].sum(1).sqrt() * cloud.position.detach().norm(dim=1) * kept
        split = pull > self.options.grow_threshold
        if int(split.sum()) > room:
            split = torch.zeros_like(kept)
            split[pull.argsort(descending=True, stable=True)[:room]] = True
        return split


@torch.no_grad()
def halve(cloud: Cloud, first: Tensor, second: Tensor) -> None:
    """Turns pairs of equal Gaussians, rows ``first`` and ``second``, into halves beside each other along the longest
    axis."""
    scale, axis = cloud.log_scale[first].max(1)
    turn = rotations(cloud.rotation[first])
    away = turn[torch.arange(len(first), device=axis.device), :, axis] * (0.5 * scale.exp())[:, None]
    cloud.position[first] += away
    cloud.position[second] -= away
    smaller = cloud.log_scale[first] - torch.log(torch.tensor(SHRINK))
    cloud.log_scale[first], cloud.log_scale[second] = smaller, smaller
