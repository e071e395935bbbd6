"""Speed and memory of presets on this machine: training steps, where their time goes, and rendering."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import torch

from nsff.config import SceneConfig
from nsff.machine.gpu_memory import GIGABYTE, cap_memory, forget_peak, peak_memory
from nsff.models.clock import Clock, Stopwatch
from nsff.models.supervision import TrainingData
from nsff.rendering.renderer import Renderer
from nsff.scene import Scene
from nsff.training.checkpoints import CheckpointStore
from nsff.training.memory import keep_freed_memory
from nsff.training.recording import WARM_UP
from nsff.training.run import build_model, pick_device
from nsff.training.trainer import Trainer

WINDOW = 5
"""Steps that are timed together, so that waiting for the device does not count."""
VIEWS = {"colour": ("rgb",), "all maps": ("rgb", "depth", "features")}


def bench(scene: Scene, config: SceneConfig, steps: int, views: int) -> dict[str, Any]:
    """A row of the table: milliseconds a step and rays a second over ``steps`` steps (of the first stage), the
    micro-batches that a batch is trained in to fit into the memory, peak memory in GB, the shares of the parts of a
    step, and pictures a second over ``views`` views at the scene's size.

    The model is new: an untrained one costs the same as a trained one.
    """
    keep_freed_memory()
    device = pick_device(config.train.device)
    cap_memory(device, config.train.memory_gb)
    forget_peak(device)
    data = TrainingData(scene, config.field, config.train, config.sampling.pixel_centre, device)
    model = build_model(scene, config, data).to(device)
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(model, data, config, CheckpointStore(Path(folder), "bench"))
        trainer.fit_into_memory()
        parts = _parts(trainer, min(steps, 2 * WINDOW))
        # Both kinds of step (even and odd) are recorded before the clock starts.
        for _ in range(2 * (WARM_UP + 2) if trainer.execution.recorder.enabled else 1):
            trainer.one_step()
        seconds = median(_windows(trainer, steps))
    row: dict[str, Any] = {
        "device": _device_name(device),
        "preset": config.preset,
        "precision": config.train.precision if device.type == "cuda" else "fp32",
        "rays": config.train.rays + config.train.motion_rays,
        "milliseconds_a_step": 1000 * seconds,
        "rays_a_second": (config.train.rays + config.train.motion_rays) / seconds,
        "micro_batches": trainer.execution.micro_batches,
        "peak_gb": peak_memory(device) / GIGABYTE if device.type == "cuda" else None,
        "parts": parts,
    }  # fmt: skip
    renderer = Renderer(model)
    outputs = {name: kinds for name, kinds in VIEWS.items() if name == "colour" or "features" in model.outputs}
    return row | {"frames_a_second": {name: _rendered(renderer, scene, views, o) for name, o in outputs.items()}}


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type}, {torch.get_num_threads()} threads"


def _windows(trainer: Trainer, steps: int) -> list[float]:
    """Seconds a step in each window."""
    found = []
    for _ in range(max(1, steps // WINDOW)):
        found.append(_timed(trainer.device, lambda: [trainer.one_step() for _ in range(WINDOW)]) / WINDOW)
    return found


def _parts(trainer: Trainer, steps: int) -> dict[str, float]:
    """Share of a step spent in each part, run part by part (not recorded), so that they add up to 1."""
    recorder = trainer.execution.recorder
    enabled, recorder.enabled = recorder.enabled, False
    trainer.one_step()
    watch = trainer.execution.clock = Stopwatch(trainer.device)
    for _ in range(steps):
        trainer.one_step()
    trainer.execution.clock = Clock()
    recorder.enabled = enabled
    parts = watch.parts
    parts.pop("averaging", None)  # between processes, of which there is one
    return {name: value / sum(parts.values()) for name, value in parts.items()}


def _rendered(renderer: Renderer, scene: Scene, views: int, outputs: tuple[str, ...]) -> float:
    cameras, (height, width) = scene.cameras, scene.size

    def picture(i: int) -> None:
        renderer.render(cameras.intrinsics[i], cameras.world_to_camera[i], height, width, float(i), outputs)

    picture(0)

    def all_views() -> None:
        for i in range(views):
            picture(i % scene.n_frames)

    return views / _timed(renderer.device, all_views)


def _timed(device: torch.device, work: Callable[[], Any]) -> float:
    started = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - started
