"""Surfaces that a rendered view shows: their inverse depths, and their points in the world."""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Float, Float32

from nsff.decompose.views import View, disparity_scale
from nsff.files.io import read_mask
from nsff.scene import Scene


def read_disparity(scene: Scene, view: View, size: tuple[int, int]) -> Float32[np.ndarray, "H W"]:
    """Inverse depths 1/z of {i}_depth.png at (height, width), above 0; raises StageError where there is no scale."""
    raw = read_mask(scene.map_path(view.index, "depth"))
    scale = disparity_scale(scene)
    disparity = resize(raw.astype(np.float32) / np.iinfo(raw.dtype).max * scale, size)
    return np.maximum(disparity, 1e-6 * scale)


def surface_points(scene: Scene, view: View, disparity: Float[np.ndarray, "H W"]) -> Float[np.ndarray, "H W 3"]:
    """World points of the pixels of a view with these inverse depths, of any size."""
    cameras = scene.cameras.resized(*disparity.shape)
    return unproject(1 / disparity, cameras.intrinsics[view.camera], cameras.world_to_camera[view.camera])


def unproject(
    depth: Float[np.ndarray, "H W"], K: Float[np.ndarray, "3 3"], world_to_camera: Float[np.ndarray, "3 4"]
) -> Float[np.ndarray, "H W 3"]:
    """World points of pixels at depths z; pixel centres at +0.5."""
    height, width = depth.shape
    u, v = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    camera = np.stack([(u - K[0, 2]) / K[0, 0], (v - K[1, 2]) / K[1, 1], np.ones_like(u)], axis=2) * depth[..., None]
    R, t = world_to_camera[:, :3], world_to_camera[:, 3]
    return (camera - t) @ R


def resize(values: Float32[np.ndarray, "h w ..."], size: tuple[int, int]) -> Float32[np.ndarray, "H W ..."]:
    """Bilinear resampling to (height, width)."""
    if values.shape[:2] == tuple(size):
        return values
    return cv2.resize(np.ascontiguousarray(values), size[::-1], interpolation=cv2.INTER_LINEAR)
