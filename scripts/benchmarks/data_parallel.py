"""Training speed of a preset on several GPUs of this machine: rays a second by their number.

    python scripts/benchmarks/data_parallel.py results/demo
    python -m torch.distributed.run --standalone --nproc-per-node 2 -- scripts/benchmarks/data_parallel.py results/demo

Needs a scene whose priors are made. Every process trains on rays of its own, so a step has as many times the rays as
there are processes. Prints one line of JSON; nothing is written into the scene's folder.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from statistics import median

import _root  # noqa: F401
import torch

from nsff.config import resolve_scene
from nsff.config.changes import with_changes
from nsff.machine.gpu_memory import GIGABYTE, peak_memory
from nsff.machine.launch import launched
from nsff.models.supervision import TrainingData
from nsff.scene import Scene
from nsff.training.checkpoints import CheckpointStore
from nsff.training.distributed import joined
from nsff.training.recording import WARM_UP
from nsff.training.run import build_model, pick_device
from nsff.training.trainer import Trainer

WINDOW = 10
"""Steps that are timed together."""


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scene", type=Path, help="prepared scene")
    parser.add_argument("--preset", default="fast")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting over the preset's")
    parser.add_argument("--steps", type=int, default=200, metavar="N", help="steps that are timed")
    return parser.parse_args()


def seconds_a_step(trainer: Trainer, steps: int) -> float:
    """The median over windows of steps, each until the slowest process is done."""
    for _ in range(
        2 * (WARM_UP + 2) if trainer.execution.recorder.enabled else 1
    ):  # even and odd steps are recorded first
        trainer.one_step()
    found = []
    for _ in range(max(1, steps // WINDOW)):
        trainer.ranks.wait()
        started = time.perf_counter()
        for _ in range(WINDOW):
            trainer.one_step()
        if trainer.device.type == "cuda":
            torch.cuda.synchronize(trainer.device)
        trainer.ranks.wait()
        found.append((time.perf_counter() - started) / WINDOW)
    return median(found)


def main() -> None:
    given, count = arguments(), launched().count
    scene = Scene(given.scene)
    own = with_changes({"preset": given.preset, "input": {"path": scene.name}}, [*given.set, f"train.gpus={count}"])
    config = resolve_scene(scene.name, own, given.preset, {})
    with (
        joined(config.train, pick_device(config.train.device)) as (ranks, device),
        tempfile.TemporaryDirectory() as folder,
    ):
        data = TrainingData(scene, config.field, config.train, config.sampling.pixel_centre, device)
        model = build_model(scene, config, data).to(device)
        trainer = Trainer(model, data, config, CheckpointStore(Path(folder), "benchmark"), ranks)
        seconds = seconds_a_step(trainer, given.steps)
        rays = count * (config.train.rays + config.train.motion_rays)
        row = {
            "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
            "preset": given.preset,
            "gpus": count,
            "rays_a_step": rays,
            "milliseconds_a_step": round(1000 * seconds, 2),
            "rays_a_second": round(rays / seconds),
            "megabytes_of_gradients": round(sum(p.numel() for p in model.parameters()) * 4 / 1e6, 1),
            "peak_gb": round(peak_memory(device) / GIGABYTE, 2) if device.type == "cuda" else None,
        }
        if ranks.leader:
            print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
