"""The file of Mask R-CNN's weights, by the registry; importable without torch."""

from __future__ import annotations

from pathlib import Path

from nsff.config import MotionConfig
from nsff.weights import WEIGHTS, find

FILE = WEIGHTS["maskrcnn"].location
"""torchvision's MaskRCNN_ResNet50_FPN_Weights.COCO_V1; the digits are the first of its sha256."""


def instance_file(motion: MotionConfig) -> Path | None:
    """The file that the settings name, or torchvision's on this machine; None where there is none."""
    path = Path(motion.instance_weights).expanduser() if motion.instance_weights else find(FILE)
    return path if path is not None and path.is_file() else None
