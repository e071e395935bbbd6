"""Keys and attention of the last block of a DINO vision transformer, on overlapping patches.

Notation. Pictures (B,3,h,w) RGB in [0,1]; patches of p pixels every s pixels, so 1 + (h-p)//s by 1 + (w-p)//s tokens
behind a class token and, in newer models, registers. Keys (B,th,tw,heads·d), the index of a head running fastest; the
saliency (B,th,tw) is the attention of the class token to the patches, mean over some heads. The networks are timm's,
whose parameters have the authors' names. Sources: Caron et al. 2021; Amir et al. 2021, Deep ViT features; Oquab et
al. 2023; Darcet et al. 2023 (registers); Siméoni et al. 2025 (DINOv3).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import timm
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from nsff.errors import StageError
from nsff.imaging.imagenet import IMAGENET_DEVIATION, IMAGENET_MEAN
from nsff.priors.features.dino_variants import Variant
from nsff.weights.tensors import read_tensors


class DinoNetwork(nn.Module):
    """A vision transformer up to the keys of its last block.

    ``model`` is timm's; ``stride`` in pixels; ``heads`` those of the saliency. Pictures have their colours normalised
    as in training, unless ``normalise`` is False (as SAFF has them: raw values in [0,1]). ``exact_positions``: see
    Variant.
    """

    model: Any  # timm's classes share what is used here, but no type
    mean: Tensor
    deviation: Tensor

    def __init__(
        self,
        model: nn.Module,
        stride: int,
        heads: tuple[int, ...] | None = None,
        normalise: bool = True,
        exact_positions: bool = False,
    ) -> None:
        super().__init__()
        self.model, self.stride, self.heads, self.normalise = model, stride, heads, normalise
        self.exact_positions = exact_positions
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("deviation", torch.tensor(IMAGENET_DEVIATION).view(3, 1, 1), persistent=False)

    @property
    def patch(self) -> int:
        return int(self.model.patch_embed.patch_size[0])

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """Tokens (th, tw) of a picture of that size."""
        return 1 + (height - self.patch) // self.stride, 1 + (width - self.patch) // self.stride

    @torch.no_grad()
    def forward(
        self, pictures: Float[Tensor, "B 3 h w"]
    ) -> tuple[Float[Tensor, "B th tw D"], Float[Tensor, "B th tw"]]:
        """Keys without the class token and registers, and saliency (not scaled)."""
        model = self.model
        if self.normalise:
            pictures = (pictures - self.mean) / self.deviation
        projection = model.patch_embed.proj
        x = functional.conv2d(pictures, projection.weight, projection.bias, stride=self.stride)
        grid = (x.shape[2], x.shape[3])
        tokens, rotation = self._positions(x.flatten(2).transpose(1, 2), grid)
        tokens = model.norm_pre(tokens)
        blocks = list(model.blocks)
        for block in blocks[:-1]:
            tokens = block(tokens) if rotation is None else block(tokens, rope=rotation)
        attention = blocks[-1].attn
        queries, keys = _queries_and_keys(attention, blocks[-1].norm1(tokens))
        prefix = int(model.num_prefix_tokens)
        turned = keys
        if rotation is not None:
            # The class token has no position: only the patches' keys turn before they are compared with it.
            turned = torch.cat([keys[:, :, :prefix], _turn(attention, keys[:, :, prefix:], rotation)], dim=2)
        scores = (queries[:, :, :1] * attention.scale) @ turned.transpose(-2, -1)
        weights = scores.softmax(-1)[:, :, 0, prefix:]
        chosen = weights if self.heads is None else weights[:, list(self.heads)]
        descriptors = keys[:, :, prefix:].permute(0, 2, 3, 1).flatten(2)
        return descriptors.unflatten(1, grid), chosen.mean(1).unflatten(1, grid)

    def _positions(self, x: Tensor, grid: tuple[int, int]) -> tuple[Tensor, Tensor | None]:
        """Patches behind class token and registers, with their position embedding or the rotations that replace it."""
        model = self.model
        prefix = [model.cls_token] + ([model.reg_token] if model.reg_token is not None else [])
        joined = [token.expand(len(x), -1, -1) for token in prefix]
        table = model.pos_embed
        if table is None:
            return torch.cat([*joined, x], 1), model.rope.get_embed(shape=list(grid))
        if model.no_embed_class:
            return torch.cat([*joined, x + resample_positions(table, grid, self.exact_positions)], 1), None
        own = int(model.num_prefix_tokens)
        table = torch.cat([table[:, :own], resample_positions(table[:, own:], grid, self.exact_positions)], 1)
        return torch.cat([*joined, x], 1) + table, None


def resample_positions(
    table: Float[Tensor, "1 n D"], grid: tuple[int, int], exact: bool = False
) -> Float[Tensor, "1 m D"]:
    """Position embedding of a square grid at another one: bicubic, with the scale factors (n' + 0.1)/n of DINO's code.

    The 0.1 guards the output size against rounding, and shifts the sampling a little: it is part of the features.
    ``exact``: to the size itself and antialiased, as DINOv2's networks with registers are published.
    """
    side = round(table.shape[1] ** 0.5)
    if grid == (side, side):
        return table
    square = table.reshape(1, side, side, -1).permute(0, 3, 1, 2)
    if exact:
        resized = functional.interpolate(square, size=grid, mode="bicubic", align_corners=False, antialias=True)
        return resized.flatten(2).transpose(1, 2)
    factors = [(n + 0.1) / side for n in grid]
    resized = functional.interpolate(square, scale_factor=factors, mode="bicubic", align_corners=False)
    assert tuple(resized.shape[2:]) == tuple(grid)
    return resized.flatten(2).transpose(1, 2)


def _queries_and_keys(attention: Any, x: Float[Tensor, "B T C"]) -> tuple[Tensor, Tensor]:
    """(B,heads,T,d) each, of timm's two kinds of attention."""
    weight = attention.qkv.weight
    bias = attention.qkv.bias
    if getattr(attention, "q_bias", None) is not None:
        bias = torch.cat([attention.q_bias, attention.k_bias, attention.v_bias])
    q, k, _ = functional.linear(x, weight, bias).unflatten(2, (3, attention.num_heads, -1)).permute(2, 0, 3, 1, 4)
    return attention.q_norm(q), attention.k_norm(k)


def _turn(attention: Any, keys: Tensor, rotation: Tensor) -> Tensor:
    from timm.layers import apply_rot_embed_cat

    return apply_rot_embed_cat(keys, rotation, half=getattr(attention, "rotate_half", False))


def build(variant: Variant) -> nn.Module:
    """timm's network for inference, with random weights; nothing is downloaded."""
    return timm.create_model(variant.timm_name, pretrained=False, num_classes=0).eval()


def load_weights(model: nn.Module, path: Path) -> None:
    """Loads the authors' files (.pth, of tensors alone) or timm's (.safetensors), also with the prefixes of training
    checkpoints. Raises StageError naming the file where it is unreadable, or parameters are missing."""
    state: dict[str, Any] = read_tensors(path)
    for key in ("teacher", "student", "state_dict", "model"):
        if isinstance(state.get(key), dict):
            state = state[key]
            break
    for prefix in ("module.", "backbone.", "model."):
        if any(key.startswith(prefix) for key in state):
            state = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
    from timm.models import eva, vision_transformer

    kind = eva if isinstance(model, eva.Eva) else vision_transformer
    try:
        state = kind.checkpoint_filter_fn(state, model)
        if not any(key.endswith("q_bias") for key in state):
            # timm's files of DINOv3 leave out biases that are zero.
            biases = [k for k in model.state_dict() if k.endswith(("q_bias", "v_bias"))]
            state |= {key: torch.zeros_like(model.state_dict()[key]) for key in biases}
        missing, unexpected = model.load_state_dict(state, strict=False)
    except (RuntimeError, KeyError, ValueError) as error:
        raise StageError(path, f"holds another network ({str(error).splitlines()[0]})", "check the variant") from None
    unknown = [key for key in unexpected if not key.startswith(("head", "fc_norm"))]
    if missing or unknown:
        problem = f"{len(missing)} parameters missing, {len(unknown)} unknown ({', '.join([*missing, *unknown][:3])})"
        raise StageError(path, problem, "check that the file belongs to the network that the settings name")
