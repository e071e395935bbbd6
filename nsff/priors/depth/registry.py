"""The registry of depth, and what the values of depth.backend stand for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nsff.config import DepthConfig
from nsff.priors.backends import GIVEN, Registry, discover
from nsff.priors.depth.estimator import SceneDepth


def _auto(depth: DepthConfig, learned: Sequence[str]) -> list[str]:
    kinds = {"given": [GIVEN], "learned": learned, "classical": ["classical"]}
    return [name for kind in depth.auto_order for name in kinds[kind]]


def _without_weights(depth: DepthConfig) -> dict[str, Any]:
    if depth.backend != "auto" or depth.model is not None or "learned" not in depth.auto_order:
        return {}
    order = [kind for kind in depth.auto_order if kind != "learned"]
    return {"depth.auto_order": order} if order else {}


DEPTH: Registry[DepthConfig, SceneDepth] = Registry(
    "depth.backend",
    "depth.backend: classical",
    discover("depth"),
    {"auto": _auto, "given": lambda depth, learned: [GIVEN]},
    _without_weights,
    insists=("given",),
)
