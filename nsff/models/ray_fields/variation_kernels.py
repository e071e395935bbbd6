"""The variation of nsff.models.ray_fields.plane_variation on a GPU: Triton kernels for value and gradient.

Notation. A program handles BLOCK numbers of a tensor (3, slices, R, R, C) as they lie in memory: the cell to the right
begins C further on, that below R C. The planes of a long clip are far larger than a step's samples, so that every pass
over them counts: the value reads them once, the gradient reads them and adds to what is there. Nothing waits for the
host. Triton's interpreter (TRITON_INTERPRET=1) runs both on the CPU.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

BLOCK = 1024
WARPS = 4


@triton.jit
def _place(count, R: tl.constexpr, C: tl.constexpr, LONG: tl.constexpr, BLOCK: tl.constexpr):
    """Numbers of the program's elements, which of them exist, and the column and row of their cells."""
    program = tl.program_id(0)
    if LONG:
        program = program.to(tl.int64)
    at = program * BLOCK + tl.arange(0, BLOCK)
    cell = at // C
    return at, at < count, cell % R, (cell // R) % R


@triton.jit(do_not_specialize=["count"])
def value_kernel(
    planes, sums, count,
    R: tl.constexpr, C: tl.constexpr, LONG: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Writes each program's sum of squared differences."""
    at, inside, column, row = _place(count, R, C, LONG, BLOCK)
    to_right, down = inside & (column < R - 1), inside & (row < R - 1)
    here = tl.load(planes + at, mask=inside, other=0.0)
    right = tl.load(planes + at + C, mask=to_right, other=0.0)
    below = tl.load(planes + at + R * C, mask=down, other=0.0)
    u, v = tl.where(to_right, right - here, 0.0), tl.where(down, below - here, 0.0)
    tl.store(sums + tl.program_id(0), tl.sum(u * u + v * v, axis=0))


@triton.jit(do_not_specialize=["count"])
def gradient_kernel(
    planes, target, outer, scale, count,
    R: tl.constexpr, C: tl.constexpr, LONG: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Adds the gradient to ``target``; ``outer`` is what arrives at the value."""
    at, inside, column, row = _place(count, R, C, LONG, BLOCK)
    here = tl.load(planes + at, mask=inside, other=0.0)
    slope = tl.zeros((BLOCK,), tl.float32)
    exists = inside & (column < R - 1)
    slope += tl.where(exists, here - tl.load(planes + at + C, mask=exists, other=0.0), 0.0)
    exists = inside & (column > 0)
    slope += tl.where(exists, here - tl.load(planes + at - C, mask=exists, other=0.0), 0.0)
    exists = inside & (row < R - 1)
    slope += tl.where(exists, here - tl.load(planes + at + R * C, mask=exists, other=0.0), 0.0)
    exists = inside & (row > 0)
    slope += tl.where(exists, here - tl.load(planes + at - R * C, mask=exists, other=0.0), 0.0)
    before = tl.load(target + at, mask=inside, other=0.0)
    tl.store(target + at, before + tl.load(outer) * scale * slope, mask=inside)


def trial(device: torch.device) -> None:
    """Compiles and runs both on a small plane."""
    some = torch.zeros(3, 1, 2, 2, 2, device=device, requires_grad=True)
    torch.autograd.grad(variation(some, None), some)


def variation(
    planes: Float[Tensor, "3 slices R R C"], target: Float[Tensor, "3 slices R R C"] | None
) -> Float[Tensor, ""]:
    """As plane_variation.variation, of a contiguous float32 tensor on a GPU, R at least 2. The gradient is added to
    ``target`` where that is given, and not handed on."""
    return _Variation.apply(planes, target)


class _Variation(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, planes: Tensor, target: Tensor | None) -> Tensor:
        ctx.save_for_backward(planes)
        ctx.target = target
        sums = planes.new_empty(triton.cdiv(planes.numel(), BLOCK))
        _launch(value_kernel, (planes, sums), planes)
        return sums.sum() / _pairs(planes)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, None]:
        (planes,) = ctx.saved_tensors
        target = torch.zeros_like(planes) if ctx.target is None else ctx.target
        _launch(gradient_kernel, (planes, target, gradient.contiguous(), 2 / _pairs(planes)), planes)
        return (target if ctx.target is None else None), None


def _pairs(planes: Tensor) -> int:
    """The number of pairs of cells side by side, which is that of pairs one above the other, times channels."""
    return planes.numel() // planes.shape[2] * (planes.shape[2] - 1)


def _launch(kernel: Any, arguments: tuple[Any, ...], planes: Tensor) -> None:
    count = planes.numel()
    with torch.cuda.device_of(planes):
        kernel[(triton.cdiv(count, BLOCK),)](
            *arguments, count,
            R=planes.shape[2], C=planes.shape[4], LONG=count + BLOCK >= 2**31, BLOCK=BLOCK, num_warps=WARPS,
        )  # fmt: skip
