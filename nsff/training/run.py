"""The training stage: reads a scene's canonical data, trains (or resumes), and writes the model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from nsff.config import SceneConfig
from nsff.errors import StageError
from nsff.machine.gpu_memory import cap_memory
from nsff.models.base import SceneModel
from nsff.models.registry import model_class
from nsff.models.supervision import TrainingData
from nsff.scene import Scene
from nsff.training.checkpoints import CheckpointStore, fingerprint
from nsff.training.distributed import Ranks, joined
from nsff.training.memory import keep_freed_memory
from nsff.training.model_files import write_model
from nsff.training.published import import_checkpoint
from nsff.training.schedule import for_frames
from nsff.training.trainer import Trainer, seed_everything


def run_train(scene: Scene, config: SceneConfig, state_dir: Path | None = None) -> dict[str, Any]:
    """Trains the scene model, or imports the scene's released checkpoint; returns the summary.

    State lives in ``state_dir`` (default: Scene.state_dir) and is continued if it belongs to the same inputs and
    settings. With train.gpus above 1, each of the processes that torchrun started calls this, and the first one writes.
    Raises StageError for damaged inputs, a loss that is not finite or a full GPU, SystemExit(75) after a signal.

    >>> run_train(Scene(Path("results/demo")), load_config(Path("config.yaml"))["demo"])  # doctest: +SKIP
    {'psnr': 27.6, 'steps': 3000, ...}
    """
    if config.checkpoint:
        return import_checkpoint(scene, config, Path(config.checkpoint).expanduser())
    keep_freed_memory()
    config = for_frames(config, len(scene.cameras))
    folder = state_dir or scene.state_dir
    with joined(config.train, pick_device(config.train.device)) as (ranks, device):
        cap_memory(device, config.train.memory_gb)
        store = _store(folder, fingerprint(scene, config), ranks)
        with _memory_named(config):
            return _train(scene, config, store, ranks, device, folder)


def _train(
    scene: Scene, config: SceneConfig, store: CheckpointStore, ranks: Ranks, device: torch.device, folder: Path
) -> dict[str, Any]:
    data = TrainingData(scene, config.field, config.train, config.sampling.pixel_centre, device)
    model = build_model(scene, config, data).to(device)
    trainer = Trainer(model, data, config, store, ranks)
    trainer.run(folder / "tensorboard")
    summary = _summary(trainer, config)
    if ranks.leader:
        write_model(scene, model, config, trainer.step, trainer.seconds, trainer.history)
        scene.write_summary("train", summary)
        if not config.train.keep_state:
            store.finish(trainer.step, trainer.ended_state())
    return summary


@contextmanager
def _memory_named(config: SceneConfig) -> Iterator[None]:
    """Turns PyTorch's error of a GPU that is full into one that says what to do."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        cap = config.train.memory_gb
        raise StageError(
            "GPU memory",
            f"is not enough to train this scene{'' if cap is None else f' within train.memory_gb: {cap:g}'}"
            f" ({str(error).splitlines()[0]})",
            "end other programs on this GPU, raise train.memory_gb, or make the scene smaller (canonical.resize_height)"
            " or its model (with Gaussians model.options: max_dynamic, most_per_pixel); what was saved is kept",
        ) from error


def _store(folder: Path, print_: str, ranks: Ranks) -> CheckpointStore:
    """The first process opens it before the others do: foreign state is thrown away once."""
    if not ranks.leader:
        ranks.wait()
    store = CheckpointStore(folder, print_)
    if ranks.leader:
        ranks.wait()
    return store


def build_model(scene: Scene, config: SceneConfig, data: TrainingData) -> SceneModel:
    """A freshly initialised, seeded model of the configured kind (model.kind) for the scene's cameras and frames."""
    seed_everything(config.train.seed)
    model: SceneModel = model_class(config.model.kind).create(scene, config, data)
    return model


def pick_device(name: str) -> torch.device:
    """The device of train.device; ``auto`` is a GPU where there is one."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(name)


def _summary(trainer: Trainer, config: SceneConfig) -> dict[str, Any]:
    values = [value for _, name, value in trainer.history if name == "psnr"]
    psnr = sum(values[-5:]) / max(1, len(values[-5:]))
    verdict = "good" if psnr >= 25 else "doubtful" if psnr >= 20 else "poor"
    message = (
        f"Training views reach {psnr:.1f} dB after {trainer.step} steps ({trainer.seconds:.0f} s, {trainer.device})."
    )
    if config.losses.decay_by_frames:
        frames = trainer.data.n_frames
        message += f" Weights decay every {config.losses.decay_steps} steps, by the clip's {frames} frames."
    if verdict != "good":
        message += (
            " Blurred training views mean too few steps, or cameras that do not fit: see the cameras' verdict,"
            " or raise train.steps."
        )
    return {
        "psnr": psnr,
        "steps": trainer.step,
        "decay_steps": config.losses.decay_steps,
        "seconds": trainer.seconds,
        "device": str(trainer.device),
        "preset": config.preset,
        "parameters": sum(p.numel() for p in trainer.model.parameters()),
        "verdict": verdict,
        "message": message,
    }
