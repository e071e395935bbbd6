"""The Gaussians that a training begins with: static ones of the static pixels of all frames, and dynamic ones of all
pixels that move, lifted to the world by the prior's depth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import max_pool2d

from nsff.models.gaussians.lifting import camera_centres, centres, lift
from nsff.models.gaussians.light import cells_of
from nsff.models.supervision import TrainingData

AROUND = 5
"""Static pixels keep half of this distance, in pixels, from the motion masks, whose edges are uncertain."""


@dataclass(frozen=True)
class Seeds:
    """Points of the world with what their pixels show. ``size`` is the width of a pixel there, world units."""

    position: Float[Tensor, "G 3"]
    frame: Int[Tensor, "G"]
    size: Float[Tensor, "G"]
    colour: Float[Tensor, "G 3"]
    feature: Float[Tensor, "G C"] | None
    saliency: Float[Tensor, "G"] | None

    def __getitem__(self, index: Tensor) -> Seeds:
        chosen: dict[str, Any] = {name: None if value is None else value[index] for name, value in vars(self).items()}
        return Seeds(**chosen)

    def __len__(self) -> int:
        return len(self.position)


def seeds_of(data: TrainingData, z: Float[Tensor, "N H W"], chosen: Bool[Tensor, "N H W"]) -> Seeds:
    """One seed for each chosen pixel of the training frames, frame by frame."""
    parts = []
    for frame in data.frames:
        rows, columns = chosen[frame].nonzero(as_tuple=True)
        depth = z[frame][rows, columns]
        feature = saliency = None
        if data.features is not None:
            h, w = data.features.shape[1:3]
            at = (rows * h // data.height, columns * w // data.width)
            feature = data.features[frame][at].float()
            saliency = None if data.saliency is None else data.saliency[frame][at].float()
        parts.append(
            Seeds(
                lift(data, frame, centres(rows, columns), depth),
                torch.full_like(rows, frame),
                depth / data.intrinsics[frame, 0, 0],
                data.images[frame][rows, columns].float() / 255,
                feature,
                saliency,
            )
        )
    joined: dict[str, Any] = {}
    for name in vars(parts[0]):
        values = [getattr(part, name) for part in parts]
        joined[name] = None if values[0] is None else torch.cat(values)
    return Seeds(**joined)


def lattice(data: TrainingData, spacing: int) -> Bool[Tensor, "N H W"]:
    """Every ``spacing``-th pixel along rows and columns, other ones in frames that follow each other."""
    chosen = torch.zeros(data.moving.shape, dtype=torch.bool, device=data.device)
    for i in range(data.n_frames):
        chosen[i, (i // spacing) % spacing :: spacing, i % spacing :: spacing] = True
    return chosen


def static_seeds(
    data: TrainingData, z: Float[Tensor, "N H W"], beside: Bool[Tensor, "N H W"], spacing: int, thinning: float
) -> Seeds:
    """Seeds of pixels away from the motion masks and not ``beside`` steps of depth. Those are made one that lie in the
    same direction, seen from the mean camera, to within ``thinning`` pixels, at nearly the same depth."""
    near = max_pool2d(data.moving[:, None].float(), AROUND, 1, AROUND // 2)[:, 0] > 0
    chosen = lattice(data, spacing) & ~near & ~beside
    if not bool(chosen.any()):
        chosen = lattice(data, spacing)
    seeds = seeds_of(data, z, chosen)
    if thinning == 0:
        return seeds
    group, count = cells_of(seeds.position, camera_centres(data).mean(0), data.intrinsics[0, 0, 0], thinning)
    first = torch.full((count,), len(seeds), device=group.device)
    first = first.scatter_reduce(0, group, torch.arange(len(seeds), device=group.device), "amin")
    return seeds[first.sort().values]


def dynamic_seeds(
    data: TrainingData, z: Float[Tensor, "N H W"], beside: Bool[Tensor, "N H W"], spacing: int, most: int
) -> tuple[Seeds, int]:
    """Seeds of pixels of the motion masks that do not lie ``beside`` a step of depth, where it may be that of the other
    side, and the spacing that leaves at most ``most`` of them."""
    moving = data.moving & ~beside
    held = torch.ones(data.n_frames, dtype=torch.bool, device=data.device)
    held[data.train_frames] = False
    moving[held] = False
    while int((chosen := lattice(data, spacing) & moving).sum()) > most:
        spacing += 1
    return seeds_of(data, z, chosen), spacing
