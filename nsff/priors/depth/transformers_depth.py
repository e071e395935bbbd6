"""Models of the MiDaS and DPT family and Depth Anything V2, from a local folder in the format of transformers.

Notation. A model predicts (h,w) of a frame (H,W,3): relative disparity (larger is nearer), or depth, whose inverse is
taken. Sources: Ranftl et al., Vision Transformers for Dense
Prediction, 2021; Yang et al., Depth Anything V2, 2024; transformers' AutoModelForDepthEstimation.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import torch
from jaxtyping import Float, Float32, UInt8
from torch import Tensor

from nsff.config import DepthConfig
from nsff.errors import ConfigError
from nsff.imaging.imagenet import IMAGENET_DEVIATION, IMAGENET_MEAN
from nsff.priors.depth.maps import inverse
from nsff.priors.depth.midas import network_size
from nsff.priors.depth.model_folders import model_folder, open_model, open_processor

# Without an image processor: multiple of pixels that sides must be, longer side, mean and deviation of the colours.
FAMILIES: dict[str, tuple[int, int, tuple[float, ...], tuple[float, ...]]] = {
    "dpt": (32, 384, (0.5,) * 3, (0.5,) * 3),
    "depth_anything": (14, 518, IMAGENET_MEAN, IMAGENET_DEVIATION),
}


class TransformersDepth:
    """Estimates disparity with a model of transformers; ``config.model`` names its folder."""

    def __init__(self, config: DepthConfig) -> None:
        self.config = config
        self.folder = model_folder(config)
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.model = open_model(self.folder).to(self.device)
        kind = str(self.model.config.model_type)
        self.output = predicted(self.model.config, config.model_output)
        self.multiple, self.long_side, self.mean, self.deviation = FAMILIES.get(kind, FAMILIES["dpt"])
        self.processor = open_processor(self.folder)
        if self.processor is not None:
            self.multiple = int(getattr(self.processor, "ensure_multiple_of", None) or self.multiple)
            self.mean = tuple(getattr(self.processor, "image_mean", None) or self.mean)
            self.deviation = tuple(getattr(self.processor, "image_std", None) or self.deviation)

    def picture(self, image: UInt8[np.ndarray, "H W 3"]) -> Float[Tensor, "1 3 h w"]:
        """A frame as the model sees it: by its image processor, unless there is none or a size is asked for."""
        if self.processor is not None and self.config.long_side is None:
            return self.processor(images=image, return_tensors="pt")["pixel_values"]
        long_side = self.config.long_side or self.long_side
        size = (1, 1) if takes_squares(self.model.config) else image.shape[:2]
        height, width = network_size(size[0], size[1], long_side, "midas", self.multiple)
        colours = cv2.resize(image.astype(np.float32) / 255, (width, height), interpolation=cv2.INTER_CUBIC)
        normalised = ((colours - np.array(self.mean)) / np.array(self.deviation)).astype(np.float32)
        return torch.from_numpy(normalised).permute(2, 0, 1)[None]

    @torch.no_grad()
    def __call__(self, image: UInt8[np.ndarray, "H W 3"]) -> Float32[np.ndarray, "h w"]:
        """Disparity at the model's own size: relative, or the inverse of the depth that it predicts."""
        picture = self.picture(image).to(self.device, next(self.model.parameters()).dtype)
        values = self.model(pixel_values=picture).predicted_depth[0].float().cpu().numpy()
        return values if self.output == "disparity" else inverse(values)


def takes_squares(model_config: Any) -> bool:
    """Whether a model takes its tokens for a square: DPT with the plain vision transformer or the hybrid of it."""
    plain = getattr(model_config, "backbone_config", None) is None or getattr(model_config, "is_hybrid", False)
    return model_config.model_type == "dpt" and bool(plain)


def predicted(model_config: Any, asked: str) -> str:
    """Whether a model predicts disparity or depth. Raises ConfigError where nothing tells."""
    if asked != "auto":
        return asked
    if model_config.model_type == "depth_anything":
        return "depth" if getattr(model_config, "depth_estimation_type", "relative") == "metric" else "disparity"
    if model_config.model_type == "dpt":
        return "disparity"
    raise ConfigError(
        "depth.model_output",
        f"is auto, and it is not known whether models of type {model_config.model_type!r} predict disparity or depth",
        "set it to disparity or depth, by the model's description",
    )
