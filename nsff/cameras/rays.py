"""Rays through pixels, and projection, in torch; differentiable, any float type.

Notation. OpenCV axes; X_camera = R X + t. A pixel position (u, v) is continuous: the centre of column i is u = i +
0.5, unless the caller follows NSFF, whose rays start at u = i. Directions have z = 1 in the camera, so that a
distance along a ray is a depth.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def pixel_rays(
    K: Float[Tensor, "*R 3 3"], world_to_camera: Float[Tensor, "*R 3 4"], u: Float[Tensor, "*R"], v: Float[Tensor, "*R"]
) -> tuple[Float[Tensor, "*R 3"], Float[Tensor, "*R 3"]]:
    """Origins and directions in world axes of rays through the pixel positions (u, v); pinhole without skew."""
    camera = torch.stack(
        [(u - K[..., 0, 2]) / K[..., 0, 0], (v - K[..., 1, 2]) / K[..., 1, 1], torch.ones_like(u)], dim=-1
    )
    R, t = world_to_camera[..., :3], world_to_camera[..., 3]
    # R^T x, written out: broadcasting three products is faster than batched 3x3 matrix products.
    origins = -(R * t[..., :, None]).sum(-2)
    return origins.expand_as(camera), (R * camera[..., :, None]).sum(-2)


def project(
    points: Float[Tensor, "*R 3"], K: Float[Tensor, "*R 3 3"], world_to_camera: Float[Tensor, "*R 3 4"]
) -> tuple[Float[Tensor, "*R 2"], Float[Tensor, "*R"]]:
    """Pixel positions and depths z of world points. Depths below 1e-4 are replaced by it in the division."""
    camera = (world_to_camera[..., :3] * points[..., None, :]).sum(-1) + world_to_camera[..., 3]
    depth = camera[..., 2]
    safe = depth.clamp(min=1e-4)
    u = K[..., 0, 0] * camera[..., 0] / safe + K[..., 0, 2]
    v = K[..., 1, 1] * camera[..., 1] / safe + K[..., 1, 2]
    return torch.stack([u, v], dim=-1), depth
