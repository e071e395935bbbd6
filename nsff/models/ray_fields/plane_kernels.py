"""The look-up of nsff.models.ray_fields.plane_lookup on a GPU: one Triton kernel for values, one for gradients.

Notation. M samples; planes of R×R cells with C channels, channel-last, so that the channels of a corner are neighbours
in memory: eight float32 channels are one sector of 32 bytes. A program handles a tile of SAMPLES×LANES, LANES being C
rounded up to a power of two, and goes through all resolutions. (i, t) are the lower cell and the fraction along an
axis. u runs along the columns of a plane, v along its rows.

The backward kernel reads the corners again instead of keeping them, and adds to the planes' gradients by relaxed
atomics, so that repeated runs differ by rounding. Nothing waits for the host; both can be captured in a CUDA graph.
Triton's interpreter (TRITON_INTERPRET=1) runs them on the CPU.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import triton
import triton.language as tl
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

ELEMENTS = 512
"""Samples times lanes of a program."""
WARPS = 4


# --- device code -----------------------------------------------------------------------------------------------------
@triton.jit
def _cell(coordinate, R: tl.constexpr):
    # What is not a number stays so in the fraction, but still reads inside the plane.
    position = (coordinate + 1) * (0.5 * (R - 1))
    position = tl.where(position < 0, 0.0, tl.where(position > R - 1, R - 1.0, position))
    lower = tl.maximum(tl.minimum(position.to(tl.int32), R - 2), 0)
    return lower, position - lower.to(tl.float32)


@triton.jit
def _time(index, sample, inside, SLICES: tl.constexpr):
    """Lower slice and fraction of every sample, and whether any sample of the tile lies between slices."""
    time = tl.load(index + sample, mask=inside, other=0.0)
    time = tl.where(time < 0, 0.0, tl.where(time > SLICES - 1, SLICES - 1.0, time))
    lower = tl.maximum(tl.minimum(time.to(tl.int32), SLICES - 1), 0)
    fraction = time - lower.to(tl.float32)
    return lower, fraction, tl.max((fraction > 0).to(tl.int32), axis=0) > 0


@triton.jit
def _offsets(
    PLANE: tl.constexpr, part, i, j, lane, R: tl.constexpr, C: tl.constexpr, SLICES: tl.constexpr, LONG: tl.constexpr
):
    """Where the channels of cell (row j, column i) of a slice begin, in floats."""
    cell = part + PLANE * SLICES
    if LONG:
        cell = cell.to(tl.int64)
    return ((cell * R + j) * R + i)[:, None] * C + lane[None, :]


@triton.jit
def _corners(planes, offsets, mask, R: tl.constexpr, C: tl.constexpr):
    STEP: tl.constexpr = C if R > 1 else 0
    near = tl.load(planes + offsets, mask=mask, other=0.0)
    right = tl.load(planes + offsets + STEP, mask=mask, other=0.0)
    below = tl.load(planes + offsets + STEP * R, mask=mask, other=0.0)
    far = tl.load(planes + offsets + STEP * R + STEP, mask=mask, other=0.0)
    return near, right, below, far


@triton.jit
def _mix(near, right, below, far, u, v):
    above = near + u[:, None] * (right - near)
    under = below + u[:, None] * (far - below)
    return above + v[:, None] * (under - above)


@triton.jit
def _along_u(near, right, below, far, v):
    above, under = right - near, far - below
    return above + v[:, None] * (under - above)


@triton.jit
def _along_v(near, right, below, far, u):
    left, beyond = below - near, far - right
    return left + u[:, None] * (beyond - left)


@triton.jit
def _product(
    planes, part, ix, iy, iz, tx, ty, tz, lane, mask,
    R: tl.constexpr, C: tl.constexpr, SLICES: tl.constexpr, LONG: tl.constexpr,
):  # fmt: skip
    near, right, below, far = _corners(planes, _offsets(0, part, ix, iy, lane, R, C, SLICES, LONG), mask, R, C)
    product = _mix(near, right, below, far, tx, ty)
    near, right, below, far = _corners(planes, _offsets(1, part, ix, iz, lane, R, C, SLICES, LONG), mask, R, C)
    product *= _mix(near, right, below, far, tx, tz)
    near, right, below, far = _corners(planes, _offsets(2, part, iy, iz, lane, R, C, SLICES, LONG), mask, R, C)
    return product * _mix(near, right, below, far, ty, tz)


@triton.jit
def _scatter(target, offsets, gradient, u, v, mask, R: tl.constexpr, C: tl.constexpr):
    STEP: tl.constexpr = C if R > 1 else 0
    under = gradient * v[:, None]
    above = gradient - under
    far, right = under * u[:, None], above * u[:, None]
    tl.atomic_add(target + offsets, above - right, mask=mask, sem="relaxed")
    tl.atomic_add(target + offsets + STEP, right, mask=mask, sem="relaxed")
    tl.atomic_add(target + offsets + STEP * R, under - far, mask=mask, sem="relaxed")
    tl.atomic_add(target + offsets + STEP * R + STEP, far, mask=mask, sem="relaxed")


@triton.jit
def _backward_of_slice(
    planes, target, gradient, part, ix, iy, iz, tx, ty, tz, dx, dy, dz, lane, mask,
    R: tl.constexpr, C: tl.constexpr, SLICES: tl.constexpr, LONG: tl.constexpr,
    TO_PLANES: tl.constexpr, TO_COORDINATES: tl.constexpr,
):  # fmt: skip
    """Adds to ``target``; returns the derivatives along the axes with those of this slice and resolution added."""
    # Where no gradient arrives (masked rays), nothing is read or added. What is not a number counts as a gradient.
    busy = tl.max((gradient != 0).to(tl.int32), axis=1) > 0
    mask = mask & busy[:, None]
    xy = _offsets(0, part, ix, iy, lane, R, C, SLICES, LONG)
    xz = _offsets(1, part, ix, iz, lane, R, C, SLICES, LONG)
    yz = _offsets(2, part, iy, iz, lane, R, C, SLICES, LONG)
    a0, a1, a2, a3 = _corners(planes, xy, mask, R, C)
    b0, b1, b2, b3 = _corners(planes, xz, mask, R, C)
    c0, c1, c2, c3 = _corners(planes, yz, mask, R, C)
    a, b, c = _mix(a0, a1, a2, a3, tx, ty), _mix(b0, b1, b2, b3, tx, tz), _mix(c0, c1, c2, c3, ty, tz)
    ga, gb, gc = gradient * b * c, gradient * a * c, gradient * a * b
    if TO_PLANES:
        _scatter(target, xy, ga, tx, ty, mask, R, C)
        _scatter(target, xz, gb, tx, tz, mask, R, C)
        _scatter(target, yz, gc, ty, tz, mask, R, C)
    if TO_COORDINATES:
        SCALE: tl.constexpr = 0.5 * (R - 1)
        dx += SCALE * (ga * _along_u(a0, a1, a2, a3, ty) + gb * _along_u(b0, b1, b2, b3, tz))
        dy += SCALE * (ga * _along_v(a0, a1, a2, a3, tx) + gc * _along_u(c0, c1, c2, c3, tz))
        dz += SCALE * (gb * _along_v(b0, b1, b2, b3, tx) + gc * _along_v(c0, c1, c2, c3, ty))
    return dx, dy, dz


@triton.jit
def _tile(
    coordinates, count,
    SAMPLES: tl.constexpr, LANES: tl.constexpr, C: tl.constexpr, LONG: tl.constexpr,
):  # fmt: skip
    """Numbers and coordinates of the program's samples, and which elements of its tile exist."""
    sample = tl.program_id(0) * SAMPLES + tl.arange(0, SAMPLES)
    inside = sample < count
    if LONG:
        sample = sample.to(tl.int64)
    x = tl.load(coordinates + 3 * sample, mask=inside, other=0.0)
    y = tl.load(coordinates + 3 * sample + 1, mask=inside, other=0.0)
    z = tl.load(coordinates + 3 * sample + 2, mask=inside, other=0.0)
    lane = tl.arange(0, LANES)
    mask = inside[:, None] & (lane < C)[None, :]
    return sample, inside, x, y, z, lane, mask


@triton.jit(do_not_specialize=["count"])
def forward_kernel(
    planes, coordinates, index, output, count,
    RESOLUTIONS: tl.constexpr, C: tl.constexpr, SLICES: tl.constexpr, TIMED: tl.constexpr, LONG: tl.constexpr,
    SAMPLES: tl.constexpr, LANES: tl.constexpr,
):  # fmt: skip
    """``planes`` is a tuple of pointers, one a resolution; ``output`` is (M, resolutions * C)."""
    sample, inside, x, y, z, lane, mask = _tile(coordinates, count, SAMPLES, LANES, C, LONG)
    part = tl.zeros((SAMPLES,), tl.int32)
    if TIMED:
        part, fraction, between = _time(index, sample, inside, SLICES)
    for k in tl.static_range(len(RESOLUTIONS)):
        R = RESOLUTIONS[k]
        ix, tx = _cell(x, R)
        iy, ty = _cell(y, R)
        iz, tz = _cell(z, R)
        value = _product(planes[k], part, ix, iy, iz, tx, ty, tz, lane, mask, R, C, SLICES, LONG)
        if TIMED:  # noqa: SIM102 - settled when the kernel is compiled, unlike the next condition
            if between:
                later = mask & (fraction > 0)[:, None]
                after = tl.minimum(part + 1, SLICES - 1)
                second = _product(planes[k], after, ix, iy, iz, tx, ty, tz, lane, later, R, C, SLICES, LONG)
                value += fraction[:, None] * (second - value)
        where = sample[:, None] * (len(RESOLUTIONS) * C) + (k * C + lane)[None, :]
        tl.store(output + where, value, mask=mask)


@triton.jit(do_not_specialize=["count"])
def backward_kernel(
    planes, targets, coordinates, index, gradient, coordinate_gradient, count,
    RESOLUTIONS: tl.constexpr, C: tl.constexpr, SLICES: tl.constexpr, TIMED: tl.constexpr, LONG: tl.constexpr,
    SAMPLES: tl.constexpr, LANES: tl.constexpr, TO_PLANES: tl.constexpr, TO_COORDINATES: tl.constexpr,
):  # fmt: skip
    """Adds to ``targets`` (shaped as the planes, zero before) and writes ``coordinate_gradient`` (M, 3)."""
    sample, inside, x, y, z, lane, mask = _tile(coordinates, count, SAMPLES, LANES, C, LONG)
    part = tl.zeros((SAMPLES,), tl.int32)
    if TIMED:
        part, fraction, between = _time(index, sample, inside, SLICES)
    dx = tl.zeros((SAMPLES, LANES), tl.float32)
    dy = tl.zeros((SAMPLES, LANES), tl.float32)
    dz = tl.zeros((SAMPLES, LANES), tl.float32)
    for k in tl.static_range(len(RESOLUTIONS)):
        R = RESOLUTIONS[k]
        ix, tx = _cell(x, R)
        iy, ty = _cell(y, R)
        iz, tz = _cell(z, R)
        where = sample[:, None] * (len(RESOLUTIONS) * C) + (k * C + lane)[None, :]
        arrives = tl.load(gradient + where, mask=mask, other=0.0)
        if TIMED:  # noqa: SIM102 - settled when the kernel is compiled, unlike the next condition
            if between:
                after = tl.minimum(part + 1, SLICES - 1)
                dx, dy, dz = _backward_of_slice(
                    planes[k], targets[k], arrives * fraction[:, None], after, ix, iy, iz, tx, ty, tz, dx, dy, dz,
                    lane, mask, R, C, SLICES, LONG, TO_PLANES, TO_COORDINATES,
                )  # fmt: skip
                arrives *= 1 - fraction[:, None]
        dx, dy, dz = _backward_of_slice(
            planes[k], targets[k], arrives, part, ix, iy, iz, tx, ty, tz, dx, dy, dz,
            lane, mask, R, C, SLICES, LONG, TO_PLANES, TO_COORDINATES,
        )  # fmt: skip
    if TO_COORDINATES:
        # Outside the box the border is read, which is the same everywhere.
        target = coordinate_gradient + 3 * sample
        tl.store(target, tl.where((x <= -1) | (x >= 1), 0.0, tl.sum(dx, axis=1)), mask=inside)
        tl.store(target + 1, tl.where((y <= -1) | (y >= 1), 0.0, tl.sum(dy, axis=1)), mask=inside)
        tl.store(target + 2, tl.where((z <= -1) | (z >= 1), 0.0, tl.sum(dz, axis=1)), mask=inside)


# --- host code -------------------------------------------------------------------------------------------------------
def trial(device: torch.device) -> None:
    """Compiles and runs the look-up of one sample."""
    some = torch.zeros(3, 1, 2, 2, 2, device=device)
    look_up([some], some.new_zeros(1, 3), None)


def look_up(
    planes: Sequence[Float[Tensor, "3 slices rows columns C"]],
    coordinates: Float[Tensor, "M 3"],
    index: Float[Tensor, "M"] | None,
    targets: Sequence[Tensor | None] | None = None,
) -> Float[Tensor, "M F"]:
    """As nsff.models.ray_fields.plane_lookup.look_up_planes, of float32 tensors on one GPU; differentiable once.

    Gradients of planes with one of the ``targets``, contiguous, are added to it and not handed on.
    """
    return _LookUp.apply(
        coordinates.contiguous(), index, targets or [None] * len(planes), *(p.contiguous() for p in planes)
    )


class _LookUp(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, coordinates: Tensor, index: Tensor | None, targets: Sequence[Tensor | None], *planes: Tensor
    ) -> Tensor:
        ctx.targets = targets
        index = None if index is None else index.contiguous()
        ctx.save_for_backward(coordinates, index, *planes)
        output = coordinates.new_empty(len(coordinates), len(planes) * planes[0].shape[-1])
        # What is not used is given as something that exists.
        pointers = (planes, coordinates, coordinates if index is None else index, output)
        _launch(forward_kernel, pointers, planes, len(coordinates), index is not None, output.numel())
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        coordinates, index, *planes = ctx.saved_tensors
        planes = tuple(planes)
        to_coordinates, to_planes = ctx.needs_input_grad[0], any(ctx.needs_input_grad[3:])
        targets = planes
        if to_planes:
            targets = tuple(torch.zeros_like(p) if t is None else t for p, t in zip(planes, ctx.targets, strict=True))
        coordinate_gradient = torch.empty_like(coordinates) if to_coordinates else coordinates
        gradient = gradient.contiguous()
        pointers = (
            planes, targets, coordinates, coordinates if index is None else index, gradient, coordinate_gradient,
        )  # fmt: skip
        flags = {"TO_PLANES": to_planes, "TO_COORDINATES": to_coordinates}
        _launch(backward_kernel, pointers, planes, len(coordinates), index is not None, gradient.numel(), **flags)
        return (
            coordinate_gradient if to_coordinates else None,
            None,
            None,
            *(
                found if needed and given is None else None
                for found, given, needed in zip(targets, ctx.targets, ctx.needs_input_grad[3:], strict=True)
            ),
        )


def _launch(
    kernel: Any,
    pointers: tuple[Any, ...],
    planes: Sequence[Tensor],
    count: int,
    timed: bool,
    floats: int,
    **flags: bool,
) -> None:
    if count == 0:
        return
    channels = planes[0].shape[-1]
    lanes = triton.next_power_of_2(channels)
    samples = max(1, ELEMENTS // lanes)
    with torch.cuda.device_of(planes[0]):
        kernel[(triton.cdiv(count, samples),)](
            *pointers, count,
            RESOLUTIONS=tuple(p.shape[2] for p in planes), C=channels, SLICES=planes[0].shape[1], TIMED=timed,
            LONG=max(floats, *(p.numel() for p in planes)) >= 2**31,
            SAMPLES=samples, LANES=lanes, num_warps=WARPS, **flags,
        )  # fmt: skip
