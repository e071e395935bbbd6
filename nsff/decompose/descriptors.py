"""Descriptors, which are clustered: unit features and, where asked for, position and time (SAFF's cluster_2D).

Notation. A descriptor (D) is a feature of unit length (C), then the unit vector of the pixel's point in normalised
space (3, use_position), then the sign of the time code 2k/N - 1 (1, use_time). Only the features take part in merging.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float, Float32

from nsff.config import DecomposeConfig
from nsff.decompose.view_surfaces import read_disparity, resize, surface_points
from nsff.decompose.views import View, read_features, read_saliency
from nsff.files.io import read_json
from nsff.files.reading import reading
from nsff.imaging.vectors import unit_length
from nsff.scene import Scene


class Descriptors:
    """Descriptors and saliency of views, of the rendered maps or of the input frames themselves."""

    def __init__(self, scene: Scene, decompose: DecomposeConfig) -> None:
        self.scene, self.config = scene, decompose
        self.of_images = decompose.source == "images"
        self.space: dict[str, Any] | None = None
        if decompose.use_position:
            path = scene.model_config_path
            with reading(path, "delete model/ and train again", message="has no space"):
                self.space = dict(read_json(path)["space"])
                normalised_positions(np.zeros((1, 3)), self.space)

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
        parts = [unit_length(resize(features, (height, width)))]
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
        points = surface_points(self.scene, view, read_disparity(self.scene, view, size))
        return unit_length(normalised_positions(points, self.space))


def normalised_positions(points: Float[np.ndarray, "... 3"], space: dict[str, Any]) -> Float[np.ndarray, "... 3"]:
    """World points in the normalised space that model.json describes: nsff.cameras.spaces.Space.from_world, for stages
    that do without torch."""
    X = (points @ np.asarray(space["R"]).T + np.asarray(space["t"])) * float(space["scale"])
    if space["kind"] == "ndc":
        Z = np.maximum(X[..., 2], 1e-6)
        return np.stack([space["ax"] * X[..., 0] / Z, space["ay"] * X[..., 1] / Z, 1 - 2 / Z], axis=-1)
    length = np.maximum(np.linalg.norm(X, axis=-1, keepdims=True), 1e-6)
    return np.where(length <= 1, X, (2 - 1 / length) * X / length)
