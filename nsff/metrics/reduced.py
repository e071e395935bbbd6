"""A scene read at a reduced height, for what is quick and needs no detail."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from jaxtyping import Bool, Float32, UInt8

from nsff.cameras import Cameras
from nsff.imaging.resizing import resize_flow, resize_frame
from nsff.priors.depth.given import resize_known
from nsff.scene import Scene

GREY = 128
"""The grey level that hidden frames show."""


@dataclass(frozen=True)
class ReducedScene(Scene):
    """Reads a scene's canonical data as if its pictures had at most ``rows`` rows: averages over areas; flow and
    cameras in pixels of that size. Features stay as they are. Pictures of ``hidden`` frames are grey.

    Example: ``ReducedScene(scene.root, 90).image(0)`` has 90 rows where the scene has 270.
    """

    rows: int = 90
    hidden: frozenset[int] = frozenset()

    @cached_property
    def whole(self) -> Scene:
        """The scene at its own size."""
        return Scene(self.root)

    @cached_property
    def cameras(self) -> Cameras:
        own = self.whole.cameras
        height = min(self.rows, own.height)
        return own.resized(height, max(1, round(own.width * height / own.height)))

    def image(self, i: int) -> UInt8[np.ndarray, "H W 3"]:
        if i in self.hidden:
            return np.full((*self.size, 3), GREY, np.uint8)
        return resize_frame(self.whole.image(i), self.size)

    def flow(self, i: int, direction: str) -> tuple[Float32[np.ndarray, "H W 2"], Bool[np.ndarray, "H W"]]:
        """Consistent where at least half of a pixel's area is."""
        flow, mask = self.whole.flow(i, direction)
        return resize_flow(flow, self.size), self._most_of(mask)

    def motion_mask(self, i: int) -> Bool[np.ndarray, "H W"]:
        """Moving where at least half of a pixel's area is."""
        return self._most_of(self.whole.motion_mask(i))

    def disparity(self, i: int) -> tuple[Float32[np.ndarray, "H W"], Float32[np.ndarray, "H W"]]:
        return resize_known(*self.whole.disparity(i), self.size)

    def _most_of(self, mask: Bool[np.ndarray, "H W"]) -> Bool[np.ndarray, "h w"]:
        if mask.shape == self.size:
            return mask
        return cv2.resize(mask.astype(np.float32), self.size[::-1], interpolation=cv2.INTER_AREA) >= 0.5
