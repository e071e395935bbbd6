"""What is clustered at each pixel: unit features, and, where asked for, where in space and when (specification, 6.1).

Notation. A descriptor (D) is a feature of unit length (C), then the unit vector of the pixel's point in normalised
space (3, use_position), then the sign of the time code 2k/N - 1 (1, use_time). Only the features take part in merging.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from jaxtyping import Float, Float32

from nsff.config import DecomposeConfig
from nsff.decompose.kmeans import unit
from nsff.decompose.views import View, read_features, read_saliency
from nsff.errors import StageError
from nsff.io import read_json, read_mask
from nsff.scene import Scene


class Descriptors:
    """Descriptors and saliency of views, of the rendered maps or of the input frames themselves."""

    def __init__(self, scene: Scene, decompose: DecomposeConfig) -> None:
        self.scene, self.config = scene, decompose
        self.of_images = decompose.source == "images"
        self.space: dict[str, Any] | None = None
        if decompose.use_position:
            path = scene.model_dir / "model.json"
            try:
                self.space = dict(read_json(path)["space"])
                normalised_positions(np.zeros((1, 3)), self.space)
            except (KeyError, TypeError, ValueError) as error:
                raise StageError(path, f"has no space ({error})", "delete model/ and train again") from None

    @property
    def extra(self) -> int:
        """Channels after the features."""
        return 3 * self.config.use_position + self.config.use_time

    def features(self, view: View) -> Float[np.ndarray, "h w C"]:
        """Features as stored, not normalised."""
        return self.scene.features()[0][view.camera] if self.of_images else read_features(self.scene, view)

    def saliency(self, view: View) -> Float32[np.ndarray, "H W"]:
        """Saliency in [0,1] at canonical size."""
        if self.of_images:
            values = np.asarray(self.scene.features()[1][view.camera], np.float32)
        else:
            values = read_saliency(self.scene, view)
        return resize(values, self.scene.size)

    def of_view(self, view: View, size: tuple[int, int] | None = None) -> Float32[np.ndarray, "H W D"]:
        """Descriptors of a view at ``size`` (default: of its features). Features are interpolated, then normalised, so
        that outlines stay smooth."""
        features = np.asarray(self.features(view), np.float32)
        height, width = size or features.shape[:2]
        parts = [unit(resize(features, (height, width)))]
        if self.space is not None:
            parts.append(self._positions(view, (height, width)))
        if self.config.use_time:
            parts.append(np.full((height, width, 1), self.time_sign(view), np.float32))
        return np.concatenate(parts, axis=2) if len(parts) > 1 else parts[0]

    def time_sign(self, view: View) -> float:
        """The normalised one-vector of the time code: -1, 0 or 1."""
        return float(np.sign(2 * view.time / self.scene.n_frames - 1))

    def _positions(self, view: View, size: tuple[int, int]) -> Float32[np.ndarray, "H W 3"]:
        """Unit vectors of the rendered points in normalised space."""
        assert self.space is not None
        folder = self.scene.maps_dir
        raw = read_mask(folder / f"{view.index}_depth.png")
        try:
            scale = float(read_json(folder / "scale.json")["disparity_of_65535"])
        except (KeyError, TypeError, ValueError) as error:
            raise StageError(folder / "scale.json", f"has no scale ({error})", "delete maps/ and run again") from None
        disparity = resize(raw.astype(np.float32) / np.iinfo(raw.dtype).max * scale, size)
        depth = 1 / np.maximum(disparity, 1e-6 * scale)
        cameras = self.scene.cameras.resized(*size)
        points = unproject(depth, cameras.intrinsics[view.camera], cameras.world_to_camera[view.camera])
        return unit(normalised_positions(points, self.space))


def normalised_positions(points: Float[np.ndarray, "... 3"], space: dict[str, Any]) -> Float[np.ndarray, "... 3"]:
    """World points in the normalised space that model.json describes: nsff.cameras.spaces.Space.from_world, for stages
    that do without torch."""
    X = (points @ np.asarray(space["R"]).T + np.asarray(space["t"])) * float(space["scale"])
    if space["kind"] == "ndc":
        Z = np.maximum(X[..., 2], 1e-6)
        return np.stack([space["ax"] * X[..., 0] / Z, space["ay"] * X[..., 1] / Z, 1 - 2 / Z], axis=-1)
    length = np.maximum(np.linalg.norm(X, axis=-1, keepdims=True), 1e-6)
    return np.where(length <= 1, X, (2 - 1 / length) * X / length)


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
