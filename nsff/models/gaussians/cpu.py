"""The rasteriser of CPUs: kernels that Numba compiles, with gradients.

Notation and cut-offs: nsff.models.gaussians.splats. Gaussians are projected, sorted by depth and listed for each tile
of TILE × TILE pixels that they reach; every tile is composited front to back. The backward pass goes through each tile
once more, writes the gradients of each Gaussian and tile by themselves, and adds them up in a fixed order: results are
the same to the bit whatever the number of threads, which is PyTorch's.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from nsff.models.gaussians.compiled import SHARES, in_shares
from nsff.models.gaussians.cpu_projection import carry_back, project
from nsff.models.gaussians.cpu_tiles import by_depth, composite, composite_back, list_entries
from nsff.models.gaussians.splats import (
    EXTENT,
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

TILE = 16
CUTS = (MAX_ALPHA, MIN_TRANSMITTANCE)


def rasterise(splats: Splats, camera: Camera) -> Rendering:
    """Draws ``splats`` (on the CPU, float32 or float64) as ``camera`` sees them.

    Gradients reach all of ``splats`` and the camera's pose, once: there are no gradients of gradients. The first call
    with a floating type compiles, for some seconds; later processes find the result in Numba's cache. Raises ValueError
    for other types and devices.
    """
    if splats.means.dtype not in (torch.float32, torch.float64) or splats.means.device.type != "cpu":
        raise ValueError(f"splats: {splats.means.dtype} on {splats.means.device}, not float32 or float64 on the CPU")
    sums, alpha = _Rasterise.apply(
        splats.means, splats.quaternions, splats.scales, splats.opacities, splats.values,
        camera.world_to_camera.to(splats.means), camera,
    )  # fmt: skip
    return rendering_of(sums, alpha)


class _Rasterise(torch.autograd.Function):
    """Sums of weighted values and z (H,W,C+1), and alpha (H,W)."""

    @staticmethod
    def forward(ctx: Any, *arguments: Any) -> tuple[Tensor, Tensor]:
        *tensors, camera = arguments
        means, quaternions, scales, opacities, values, pose = (_array(t) for t in tensors)
        H, W, (G, C) = camera.height, camera.width, values.shape
        shapes, boxes = np.empty((G, 8)), np.empty((G, 4), np.int32)
        geometry = (pose.astype(np.float64), _lens(camera))
        in_shares(project, means, quaternions, scales, opacities, *geometry, (H, W), MIN_ALPHA, shapes, boxes)
        drawn = np.flatnonzero(boxes[:, 1])
        order = by_depth(drawn, shapes[drawn, 6])
        rows, columns = -(-H // TILE), -(-W // TILE)
        starts, gaussian, *slots = list_entries(order, boxes, TILE, rows, columns)
        sums, transmittance = np.empty((H, W, C + 1), values.dtype), np.empty((H, W), values.dtype)
        four = (0, 1, 2, 3) if C == 4 else ()
        tiles = (starts, gaussian, shapes, boxes, values, four, TILE, columns, CUTS)
        in_shares(composite, *tiles, sums, transmittance)
        result = torch.from_numpy(sums), torch.from_numpy(1 - transmittance)
        ctx.save_for_backward(*tensors, result[0])
        ctx.projected = (geometry, tiles, transmittance, slots)
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, to_sums: Tensor, to_alpha: Tensor) -> tuple[Tensor | None, ...]:
        means, quaternions, scales, opacities, values, pose, sums = (_array(t) for t in ctx.saved_tensors)
        geometry, tiles, transmittance, slots = ctx.projected
        rows = np.zeros((len(slots[1]), 7 + values.shape[1]), values.dtype)
        in_shares(composite_back, *tiles, sums, transmittance, _array(to_sums), _array(to_alpha), rows)
        found = [np.empty_like(a) for a in (means, quaternions, scales, opacities, values)]
        to_pose = np.empty((SHARES, 3, 4))
        in_shares(carry_back, means, quaternions, scales, *geometry, tiles[2], rows, *slots, *found, to_pose)
        found.append(to_pose.sum(0).astype(pose.dtype))
        return *(torch.from_numpy(a) for a in found), None


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().contiguous().numpy()


def _lens(camera: Camera) -> np.ndarray:
    (fx, _, cx), (_, fy, cy), _ = camera.K.tolist()
    least, greatest = zip(*slope_limits(camera.K, camera.height, camera.width), strict=True)
    return np.array([fx, fy, cx, cy, *least, *greatest, NEAR, FAR, camera.blur, EXTENT])
