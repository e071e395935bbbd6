"""The look-up of feature planes: bilinear reads of three planes multiplied, at every resolution.

Notation. M samples at coordinates (x, y, z) in [-1, 1]^3. A resolution's planes are one tensor (3, slices, R, R, C),
channel-last: of (x,y), (x,z) and (y,z), the first axis along the columns, the second along the rows; ±1 are the centres
of the outermost cells. Slices are times; between two the products of both are mixed linearly. What lies outside reads
the border, and has no gradient with respect to the coordinate that is outside, or on the border itself.

On a GPU float32 is looked up by nsff.models.ray_fields.plane_kernels; everything else by the plain twin here, which
leaves the reading to grid_sample.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from nsff.models.ray_fields.kernel_choice import working_kernels

AXES = ((0, 1), (0, 2), (1, 2))
"""Column and row axis of each plane."""

Planes = Sequence[Float[Tensor, "3 slices rows columns C"]]


def look_up_planes(
    planes: Planes, coordinates: Float[Tensor, "M 3"], index: Float[Tensor, "M"] | None = None
) -> Float[Tensor, "M F"]:
    """Features (M, resolutions * C) at coordinates in [-1, 1]; at slice numbers ``index``, which may be fractional.

    ``index`` is clamped to the slices there are, and may be None where there is one. Gradients reach planes and
    coordinates, not ``index``. On a GPU nothing waits for the host. Raises ValueError for shapes that do not fit.
    """
    _check(planes, coordinates, index)
    coordinates = coordinates.to(planes[0].dtype)
    if planes[0].shape[1] == 1:
        index = None
    elif index is not None:
        index = index.detach().to(planes[0].dtype)
    if planes[0].is_cuda and planes[0].dtype == torch.float32:
        kernels = working_kernels("nsff.models.ray_fields.plane_kernels", planes[0].device)
        if kernels is not None:
            return kernels.look_up(planes, coordinates, index, [staying_gradient(p) for p in planes])
    return look_up_plainly(planes, coordinates, index)


def staying_gradient(planes: Tensor) -> Tensor | None:
    """Where gradients of a parameter are added up by whoever has some, instead of being handed on; else None.

    A parameter says so by an attribute ``gradient_stays``. Autograd makes a tensor of its own for each use of a
    parameter and adds them up afterwards, which for the planes of a long clip takes longer than the rest of a step.
    """
    return planes.grad if getattr(planes, "gradient_stays", False) and planes.requires_grad else None


def _check(planes: Planes, coordinates: Tensor, index: Tensor | None) -> None:
    slices, channels = planes[0].shape[1], planes[0].shape[-1]
    for p in planes:
        if p.shape != (3, slices, p.shape[2], p.shape[2], channels):
            raise ValueError(f"planes {tuple(p.shape)}, not (3, {slices}, R, R, {channels})")
    if coordinates.ndim != 2 or coordinates.shape[1] != 3:
        raise ValueError(f"coordinates {tuple(coordinates.shape)}, not (M, 3)")
    if index is None and slices > 1:
        raise ValueError(f"{slices} slices and no index")
    if index is not None and index.shape != coordinates.shape[:1]:
        raise ValueError(f"index {tuple(index.shape)} of {len(coordinates)} coordinates")


# --- the plain twin --------------------------------------------------------------------------------------------------
def look_up_plainly(
    planes: Planes, coordinates: Float[Tensor, "M 3"], index: Float[Tensor, "M"] | None
) -> Float[Tensor, "M F"]:
    """As look_up_planes, on any device, of any floating type that all arguments share."""
    # The backward pass of grid_sample on the CPU crashes on what is not a number: here it reads the middle.
    on_border = coordinates.detach().nan_to_num().clamp(-1, 1)
    coordinates = torch.where(coordinates.abs() < 1, coordinates, on_border)
    pairs = torch.stack([coordinates[:, pair] for pair in AXES])
    if index is None:
        return _products(planes, pairs, None)
    last = planes[0].shape[1] - 1
    index = index.clamp(0, last)
    lower = index.floor()
    fraction = index - lower
    features = _products(planes, pairs, lower)
    # Only where it is known without waiting for a device is the second read left out.
    if fraction.device.type == "cpu" and not bool((fraction > 0).any()):
        return features
    return torch.lerp(features, _products(planes, pairs, (lower + 1).clamp(max=last)), fraction[:, None])


def _products(planes: Planes, pairs: Float[Tensor, "3 M 2"], index: Float[Tensor, "M"] | None) -> Float[Tensor, "M F"]:
    """Multiplied reads at whole slice numbers."""
    result = []
    for p in planes:
        slices, R = p.shape[1:3]
        at = pairs
        if index is not None:
            # Rows of all slices lie under one another, so that one 2-D look-up reads any slice.
            row = (pairs[..., 1] + 1) * 0.5 * (R - 1) + index * R
            at = torch.stack([pairs[..., 0], row / (slices * R - 1) * 2 - 1], dim=-1)
        found = _ReadOnCPU.apply(p, at) if slices > 1 and R > 1 and p.device.type == "cpu" else _read(p, at)
        result.append(found[0] * found[1] * found[2])
    return torch.cat(result).T


def _channel_first(planes: Float[Tensor, "3 slices R R C"]) -> Float[Tensor, "3 C rows R"]:
    return planes.flatten(1, 2).permute(0, 3, 1, 2)


def _read(planes: Float[Tensor, "3 slices R R C"], at: Float[Tensor, "3 M 2"]) -> Float[Tensor, "3 C M"]:
    found = functional.grid_sample(_channel_first(planes), at[:, :, None], padding_mode="border", align_corners=True)
    return found[..., 0]


class _ReadOnCPU(torch.autograd.Function):
    """_read of planes with many slices, most cells of which one call does not touch.

    The gradient of grid_sample is channel-first: with 24 slices, bringing it into the planes' order takes longer than
    all the rest. Here rows of channels are added where they belong.
    """

    @staticmethod
    def forward(ctx: Any, planes: Tensor, at: Tensor) -> Tensor:
        ctx.save_for_backward(planes, at)
        return _read(planes, at)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None]:
        planes, at = ctx.saved_tensors
        to_planes = to_at = None
        if ctx.needs_input_grad[0]:
            to_planes = _zeros_like(planes)
            _add_rows(to_planes, at, gradient)
        if ctx.needs_input_grad[1]:
            backward = torch.ops.aten.grid_sampler_2d_backward
            arguments = gradient[..., None].contiguous(), _channel_first(planes), at[:, :, None]
            to_at = backward(*arguments, 0, 1, True, [False, True])[1][:, :, 0]  # bilinear, border, aligned corners
        return to_planes, to_at


def _add_rows(
    target: Float[Tensor, "3 slices R R C"], at: Float[Tensor, "3 M 2"], gradient: Float[Tensor, "3 C M"]
) -> None:
    """Adds the gradient of a bilinear read to the four cells around each place."""
    _, slices, R, _, C = target.shape
    column, u = _cell(at[..., 0], R)
    row, v = _cell(at[..., 1], slices * R)
    plane = torch.arange(3, device=at.device)[:, None] * slices * R
    cell = ((plane + row) * R + column).flatten()
    gradient = gradient.transpose(1, 2).reshape(-1, C)
    under = gradient * v.view(-1, 1)
    u, both = u.view(-1, 1), gradient.new_empty(len(gradient), 2, C)
    # Two cells side by side are 2 C neighbouring numbers. The view's rows overlap, which additions that
    # are serial or atomic, as these are, may.
    flat = target.view(-1)
    pairs = flat.as_strided((len(flat) // C - 1, 2 * C), (C, 1))
    for down, part in ((0, gradient - under), (R, under)):
        torch.mul(part, u, out=both[:, 1])
        torch.sub(part, both[:, 1], out=both[:, 0])
        pairs.index_put_((cell + down,), both.view(-1, 2 * C), accumulate=True)


def _zeros_like(tensor: Tensor) -> Tensor:
    """numpy asks for large pages of memory. First touching small ones takes longer than all sums of a step."""
    return torch.from_numpy(np.zeros(tensor.nbytes, np.uint8)).view(tensor.dtype).view(tensor.shape)


def _cell(coordinate: Float[Tensor, "3 M"], cells: int) -> tuple[Tensor, Tensor]:
    """Lower cell and fraction along an axis of at least two cells."""
    position = ((coordinate + 1) * (0.5 * (cells - 1))).clamp(0, cells - 1)
    lower = position.long().clamp(0, cells - 2)
    return lower, position - lower
