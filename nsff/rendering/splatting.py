"""Forward splatting of pictures along a displacement, and compositing of splatted depth planes.

Notation. B pictures of C channels, H×W; displacement (right, down) in pixels. A pixel's values are shared out among the
four pixels around where it lands, by bilinear weights; the result is their weighted average, so brightness does not
pile up where many land. What lands outside the frame, or at a place that is not finite, is dropped. NSFF takes this
mode ("average") of the operation of Niklaus and Liu (2020); both implementations are written from its definition.
See docs/methods.md#space-time-interpolation.

Sums run in parallel on a GPU, so that repeated runs differ by rounding.
"""

from __future__ import annotations

import functools
import importlib.util
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from nsff.errors import ConfigError

EPSILON = 1e-7

KERNEL = r"""
extern "C" __global__ void splat(const REAL* values, const REAL* displacement, REAL* sums,
                                 int batch, int channels, int height, int width) {
    const long long plane = (long long)height * width;
    const long long index = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (index >= batch * plane) return;
    const long long b = index / plane, pixel = index % plane;
    const REAL x = pixel % width + displacement[(2 * b) * plane + pixel];
    const REAL y = pixel / width + displacement[(2 * b + 1) * plane + pixel];
    if (!(x > -1 && x < width && y > -1 && y < height)) return;
    const int column = (int)floor(x), row = (int)floor(y);
    const REAL right = x - column, down = y - row;
    for (int corner = 0; corner < 4; ++corner) {
        const int i = column + (corner & 1), j = row + (corner >> 1);
        const REAL weight = (corner & 1 ? right : 1 - right) * (corner >> 1 ? down : 1 - down);
        if (weight == 0 || i < 0 || i >= width || j < 0 || j >= height) continue;
        REAL* target = sums + b * (channels + 1) * plane + (long long)j * width + i;
        const REAL* source = values + b * channels * plane + pixel;
        for (int c = 0; c < channels; ++c) atomicAdd(target + c * plane, weight * source[c * plane]);
        atomicAdd(target + channels * plane, weight);
    }
}
"""


def splat(
    values: Float[Tensor, "*B C H W"],
    displacement: Float[Tensor, "*B 2 H W"],
    backend: Literal["auto", "torch", "cupy"] = "auto",
) -> tuple[Float[Tensor, "*B C H W"], Float[Tensor, "*B 1 H W"]]:
    """Average splatting; returns the picture and its coverage, the sum of bilinear weights that fell on each pixel.

    Values are divided by coverage + 1e-7, so pixels that nothing reaches are 0. torch: index_add, on any device,
    differentiable. cupy: one kernel, on CUDA, without gradients. auto takes cupy where it is installed and applies.
    Raises ConfigError when cupy is asked for and cannot be used, ValueError for shapes that do not fit.

    >>> picture, coverage = splat(torch.ones(1, 1, 2), torch.tensor([[[1.0, 9.0]], [[0.0, 0.0]]]))
    >>> picture.round().tolist(), coverage.tolist()
    ([[[0.0, 1.0]]], [[[0.0, 1.0]]])
    """
    if values.ndim < 3 or displacement.shape != (*values.shape[:-3], 2, *values.shape[-2:]):
        raise ValueError(f"values {tuple(values.shape)} and displacement {tuple(displacement.shape)} do not fit")
    shape = values.shape
    values, displacement = values.reshape(-1, *shape[-3:]), displacement.reshape(-1, 2, *shape[-2:]).to(values.dtype)
    gradient = torch.is_grad_enabled() and (values.requires_grad or displacement.requires_grad)
    if backend == "cupy":
        _check_cupy(values, gradient)
    usable = values.is_cuda and not gradient and values.dtype in (torch.float32, torch.float64)
    if backend == "cupy" or (backend == "auto" and usable and _cupy(values.device.index) is not None):
        sums = _sums_cupy(values.contiguous(), displacement.contiguous())
    else:
        sums = _sums_torch(values, displacement)
    result, coverage = sums[:, :-1] / (sums[:, -1:] + EPSILON), sums[:, -1:]
    return result.reshape(shape), coverage.reshape(*shape[:-3], 1, *shape[-2:])


def _sums_torch(values: Float[Tensor, "B C H W"], displacement: Float[Tensor, "B 2 H W"]) -> Float[Tensor, "B C1 H W"]:
    """Weighted sums of the values and of ones, by index_add: the plain twin of the kernel."""
    B, C, H, W = values.shape
    row = torch.arange(H, device=values.device, dtype=values.dtype)[:, None]
    column = torch.arange(W, device=values.device, dtype=values.dtype)
    x, y = (column + displacement[:, 0]).flatten(), (row + displacement[:, 1]).flatten()
    lands = ((x > -1) & (x < W) & (y > -1) & (y < H)).nonzero()[:, 0]
    x, y, picture = x[lands], y[lands], lands // (H * W)
    source = (
        torch.cat([values, torch.ones_like(values[:, :1])], dim=1).permute(0, 2, 3, 1).reshape(B * H * W, C + 1)[lands]
    )
    left, top = x.detach().floor(), y.detach().floor()
    sums = values.new_zeros(B * H * W, C + 1)
    for i, across in ((left, left + 1 - x), (left + 1, x - left)):
        for j, along in ((top, top + 1 - y), (top + 1, y - top)):
            inside = ((i >= 0) & (i < W) & (j >= 0) & (j < H)).nonzero()[:, 0]
            index = (picture[inside] * H + j[inside].long()) * W + i[inside].long()
            sums = sums.index_add(0, index, source[inside] * (across * along)[inside, None])
    return sums.reshape(B, H, W, C + 1).permute(0, 3, 1, 2)


# --- the kernel ------------------------------------------------------------------------------------------------------
@functools.cache
def _cupy(device: int) -> Any:
    """The cupy module, or None where it is not installed, or cannot make an array and build the kernel on this GPU.

    It can be imported without a GPU, or beside a CUDA that does not suit it, and fails when it is first put to use.
    """
    if importlib.util.find_spec("cupy") is None:
        return None
    try:
        import cupy

        with cupy.cuda.Device(device):
            cupy.zeros(1)
            _kernel("float").compile()
    except Exception as error:  # of many kinds: no driver, no compiler, another CUDA
        print(f"CuPy is installed and does not work on GPU {device} ({error}): PyTorch splats instead", flush=True)
        return None
    return cupy


@functools.cache
def _kernel(real: str) -> Any:
    import cupy

    return cupy.RawKernel(KERNEL.replace("REAL", real), "splat")


def _check_cupy(values: Tensor, gradient: bool) -> None:
    if gradient or not values.is_cuda or values.dtype not in (torch.float32, torch.float64):
        raise ConfigError(
            "splatting backend", f"cupy cannot splat {values.dtype} on {values.device}{' with gradients' * gradient}",
            "take torch",
        )  # fmt: skip
    if _cupy(values.device.index) is None:
        raise ConfigError("splatting backend", "cupy is not usable here", "install nsff[gpu], or take torch")


def _sums_cupy(values: Float[Tensor, "B C H W"], displacement: Float[Tensor, "B 2 H W"]) -> Float[Tensor, "B C1 H W"]:
    cupy = _cupy(values.device.index)
    B, C, H, W = values.shape
    sums = values.new_zeros(B, C + 1, H, W)
    threads, pixels = 256, B * H * W
    if pixels == 0:
        return sums
    kernel = _kernel("float" if values.dtype == torch.float32 else "double")
    # On torch's current stream, so that the kernel waits for its inputs and later torch work for the kernel.
    stream = torch.cuda.current_stream(values.device).cuda_stream
    with cupy.cuda.Device(values.device.index), cupy.cuda.ExternalStream(stream):
        arrays = [cupy.from_dlpack(tensor.detach()) for tensor in (values, displacement, sums)]
        sizes = [cupy.int32(size) for size in (B, C, H, W)]
        kernel(((pixels + threads - 1) // threads,), (threads,), (*arrays, *sizes))
    return sums


# --- depth planes ----------------------------------------------------------------------------------------------------
Layer = tuple[Float[Tensor, "P 3 H W"], Float[Tensor, "P 1 H W"]]
"""Colour and opacity of P planes."""


def composite_planes(
    first: tuple[Layer, Layer],
    second: tuple[Layer, Layer],
    rho: float,
    transmittance: Float[Tensor, "1 H W"],
    additive: bool = False,
) -> tuple[Float[Tensor, "3 H W"], Float[Tensor, "1 H W"]]:
    """Composites P planes, front to back, between two times (docs/methods.md#space-time-interpolation).

    ``first`` and ``second`` are the static and the dynamic layer of both times, splatted to floor(t) + rho. Opacities
    are already multiplied by 1 - v and v, or, if ``additive``, shares of one opacity that add up. ``transmittance`` is
    the light that reaches the first plane; returned are the light these planes send and what passes them, so that
    planes may come in groups.
    """
    light = opacity = torch.zeros_like(transmittance)
    for weight, ((c_static, a_static), (c_dynamic, a_dynamic)) in ((1 - rho, first), (rho, second)):
        light = light + weight * (a_dynamic * c_dynamic + a_static * c_static)
        both = a_dynamic + a_static if additive else 1 - (1 - a_dynamic) * (1 - a_static)
        opacity = opacity + weight * both
    passed = torch.cumprod(torch.cat([transmittance[None], 1 - opacity + 1e-10]), dim=0)
    return (passed[:-1] * light).sum(0), passed[-1]
