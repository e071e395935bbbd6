"""A trained model's folder: model.json says its kind and what it needs, beside the files of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from nsff.errors import ConfigError, StageError
from nsff.files.io import read_json
from nsff.files.reading import reading
from nsff.models.base import SceneModel
from nsff.models.registry import USUAL, model_class


def load_model(folder: Path, device: str = "auto") -> SceneModel:
    """The model of a folder, on a device; raises StageError naming the file that is damaged.

    On a GPU it computes at the precision that it was trained in; models from elsewhere in full.

    >>> load_model(Path("results/demo/model"), "cpu").n_frames  # doctest: +SKIP
    24
    """
    content: dict[str, Any] = read_json(folder / "model.json")
    place = torch.device("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else torch.device(device)
    with reading(folder, "delete the folder and train again", message="the model is not readable"):
        model: SceneModel = _kind(folder, content.get("kind", USUAL)).load(folder, content)
    precision = content.get("precision", "fp32")
    if place.type == "cuda":
        torch.set_float32_matmul_precision("highest" if precision == "fp32" else "high")
    model.reduced_precision = precision == "bf16" and place.type == "cuda"
    return model.to(place)


def _kind(folder: Path, name: Any) -> Any:
    """The class of the model; raises StageError where the kind that model.json names is not there."""
    try:
        return model_class(str(name))
    except ConfigError as error:
        problem = f"holds a model of kind {name!r}, which is not there"
        raise StageError(folder / "model.json", problem, error.remedy) from None
