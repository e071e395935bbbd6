"""Light on what stands still: moving shadows and changes of light are a factor on static Gaussians over time.

Wu et al. 2022, D²NeRF, section 3.3, have a field of shadows; here Gaussians of one cell of the world share the factor
of a time, so that a cell learns what falls on a place and not the texture of the place.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

CELL = 6.0
"""Width of a cell, pixels, seen from the middle of the cameras."""
SHELLS = 60.0
"""Steps of depth of cells of one pixel: an e-fold has this many."""


class Light(nn.Module):
    """The logarithms of the factors of ``cells`` cells at ``frames`` frames, 0 at the start."""

    def __init__(self, cells: int, frames: int) -> None:
        super().__init__()
        self.log_factor = nn.Parameter(torch.zeros(cells, frames))

    def __len__(self) -> int:
        return len(self.log_factor)

    def at(self, cell: Int[Tensor, "G"], time: float) -> Float[Tensor, "G"]:
        """The factors on the colours of Gaussians of these cells, linear between frames and constant beyond the clip.

        >>> light = Light(2, 3)
        >>> with torch.no_grad():
        ...     light.log_factor[1, 1] = -0.5
        >>> [round(x, 2) for x in light.at(torch.tensor([0, 1]), 0.5).tolist()]
        [1.0, 0.78]
        """
        last = self.log_factor.shape[1] - 1
        time = min(max(time, 0.0), float(last))
        before = min(int(time), max(last - 1, 0))
        share = time - before
        log = self.log_factor[:, before]
        if share:
            log = (1 - share) * log + share * self.log_factor[:, before + 1]
        return log.exp()[cell]


def cells_of(
    position: Float[Tensor, "G 3"], centre: Float[Tensor, "3"], focal: Float[Tensor, ""], width: float
) -> tuple[Int[Tensor, "G"], int]:
    """The cell of each position, cells of ``width`` pixels of a camera of this focal length (pixels) at ``centre``, and
    the number of cells."""
    away = position - centre
    distance = away.norm(dim=1).clamp(min=1e-12)
    shell = (distance / distance.median()).log() * SHELLS / width
    place = torch.cat([away / distance[:, None] * (focal / width), shell[:, None]], 1).round().long()
    cell = torch.unique(place, dim=0, return_inverse=True)[1]
    return cell, int(cell.max()) + 1 if len(cell) else 0
