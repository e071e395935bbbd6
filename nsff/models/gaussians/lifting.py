"""Pixels of the training frames as points of the world, and values read between pixels.

Notation. N frames of H×W. Pixel positions (u, v) are continuous, centres at +0.5; z is depth along the camera's axis.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import grid_sample

from nsff.models.gaussians.depth_edges import sharpened
from nsff.models.gaussians.options import Options
from nsff.models.supervision import TrainingData

FARTHEST = 30.0
"""Depths are cut off at this many times the median: what lies farther hardly has parallax."""


def disparities(data: TrainingData, options: Options) -> Float[Tensor, "N H W"]:
    """The prior's disparity, with sharp edges where the options say so."""
    return sharpened(data.disparity, data.images) if options.sharp_depth else data.disparity


def depths(disparity: Float[Tensor, "N H W"]) -> tuple[Float[Tensor, "N H W"], float]:
    """z of all pixels from disparity, world units, and their median over all frames."""
    median = float(disparity.flatten()[:: max(1, disparity.numel() // 1_000_000)].median())
    least = max(median, 1e-12) / FARTHEST
    return 1 / disparity.clamp(min=least), 1 / max(median, 1e-12)


def lift(data: TrainingData, frame: int, uv: Float[Tensor, "P 2"], z: Float[Tensor, "P"]) -> Float[Tensor, "P 3"]:
    """The world points that camera ``frame`` sees at ``uv`` and depth ``z``."""
    K, pose = data.intrinsics[frame], data.world_to_camera[frame]
    x = (
        torch.stack([(uv[:, 0] - K[0, 2]) / K[0, 0], (uv[:, 1] - K[1, 2]) / K[1, 1], torch.ones_like(z)], 1)
        * z[:, None]
    )
    return (x - pose[:, 3]) @ pose[:, :3]


def camera_centres(data: TrainingData) -> Float[Tensor, "N 3"]:
    """Where the cameras of the frames stand in the world."""
    pose = data.world_to_camera
    return -(pose[:, :, :3].transpose(1, 2) @ pose[:, :, 3:])[..., 0]


def centres(rows: Int[Tensor, "P"], columns: Int[Tensor, "P"]) -> Float[Tensor, "P 2"]:
    """Positions of the centres of pixels."""
    return torch.stack([columns, rows], 1).float() + 0.5


def read(image: Float[Tensor, "H W C"], uv: Float[Tensor, "P 2"], nearest: bool = False) -> Float[Tensor, "P C"]:
    """Values of ``image`` at positions ``uv``, bilinear or of the nearest pixel; beyond the border those at it."""
    H, W = image.shape[:2]
    grid = torch.stack([uv[:, 0] / W * 2 - 1, uv[:, 1] / H * 2 - 1], 1)[None, None]
    mode = "nearest" if nearest else "bilinear"
    picture = image.permute(2, 0, 1)[None].float()
    return grid_sample(picture, grid, mode=mode, align_corners=False, padding_mode="border")[0, :, 0].T


def inside(uv: Float[Tensor, "P 2"], height: int, width: int) -> Tensor:
    """Whether positions lie in the picture, (P,) bool."""
    return (uv[:, 0] > 0) & (uv[:, 0] < width) & (uv[:, 1] > 0) & (uv[:, 1] < height)
