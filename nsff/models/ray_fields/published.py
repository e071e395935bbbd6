"""State dictionaries of the published NSFF and SAFF networks, to and from the fields of this project.

Notation. The published axes are OpenGL's (y up, z backward; in NDC only y differs), ours OpenCV's: on the way in or out
the signs of the weights that meet y, or a view direction's y and z, turn. Turning twice changes nothing, bit by bit.
View directions are in the axes of the average camera (FieldConfig.view_axes: average). Names of parameters carry the
prefix ``module.`` of the published data-parallel wrapper (docs/methods.md#published-checkpoints).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from nsff.config import FieldConfig
from nsff.errors import StageError
from nsff.models.ray_fields.mlp import MlpField
from nsff.models.ray_fields.mlp_layers import SKIP

PREFIX = "module."
State = Mapping[str, Tensor]


def load_published(field: MlpField, state: State) -> None:
    """Loads a published state dictionary (``network_rigid`` or ``network_fn_state_dict``) into a field.

    Raises StageError if names or shapes differ.
    """
    weights = {name.removeprefix(PREFIX): value.detach().clone() for name, value in state.items()}
    expected = {name: tuple(value.shape) for name, value in field.state_dict().items()}
    found = {name: tuple(value.shape) for name, value in weights.items()}
    if expected != found:
        wrong = sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
        raise StageError(
            wrong[0], f"has shape {found.get(wrong[0])} in the checkpoint, {expected.get(wrong[0])} in the network",
            "choose the field section (features, saliency, shallow_features) that the checkpoint was trained with",
        )  # fmt: skip
    field.load_state_dict(_turn(weights, field.config, field.dynamic))


def published_state(field: MlpField) -> dict[str, Tensor]:
    """The field's weights as the published code has them: its names with prefix, its axes, on the CPU."""
    weights = {name: value.detach().cpu().clone() for name, value in field.state_dict().items()}
    return {PREFIX + name: value for name, value in _turn(weights, field.config, field.dynamic).items()}


def describe(static: State, dynamic: State) -> tuple[dict[str, Any], int]:
    """The published networks as values of FieldConfig, and their number of feature channels (0: no head).

    Raises StageError, naming the parameter, where the two are not a pair of such networks.
    """
    pair = [{name.removeprefix(PREFIX): tuple(value.shape) for name, value in s.items()} for s in (static, dynamic)]
    found: list[tuple[dict[str, Any], int]] = []
    for names, inputs, own in zip(pair, (3, 4), ("w_linear", "sf_linear"), strict=True):
        for name in ("pts_linears.0", "views_linears.0", "alpha_linear", "rgb_linear", own):
            if len(names.get(f"{name}.weight", ())) != 2:
                raise StageError(
                    f"{name}.weight", "is not in the checkpoint, or is no matrix", "give a checkpoint of NSFF or SAFF"
                )
        width, size = names["pts_linears.0.weight"]
        view = names["views_linears.0.weight"][1] - width
        heads = sorted(name for name in names if name.startswith("dino_linears.") and name.endswith(".weight"))
        values = {
            "features": bool(heads),
            "saliency": "sal_linear.weight" in names,
            "width": width,
            "depth": sum(name.startswith("pts_linears.") and name.endswith(".weight") for name in names),
            "position_frequencies": (size // inputs - 1) // 2,
            "direction_frequencies": (view // 3 - 1) // 2,
        }
        if heads:
            values["shallow_features"] = len(heads) == 1
        found.append((values, names[heads[-1]][0] if heads else 0))
    if found[0] != found[1]:
        different = [key for key, value in found[0][0].items() if found[1][0].get(key) != value] or ["feature channels"]
        raise StageError(
            different[0], "differs between the static and the dynamic network", "give a checkpoint of NSFF or SAFF"
        )
    return found[0]


def _turn(weights: dict[str, Tensor], config: FieldConfig, dynamic: bool) -> dict[str, Tensor]:
    """The weights in the other axes; changes the dictionary's tensors in place."""
    position = _odd_signs(torch.tensor([1.0, -1, 1, 1][: 4 if dynamic else 3]), config.position_frequencies)
    for index in (0, SKIP):
        if index < config.depth:
            weights[f"pts_linears.{index}.weight"][:, : len(position)] *= position
    view = _odd_signs(torch.tensor([1.0, -1, -1]), config.direction_frequencies)
    weights["views_linears.0.weight"][:, config.width :] *= view
    if dynamic:
        flip = torch.tensor([1.0, -1, 1, 1, -1, 1])
        weights["sf_linear.weight"] *= flip[:, None]
        weights["sf_linear.bias"] *= flip
    return weights


def _odd_signs(signs: Float[Tensor, "D"], octaves: int) -> Float[Tensor, "E"]:
    """The factor of each encoded channel when inputs change sign: x and sin x turn, cos x does not."""
    return torch.cat([signs, torch.stack([signs, torch.ones_like(signs)]).repeat(octaves, 1, 1).flatten()])
