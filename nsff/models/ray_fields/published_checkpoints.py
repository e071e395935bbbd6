"""The authors' checkpoints: released `.tar` files of NSFF and SAFF, read as fields, and fields written as such files.

A file holds `global_step`, `network_fn_state_dict` (dynamic), `network_rigid` (static) and `optimizer_state_dict`
(docs/methods.md#published-checkpoints). Only tensors and plain values are ever unpickled. What the networks mean
depends on the cameras: NDC of the average camera, scaled by the near bounds, times 2k/N - 1 for frame k of N. So an
imported model fits the scene with the frames, cameras and bounds it was trained with, and no other.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nsff.cameras.spaces import Space
from nsff.config import FieldConfig, SamplingConfig, SceneConfig
from nsff.errors import ConfigError, StageError
from nsff.files.io import atomic_path
from nsff.files.reading import reading
from nsff.models.ray_fields.mlp import MlpField
from nsff.models.ray_fields.model import RayFields
from nsff.models.ray_fields.published import describe, load_published, published_state
from nsff.weights.tensors import load_torch

STATIC, DYNAMIC, STEP = "network_rigid", "network_fn_state_dict", "global_step"


@dataclass(frozen=True)
class Checkpoint:
    """The content of a published file."""

    step: int
    static: dict[str, Tensor]
    dynamic: dict[str, Tensor]


def read_checkpoint(path: Path) -> Checkpoint:
    """Reads a published checkpoint; raises StageError naming the file and what is wrong with it."""
    path = Path(path)
    remedy = "give a checkpoint of NSFF or SAFF (360000.tar), as released"
    message = "is not readable as tensors and plain values"
    with reading(path, remedy, missing=remedy, message=message), torch.serialization.safe_globals(_scalars()):
        content = load_torch(path)
    if not isinstance(content, dict):
        raise StageError(path, f"holds a {type(content).__name__}, not a dictionary", remedy)
    missing = [key for key in (STATIC, DYNAMIC) if key not in content]
    if missing:
        raise StageError(path, f"lacks {', '.join(missing)}; it has {', '.join(map(str, content))[:200]}", remedy)
    with reading(path, remedy, message=message):
        states = [dict(content[key]) for key in (STATIC, DYNAMIC)]
        step = int(content.get(STEP, 0))
    for key, state in zip((STATIC, DYNAMIC), states, strict=True):
        for name, value in state.items():
            if not isinstance(value, Tensor) or not bool(torch.isfinite(value).all()):
                raise StageError(path, f"{key}: {name} is no tensor, or not finite", remedy)
    return Checkpoint(step, *states)


def _scalars() -> list[Any]:
    """Types that let a numpy number through, as a learning rate may be one: its constructor, the types of numbers."""
    scalar = np.float64(0).__reduce__()[0]
    named = [(scalar, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")]
    return [*named, np.dtype, *(type(np.dtype(kind)) for kind in (np.float64, np.float32, np.int64, np.int32))]


def read_fields(file: Path, config: SceneConfig) -> tuple[Checkpoint, tuple[FieldConfig, SamplingConfig, int]]:
    """A published file, and the fields, sampling and number of feature channels of its model.

    Raises StageError for a damaged file, ConfigError where the configuration asks for other networks or another space.
    """
    if config.field.space == "contraction":
        raise ConfigError("field.space", "is contraction, published networks live in NDC", "set field.space: ndc")
    checkpoint = read_checkpoint(file)
    found, channels = describe(checkpoint.static, checkpoint.dynamic)
    field = config.field.model_dump()
    wanted = {"kind": "mlp", "composition": "blending", "static_only": False} | found
    for key, value in wanted.items():
        if field[key] != value:
            raise ConfigError(
                f"field.{key}",
                f"is {str(field[key]).lower()}, the checkpoint's networks have {str(value).lower()}",
                f"set field.{key}: {str(value).lower()}, or preset: {'saff' if found['features'] else 'nsff'}",
            )
    return checkpoint, (FieldConfig(**field | {"view_axes": "average"}), config.sampling, channels)


def load_fields(model: RayFields, checkpoint: Checkpoint) -> None:
    """Gives the fields of a model that was made for it the weights of a published file."""
    for own, state in ((model.static, checkpoint.static), (model.dynamic, checkpoint.dynamic)):
        assert isinstance(own, MlpField)
        load_published(own, state)


# --- the other way ---------------------------------------------------------------------------------------------------
def export_fields(model: RayFields, file: Path, steps: int) -> str:
    """Writes a model as the authors' code loads it; returns why it cannot be written so, or an empty text.

    The optimiser's state there is that of a fresh Adam over both networks, the dynamic one first.
    """
    reason = _not_published(model.field_config, model.sampling, model.space)
    if reason:
        return reason
    static, dynamic = model.static, model.dynamic
    assert isinstance(static, MlpField)
    assert isinstance(dynamic, MlpField)
    count = len(list(dynamic.parameters())) + len(list(static.parameters()))
    group = {
        "lr": 5e-4 * 0.1 ** (steps / 300_000), "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0, "amsgrad": False,
        "params": list(range(count)),
    }  # fmt: skip
    content = {
        STEP: steps,
        DYNAMIC: published_state(dynamic),
        STATIC: published_state(static),
        "optimizer_state_dict": {"state": {}, "param_groups": [group]},
    }
    with atomic_path(file) as temporary:
        torch.save(content, temporary)
    return ""


def _not_published(field: FieldConfig, sampling: SamplingConfig, space: Space) -> str:
    """Why a model has no place in a published checkpoint; empty where it has one."""
    for wrong, reason in (
        (field.kind != "mlp", f"its fields are {field.kind}"),
        (space.kind != "ndc", f"its space is {space.kind}"),
        (field.composition != "blending", "its densities add up: there is no blending weight"),
        (field.static_only, "it has no dynamic field"),
        (field.view_axes != "average", "its view directions are in world axes"),
        (sampling.kind != "stratified", "its samples follow a coarse pass, which the published code has not"),
    ):
        if wrong:
            return reason
    return ""
