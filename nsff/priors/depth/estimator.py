"""The type of an opened backend of depth: a function that writes the maps of a scene.

Notation. Disparity (h,w) is 1/z along the optical axis, relative (larger is nearer) or in 1/scene units.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nsff.config import DepthConfig

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Float32, UInt8

    from nsff.scene import Scene

SceneDepth = Callable[["Scene", DepthConfig, Path], dict[str, Any]]
"""Writes the map of every frame into a folder (nsff.priors.depth.maps.write_map) and returns the numbers of the
summary, ``metric``, ``verdict`` and ``message`` among them."""
Network = Callable[["UInt8[np.ndarray, 'H W 3']"], "Float32[np.ndarray, 'h w']"]
"""From a frame to its disparity at the network's own size, relative or metric."""
