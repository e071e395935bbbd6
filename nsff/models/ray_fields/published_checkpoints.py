"""The authors' checkpoints: released `.tar` files of NSFF and SAFF become a scene's model, and models become such.

A file holds `global_step`, `network_fn_state_dict` (dynamic), `network_rigid` (static) and `optimizer_state_dict`
(docs/methods.md#published-checkpoints). Only tensors and plain values are ever unpickled. What the networks mean
depends on the cameras: NDC of the average camera, scaled by the near bounds, times 2k/N - 1 for frame k of N. So an
imported model fits the scene with the frames, cameras and bounds it was trained with, and no other.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nsff.cameras.rays import pixel_rays
from nsff.cameras.spaces import Space, make_space
from nsff.config import FieldConfig, SamplingConfig, SceneConfig
from nsff.errors import ConfigError, StageError
from nsff.files.io import atomic_path, read_json
from nsff.files.reading import reading
from nsff.models.ray_fields.mlp import MlpField
from nsff.models.ray_fields.model import RayFields
from nsff.models.ray_fields.published import describe, load_published, published_state
from nsff.rendering.renderer import Renderer
from nsff.scene import Scene
from nsff.training.model_files import write_model
from nsff.weights.tensors import load_torch

STATIC, DYNAMIC, STEP = "network_rigid", "network_fn_state_dict", "global_step"
PIXELS = 4096
"""Pixels of the training views that an imported model is compared on."""


@dataclass(frozen=True)
class Checkpoint:
    """What a published file says."""

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
    """What lets a numpy number through, as a learning rate may be one: its constructor and the types of numbers."""
    scalar = np.float64(0).__reduce__()[0]
    named = [(scalar, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")]
    return [*named, np.dtype, *(type(np.dtype(kind)) for kind in (np.float64, np.float32, np.int64, np.int32))]


def build_imported(checkpoint: Checkpoint, config: SceneConfig, space: Space, n_frames: int) -> RayFields:
    """The scene model of a checkpoint; raises ConfigError where the field section asks for another network."""
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
    model = RayFields(space, FieldConfig(**field | {"view_axes": "average"}), config.sampling, channels, n_frames)
    for own, state in ((model.static, checkpoint.static), (model.dynamic, checkpoint.dynamic)):
        assert isinstance(own, MlpField)
        load_published(own, state)
    return model


def import_checkpoint(scene: Scene, config: SceneConfig, file: Path) -> dict[str, Any]:
    """Writes model/ from a published checkpoint instead of training; returns the summary, which is ``train``'s.

    Raises StageError for a damaged file, ConfigError where the configuration asks for other networks or another space.
    """
    if config.field.space == "contraction":
        raise ConfigError("field.space", "is contraction, published networks live in NDC", "set field.space: ndc")
    checkpoint = read_checkpoint(file)
    model = build_imported(checkpoint, config, make_space("ndc", scene.cameras), scene.n_frames)
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    write_model(
        scene, model, config, checkpoint.step, 0.0, [],
        checkpoint={"file": file.name, "sha256": digest},
    )  # fmt: skip
    device = "cuda" if config.train.device != "cpu" and torch.cuda.is_available() else "cpu"
    psnr = training_psnr(scene, Renderer(model.to(device), config.render.chunk), config.sampling.pixel_centre)
    summary = _summary(model, config, checkpoint, file, psnr)
    scene.write_summary("train", summary)
    return summary


def training_psnr(scene: Scene, renderer: Renderer, pixel_centre: float, pixels: int = PIXELS) -> float:
    """PSNR on random pixels spread over all frames, the same every time."""
    generator = np.random.default_rng(0)
    height, width = scene.size
    device = renderer.device
    squares: list[float] = []
    for i in range(scene.n_frames):
        flat = generator.choice(height * width, max(1, min(height * width, pixels // scene.n_frames)), replace=False)
        row, column = np.divmod(flat, width)
        count = len(flat)
        K, E = (
            torch.as_tensor(value[i], dtype=torch.float32, device=device).expand(count, 3, n)
            for value, n in ((scene.cameras.intrinsics, 3), (scene.cameras.world_to_camera, 4))
        )
        u, v = (torch.as_tensor(x + pixel_centre, dtype=torch.float32, device=device) for x in (column, row))
        time = torch.full((count,), float(i), device=device)
        with torch.no_grad():
            rgb = renderer.render_rays(*pixel_rays(K, E, u, v), time)["rgb"].clamp(0, 1).cpu().numpy()
        truth = scene.image(i)[row, column].astype(np.float64) / 255
        squares.append(float(((rgb - truth) ** 2).mean()))
    return float(-10 * np.log10(max(sum(squares) / len(squares), 1e-10)))


def _summary(model: RayFields, config: SceneConfig, checkpoint: Checkpoint, file: Path, psnr: float) -> dict[str, Any]:
    verdict = "good" if psnr >= 25 else "doubtful" if psnr >= 20 else "poor"
    message = f"Not trained here: {file.name} after {checkpoint.step} steps. Training views reach {psnr:.1f} dB."
    if verdict != "good":
        message += (
            " A released model fits only the cameras, depth bounds and frames it was trained with: give the source's"
            " own cameras (input.cameras: given), and the same input.start and input.end."
        )
    return {
        "psnr": psnr,
        "steps": checkpoint.step,
        "checkpoint": file.name,
        "preset": config.preset,
        "parameters": sum(p.numel() for p in model.parameters()),
        "verdict": verdict,
        "message": message,
    }


# --- the other way ---------------------------------------------------------------------------------------------------
def export_checkpoint(model_dir: Path, file: Path) -> None:
    """Writes the model of a scene as the authors' code loads it; raises StageError for models that it cannot hold.

    The optimiser's state there is that of a fresh Adam over both networks, the dynamic one first. Their code takes
    cameras and bounds from poses_bounds.npy, which lies beside the model in the scene's folder.
    """
    model = Renderer.load(model_dir, "cpu", chunk=1).model
    reason = _not_published(model.field_config, model.sampling, model.space)
    if reason:
        raise StageError(model_dir, reason, "train with preset nsff or saff to get a model that their code can load")
    static, dynamic = model.static, model.dynamic
    assert isinstance(static, MlpField)
    assert isinstance(dynamic, MlpField)
    step = int(read_json(model_dir / "model.json").get("steps", 0))
    count = len(list(dynamic.parameters())) + len(list(static.parameters()))
    group = {
        "lr": 5e-4 * 0.1 ** (step / 300_000), "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0, "amsgrad": False,
        "params": list(range(count)),
    }  # fmt: skip
    content = {
        STEP: step,
        DYNAMIC: published_state(dynamic),
        STATIC: published_state(static),
        "optimizer_state_dict": {"state": {}, "param_groups": [group]},
    }
    with atomic_path(file) as temporary:
        torch.save(content, temporary)


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
            return f"cannot be a checkpoint of the published code: {reason}"
    return ""
