"""Flow by RAFT (Teed, Deng 2020): torchvision's networks with torchvision's or the authors' weights.

Notation. Pictures enter as (1,3,h,w) in [-1,1], h and w multiples of 8 of at least 128 (the coarsest of the four levels
of correlations must have two pixels a side): they are continued by their border pixels, half on either side, and what
was added is cut off the result. The correlations of all pairs take about (h w/64)² x 5.3 bytes: pictures of more than
``max_pixels`` are seen in tiles, or reduced.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Float32, UInt8
from torch import Tensor, nn
from torch.nn import functional

from nsff.config import FlowConfig
from nsff.errors import StageError
from nsff.imaging.resizing import resize_flow, resize_frame
from nsff.priors.flow.raft_weights import load_raft
from nsff.priors.flow.tiles import estimate_tiled

STRIDE = 8
SMALLEST = 128


@dataclass
class RaftFlow:
    """A RAFT network as an estimator of flow between any two pictures of one size."""

    network: nn.Module
    iterations: int = 20
    max_pixels: int = 1_000_000
    large_frames: Literal["tile", "scale"] = "tile"
    device: torch.device = field(default_factory=lambda: torch.device("cuda" if torch.cuda.is_available() else "cpu"))

    def __post_init__(self) -> None:
        self.network = self.network.to(self.device)

    @staticmethod
    def from_file(path: Path, config: FlowConfig) -> RaftFlow:
        """Raises WeightsError where the file is missing or holds another network."""
        return RaftFlow(load_raft(path), config.iterations, config.max_pixels, config.large_frames)

    def estimate(
        self, first_rgb: UInt8[np.ndarray, "H W 3"], second_rgb: UInt8[np.ndarray, "H W 3"]
    ) -> Float32[np.ndarray, "H W 2"]:
        """Flow from the first picture to the second, pixels of the pictures given. StageError where memory is short."""
        try:
            if self.large_frames == "scale":
                return self._scaled(first_rgb, second_rgb)
            return estimate_tiled(self._whole, first_rgb, second_rgb, self.max_pixels)
        except RuntimeError as error:
            if not isinstance(error, torch.OutOfMemoryError) and "allocate memory" not in str(error):
                raise
            h, w = first_rgb.shape[:2]
            seen = min(h * w, self.max_pixels)
            raise StageError(
                f"flow of {w}x{h} pictures",
                f"{self.device} has not enough memory for {seen} pixels at a time",
                f"set flow.max_pixels below {seen}, say {seen // 2}",
            ) from None

    def _scaled(self, first: UInt8[np.ndarray, "H W 3"], second: UInt8[np.ndarray, "H W 3"]) -> np.ndarray:
        h, w = first.shape[:2]
        factor = math.sqrt(min(1.0, self.max_pixels / (h * w)))
        if factor == 1:
            return self._whole(first, second)
        size = (max(1, int(h * factor)), max(1, int(w * factor)))
        return resize_flow(self._whole(resize_frame(first, size), resize_frame(second, size)), (h, w))

    @torch.no_grad()
    def _whole(self, first: UInt8[np.ndarray, "h w 3"], second: UInt8[np.ndarray, "h w 3"]) -> np.ndarray:
        before, after = padding(first.shape[0], first.shape[1])
        pictures = (_tensor(image, before, after).to(self.device) for image in (first, second))
        flow = self.network(*pictures, num_flow_updates=self.iterations)[-1]
        h, w = first.shape[:2]
        inner = flow[0, :, before[0] : before[0] + h, before[1] : before[1] + w]
        return np.ascontiguousarray(inner.permute(1, 2, 0).float().cpu().numpy())


def padding(height: int, width: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """Rows and columns to add before, and after, the picture."""
    added = [max(SMALLEST, -(-side // STRIDE) * STRIDE) - side for side in (height, width)]
    before = (added[0] // 2, added[1] // 2)
    return before, (added[0] - before[0], added[1] - before[1])


def _tensor(image: UInt8[np.ndarray, "h w 3"], before: tuple[int, int], after: tuple[int, int]) -> Float[Tensor, "..."]:
    values = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None].float() / 255 * 2 - 1
    return functional.pad(values, (before[1], after[1], before[0], after[0]), mode="replicate")
