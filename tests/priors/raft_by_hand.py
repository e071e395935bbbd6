"""RAFT as its paper and the authors' parameter names have it, in plain functions and float64: the tests' own twin.

``random_state`` makes parameters under the authors' names, ``flow_by_hand`` runs them. Correlations come from pooled
features rather than pooled correlations, are read by a bilinear formula of their own, and flow is upsampled pixel by
pixel: nothing is shared with torchvision's code.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

State = dict[str, Tensor]
DIMENSIONS = {"large": (64, 64, 96, 128), "small": (32, 32, 64, 96)}
RADIUS = {"large": 4, "small": 3}
HIDDEN = {"large": 128, "small": 96}


# --- parameters ------------------------------------------------------------------------------------------------------
def random_state(kind: str, seed: int = 0, prefix: str = "module.") -> State:
    """Random parameters of a whole network, float32, under the authors' names."""
    generator = torch.Generator().manual_seed(seed)
    state: State = {}

    def conv(name: str, inner: int, outer: int, height: int, width: int | None = None, gain: float = 1.0) -> None:
        width = width or height
        scale = gain * math.sqrt(2 / (inner * height * width))
        state[f"{name}.weight"] = torch.randn(outer, inner, height, width, generator=generator) * scale
        state[f"{name}.bias"] = torch.randn(outer, generator=generator) * 0.1

    def norm(name: str, channels: int) -> None:
        state[f"{name}.weight"] = 1 + 0.2 * torch.randn(channels, generator=generator)
        state[f"{name}.bias"] = 0.2 * torch.randn(channels, generator=generator)
        state[f"{name}.running_mean"] = 0.2 * torch.randn(channels, generator=generator)
        state[f"{name}.running_var"] = 0.5 + torch.rand(channels, generator=generator)
        state[f"{name}.num_batches_tracked"] = torch.tensor(7)

    def encoder(name: str, out: int, batch_norm: bool) -> None:
        first, *dimensions = DIMENSIONS[kind]
        conv(f"{name}.conv1", 3, first, 7)
        if batch_norm:
            norm(f"{name}.norm1", first)
        inner = first
        for layer, outer in enumerate(dimensions, 1):
            for block in (0, 1):
                at, i = f"{name}.layer{layer}.{block}", inner if block == 0 else outer
                if kind == "large":
                    conv(f"{at}.conv1", i, outer, 3)
                    conv(f"{at}.conv2", outer, outer, 3)
                else:
                    conv(f"{at}.conv1", i, outer // 4, 1)
                    conv(f"{at}.conv2", outer // 4, outer // 4, 3)
                    conv(f"{at}.conv3", outer // 4, outer, 1)
                if batch_norm:
                    norm(f"{at}.norm1", outer)
                    norm(f"{at}.norm2", outer)
                if block == 0 and layer > 1:
                    conv(f"{at}.downsample.0", i, outer, 1)
                    if batch_norm:
                        norm(f"{at}.norm3", outer)
                        for key in [key for key in state if key.startswith(f"{at}.norm3.")]:
                            state[key.replace("norm3", "downsample.1")] = state[key]
            inner = outer
        conv(f"{name}.conv2", inner, out, 1)

    correlations = 4 * (2 * RADIUS[kind] + 1) ** 2
    encoder("fnet", 256 if kind == "large" else 128, False)
    encoder("cnet", 256 if kind == "large" else 160, kind == "large")
    block, hidden = "update_block", HIDDEN[kind]
    if kind == "large":
        conv(f"{block}.encoder.convc1", correlations, 256, 1)
        conv(f"{block}.encoder.convc2", 256, 192, 3)
        conv(f"{block}.encoder.convf1", 2, 128, 7)
        conv(f"{block}.encoder.convf2", 128, 64, 3)
        conv(f"{block}.encoder.conv", 256, 126, 3)
        for gate in "zrq":
            conv(f"{block}.gru.conv{gate}1", 384, hidden, 1, 5)
            conv(f"{block}.gru.conv{gate}2", 384, hidden, 5, 1)
        conv(f"{block}.mask.0", hidden, 256, 3)
        conv(f"{block}.mask.2", 256, 576, 1)
    else:
        conv(f"{block}.encoder.convc1", correlations, 96, 1)
        conv(f"{block}.encoder.convf1", 2, 64, 7)
        conv(f"{block}.encoder.convf2", 64, 32, 3)
        conv(f"{block}.encoder.conv", 128, 80, 3)
        for gate in "zrq":
            conv(f"{block}.gru.conv{gate}", 242, hidden, 3)
    wide = 256 if kind == "large" else 128
    conv(f"{block}.flow_head.conv1", hidden, wide, 3)
    conv(f"{block}.flow_head.conv2", wide, 2, 3)
    return {f"{prefix}{key}": value for key, value in state.items()}


# --- the network -----------------------------------------------------------------------------------------------------
def flow_by_hand(state: State, first: Tensor, second: Tensor, iterations: int) -> Tensor:
    """Flow (2,H,W) from the first picture (3,H,W), in [-1,1], to the second."""
    s = {key.removeprefix("module."): value.double() for key, value in state.items()}
    large = "update_block.mask.0.weight" in s
    kind = "large" if large else "small"
    one, two = (_encoder(s, "fnet", kind, image[None].double()) for image in (first, second))
    context = _encoder(s, "cnet", kind, first[None].double())
    h, context = torch.tanh(context[:, : HIDDEN[kind]]), torch.relu(context[:, HIDDEN[kind] :])
    pooled = [two]
    for _ in range(3):
        pooled.append(F.avg_pool2d(pooled[-1], 2))
    height, width = one.shape[2:]
    rows, columns = torch.meshgrid(torch.arange(height).double(), torch.arange(width).double(), indexing="ij")
    flow = torch.zeros(2, height, width, dtype=torch.float64)
    for _ in range(iterations):
        seen = _correlations(one[0], pooled, columns + flow[0], rows + flow[1], RADIUS[kind])
        motion = _motion(s, seen[None], flow[None])
        h = _gru(s, h, torch.cat([context, motion], 1))
        flow = (
            flow + _conv(s, "update_block.flow_head.conv2", torch.relu(_conv(s, "update_block.flow_head.conv1", h)))[0]
        )
    if not large:
        size = (8 * height, 8 * width)
        return 8 * F.interpolate(flow[None], size=size, mode="bilinear", align_corners=True)[0]
    mask = 0.25 * _conv(s, "update_block.mask.2", torch.relu(_conv(s, "update_block.mask.0", h)))[0]
    return _upsampled(flow, mask)


def _conv(s: State, name: str, x: Tensor, stride: int = 1) -> Tensor:
    weight = s[f"{name}.weight"]
    return F.conv2d(x, weight, s[f"{name}.bias"], stride, (weight.shape[2] // 2, weight.shape[3] // 2))


def _norm(s: State, name: str, encoder: str, kind: str, x: Tensor) -> Tensor:
    """Instance normalisation in fnet; in cnet the statistics of training, or, in the small network, none."""
    if encoder == "fnet":
        mean, variance = x.mean((2, 3), keepdim=True), x.var((2, 3), keepdim=True, unbiased=False)
        return (x - mean) / torch.sqrt(variance + 1e-5)
    if kind == "small":
        return x
    at = lambda part: s[f"{name}.{part}"][None, :, None, None]  # noqa: E731
    return (x - at("running_mean")) / torch.sqrt(at("running_var") + 1e-5) * at("weight") + at("bias")


def _encoder(s: State, name: str, kind: str, x: Tensor) -> Tensor:
    norm = lambda part, value: _norm(s, f"{name}.{part}", name, kind, value)  # noqa: E731
    conv = lambda part, value, stride=1: _conv(s, f"{name}.{part}", value, stride)  # noqa: E731
    x = torch.relu(norm("norm1", conv("conv1", x, 2)))
    for layer in (1, 2, 3):
        for block in (0, 1):
            at, stride = f"layer{layer}.{block}", 2 if block == 0 and layer > 1 else 1
            y = x
            for i in (1, 2) if kind == "large" else (1, 2, 3):
                strided = i == (1 if kind == "large" else 2)
                y = torch.relu(norm(f"{at}.norm{i}", conv(f"{at}.conv{i}", y, stride if strided else 1)))
            if stride == 2:
                x = norm(f"{at}.downsample.1", conv(f"{at}.downsample.0", x, 2))
            x = torch.relu(x + y)
    return conv("conv2", x)


def _correlations(one: Tensor, pooled: list[Tensor], x: Tensor, y: Tensor, radius: int) -> Tensor:
    """(channels,h,w): level by level, the offset along x changing slowest."""
    result = []
    for level, features in enumerate(pooled):
        for dx in range(-radius, radius + 1):
            for dy in range(-radius, radius + 1):
                read = _bilinear(features[0], x / 2**level + dx, y / 2**level + dy)
                result.append((one * read).sum(0) / math.sqrt(one.shape[0]))
    return torch.stack(result)


def _bilinear(features: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """features (C,h,w) at fractional pixel indices, zero outside."""
    height, width = features.shape[1:]
    left, top = torch.floor(x), torch.floor(y)
    total = torch.zeros(features.shape[0], *x.shape, dtype=features.dtype)
    for column, row in ((left, top), (left + 1, top), (left, top + 1), (left + 1, top + 1)):
        weight = (1 - (x - column).abs()) * (1 - (y - row).abs())
        inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
        value = features[:, row.clamp(0, height - 1).long(), column.clamp(0, width - 1).long()]
        total += value * (weight * inside)
    return total


def _motion(s: State, seen: Tensor, flow: Tensor) -> Tensor:
    conv = lambda name, x: torch.relu(_conv(s, f"update_block.encoder.{name}", x))  # noqa: E731
    seen = conv("convc1", seen)
    if "update_block.encoder.convc2.weight" in s:
        seen = conv("convc2", seen)
    moved = conv("convf2", conv("convf1", flow))
    return torch.cat([conv("conv", torch.cat([seen, moved], 1)), flow], 1)


def _gru(s: State, h: Tensor, x: Tensor) -> Tensor:
    for part in ("1", "2") if "update_block.gru.convz1.weight" in s else ("",):
        gate = lambda name, state, part=part: _conv(  # noqa: E731
            s, f"update_block.gru.conv{name}{part}", torch.cat([state, x], 1)
        )
        z, r = torch.sigmoid(gate("z", h)), torch.sigmoid(gate("r", h))
        h = (1 - z) * h + z * torch.tanh(gate("q", r * h))
    return h


def _upsampled(flow: Tensor, mask: Tensor) -> Tensor:
    """Each fine pixel is a convex combination of the nine coarse ones around."""
    height, width = flow.shape[1:]
    weights = mask.reshape(9, 8, 8, height, width).softmax(0)
    around = F.pad(8 * flow, (1, 1, 1, 1))
    fine = torch.zeros(2, 8 * height, 8 * width, dtype=flow.dtype)
    for i in range(8):
        for j in range(8):
            for k in range(9):
                neighbour = around[:, k // 3 : k // 3 + height, k % 3 : k % 3 + width]
                fine[:, i::8, j::8] += weights[k, i, j] * neighbour
    return fine
