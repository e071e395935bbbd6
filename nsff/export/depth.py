"""Rendered depth of every frame as 16-bit pictures and as OpenEXR.

Depth is z along the camera's axis in scene units. It comes from the maps of the training views, which hold 1/z in 16
bits: at a depth z the step between two levels is z² · disparity_of_65535 / 65535.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Float32

from nsff.decompose.views import View, disparity_scale, read_views, training_views
from nsff.export.exr import write_exr
from nsff.files.io import atomic_directory, read_mask, write_image, write_json
from nsff.layout import frame_name
from nsff.scene import Scene

FARTHEST = 10.0
"""Pictures reach to this multiple of the scene's far bound; what is farther has no depth there."""


def export_depth(scene: Scene, folder: Path) -> None:
    """Writes ``folder`` (replaced as a whole):

    - png/00000.png …: 16 bits, z = level · scene_units_per_level of depth.json, 0 where there is no depth
    - exr/00000.exr …: channel Y, z as 32-bit floats, 0 where there is none
    """
    views = training_views(read_views(scene))
    depths = [rendered_depth(scene, view) for view in views]
    limit = FARTHEST * float(scene.cameras.near_far[:, 1].max())
    largest = max((float(depth[depth <= limit].max(initial=0)) for depth in depths), default=0.0) or 1.0
    unit = largest / 65535
    with atomic_directory(folder) as temporary:
        for view, depth in zip(views, depths, strict=True):
            levels = np.where(depth <= largest, np.round(depth / unit), 0)
            write_image(temporary / "png" / frame_name(view.camera), levels.astype(np.uint16))
            write_exr(temporary / "exr" / Path(frame_name(view.camera)).with_suffix(".exr"), depth)
        write_json(
            temporary / "depth.json",
            {
                "what": "z along the camera's axis; z = level * scene_units_per_level; 0: no depth",
                "scene_units_per_level": unit,
            },
        )


def rendered_depth(scene: Scene, view: View) -> Float32[np.ndarray, "H W"]:
    """z of a view's map, scene units; 0 where nothing is or it is infinitely far."""
    levels = read_mask(scene.map_path(view.index, "depth"))
    disparity = levels.astype(np.float64) / np.iinfo(levels.dtype).max * disparity_scale(scene)
    return np.where(disparity > 0, 1 / np.maximum(disparity, 1e-12), 0).astype(np.float32)
