"""The plain twin of the rasterisers: every Gaussian at every pixel, in a few lines of PyTorch, for tests.

Notation and cut-offs: nsff.models.gaussians.splats. Memory grows with G × H × W; gradients are autograd's.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from nsff.models.gaussians.splats import (
    FAR,
    MAX_ALPHA,
    MIN_ALPHA,
    MIN_TRANSMITTANCE,
    NEAR,
    Camera,
    Rendering,
    Splats,
    rendering_of,
    slope_limits,
)


def rasterise(splats: Splats, camera: Camera) -> Rendering:
    """Draws ``splats`` as ``camera`` sees them: on any device, of any floating type.

    Gradients reach all of ``splats`` and the camera's pose.
    """
    V, t = camera.world_to_camera.to(splats.means).split([3, 1], dim=1)
    points = splats.means @ V.T + t[:, 0]
    z = points[:, 2]
    drawn = ((z >= NEAR) & (z <= FAR) & (splats.opacities >= MIN_ALPHA)).nonzero()[:, 0]
    order = drawn[z[drawn].argsort(stable=True)]
    centres, covariances = project(points[order], camera_covariances(splats, V)[order], camera)
    alpha = alphas(centres, covariances, splats.opacities[order], camera)
    alpha = torch.where((1 - alpha).cumprod(0) > MIN_TRANSMITTANCE, alpha, 0)
    ones = alpha.new_ones(1, camera.height, camera.width)
    transmittance = torch.cat([ones, (1 - alpha).cumprod(0)])
    values = torch.cat([splats.values, z[:, None]], dim=1)[order]
    sums = torch.einsum("ghw,gc->hwc", transmittance[:-1] * alpha, values)
    return rendering_of(sums, 1 - transmittance[-1])


def rotations(quaternions: Float[Tensor, "G 4"]) -> Float[Tensor, "G 3 3"]:
    """Rotation matrices of quaternions w, x, y, z of any length but 0."""
    w, x, y, z = functional.normalize(quaternions, dim=1).unbind(1)
    entries = [
        1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
        2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
        2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y),
    ]  # fmt: skip
    return torch.stack(entries, dim=1).reshape(-1, 3, 3)


def camera_covariances(splats: Splats, V: Float[Tensor, "3 3"]) -> Float[Tensor, "G 3 3"]:
    """V Σ Vᵀ, square scene units."""
    axes = V @ rotations(splats.quaternions) * splats.scales[:, None]
    return axes @ axes.mT


def project(
    points: Float[Tensor, "G 3"], covariances: Float[Tensor, "G 3 3"], camera: Camera
) -> tuple[Float[Tensor, "G 2"], Float[Tensor, "G 2 2"]]:
    """Centres (u, v) and covariances on the picture, pixels, of points (z > 0) and covariances in camera axes."""
    focal = camera.K.to(points).diagonal()[:2]
    limits = points.new_tensor(slope_limits(camera.K, camera.height, camera.width))
    z = points[:, 2:]
    slopes = points[:, :2] / z
    J = torch.cat([torch.diag_embed(focal / z), (-focal * slopes.clamp(*limits.T) / z)[:, :, None]], dim=2)
    blur = camera.blur * torch.eye(2).to(points)
    return focal * slopes + camera.K.to(points)[:2, 2], J @ covariances @ J.mT + blur


def alphas(
    centres: Float[Tensor, "G 2"], covariances: Float[Tensor, "G 2 2"], opacities: Float[Tensor, "G"], camera: Camera
) -> Float[Tensor, "G H W"]:
    """α of each Gaussian at each pixel, after its cut-offs."""
    u, v = (torch.arange(size).to(centres) + 0.5 for size in (camera.width, camera.height))
    dx, dy = u - centres[:, :1, None], v[:, None] - centres[:, 1:, None]
    a, b, _, c = torch.linalg.inv(covariances).reshape(-1, 4, 1, 1).unbind(1)
    sigma = (a * dx * dx + c * dy * dy) / 2 + b * dx * dy
    alpha = (opacities[:, None, None] * torch.exp(-sigma)).clamp(max=MAX_ALPHA)
    return torch.where((sigma >= 0) & (alpha >= MIN_ALPHA), alpha, 0)
