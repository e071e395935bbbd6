"""Depth by a network: a map of relative disparity for each frame, brought into the scene's units where they can be had.

Notation. Disparity (H,W) at the canonical size, larger is nearer; after alignment (nsff.priors.depth.alignment) in
1/scene units. A network is a callable from a frame (H,W,3) uint8 to disparity (h,w) at its own size.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32
from torch.nn import functional
from tqdm import tqdm

from nsff.config import DepthConfig
from nsff.errors import StageError
from nsff.priors.depth.aligned import align_maps
from nsff.priors.depth.estimator import Network, SceneDepth
from nsff.priors.depth.maps import write_map
from nsff.scene import Scene

UNTESTED = 0.5
"""Confidence of what nothing has tested."""


def by_network(name: str, network: Network) -> SceneDepth:
    """Depth of a scene by a network that sees one frame at a time, aligned unless ``depth.align`` is false.

    ``name`` is that of the backend, for messages. The function that is returned raises StageError for estimates that
    are not finite, or nowhere above 0.
    """

    def write_maps(scene: Scene, depth: DepthConfig, folder: Path) -> dict[str, Any]:
        for i in tqdm(range(scene.n_frames), desc=f"depth by {name}", unit="frame"):
            values = network(scene.image(i))
            subject, remedy = f"depth of frame {i}", "check that its weights belong to it"
            if not np.isfinite(values).all():
                raise StageError(subject, f"{name} estimated values that are not finite", "check its weights")
            if values.max() <= 0:
                raise StageError(subject, f"{name} estimated no disparity above 0", remedy)
            disparity = resize(values, scene.size, depth.upsampling)
            write_map(folder, i, disparity, np.full(scene.size, UNTESTED, np.float32))
        return align_maps(scene, depth, folder, f"Disparity by {name}")

    return write_maps


def resize(values: Float32[np.ndarray, "h w"], size: tuple[int, int], how: str) -> Float32[np.ndarray, "H W"]:
    """Disparity at another size: nearest, bilinear or bicubic (pixel centres at half-integers); >= 0."""
    corners = {} if how == "nearest" else {"align_corners": False}
    resized = functional.interpolate(torch.from_numpy(values)[None, None], size=size, mode=how, **corners)
    return resized[0, 0].clamp(min=0).numpy()
