"""Triton kernels of the fused networks: the work between matrix products (nsff.models.ray_fields.fused_mlp).

Each has a plain twin there; both are compared in tests. Rows are samples.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from jaxtyping import Float
from torch import Tensor

ROWS = 64


@triton.jit
def _columns(width: tl.constexpr, inputs: tl.constexpr):
    """The content of each column of an encoding: octave (-1 for the input itself), sine or cosine, and its input."""
    column = tl.arange(0, width)
    wave = column - inputs
    octave = tl.where(wave >= 0, wave // (2 * inputs), -1)
    cosine = (wave // inputs) % 2
    source = column % inputs
    return column, octave, cosine, source


@triton.jit
def _encode(x, result, count, inputs: tl.constexpr, octaves: tl.constexpr, padded: tl.constexpr, width: tl.constexpr,
            rows: tl.constexpr):  # fmt: skip
    row = tl.program_id(0).to(tl.int64) * rows + tl.arange(0, rows)
    column, octave, cosine, source = _columns(width, inputs)
    inside = row[:, None] < count
    value = tl.load(x + row[:, None] * inputs + source[None, :], mask=inside, other=0.0)
    angle = value * tl.exp2(octave.to(tl.float32))[None, :]
    wave = tl.where(cosine[None, :] == 1, tl.cos(angle), tl.sin(angle))
    encoded = tl.where(octave[None, :] < 0, value, wave)
    encoded = tl.where(column[None, :] < inputs * (2 * octaves + 1), encoded, 0.0)
    tl.store(result + row[:, None] * padded + column[None, :], encoded, mask=inside & (column[None, :] < padded))


@triton.jit
def _encode_backward(x, gradient, result, count, inputs: tl.constexpr, octaves: tl.constexpr, padded: tl.constexpr,
                     width: tl.constexpr, rows: tl.constexpr):  # fmt: skip
    row = tl.program_id(0).to(tl.int64) * rows + tl.arange(0, rows)
    column, octave, cosine, source = _columns(width, inputs)
    inside = row[:, None] < count
    used = inside & (column[None, :] < inputs * (2 * octaves + 1))
    value = tl.load(x + row[:, None] * inputs + source[None, :], mask=inside, other=0.0)
    scale = tl.exp2(octave.to(tl.float32))[None, :]
    angle = value * scale
    slope = tl.where(cosine[None, :] == 1, -tl.sin(angle), tl.cos(angle)) * scale
    slope = tl.where(octave[None, :] < 0, 1.0, slope)
    arriving = tl.load(gradient + row[:, None] * padded + column[None, :], mask=used, other=0.0).to(tl.float32)
    share = arriving * slope
    for index in tl.static_range(inputs):
        total = tl.sum(tl.where(source[None, :] == index, share, 0.0), axis=1)
        tl.store(result + row * inputs + index, total, mask=row < count)


@triton.jit
def _relu_backward(gradient, output, output_stride, result, sums, count, width: tl.constexpr, rows: tl.constexpr,
                   repeats: tl.constexpr):  # fmt: skip
    column = tl.arange(0, width)
    total = tl.zeros((width,), tl.float32)
    for repeat in range(repeats):
        row = (tl.program_id(0).to(tl.int64) * repeats + repeat) * rows + tl.arange(0, rows)
        inside = row[:, None] < count
        value = tl.load(output + row[:, None] * output_stride + column[None, :], mask=inside, other=0.0)
        arriving = tl.load(gradient + row[:, None] * width + column[None, :], mask=inside, other=0.0)
        passed = tl.where(value > 0, arriving, 0.0)
        tl.store(result + row[:, None] * width + column[None, :], passed, mask=inside)
        total += tl.sum(passed.to(tl.float32), axis=0)
    tl.store(sums + tl.program_id(0) * width + column, total)


def trial(device: torch.device) -> None:
    """Compiles and runs the encoding of one position."""
    encode(torch.zeros(1, 3, device=device), 1, 16, torch.float32)


def encode(x: Float[Tensor, "M D"], octaves: int, padded: int, dtype: torch.dtype) -> Float[Tensor, "M P"]:
    """The positional encoding of x, with zeros behind it up to ``padded`` columns."""
    result = torch.empty(len(x), padded, device=x.device, dtype=dtype)
    width = triton.next_power_of_2(padded)
    _encode[(triton.cdiv(len(x), ROWS),)](x, result, len(x), x.shape[1], octaves, padded, width, ROWS)
    return result


def encode_backward(x: Float[Tensor, "M D"], gradient: Float[Tensor, "M P"], octaves: int) -> Float[Tensor, "M D"]:
    """The gradient at x, of one at its padded encoding."""
    result = torch.empty_like(x)
    padded = gradient.shape[1]
    width = triton.next_power_of_2(padded)
    _encode_backward[(triton.cdiv(len(x), ROWS),)](
        x, gradient, result, len(x), x.shape[1], octaves, padded, width, ROWS
    )
    return result


def relu_backward(
    gradient: Float[Tensor, "M W"], output: Float[Tensor, "M W"]
) -> tuple[Float[Tensor, "M W"], Float[Tensor, "W"]]:
    """The gradient before a ReLU, and its sum over samples (the bias's gradient, float32).

    W is a power of 2; the rows of ``output`` may lie apart.
    """
    count, width = gradient.shape
    rows, repeats = max(1, 8192 // width), 8
    programs = triton.cdiv(count, rows * repeats)
    result = torch.empty_like(gradient)
    sums = torch.empty(programs, width, device=gradient.device, dtype=torch.float32)
    _relu_backward[(programs,)](
        gradient, output, output.stride(0), result, sums, count, width, rows, repeats, num_warps=8
    )
    return result, sums.sum(0)
