"""Where the learned backends of depth find their weights; importable without torch."""

from __future__ import annotations

from pathlib import Path

from nsff.config import DepthConfig
from nsff.priors.learned import model_path
from nsff.weights import WEIGHTS, find

MIDAS_FILE = WEIGHTS["midas-v21"].location
"""MiDaS v2.1 as its authors released it (github.com/isl-org/MiDaS, release v2_1)."""


def find_depth_weights(config: DepthConfig, backend: str) -> Path | None:
    """The file (midas21) or folder (transformers) of the weights, or None where there is none on this machine.

    What the settings name comes first, then the folder that NSFF_WEIGHTS names, then ~/.cache/nsff. A cached
    repository is no path: None.
    """
    if backend == "midas21":
        if config.weights is None:
            return find(MIDAS_FILE)
        path = Path(config.weights).expanduser()
        return path if path.is_file() else None
    return model_path(config) if backend == "transformers" else None


def learned_backend(config: DepthConfig) -> str | None:
    """The learned backend that ``auto`` stands for: the model that is named, else MiDaS where its weights are found."""
    if config.model is not None:
        return "transformers"
    if config.weights is not None or find_depth_weights(config, "midas21") is not None:
        return "midas21"
    return None
