"""The training stage: reads a scene's canonical data, trains (or resumes), and writes the model."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from nsff import __version__
from nsff.cameras.spaces import make_space
from nsff.config import SceneConfig
from nsff.io import atomic_directory, write_json
from nsff.rendering.model import SceneModel
from nsff.scene import Scene
from nsff.training.checkpoints import CheckpointStore, fingerprint
from nsff.training.data import TrainingData
from nsff.training.memory import keep_freed_memory
from nsff.training.trainer import Trainer, seed_everything


def run_train(scene: Scene, config: SceneConfig, state_dir: Path | None = None) -> dict[str, Any]:
    """Trains the scene model; returns the summary.

    State lives in ``state_dir`` (default: Scene.state_dir) and is continued if it belongs to the same inputs and
    settings. Raises StageError for damaged inputs or a loss that is not finite, SystemExit(75) after a signal.
    """
    keep_freed_memory()
    device = pick_device(config.train.device)
    folder = state_dir or scene.state_dir
    store = CheckpointStore(folder, fingerprint(scene, config))
    data = TrainingData(scene, config.field, config.train, config.sampling.pixel_centre, device)
    model = build_model(scene, config, data).to(device)
    trainer = Trainer(model, data, config, store)
    trainer.run(folder / "tensorboard")
    save_model(scene, model, config, trainer)
    summary = _summary(trainer, config)
    scene.write_summary("train", summary)
    return summary


def build_model(scene: Scene, config: SceneConfig, data: TrainingData) -> SceneModel:
    """A freshly initialised, seeded model for the scene's cameras and frame count."""
    seed_everything(config.train.seed)
    channels = data.features.shape[-1] if data.features is not None else 0
    space = make_space(config.field.space, scene.cameras)
    return SceneModel(space, config.field, config.sampling, channels, data.n_frames)


def save_model(scene: Scene, model: SceneModel, config: SceneConfig, trainer: Trainer) -> None:
    """Writes model.safetensors, model.json and history.csv as one folder."""
    with atomic_directory(scene.model_dir) as folder:
        save_file(
            {k: v.detach().cpu().contiguous() for k, v in model.state_dict().items()}, folder / "model.safetensors"
        )
        write_json(
            folder / "model.json",
            {
                "nsff": __version__,
                "n_frames": model.n_frames,
                "channels": model.channels,
                "space": model.space.to_dict(),
                "field": config.field.model_dump(),
                "sampling": config.sampling.model_dump(),
                "preset": config.preset,
                "height": trainer.data.height,
                "width": trainer.data.width,
                "steps": trainer.step,
                "seconds": trainer.seconds,
                "hold_out": config.train.hold_out,
            },
        )
        with (folder / "history.csv").open("w", newline="") as stream:
            writer = csv.writer(stream)
            writer.writerow(["step", "name", "value"])
            writer.writerows(trainer.history)


def pick_device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(name)


def _summary(trainer: Trainer, config: SceneConfig) -> dict[str, Any]:
    values = [value for _, name, value in trainer.history if name == "psnr"]
    psnr = sum(values[-5:]) / max(1, len(values[-5:]))
    verdict = "good" if psnr >= 25 else "doubtful" if psnr >= 20 else "poor"
    words = (
        f"Training views reach {psnr:.1f} dB after {trainer.step} steps ({trainer.seconds:.0f} s, {trainer.device})."
    )
    if verdict != "good":
        words += (
            " Blurred training views mean too few steps, or cameras that do not fit: see the cameras' verdict,"
            " or raise train.steps."
        )
    return {
        "psnr": psnr,
        "steps": trainer.step,
        "seconds": trainer.seconds,
        "device": str(trainer.device),
        "preset": config.preset,
        "parameters": sum(p.numel() for p in trainer.model.parameters()),
        "verdict": verdict,
        "words": words,
    }
