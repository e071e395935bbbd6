"""Gaussians of shadows, by who casts them: what moves, is of no object, and lies where clusters/shadows/ has a shadow.

In a scene of splats the shadow of object n has number SHADOWS + n, so that a page can hide it with its caster.
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
from jaxtyping import Int16, Integer

from nsff.cameras import Cameras
from nsff.decompose.views import read_views, training_views
from nsff.files.io import read_mask
from nsff.scene import Scene
from nsff.splats.scene import MovingSplats, SplatScene

SHADOWS = 1000
"""Added to the number of an object (at most 254)."""
RIM = 2
"""Pixels about a shadow that still belong to it: its rim is soft."""
TIMES = (-1, 0, 1)
"""Frames, about the one at which a Gaussian is seen best, at which is looked; half of them have to agree."""


def with_shadows(splats: SplatScene, scene: Scene) -> SplatScene:
    """The scene with Gaussians of shadows numbered, where objects were found by motion; else as it was."""
    if not (scene.clusters_dir / "shadows").exists():
        return splats
    masks = {}
    for view in training_views(read_views(scene)):
        if (path := scene.shadow_path(view.index)).exists():
            masks[round(float(view.time))] = read_mask(path, scene.size)
    objects = numbered(splats.moving, masks, scene.cameras)
    names = dict(splats.object_names)
    for number in np.unique(objects[objects > SHADOWS]).tolist():
        caster = number - SHADOWS
        names[number] = f"Shadow of {names.get(caster) or f'object {caster}'}"
    return replace(splats, moving=replace(splats.moving, objects=objects), object_names=names)


def numbered(
    moving: MovingSplats, masks: dict[int, Integer[np.ndarray, "H W"]], cameras: Cameras
) -> Int16[np.ndarray, "D"]:
    """Object numbers, those of shadows included. ``masks``: numbers of casters at the clip's frames."""
    size = 2 * RIM + 1
    wide = {frame: cv2.dilate(mask.astype(np.uint8), np.ones((size, size), np.uint8)) for frame, mask in masks.items()}
    own = np.flatnonzero(moving.objects == 0)
    best = np.round(moving.reference[own]).astype(int)
    votes = np.zeros((len(TIMES), len(own)), np.int64)
    asked = np.zeros(len(own), int)
    for row, shift in enumerate(TIMES):
        for frame in np.unique(best + shift):
            if frame not in wide:
                continue
            at = np.flatnonzero(best + shift == frame)
            votes[row, at] = _numbers_at(wide[frame], moving.chosen(own[at]).places(float(frame)), cameras, frame)
            asked[at] += 1
    caster = votes.max(axis=0)
    agree = (votes == caster).sum(axis=0)
    found = (caster > 0) & (2 * agree >= np.maximum(asked, 1))
    objects = moving.objects.copy()
    objects[own[found]] = SHADOWS + caster[found]
    return objects


def _numbers_at(
    mask: Integer[np.ndarray, "H W"], places: np.ndarray, cameras: Cameras, frame: int
) -> Integer[np.ndarray, "P"]:
    """The mask's values where places in the world are seen at a frame; 0 outside of the picture."""
    E, K = cameras.world_to_camera[frame], cameras.intrinsics[frame]
    seen = (places @ E[:, :3].T + E[:, 3]) @ K.T
    z = np.maximum(seen[:, 2], 1e-9)
    column, row = (np.floor(np.clip(seen[:, k] / z, -1, 1e6)).astype(int) for k in (0, 1))
    height, width = mask.shape
    inside = (seen[:, 2] > 0) & (column >= 0) & (column < width) & (row >= 0) & (row < height)
    return np.where(inside, mask[row.clip(0, height - 1), column.clip(0, width - 1)], 0)
