"""The files of a trained scene: those of the model itself, model.json and history.csv in one folder."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from typing import Any

from nsff import __version__
from nsff.config import SceneConfig
from nsff.files.io import atomic_directory, write_json
from nsff.models.base import SceneModel
from nsff.scene import Scene


def write_model(
    scene: Scene,
    model: SceneModel,
    config: SceneConfig,
    steps: int,
    seconds: float,
    history: Sequence[tuple[int, str, float]],
    **more: Any,
) -> None:
    """Writes model/ as a whole. ``history`` are (step, name, value) rows; ``more`` goes into model.json too."""
    with atomic_directory(scene.model_dir, sealed=True) as folder:
        content = {
            "nsff": __version__,
            "kind": config.model.kind,
            **model.save(folder),
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
