"""Depth by a network: a map of relative disparity for each frame, brought into the scene's units where they can be had.

Notation. Disparity (H,W) at the canonical size, larger is nearer; after alignment (depth_alignment) in 1/scene units.
A network is a callable from a frame (H,W,3) uint8 to disparity (h,w) at its own size. A new one is one such callable
and one line in NETWORKS (and its name in DepthConfig.backend).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32, UInt8
from torch.nn import functional
from tqdm import tqdm

from nsff.config import DepthConfig
from nsff.errors import StageError
from nsff.priors.depth.aligned import align_maps
from nsff.priors.depth.maps import write_map
from nsff.scene import Scene

Network = Callable[[UInt8[np.ndarray, "H W 3"]], Float32[np.ndarray, "h w"]]
UNTESTED = 0.5
"""Confidence of what nothing has tested."""


def _midas(depth: DepthConfig) -> Network:
    from nsff.priors.depth.midas import MidasDepth

    return MidasDepth(depth)


def _transformers(depth: DepthConfig) -> Network:
    from nsff.priors.depth.transformers_backend import TransformersDepth

    return TransformersDepth(depth)


NETWORKS: dict[str, Callable[[DepthConfig], Network]] = {"midas21": _midas, "transformers": _transformers}


def learned_depth(name: str, scene: Scene, depth: DepthConfig, folder: Path) -> dict[str, Any]:
    """Maps of all frames by the named network, aligned unless ``depth.align`` is false."""
    network = NETWORKS[name](depth)
    for i in tqdm(range(scene.n_frames), desc=f"depth by {name}", unit="frame"):
        values = network(scene.image(i))
        if not np.isfinite(values).all():
            raise StageError(f"depth of frame {i}", f"{name} estimated values that are not finite", "check its weights")
        if values.max() <= 0:
            raise StageError(
                f"depth of frame {i}", f"{name} estimated no disparity above 0", "check that its weights belong to it"
            )
        disparity = resize(values, scene.size, depth.upsampling)
        write_map(folder, i, disparity, np.full(scene.size, UNTESTED, np.float32))
    return align_maps(scene, depth, folder, f"Disparity by {name}")


def resize(values: Float32[np.ndarray, "h w"], size: tuple[int, int], how: str) -> Float32[np.ndarray, "H W"]:
    """Disparity at another size: nearest, bilinear or bicubic (pixel centres at half-integers); >= 0."""
    corners = {} if how == "nearest" else {"align_corners": False}
    resized = functional.interpolate(torch.from_numpy(values)[None, None], size=size, mode=how, **corners)
    return resized[0, 0].clamp(min=0).numpy()
