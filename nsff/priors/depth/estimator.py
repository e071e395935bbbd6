"""What a backend of depth is, once it is opened: a function that writes the maps of a scene.

Notation. Disparity (h,w) is 1/z along the optical axis, relative (larger is nearer) or in 1/scene units.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nsff.config import DepthConfig
from nsff.priors.backends import Backend, WeightChoice

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Float32, UInt8

    from nsff.scene import Scene

SceneDepth = Callable[["Scene", DepthConfig, Path], dict[str, Any]]
"""Writes the map of every frame into a folder (nsff.priors.depth.maps.write_map) and returns the numbers of the
summary, ``metric``, ``verdict`` and ``message`` among them."""
Network = Callable[["UInt8[np.ndarray, 'H W 3']"], "Float32[np.ndarray, 'h w']"]
"""From a frame to its disparity at the network's own size, relative or metric."""


def network_backend(
    name: str,
    open_network: Callable[[DepthConfig, Path | None], Network],
    choose_weights: Callable[[DepthConfig], WeightChoice | None],
    **more: Any,
) -> Backend[DepthConfig, SceneDepth]:
    """A backend that sees one frame at a time; ``more`` are further fields of Backend.

    Maps are brought to the canonical size and aligned to the scene (nsff.priors.depth.learned).
    """

    def open_depth(depth: DepthConfig, weights: Path | None) -> SceneDepth:
        from nsff.priors.depth.learned import by_network

        return by_network(name, open_network(depth, weights))

    return Backend(name, open_depth, choose_weights, **more)
