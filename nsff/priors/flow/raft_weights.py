"""RAFT's checkpoints: torchvision's own, and the authors', whose parameters have other names.

Both publish the same two networks. The authors' keys begin with `module.` (from DataParallel) and hold the
normalisation of a shortcut twice, once in the block and once in its shortcut. Source: Teed, Deng 2020.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models.optical_flow import raft_large, raft_small

from nsff.errors import WeightsError
from nsff.weights.tensors import read_tensors

_REMEDY = "check that the file belongs to RAFT: nsff weights list has those that are known"

# Applied in this order, each to the result of the one before.
_RENAMED: tuple[tuple[str, str], ...] = (
    (r"^fnet\.", "feature_encoder."),
    (r"^cnet\.", "context_encoder."),
    (r"^(\w+_encoder)\.conv1\.", r"\1.convnormrelu.0."),
    (r"^(\w+_encoder)\.norm1\.", r"\1.convnormrelu.1."),
    (r"^(\w+_encoder)\.conv2\.", r"\1.conv."),
    (r"^(\w+_encoder\.layer\d\.\d)\.conv(\d)\.", r"\1.convnormrelu\2.0."),
    (r"^(\w+_encoder\.layer\d\.\d)\.norm(\d)\.", r"\1.convnormrelu\2.1."),
    (r"^update_block\.encoder\.conv([cf])(\d)\.", r"update_block.motion_encoder.conv\1\2.0."),
    (r"^update_block\.motion_encoder\.convc", "update_block.motion_encoder.convcorr"),
    (r"^update_block\.motion_encoder\.convf", "update_block.motion_encoder.convflow"),
    (r"^update_block\.encoder\.conv\.", "update_block.motion_encoder.conv.0."),
    (r"^update_block\.gru\.conv([zrq])\.", r"update_block.recurrent_block.convgru1.conv\1."),
    (r"^update_block\.gru\.conv([zrq])(\d)\.", r"update_block.recurrent_block.convgru\2.conv\1."),
    (r"^update_block\.mask\.0\.", "mask_predictor.convrelu.0."),
    (r"^update_block\.mask\.2\.", "mask_predictor.conv."),
)
_NORM = re.compile(r"^([cf]net\.layer\d\.\d)\.norm(\d)\.(\w+)$")


def load_raft(path: Path) -> nn.Module:
    """The network that the file holds, for inference. Raises WeightsError where it is no whole RAFT."""
    state = torchvision_names(read_tensors(path), path)
    # Only the large network learns how to upsample flow.
    network = (raft_large if any(key.startswith("mask_predictor.") for key in state) else raft_small)(weights=None)
    try:
        network.load_state_dict(state, strict=True)
    except RuntimeError as error:
        raise WeightsError(path, f"is no whole RAFT ({_first(error)})", _REMEDY) from None
    return network.eval().requires_grad_(False)


def torchvision_names(state: Mapping[str, Any], path: Path) -> dict[str, Tensor]:
    """The parameters under torchvision's names, whichever they have. WeightsError where two claim the same name."""
    if not state or not all(isinstance(value, Tensor) for value in state.values()):
        raise WeightsError(path, "does not hold tensors by name", _REMEDY)
    stripped = {key.removeprefix("module."): value for key, value in state.items()}
    if not any(key.startswith("fnet.") for key in stripped):
        return stripped
    result: dict[str, Tensor] = {}
    for key, value in stripped.items():
        name = key
        norm = _NORM.match(key)
        if norm and f"{norm[1]}.conv{norm[2]}.weight" not in stripped:
            name = f"{norm[1]}.downsample.1.{norm[3]}"  # one norm more than convolutions: it is the shortcut's
        for pattern, replacement in _RENAMED:
            name = re.sub(pattern, replacement, name)
        if name in result and not torch.equal(result[name], value):
            raise WeightsError(path, f"has two different values of {name} (the other is {key})", _REMEDY)
        result[name] = value
    return result


def _first(error: RuntimeError) -> str:
    """torch's list of keys, its first line with content, in short."""
    lines = [line.strip() for line in str(error).splitlines()[1:] if line.strip()]
    return (lines[0] if lines else str(error))[:160]
