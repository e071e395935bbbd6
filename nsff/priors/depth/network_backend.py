"""Backends of depth that are networks, which see one frame at a time. Importable without torch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from nsff.config import DepthConfig
from nsff.priors.backends import Backend, WeightChoice
from nsff.priors.depth.estimator import Network, SceneDepth


def network_backend(
    name: str,
    open_network: Callable[[DepthConfig, Path | None], Network],
    choose_weights: Callable[[DepthConfig], WeightChoice | None],
    **more: Any,
) -> Backend[DepthConfig, SceneDepth]:
    """The backend of a network; ``more`` are further fields of Backend.

    Its maps are brought to the canonical size and aligned to the scene (nsff.priors.depth.learned).
    """

    def open_depth(depth: DepthConfig, weights: Path | None) -> SceneDepth:
        from nsff.priors.depth.learned import by_network

        return by_network(name, open_network(depth, weights))

    return Backend(name, open_depth, choose_weights, **more)
