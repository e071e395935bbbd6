"""The registry of features, and what the values of features.backend stand for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nsff.config import FeaturesConfig
from nsff.priors.backends import Registry, discover
from nsff.priors.features.describer import SceneDescriber


def _auto(features: FeaturesConfig, learned: Sequence[str]) -> list[str]:
    return [*learned, "classical"]


def _without_weights(features: FeaturesConfig) -> dict[str, Any]:
    return {"features.backend": "classical"} if features.backend == "auto" else {}


FEATURES: Registry[FeaturesConfig, SceneDescriber] = Registry(
    "features.backend", "features.backend: classical", discover("features"), {"auto": _auto}, _without_weights
)
