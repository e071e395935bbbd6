"""MiDaS v2.1 with the input of its release or of NSFF.

Notation. A frame (H,W,3) is brought to (h,w), both multiples of 32, by its longer side (config.long_side), and its
colours are normalised as ImageNet. Disparity is relative, >= 0. See docs/methods.md#midas-disparity.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from jaxtyping import Float32, UInt8

from nsff.config import DepthConfig
from nsff.imaging.imagenet import IMAGENET_DEVIATION, IMAGENET_MEAN
from nsff.priors.depth.midas_network import Midas21

LONG_SIDE = 384
"""Longer side of the pictures at the network, as released, pixels; NSFF takes 640."""


def network_size(height: int, width: int, long_side: int, rule: str, multiple: int = 32) -> tuple[int, int]:
    """Size (h,w) at the network of a frame of H×W pixels: the rule "upper bound".

    Both sides shrink or grow alike, until the longer is ``long_side``; each becomes the nearest multiple, or the one
    below where that would be more than allowed: ``long_side`` for both (midas), the exact size of each (nsff). At
    least one multiple.
    """
    scale = long_side / max(height, width)
    limits = (long_side, long_side) if rule == "midas" else (round(height * scale), round(width * scale))
    # NSFF's target is whole pixels, and the smaller of the two scales holds for both sides.
    scale = min(limits[0] / height, limits[1] / width)

    def side(length: int, limit: int) -> int:
        exact = length * scale
        # numpy rounds halves to even, as the published code does.
        nearest = int(np.round(exact / multiple)) * multiple
        return max(multiple, nearest if nearest <= limit else int(exact // multiple) * multiple)

    return side(height, limits[0]), side(width, limits[1])


class MidasDepth:
    """Estimates disparity with MiDaS v2.1 as ``network``."""

    def __init__(self, config: DepthConfig, network: Midas21) -> None:
        self.config = config
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.network = network.to(self.device).eval()

    def picture(self, image: UInt8[np.ndarray, "H W 3"]) -> Float32[np.ndarray, "h w 3"]:
        """A frame as the network sees it: resized, and its colours normalised."""
        long_side = self.config.long_side or LONG_SIDE
        height, width = network_size(image.shape[0], image.shape[1], long_side, self.config.input_rule)
        how = cv2.INTER_CUBIC if self.config.input_rule == "midas" else cv2.INTER_AREA
        colours = cv2.resize(image.astype(np.float32) / 255, (width, height), interpolation=how)
        return ((colours - np.array(IMAGENET_MEAN)) / np.array(IMAGENET_DEVIATION)).astype(np.float32)

    @torch.no_grad()
    def __call__(self, image: UInt8[np.ndarray, "H W 3"]) -> Float32[np.ndarray, "h w"]:
        """Relative disparity at the network's size."""
        parameter = next(self.network.parameters())
        picture = torch.from_numpy(self.picture(image)).permute(2, 0, 1)[None]
        return self.network(picture.to(self.device, parameter.dtype))[0].float().cpu().numpy()
