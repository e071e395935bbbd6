"""Whose shadow a place of the scene lies in, by the masks of clusters/shadows/ (``decompose.method: motion``)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import cv2
import numpy as np
from jaxtyping import Float, Int64, UInt8

from nsff.cameras import Cameras
from nsff.files.io import read_mask
from nsff.scene import Scene

RIM = 2
"""Pixels about a shadow that still belong to it: its rim is soft."""


@dataclass(frozen=True)
class CastShadows:
    """Numbers of the objects that cast the shadows of the clip's frames, 0 where there is none."""

    masks: dict[int, UInt8[np.ndarray, "H W"]]
    """By frame; shadows are RIM pixels wider than they were found."""
    cameras: Cameras

    @classmethod
    def of(cls, masks: dict[int, np.ndarray], cameras: Cameras) -> Self:
        """The shadows of masks as they were found: here they become wider."""
        around = np.ones((2 * RIM + 1, 2 * RIM + 1), np.uint8)
        return cls({frame: cv2.dilate(mask.astype(np.uint8), around) for frame, mask in masks.items()}, cameras)

    @classmethod
    def load(cls, scene: Scene) -> Self | None:
        """The shadows of a finished scene; None where objects were not found by motion. Frame i is training view i."""
        paths: dict[int, Path] = {i: scene.shadow_path(i) for i in range(scene.n_frames)}
        masks = {i: read_mask(path, scene.size) for i, path in paths.items() if path.exists()}
        return cls.of(masks, scene.cameras) if masks else None

    def casters(self, places: Float[np.ndarray, "P 3"], frame: int) -> Int64[np.ndarray, "P"]:
        """The numbers of those in whose shadow places in the world lie at a frame, as its camera sees them; 0 in
        none's, outside of the picture, and at frames without a mask."""
        if frame not in self.masks:
            return np.zeros(len(places), np.int64)
        mask, E, K = self.masks[frame], self.cameras.world_to_camera[frame], self.cameras.intrinsics[frame]
        seen = (places @ E[:, :3].T + E[:, 3]) @ K.T
        z = np.maximum(seen[:, 2], 1e-9)
        column, row = (np.floor(np.clip(seen[:, k] / z, -1, 1e6)).astype(int) for k in (0, 1))
        height, width = mask.shape
        inside = (seen[:, 2] > 0) & (column >= 0) & (column < width) & (row >= 0) & (row < height)
        return np.where(inside, mask[row.clip(0, height - 1), column.clip(0, width - 1)], 0).astype(np.int64)
