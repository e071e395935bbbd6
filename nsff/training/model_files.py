"""The files of a trained scene: model.safetensors, model.json and history.csv in one folder."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from typing import Any

from safetensors.torch import save_file

from nsff import __version__
from nsff.config import SceneConfig
from nsff.files.io import atomic_directory, write_json
from nsff.models.ray_fields.model import RayFields
from nsff.scene import Scene


def write_model(
    scene: Scene,
    model: RayFields,
    config: SceneConfig,
    steps: int,
    seconds: float,
    history: Sequence[tuple[int, str, float]],
    **more: Any,
) -> None:
    """Writes model/ as a whole. ``history`` are (step, name, value) rows; ``more`` goes into model.json too."""
    with atomic_directory(scene.model_dir, sealed=True) as folder:
        save_file(
            {k: v.detach().cpu().contiguous() for k, v in model.state_dict().items()}, folder / "model.safetensors"
        )
        content = {
            "nsff": __version__,
            "n_frames": model.n_frames,
            "channels": model.channels,
            "space": model.space.to_dict(),
            "field": model.field_config.model_dump(),
            "sampling": model.sampling.model_dump(),
            "preset": config.preset,
            "precision": config.train.precision,
            "height": scene.cameras.height,
            "width": scene.cameras.width,
            "steps": steps,
            "seconds": seconds,
            "hold_out": config.train.hold_out,
        }
        write_json(folder / "model.json", content | more)
        with (folder / "history.csv").open("w", newline="") as stream:
            writer = csv.writer(stream)
            writer.writerow(["step", "name", "value"])
            writer.writerows(history)
