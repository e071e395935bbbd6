"""The published networks with as few passes over memory as can be: what trains on a GPU.

The same functions as nsff.models.ray_fields.mlp_layers, which is the plain twin, in another order of work:

- bias and ReLU belong to the matrix product before them; the backward pass masks and sums a gradient in one pass;
- inputs are padded to a multiple of 16 columns, as matrix units want them;
- all heads that branch off the trunk are one matrix product. feature_linear has no activation behind it, so its weights
  are multiplied with those of views_linears first, W_v (W_f h + b_f) = (W_v W_f) h + W_v b_f, and 256×256 of work per
  sample fall away;
- the view direction is the same for all samples of a ray, and so is what it adds to the hidden units of colour.

Parameters stay those of the field, in float32; gradients reach them through torch's own operations. Matrix products run
in ``dtype``: float32 (TF32 where torch allows it) or bfloat16.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from nsff.models.ray_fields.encodings import positional_encoding
from nsff.models.ray_fields.kernel_choice import working_kernels
from nsff.models.ray_fields.mlp_layers import SKIP, MlpLayers

ALIGNMENT = 16


def padded(columns: int) -> int:
    return -(-columns // ALIGNMENT) * ALIGNMENT


# --- plain twins of the kernels --------------------------------------------------------------------------------------
def encode(x: Float[Tensor, "M D"], octaves: int, columns: int, dtype: torch.dtype) -> Float[Tensor, "M P"]:
    """The positional encoding of x, with zeros behind it up to ``columns``."""
    encoded = positional_encoding(x, octaves)
    return functional.pad(encoded, (0, columns - encoded.shape[1])).to(dtype)


def encode_backward(x: Float[Tensor, "M D"], gradient: Float[Tensor, "M P"], octaves: int) -> Float[Tensor, "M D"]:
    """The gradient at x, of one at its padded encoding."""
    D = x.shape[1]
    waves = gradient[:, D : D * (2 * octaves + 1)].to(x.dtype).reshape(len(x), octaves, 2, D)
    scale = torch.exp2(torch.arange(octaves, device=x.device, dtype=x.dtype))[:, None]
    angle = x[:, None] * scale
    return gradient[:, :D].to(x.dtype) + (scale * (angle.cos() * waves[:, :, 0] - angle.sin() * waves[:, :, 1])).sum(1)


def relu_backward(gradient: Float[Tensor, "M W"], output: Float[Tensor, "M W"]) -> tuple[Tensor, Tensor]:
    """The gradient before a ReLU, and its sum over samples."""
    masked = torch.where(output > 0, gradient, 0)
    return masked, masked.sum(0)


def _kernels(x: Tensor) -> Any:
    """Where the three functions above are taken from: Triton for float32 positions on a GPU, else this module."""
    if x.is_cuda and x.dtype == torch.float32:
        return working_kernels("nsff.models.ray_fields.mlp_kernels", x.device) or _Plain
    return _Plain


class _Plain:
    encode = staticmethod(encode)
    encode_backward = staticmethod(encode_backward)
    relu_backward = staticmethod(relu_backward)


# --- trunk -----------------------------------------------------------------------------------------------------------
class _Trunk(torch.autograd.Function):
    """Encoding and hidden layers. Weights are padded and in the type to compute in: (W, P) for the first layer,
    (W, P + W) for the one that gets the input again, (W, W) for all others."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, octaves: int, skip: int, *parameters: Tensor) -> Tensor:
        weights, biases = parameters[::2], parameters[1::2]
        dtype = weights[0].dtype
        encoded = _kernels(x).encode(x, octaves, weights[0].shape[1], dtype)
        inputs = []
        h = encoded
        for index, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
            if index == skip:
                h = torch.cat([encoded, h], dim=1)
            inputs.append(h)
            h = torch._addmm_activation(bias, h, weight.t())  # with ReLU
        ctx.octaves, ctx.skip = octaves, skip
        ctx.save_for_backward(x, h, *inputs, *weights)
        return h

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, output, *saved = ctx.saved_tensors
        inputs, weights = saved[: len(saved) // 2], saved[len(saved) // 2 :]
        width, columns = output.shape[1], weights[0].shape[1]
        kernels = _kernels(x)
        results: list[Tensor] = []
        at_encoding: Tensor | None = None
        gradient = gradients[0].contiguous()
        for index in reversed(range(len(weights))):
            behind = output if index == len(weights) - 1 else inputs[index + 1][:, -width:]
            gradient, sums = kernels.relu_backward(gradient, behind)
            results += [sums.to(weights[index].dtype), gradient.t() @ inputs[index]]
            weight = weights[index]
            if index == ctx.skip and ctx.needs_input_grad[0]:
                at_encoding = gradient @ weight[:, :columns]
            if index > 0:
                gradient = gradient @ (weight[:, columns:] if index == ctx.skip else weight)
            elif ctx.needs_input_grad[0]:
                at_encoding = gradient @ weight if at_encoding is None else at_encoding.addmm_(gradient, weight)
        at_x = None if at_encoding is None else kernels.encode_backward(x, at_encoding, ctx.octaves)
        return at_x, None, None, *reversed(results)


def trunk(
    field: MlpLayers, positions: Float[Tensor, "... 3"], time: Float[Tensor, "..."], dtype: torch.dtype
) -> Float[Tensor, "M W"]:
    """The hidden units of the last layer, one row a sample."""
    x = field.inputs(positions, time)
    x = x.reshape(-1, x.shape[-1]).contiguous()
    octaves = field.config.position_frequencies
    size = x.shape[1] * (2 * octaves + 1)
    more = padded(size) - size
    parameters: list[Tensor] = []
    layers: Any = field.pts_linears
    for index, layer in enumerate(layers):
        weight = layer.weight
        if index == 0:
            weight = functional.pad(weight, (0, more))
        elif index == SKIP:
            weight = torch.cat([functional.pad(weight[:, :size], (0, more)), weight[:, size:]], dim=1)
        parameters += [weight.to(dtype), layer.bias.to(dtype)]
    return _Trunk.apply(x, octaves, SKIP, *parameters)


# --- heads -----------------------------------------------------------------------------------------------------------
def outputs(
    field: MlpLayers,
    positions: Float[Tensor, "... 3"],
    directions: Float[Tensor, "... 3"],
    time: Float[Tensor, "..."],
    dtype: torch.dtype,
) -> dict[str, Tensor]:
    """The outputs of MlpLayers.plain_outputs, by name. Colours, densities, motion and probabilities are float32."""
    shape = positions.shape[:-1]
    h = trunk(field, positions, time, dtype)
    view: Any = field.views_linears[0]
    width = field.feature_linear.out_features
    colour = view.weight[:, :width]
    layers: list[tuple[str, Tensor, Tensor]] = [
        ("rgb", colour @ field.feature_linear.weight, view.bias + colour @ field.feature_linear.bias),
        ("density", field.alpha_linear.weight, field.alpha_linear.bias),
    ]
    layers += [(name, layer.weight, layer.bias) for name, layer in field.branches()]
    found = one_product(h, layers, dtype)
    found["rgb"] = _colour(field, found["rgb"], directions, shape, dtype)
    exact = torch.promote_types(dtype, torch.float32)
    result = {name: value.to(exact) for name, value in found.items()}
    for name, finish in field.activations().items():
        if name in result:
            result[name] = finish(result[name])
    return {name: value.reshape(*shape, -1) for name, value in result.items()}


def one_product(
    h: Float[Tensor, "M W"], layers: list[tuple[str, Tensor, Tensor]], dtype: torch.dtype
) -> dict[str, Tensor]:
    """Outputs of layers (name, weight, bias) of the same hidden units, by name: one matrix product in ``dtype``."""
    sizes = [len(weight) for _, weight, _ in layers]
    more = padded(sum(sizes)) - sum(sizes)
    weight = functional.pad(torch.cat([weight for _, weight, _ in layers]), (0, 0, 0, more))
    bias = functional.pad(torch.cat([bias for *_, bias in layers]), (0, more))
    parts = functional.linear(h, weight.to(dtype), bias.to(dtype)).split([*sizes, more], dim=1)
    return {name: part for (name, *_), part in zip(layers, parts, strict=False)}  # but for the padding


def _colour(
    field: MlpLayers, hidden: Float[Tensor, "M V"], directions: Tensor, shape: torch.Size, dtype: torch.dtype
) -> Float[Tensor, "M 3"]:
    """Colour before the sigmoid, from what the trunk and the view direction give to its hidden units."""
    last: Any = field.views_linears[0]
    weight = last.weight[:, field.feature_linear.out_features :]
    view = positional_encoding(directions, field.config.direction_frequencies)
    given = functional.linear(view.to(dtype), weight.to(dtype))
    seen = functional.relu(hidden.reshape(*shape, -1) + given)
    return functional.linear(seen, field.rgb_linear.weight.to(dtype), field.rgb_linear.bias.to(dtype)).reshape(-1, 3)
