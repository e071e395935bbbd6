"""A trained scene that answers what a viewer asks for: a picture of one camera, time and layer, without some objects.

The model itself draws, so that nothing is lost as in scene.html, whose Gaussians are fewer.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import cached_property
from typing import Annotated, Any, Literal

import cv2
import numpy as np
from jaxtyping import Float32, UInt8
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

from nsff.decompose.clusters import Clusters
from nsff.decompose.extract import object_count
from nsff.decompose.instances import Instances
from nsff.decompose.removal import left_out_of
from nsff.export.times import frame_rate
from nsff.rendering.renderer import Renderer
from nsff.scene import Scene
from nsff.viewer.gather import principal_colours
from nsff.viewer.html import colour_of

Layer = Literal["rgb", "depth", "static_rgb", "dynamic_rgb", "blend", "saliency", "features"]
WORDS: dict[str, str] = {
    "rgb": "All", "static_rgb": "Static", "dynamic_rgb": "Moving", "depth": "Depth", "blend": "Share of what moves",
    "features": "Features", "saliency": "Saliency",
}  # fmt: skip
"""Words for people, by the layer's name."""
KEPT = 3
"""Scenes without some objects that are kept, since making one takes a while."""
Row = Annotated[list[FiniteFloat], Field(min_length=4, max_length=4)]


class Asked(BaseModel):
    """A picture that is asked for."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rows: Annotated[list[Row], Field(min_length=3, max_length=3)]
    """World to camera (3,4), OpenCV axes."""
    lens: Annotated[list[Annotated[FiniteFloat, Field(gt=-1e6, lt=1e6)]], Field(min_length=4, max_length=4)]
    """fx, fy, cx, cy in pixels of this picture."""
    width: int = Field(ge=8, le=4096)
    height: int = Field(ge=8, le=4096)
    time: FiniteFloat = Field(ge=0)
    """Frame index, with fractions."""
    layer: Layer = "rgb"
    without: list[Annotated[int, Field(ge=1)]] | Literal["moving"] = []
    """Numbers of objects, or all that moves."""


class LiveScene:
    """One scene; pictures are drawn one at a time.

    >>> live = LiveScene(Scene("results/demo"))  # doctest: +SKIP
    >>> live.picture(Asked(rows=rows, lens=lens, width=320, height=180, time=3.5)).shape  # doctest: +SKIP
    (180, 320, 3)
    """

    def __init__(self, scene: Scene, device: str = "auto") -> None:
        """Reads the model; raises StageError where there is none, or a damaged one."""
        self.scene = scene
        self.renderer = Renderer.load(scene.model_dir, device)
        self._without: dict[str | tuple[int, ...], Renderer] = {}
        self._lock = threading.Lock()

    @property
    def layers(self) -> dict[str, str]:
        """The layers that the model has, with words for people."""
        return {name: words for name, words in WORDS.items() if name in self.renderer.model.outputs}

    @cached_property
    def objects(self) -> list[dict[str, Any]]:
        """Numbers, names and colours of the objects that may be left out; empty where there are none."""
        if not self.scene.clusters_path.exists() or "features" not in self.renderer.model.outputs:
            return []
        count = object_count(Clusters.load(self.scene), Instances.load(self.scene))
        return [{"number": n, "name": f"Object {n}", "colour": colour_of(n)} for n in range(1, count + 1)]

    def page_data(self) -> dict[str, Any]:
        """All that the viewer's page knows of the scene."""
        cameras, height, width = self.scene.cameras, *self.scene.size
        near, far = float(np.percentile(cameras.near_far[:, 0], 5)), float(np.median(cameras.near_far[:, 1]))
        views = [
            {"lens": [K[0, 0], K[1, 1], K[0, 2], K[1, 2]], "rows": E[:3].tolist()}
            for K, E in zip(cameras.intrinsics, cameras.world_to_camera, strict=True)
        ]
        return {
            "name": self.scene.name, "frames": self.scene.n_frames, "cameras": views, "width": width, "height": height,
            "frame_rate": frame_rate(self.scene), "distance": 2 / (1 / near + 1 / far),
            "layers": self.layers, "objects": self.objects, "device": str(self.renderer.device),
        }  # fmt: skip

    def picture(self, asked: Asked) -> UInt8[np.ndarray, "H W 3"]:
        """The picture that is asked for, RGB.

        Raises ConfigError for objects that the scene lacks, KeyError for a layer that the model lacks.
        """
        with self._lock:
            renderer = self._of(asked.without)
            K = np.array([[asked.lens[0], 0, asked.lens[2]], [0, asked.lens[1], asked.lens[3]], [0, 0, 1.0]])
            renderer.enlarged = max(1.0, asked.lens[0] / float(np.median(self.scene.cameras.intrinsics[:, 0, 0])))
            view = (K, np.array(asked.rows), asked.height, asked.width)
            time = min(asked.time, self.scene.n_frames - 1.0)
            if asked.layer == "rgb":
                return _bytes(renderer.render_between(*view, time).numpy())
            time = time if renderer.model.continuous else round(time)
            return self._shown(asked.layer, renderer.render(*view, time, (asked.layer,))[asked.layer].numpy())

    def _of(self, without: list[int] | str) -> Renderer:
        key = without if isinstance(without, str) else tuple(sorted(set(without)))
        if key not in self._without:
            while len(self._without) >= KEPT:
                del self._without[next(iter(self._without))]
            self._without[key] = self.renderer.without(left_out_of(self.scene, key))
        return self._without[key]

    def _shown(self, layer: str, values: Float32[np.ndarray, "H W *C"]) -> UInt8[np.ndarray, "H W 3"]:
        if layer == "features":
            return _bytes(self._show_features(values.reshape(-1, values.shape[-1])).reshape(*values.shape[:2], 3))
        if values.ndim == 3 and values.shape[2] == 3:
            return _bytes(values)
        values = values.reshape(values.shape[:2])
        if layer == "depth":
            near, far = np.median(self.scene.cameras.near_far, axis=0)
            level = (1 / values.clip(1e-6) - 0.5 / far) / (1 / near - 0.5 / far)
            grey = np.round(255 * np.where(values > 0, level, 0).clip(0, 1)).astype(np.uint8)
            return cv2.cvtColor(cv2.applyColorMap(grey, cv2.COLORMAP_TURBO), cv2.COLOR_BGR2RGB)
        return _bytes(np.repeat(values[..., None], 3, axis=2))

    @cached_property
    def _show_features(self) -> Callable[[np.ndarray], np.ndarray]:
        """Colours of features: principal components of those that the middle camera sees."""
        middle, (height, width) = self.scene.n_frames // 2, self.scene.size
        cameras = self.scene.cameras.resized(max(8, height // 2), max(8, width // 2))
        view = (cameras.intrinsics[middle], cameras.world_to_camera[middle], cameras.height, cameras.width)
        features = self.renderer.render(*view, middle, ("features",))["features"].numpy()
        return principal_colours(features.reshape(-1, features.shape[-1]))


def _bytes(values: np.ndarray) -> UInt8[np.ndarray, "H W 3"]:
    return np.round(255 * values.clip(0, 1)).astype(np.uint8)
