"""Depth Pro, which estimates sharp relative disparity, in the format of transformers (depth.model).

Notation. The frame (H,W,3) is brought to the one size (h,h) that the model takes. The network estimates canonical
inverse depth C (h,h): with the focal length f (pixels) of the frame, disparity in 1/metres is C W / f. All frames of a
clip have one focal length, so that C is disparity up to one scale, which alignment finds (nsff.priors.depth.aligned).
Source: Bochkovskii et al., Depth Pro: Sharp Monocular Metric Depth in Less Than a Second, 2024.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from nsff.config import DepthConfig
from nsff.errors import ConfigError
from nsff.priors.depth.estimator import Network
from nsff.priors.depth.model_folders import choose_folder, model_folder, open_model, open_processor
from nsff.priors.depth.network_backend import network_backend

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Float, Float32, UInt8
    from torch import Tensor


class DepthPro:
    """Estimates relative disparity with a model of the Depth Pro family."""

    def __init__(self, depth: DepthConfig, folder: Path) -> None:
        """Raises StageError where the folder holds a model of another family, or none that can be used, ConfigError for
        a depth.long_side that the model cannot take."""
        import torch
        from transformers import DepthProImageProcessor

        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.model = open_model(folder, "depth_pro").to(self.device)
        self.processor = open_processor(folder) or DepthProImageProcessor()
        side = int(self.processor.size["width"])
        if depth.long_side not in (None, side):
            problem = f"is {depth.long_side}, but this model of Depth Pro sees pictures of {side}x{side} alone"
            raise ConfigError("depth.long_side", problem, "leave it out (null)")

    def picture(self, image: UInt8[np.ndarray, "H W 3"]) -> Float[Tensor, "1 3 h h"]:
        """The frame as the network sees it, by the image processor: normalised, then resized."""
        return self.processor(images=image, return_tensors="pt")["pixel_values"]

    def __call__(self, image: UInt8[np.ndarray, "H W 3"]) -> Float32[np.ndarray, "h h"]:
        """Relative disparity, >= 0, at the network's size."""
        import torch

        with torch.no_grad():
            picture = self.picture(image).to(self.device, next(self.model.parameters()).dtype)
            return self.model(pixel_values=picture).predicted_depth[0].float().cpu().numpy()


def open_network(depth: DepthConfig, weights: Path | None) -> Network:
    """The model of the folder. Raises ConfigError or StageError where there is none that can be used."""
    return DepthPro(depth, model_folder(depth, "depth_pro"))


BACKEND = network_backend("depth_pro", open_network, choose_folder, packages=("torch", "torchvision", "transformers"))
