"""Mask R-CNN of torchvision, the network of NSFF.

Source: He et al., Mask R-CNN, ICCV 2017 (nsff.priors.motion.mask_rcnn). The digits in the name of torchvision's file
(MaskRCNN_ResNet50_FPN_Weights.COCO_V1) are the first of its sha256.
"""

from __future__ import annotations

from pathlib import Path

from nsff.config import MotionConfig
from nsff.priors.backends import WeightChoice
from nsff.priors.motion.detector import Detect, InstanceBackend
from nsff.weights import torchvision_file

WEIGHTS = (
    torchvision_file(
        "maskrcnn",
        "maskrcnn_resnet50_fpn_coco-bf2d0c1e.pth",
        169.8,
        "motion (instances)",
        "He et al. Mask R-CNN. ICCV 2017.",
    ),
)


def choose_weights(motion: MotionConfig) -> WeightChoice:
    """The file that the settings name, else torchvision's."""
    return WeightChoice(WEIGHTS, motion.instance_weights, "motion.instance_weights")


def open_maskrcnn(motion: MotionConfig, weights: Path | None) -> Detect:
    """The network. Raises StageError where the file holds another."""
    from nsff.priors.motion.mask_rcnn import MaskRcnn

    assert weights is not None  # choose_weights always names some
    return MaskRcnn(weights)


BACKEND = InstanceBackend(
    "maskrcnn", open_maskrcnn, choose_weights, WEIGHTS, ("torchvision",), auto=1, title="Mask R-CNN"
)
