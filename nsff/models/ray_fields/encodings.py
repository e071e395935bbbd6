"""Encodings of field inputs."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def positional_encoding(x: Float[Tensor, "*M D"], octaves: int) -> Float[Tensor, "*M E"]:
    """NeRF's encoding as published code has it, without pi: [x, sin x, cos x, sin 2x, cos 2x, ..., cos 2^(L-1) x].

    Every block covers all D inputs, so E = D (2 L + 1) (docs/methods.md#positional-encoding).
    """
    # One multiplication for all octaves; (L, D) blocks are then interleaved as sin, cos.
    scaled = x[..., None, :] * torch.exp2(torch.arange(octaves, device=x.device, dtype=x.dtype))[:, None]
    waves = torch.stack([scaled.sin(), scaled.cos()], dim=-2)
    return torch.cat([x, waves.flatten(-3)], dim=-1)


def encoded_size(inputs: int, octaves: int) -> int:
    """Number of channels that ``positional_encoding`` gives for a number of inputs."""
    return inputs * (2 * octaves + 1)


def time_code(time: Float[Tensor, "*M"], n_frames: int) -> Float[Tensor, "*M"]:
    """Frame index k of N as 2 k / N - 1; the last frame is at 1 - 2/N, not at 1 (docs/methods.md#time-codes)."""
    return 2 * time / n_frames - 1
