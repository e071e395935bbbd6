"""Triangulation of the static pixels of a scene's frames, and how far a triangulated map can be trusted.

Notation. Disparity (H,W) is 1/z in 1/scene units, 0 where nothing is known.
"""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Bool, Float32

from nsff.config import DepthConfig
from nsff.geometry.triangulation import Triangulation, triangulate
from nsff.imaging.morphology import morphology
from nsff.imaging.scale import REFERENCE_ROWS
from nsff.priors.depth.maps import plausible_bounds
from nsff.scene import Scene
from nsff.tracking.chaining import FlowCache, chain_flows


class SceneTriangulation:
    """Triangulates the static pixels of any frame of a scene, along flow to the frames up to max_interval away."""

    def __init__(self, scene: Scene, depth: DepthConfig) -> None:
        self.scene, self.depth = scene, depth
        self.link = FlowCache(scene.flow, keep=4 * depth.max_interval + 8)
        self.masks = scene.motion_masks()

    def __call__(self, i: int) -> Triangulation:
        """Raises StageError where flow is missing or corrupt."""
        cameras, reach = self.scene.cameras, self.depth.max_interval
        targets = [j for j in range(max(0, i - reach), min(self.scene.n_frames, i + reach + 1)) if j != i]
        around = {j: self.masks[j] for j in (i, *targets)}
        bounds = plausible_bounds(cameras.near_far[i])
        return triangulate(cameras, i, chain_flows(self.link, i, targets), around, bounds, self.depth.min_parallax)


def near_motion(mask: Bool[np.ndarray, "H W"]) -> Bool[np.ndarray, "H W"]:
    """The motion mask grown by 3 pixels at 288 rows: beside it flow and maps are mixtures of both sides."""
    return morphology(mask, cv2.MORPH_DILATE, max(1, round(3 * mask.shape[0] / REFERENCE_ROWS)))


def smoothness(
    disparity: Float32[np.ndarray, "H W"], radius: int = 2, tolerance: float = 0.06
) -> Float32[np.ndarray, "H W"]:
    """1 where the disparity hardly varies around a pixel, towards 0 at its steps, where flow mixes near and far.

    The variation is relative, over (2 radius + 1)^2 pixels; pixels without disparity (0) do not count.
    """
    window = np.ones((2 * radius + 1, 2 * radius + 1), np.uint8)
    high = cv2.dilate(disparity, window)
    low = cv2.erode(np.where(disparity > 0, disparity, np.float32(np.inf)), window)
    variation = np.maximum(high - np.minimum(low, high), 0) / np.maximum(disparity, 1e-9)
    return np.where(disparity > 0, np.exp(-((variation / tolerance) ** 2)) + 1e-4, 0).astype(np.float32)
