"""Published checkpoints in place of training: a released file becomes a scene's model, and a model becomes such a file.

Which files there are, and how they are read, is the kind of model's matter (SceneModel.import_checkpoint).
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nsff.config import SceneConfig
from nsff.errors import StageError
from nsff.files.io import read_json
from nsff.models.base import SceneModel
from nsff.models.files import load_model
from nsff.models.registry import model_class
from nsff.rendering.renderer import Renderer
from nsff.scene import Scene
from nsff.training.model_files import write_model

PIXELS = 4096
"""Pixels of the training views that an imported model is compared on."""


def import_checkpoint(scene: Scene, config: SceneConfig, file: Path) -> dict[str, Any]:
    """Writes model/ from a published checkpoint instead of training; returns the summary, which is ``train``'s.

    Raises StageError for a damaged file, ConfigError where the configuration asks for another model.
    """
    model, steps = model_class(config.model.kind).import_checkpoint(file, scene, config)
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    write_model(scene, model, config, steps, 0.0, [], checkpoint={"file": file.name, "sha256": digest})
    device = "cuda" if config.train.device != "cpu" and torch.cuda.is_available() else "cpu"
    psnr = training_psnr(scene, Renderer(model.to(device), config.render.chunk))
    summary = _summary(model, config, steps, file, psnr)
    scene.write_summary("train", summary)
    return summary


def training_psnr(scene: Scene, renderer: Renderer, pixels: int = PIXELS) -> float:
    """PSNR on random pixels spread over all frames, the same every time."""
    generator = np.random.default_rng(0)
    height, width = scene.size
    squares: list[float] = []
    for i in range(scene.n_frames):
        flat = generator.choice(height * width, max(1, min(height * width, pixels // scene.n_frames)), replace=False)
        K, E = (
            torch.as_tensor(value[i], dtype=torch.float32, device=renderer.device)
            for value in (scene.cameras.intrinsics, scene.cameras.world_to_camera)
        )
        with torch.no_grad():
            colours = renderer.render_pixels(K, E, (height, width), torch.from_numpy(flat), float(i))
        rgb = colours.clamp(0, 1).cpu().numpy()
        truth = scene.image(i)[np.divmod(flat, width)].astype(np.float64) / 255
        squares.append(float(((rgb - truth) ** 2).mean()))
    return float(-10 * np.log10(max(sum(squares) / len(squares), 1e-10)))


def _summary(model: SceneModel, config: SceneConfig, steps: int, file: Path, psnr: float) -> dict[str, Any]:
    verdict = "good" if psnr >= 25 else "doubtful" if psnr >= 20 else "poor"
    message = f"Not trained here: {file.name} after {steps} steps. Training views reach {psnr:.1f} dB."
    if verdict != "good":
        message += (
            " A released model fits only the cameras, depth bounds and frames it was trained with: give the source's"
            " own cameras (input.cameras: given), and the same input.start and input.end."
        )
    return {
        "psnr": psnr,
        "steps": steps,
        "checkpoint": file.name,
        "preset": config.preset,
        "parameters": sum(p.numel() for p in model.parameters()),
        "verdict": verdict,
        "message": message,
    }


def export_checkpoint(model_dir: Path, file: Path) -> None:
    """Writes the model of a scene as the authors' code loads it; raises StageError for models that it cannot hold.

    Their code takes cameras and bounds from poses_bounds.npy, which lies beside the model in the scene's folder.
    """
    steps = int(read_json(model_dir / "model.json").get("steps", 0))
    reason = load_model(model_dir, "cpu").export_checkpoint(file, steps)
    if reason:
        raise StageError(
            model_dir,
            f"cannot be a checkpoint of the published code: {reason}",
            "train with preset nsff or saff to get a model that their code can load",
        )
