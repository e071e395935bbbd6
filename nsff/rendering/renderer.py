"""Pictures from a trained scene: whole frames at any camera and time, and pixels, differentiable in the camera.

Cameras are in the world of cameras.json (OpenCV axes); time is a frame index, fractional between frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from nsff.models.base import OUTPUTS, Camera, LeftOut, SceneModel
from nsff.models.files import load_model
from nsff.rendering.between import between_layers, between_planes


class Renderer:
    """A trained scene model, of any kind, on its device.

    >>> renderer = Renderer.load(scene.model_dir)  # doctest: +SKIP
    >>> renderer.render(K, world_to_camera, 270, 480, 3.0, ("rgb", "depth"))["rgb"].shape  # doctest: +SKIP
    torch.Size([270, 480, 3])
    """

    def __init__(self, model: SceneModel, chunk: int = 0, enlarged: float = 1.0) -> None:
        """``chunk``: how much is rendered at a time (rays); 0: as much as the memory holds that is free when the first
        picture is asked for. ``enlarged``: sides of the pictures over those that the model was fitted to."""
        self.enlarged = enlarged
        self.model = model.eval().requires_grad_(False)
        self.chunk = chunk

    @staticmethod
    def load(folder: Path, device: str = "auto", chunk: int = 0) -> Renderer:
        """Reads the folder of a model; raises StageError naming the file that is damaged."""
        return Renderer(load_model(folder, device), chunk)

    def without(self, left_out: LeftOut | None) -> Renderer:
        """A renderer of the scene without the points that ``left_out`` names (SceneModel.without); None: this one."""
        return self if left_out is None else Renderer(self.model.without(left_out), self.chunk, self.enlarged)

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self.model.device

    @property
    def whole_pictures(self) -> bool:
        """Whether some pixels cost as much as the whole picture."""
        return self.model.whole_pictures

    def camera(self, K: np.ndarray, world_to_camera: np.ndarray, height: int, width: int) -> Camera:
        """The camera as models have it, on the model's device; the first one decides ``chunk`` where it is 0."""
        camera = replace(Camera.of(K, world_to_camera, height, width, self.device), enlarged=self.enlarged)
        self.chunk = self.chunk or self.model.chunk_for(camera)
        return camera

    @torch.no_grad()
    def render(
        self,
        K: Float[np.ndarray, "3 3"],
        world_to_camera: Float[np.ndarray, "_ 4"],
        height: int,
        width: int,
        time: float,
        outputs: Sequence[str] = ("rgb",),
    ) -> dict[str, Float[Tensor, "H W *C"]]:
        """Maps on the CPU, float32, those of ``outputs`` that the model has (nsff.models.base.OUTPUTS).

        Raises ValueError for a map that no model has.
        """
        unknown = [name for name in outputs if name not in OUTPUTS]
        if unknown:
            raise ValueError(f"unknown map {unknown[0]!r}; known: {', '.join(OUTPUTS)}")
        maps = self.model.render(self.camera(K, world_to_camera, height, width), time, outputs, self.chunk)
        return {name: value.cpu() for name, value in maps.items()}

    def render_pixels(
        self,
        K: Float[Tensor, "3 3"],
        world_to_camera: Float[Tensor, "3 4"],
        size: tuple[int, int],
        pixels: Int[Tensor, "R"],
        time: float,
    ) -> Float[Tensor, "R 3"]:
        """Colours of pixels (row · W + column) of a picture of ``size`` (H, W), differentiable in the camera."""
        return self.model.render_pixels(Camera(K, world_to_camera, *size), pixels, time, self.chunk)

    @torch.no_grad()
    def render_between(
        self,
        K: Float[np.ndarray, "3 3"],
        world_to_camera: Float[np.ndarray, "_ 4"],
        height: int,
        width: int,
        time: float,
        interpolation: Literal["layers", "depth_planes"] = "layers",
        output: Literal["rgb", "saliency", "features"] = "rgb",
    ) -> Float[Tensor, "H W *C"]:
        """Colour (H,W,3), saliency (H,W) or features (H,W,C) at a fractional time, on the CPU.

        Models that are drawn at whole frames alone are interpolated between both neighbouring frames, on two layers or
        on all depth planes (nsff.rendering.between). At whole frames both are exactly ``render``.
        """
        time = float(np.clip(time, 0, self.model.n_frames - 1))
        first = int(np.floor(time))
        rho = time - first
        if rho < 1e-6 or self.model.continuous:
            drawn = self.render(K, world_to_camera, height, width, first if rho < 1e-6 else time, (output,))
            return _in_range(drawn[output], output)
        camera = self.camera(K, world_to_camera, height, width)
        interpolated = between_planes if interpolation == "depth_planes" else between_layers
        return _in_range(interpolated(self.model, camera, first, rho, output, self.chunk).cpu(), output)


def _in_range(picture: Tensor, output: str) -> Tensor:
    """Colour and saliency within [0,1], saliency without a channel; features as they are."""
    if output == "features":
        return picture
    return (picture[..., 0] if output == "saliency" and picture.ndim == 3 else picture).clamp(0, 1)
