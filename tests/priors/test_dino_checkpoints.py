"""The authors' files of DINO, DINOv2 and DINOv3: every key under its published name, and a forward pass that knows
nothing but these names.

Names as in facebookresearch/{dino,dinov2,dinov3}, models/vision_transformer.py and layers/attention.py.
"""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from nsff.config import FeaturesConfig
from nsff.errors import StageError
from nsff.priors.features import dino_network
from nsff.priors.features.dino import open_network
from nsff.priors.features.dino_network import build, load_weights
from nsff.priors.features.dino_variants import VARIANTS

WIDTH = {"vits": 384, "vitb": 768}
SIDE = {"dino": 28, "dinov2": 37}
"""Tokens along a side of the position table: pictures of 224 and 518 pixels."""


def authors_shapes(name: str, depth: int = 12) -> dict[str, tuple[int, ...]]:
    """Every key of the published file of a variant with its shape."""
    family, size = name.split("_")[0], name.split("_")[1][:4]
    width, patch = WIDTH[size], VARIANTS[name].patch
    shapes: dict[str, tuple[int, ...]] = {
        "cls_token": (1, 1, width),
        "patch_embed.proj.weight": (width, 3, patch, patch),
        "patch_embed.proj.bias": (width,),
        "norm.weight": (width,),
        "norm.bias": (width,),
    }
    if family in SIDE:
        shapes["pos_embed"] = (1, 1 + SIDE[family] ** 2, width)
    if family == "dinov2":
        shapes |= {"register_tokens": (1, 4, width), "mask_token": (1, width)}
    if family == "dinov3":
        shapes |= {"storage_tokens": (1, 4, width), "mask_token": (1, width), "rope_embed.periods": (16,)}
    for i in range(depth):
        block: dict[str, tuple[int, ...]] = {
            "norm1.weight": (width,),
            "norm1.bias": (width,),
            "attn.qkv.weight": (3 * width, width),
            "attn.qkv.bias": (3 * width,),
            "attn.proj.weight": (width, width),
            "attn.proj.bias": (width,),
            "norm2.weight": (width,),
            "norm2.bias": (width,),
            "mlp.fc1.weight": (4 * width, width),
            "mlp.fc1.bias": (4 * width,),
            "mlp.fc2.weight": (width, 4 * width),
            "mlp.fc2.bias": (width,),
        }
        if family != "dino":
            block |= {"ls1.gamma": (width,), "ls2.gamma": (width,)}
        if family == "dinov3":
            block["attn.qkv.bias_mask"] = (3 * width,)
        shapes |= {f"blocks.{i}.{key}": shape for key, shape in block.items()}
    return shapes


def authors_file(name: str) -> dict[str, Tensor]:
    """Random values under the published names; masks and periods as published."""
    generator = torch.Generator().manual_seed(0)
    state = {}
    for key, shape in authors_shapes(name).items():
        value = torch.randn(shape, generator=generator)
        fan = math.prod(shape[1:]) if key.endswith("weight") and len(shape) > 1 else 25
        state[key] = 1 + 0.1 * value if key.endswith(("norm1.weight", "norm2.weight", "gamma")) else value / fan**0.5
        if key.endswith("bias_mask"):
            state[key] = torch.cat([torch.ones(shape[0] // 3), torch.zeros(shape[0] // 3), torch.ones(shape[0] // 3)])
        if key.endswith("periods"):
            state[key] = 100 ** (torch.arange(16) / 16)
    return state


def authors_forward(name: str, state: dict[str, Tensor], picture: Tensor, stride: int) -> tuple[Tensor, Tensor]:
    """Keys (B,heads,n,64) and attention (B,heads,n) of the class token to the n patches, in the last block."""
    family, patch = name.split("_")[0], VARIANTS[name].patch
    state = {key: value.double() for key, value in state.items()}
    width, epsilon = state["cls_token"].shape[2], 1e-5 if family == "dinov3" else 1e-6
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    x = ((picture - mean[:, None, None]) / deviation[:, None, None]).double()
    x = functional.conv2d(x, state["patch_embed.proj.weight"], state["patch_embed.proj.bias"], stride=stride)
    rows, columns = x.shape[2:]
    assert (rows, columns) == tuple(1 + (n - patch) // stride for n in picture.shape[2:])
    x = torch.cat([state["cls_token"].expand(len(x), -1, -1), x.flatten(2).transpose(1, 2)], 1)
    if "pos_embed" in state:
        table, side = state["pos_embed"], SIDE[family]
        square = table[:, 1:].reshape(1, side, side, width).permute(0, 3, 1, 2)
        if family == "dino":
            scale = ((rows + 0.1) / side, (columns + 0.1) / side)
            square = functional.interpolate(square, scale_factor=scale, mode="bicubic")
        else:
            square = functional.interpolate(square, size=(rows, columns), mode="bicubic", antialias=True)
        x = x + torch.cat([table[:, :1], square.flatten(2).transpose(1, 2)], 1)
    registers = state.get("register_tokens", state.get("storage_tokens"))
    if registers is not None:
        x = torch.cat([x[:, :1], registers.expand(len(x), -1, -1), x[:, 1:]], 1)
    prefix = x.shape[1] - rows * columns

    def turn(v: Tensor) -> Tensor:
        if "rope_embed.periods" not in state:
            return v
        at = torch.stack(
            torch.meshgrid((torch.arange(rows) + 0.5) / rows, (torch.arange(columns) + 0.5) / columns, indexing="ij"),
            -1,
        ).double()
        angle = 2 * math.pi * (2 * at.reshape(-1, 2) - 1)[..., None] / state["rope_embed.periods"]
        angle = angle.flatten(1).tile(2)
        patches = v[:, :, prefix:]
        half = torch.cat([-patches[..., 32:], patches[..., :32]], -1)
        return torch.cat([v[:, :, :prefix], patches * angle.cos() + half * angle.sin()], 2)

    depth = 1 + max(int(key.split(".")[1]) for key in state if key.startswith("blocks."))
    for i in range(depth):
        weights = {k.removeprefix(f"blocks.{i}."): v for k, v in state.items() if k.startswith(f"blocks.{i}.")}
        y = functional.layer_norm(x, (width,), weights["norm1.weight"], weights["norm1.bias"], epsilon)
        bias = weights["attn.qkv.bias"] * weights.get("attn.qkv.bias_mask", torch.ones(()))
        q, k, v = (y @ weights["attn.qkv.weight"].T + bias).unflatten(2, (3, width // 64, 64)).permute(2, 0, 3, 1, 4)
        attention = (turn(q) @ turn(k).transpose(2, 3) / 8).softmax(3)
        if i == depth - 1:
            return k[:, :, prefix:], attention[:, :, 0, prefix:]
        y = (attention @ v).transpose(1, 2).flatten(2) @ weights["attn.proj.weight"].T + weights["attn.proj.bias"]
        x = x + y * weights.get("ls1.gamma", torch.ones(()))
        y = functional.layer_norm(x, (width,), weights["norm2.weight"], weights["norm2.bias"], epsilon)
        y = functional.gelu(y @ weights["mlp.fc1.weight"].T + weights["mlp.fc1.bias"])
        y = y @ weights["mlp.fc2.weight"].T + weights["mlp.fc2.bias"]
        x = x + y * weights.get("ls2.gamma", torch.ones(()))
    raise AssertionError


@pytest.mark.parametrize("name", ["dino_vits8", "dinov2_vits14_reg", "dinov3_vits16"])
def test_the_authors_file_gives_the_authors_keys_and_attention(tmp_path: Path, name: str):
    state = authors_file(name)
    torch.save(state, tmp_path / VARIANTS[name].file)
    network = open_network(FeaturesConfig(dino_model=name), tmp_path / VARIANTS[name].file).double()
    patch = VARIANTS[name].patch
    picture = torch.rand((1, 3, 3 * patch + 5, 4 * patch + 3), generator=torch.Generator().manual_seed(1))
    keys, attention = network(picture.double())
    expected_keys, expected = authors_forward(name, state, picture, patch // 2)
    grid = network.grid(*picture.shape[2:])
    expected_keys = expected_keys.permute(0, 2, 3, 1).flatten(2).unflatten(1, grid)
    heads = VARIANTS[name].heads or tuple(range(expected.shape[1]))
    expected = expected[:, list(heads)].mean(1).unflatten(1, grid)
    assert (keys - expected_keys).abs().max() < 1e-5 * expected_keys.abs().max()
    assert (attention - expected).abs().max() < 1e-5 * expected.max()
    assert expected.std() > 1e-3 * expected.mean()  # not the uniform attention of a network that sees nothing


@pytest.mark.parametrize("name", VARIANTS)
def test_the_authors_names_and_shapes_are_all_there_is(name: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(dino_network, "read_tensors", lambda path: dict(state))
    shapes = authors_shapes(name)
    state = {key: torch.full((1,), 0.5).expand(shape) for key, shape in shapes.items()}
    model = build(VARIANTS[name])
    load_weights(model, Path("file"))
    for key, value in model.state_dict().items():
        # The class token's own position is added to it where the table holds patches alone.
        assert (value == (1.0 if key == "cls_token" and "register_tokens" in shapes else 0.5)).all(), key
    for key in [k for k in shapes if "mask" not in k and "periods" not in k and k.startswith(("blocks.11", "norm"))]:
        partial = dict(state)
        del partial[key]
        monkeypatch.setattr(dino_network, "read_tensors", lambda path, partial=partial: dict(partial))
        if name.startswith("dinov3") and key.endswith("qkv.bias"):
            continue  # timm splits it in two
        with pytest.raises(StageError, match="1 parameters missing"):
            load_weights(model, Path("file"))


def test_timms_file_of_dinov3_leaves_out_biases_that_are_zero(tmp_path: Path):
    import timm
    from safetensors.torch import save_file

    source = timm.create_model("vit_small_patch16_dinov3", pretrained=False, num_classes=0)
    save_file(source.state_dict(), tmp_path / "timm.safetensors")
    target = build(VARIANTS["dinov3_vits16"])
    for parameter in target.parameters():
        parameter.data.fill_(3)
    load_weights(target, tmp_path / "timm.safetensors")
    for key, value in target.state_dict().items():
        expected = torch.zeros(384) if key.endswith(("q_bias", "v_bias")) else source.state_dict()[key]
        assert torch.equal(value, expected), key
