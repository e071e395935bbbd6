"""ZoeDepth, which estimates depth in metres, in the format of transformers (depth.model).

Notation. The frame (H,W,3) is continued by reflection to (H+2p, W+2q), which spares its border the network's errors
there, and brought to the network's (h,w), multiples of 32. The network's depth goes the same way back; disparity is
its inverse. Source: Bhat et al., ZoeDepth: Zero-shot Transfer by Combining Relative and Metric Depth, 2023.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from nsff.config import DepthConfig
from nsff.priors.depth.estimator import Network
from nsff.priors.depth.model_folders import choose_folder, model_folder, open_model, open_processor
from nsff.priors.depth.network_backend import network_backend

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Float, Float32, UInt8
    from torch import Tensor

MULTIPLE = 32
"""The sides of the pictures that the network sees are multiples of this, pixels."""


class ZoeDepth:
    """Estimates disparity, the inverse of depth in metres, with a model of the ZoeDepth family."""

    def __init__(self, depth: DepthConfig, folder: Path) -> None:
        """Raises StageError where the folder holds a model of another family, or none that can be used."""
        import torch
        from transformers import ZoeDepthImageProcessor

        self.long_side = depth.long_side
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.model = open_model(folder, "zoedepth").to(self.device)
        self.processor = open_processor(folder) or ZoeDepthImageProcessor(ensure_multiple_of=MULTIPLE)

    def picture(self, image: UInt8[np.ndarray, "H W 3"]) -> Float[Tensor, "1 3 h w"]:
        """The frame as the network sees it: by the image processor, with depth.long_side where it is set."""
        size: dict[str, Any] = {}
        if self.long_side is not None:
            from nsff.priors.depth.midas import network_size

            p, q = self.padding(image.shape[0], image.shape[1])
            whole = (image.shape[0] + 2 * p, image.shape[1] + 2 * q)
            height, width = network_size(*whole, self.long_side, "midas", MULTIPLE)
            size = {"size": {"height": height, "width": width}, "keep_aspect_ratio": False}
        return self.processor(images=image, return_tensors="pt", **size)["pixel_values"]

    def padding(self, height: int, width: int) -> tuple[int, int]:
        """Rows p and columns q that are added on either side: 3 sqrt(side / 2)."""
        if not getattr(self.processor, "do_pad", True):
            return 0, 0
        return int(3 * (height / 2) ** 0.5), int(3 * (width / 2) ** 0.5)

    def __call__(self, image: UInt8[np.ndarray, "H W 3"]) -> Float32[np.ndarray, "H W"]:
        """Disparity in 1/metres at the size of the frame."""
        import torch
        from torch.nn import functional

        from nsff.priors.depth.maps import inverse

        (height, width), (p, q) = image.shape[:2], self.padding(image.shape[0], image.shape[1])
        with torch.no_grad():
            picture = self.picture(image).to(self.device, next(self.model.parameters()).dtype)
            depth = self.model(pixel_values=picture).predicted_depth[:, None].float()
            size = (height + 2 * p, width + 2 * q)
            depth = functional.interpolate(depth, size=size, mode="bicubic", align_corners=False)
        return inverse(depth[0, 0, p : p + height, q : q + width].cpu().numpy())


def open_network(depth: DepthConfig, weights: Path | None) -> Network:
    """The model of the folder. Raises ConfigError or StageError where there is none that can be used."""
    return ZoeDepth(depth, model_folder(depth, "zoedepth"))


BACKEND = network_backend("zoedepth", open_network, choose_folder, packages=("torch", "torchvision", "transformers"))
