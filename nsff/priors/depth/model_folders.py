"""Folders of depth models in the format of transformers: where they lie, and how they are opened.

A folder holds config.json, model.safetensors and usually preprocessor_config.json, the image processor. Nothing is
fetched, and nothing but safetensors is read. Importable without torch.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from nsff.config import DepthConfig
from nsff.errors import ConfigError, StageError
from nsff.priors.backends import WeightChoice
from nsff.weights import find

NEEDED = "config.json"
PROCESSOR = "preprocessor_config.json"


def model_path(depth: DepthConfig) -> Path | None:
    """The folder of ``depth.model``: a path, or a folder among the weights; None for a repository's name."""
    if depth.model is None:
        return None
    path = Path(depth.model).expanduser()
    return path if path.is_dir() else find(depth.model)


def choose_folder(depth: DepthConfig) -> WeightChoice | None:
    """The folder of ``depth.model``; None where it names none, or a repository in the cache of transformers, which has
    no file here: the stage asks that cache for the pinned commit."""
    folder = model_path(depth)
    return None if folder is None else WeightChoice((), str(folder), "depth.model")


def model_folder(depth: DepthConfig, backend: str = "transformers") -> Path:
    """The folder of the model: a path, a folder among the weights, or the pinned commit of a cached repository.

    Raises ConfigError where the settings name no model or pin no commit, StageError where it is not on this machine.
    """
    if depth.model is None:
        raise ConfigError("depth.model", f"is null, but backend is {backend}", "name the folder of a model")
    folder = model_path(depth)
    if folder is None:
        folder = _cached(depth.model, depth.revision)
    if not (folder / NEEDED).is_file():
        raise StageError(folder, f"has no {NEEDED}", "give a folder as save_pretrained of transformers leaves it")
    return folder


def _cached(name: str, revision: str | None) -> Path:
    """The snapshot of a repository in the local cache."""
    missing = StageError(
        name,
        "no such folder, and no repository of that name in the local cache" + (f" at {revision}" if revision else ""),
        "put the model's folder into the folder that NSFF_WEIGHTS names or into ~/.cache/nsff, or name its path in "
        "depth.model; or set depth.backend: classical",
    )
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", name):
        raise missing
    if revision is None or not re.fullmatch(r"[0-9a-f]{40}", revision):
        raise ConfigError(
            "depth.revision",
            f"is {revision!r}: a repository changes, so its commit has to be named",
            "give 40 hexadecimal digits, or the path of a folder in depth.model",
        )
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, revision=revision, local_files_only=True))
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError):
        raise missing from None


def open_model(folder: Path, family: str | None = None) -> Any:
    """The model with its weights in float32, for inference.

    ``family`` is the model type that config.json must have; None: any that transformers knows as a depth model. Raises
    StageError naming the folder where files are missing or unreadable, or a parameter is missing, unknown or of
    another shape: transformers itself would go on with random numbers.
    """
    import torch

    transformers = _library()
    try:
        kind = transformers.AutoConfig.from_pretrained(folder, local_files_only=True).model_type if family else None
        if kind != family:
            raise StageError(
                folder, f"holds a model of type {kind!r}, not {family!r}", "choose another depth.backend or depth.model"
            )
        model, found = transformers.AutoModelForDepthEstimation.from_pretrained(
            folder,
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
            dtype=torch.float32,
            output_loading_info=True,
        )
    except StageError:
        raise
    except Exception as error:  # transformers and safetensors raise many kinds, all meaning the same to the user
        problem = f"holds no model that can be used ({str(error).strip().splitlines()[0]})"
        raise StageError(folder, problem, "give config.json and model.safetensors of one depth model") from None
    wrong = {
        kind: sorted(map(str, found.get(f"{kind}_keys") or ())) for kind in ("missing", "unexpected", "mismatched")
    }
    if any(wrong.values()):
        counts = ", ".join(f"{len(keys)} {kind}" for kind, keys in wrong.items())
        first = next(keys[0] for keys in wrong.values() if keys)
        raise StageError(
            folder,
            f"its weights are not those of its config.json: parameters {counts} (first {first})",
            "get both files again, from one revision",
        )
    return model.eval()


def open_processor(folder: Path) -> Any | None:
    """The model's image processor, or None where its folder has none."""
    if not (folder / PROCESSOR).is_file():
        return None
    transformers = _library()
    try:
        return transformers.AutoImageProcessor.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # as above
        problem = f"not readable as an image processor ({str(error).strip().splitlines()[0]})"
        raise StageError(folder / PROCESSOR, problem, "get it again, or take it away") from None


def _library() -> Any:
    import transformers

    transformers.utils.logging.disable_progress_bar()
    return transformers
