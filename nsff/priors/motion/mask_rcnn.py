"""Mask R-CNN of torchvision as a detector of instances.

Source: He et al., Mask R-CNN, ICCV 2017; torchvision.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from nsff.files.reading import reading
from nsff.priors.motion.detector import Detections
from nsff.weights.tensors import load_torch


class MaskRcnn:
    """torchvision's maskrcnn_resnet50_fpn with the weights of a file. Raises StageError where it holds others."""

    def __init__(self, path: Path) -> None:
        import torch

        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.model = build()
        remedy, message = "get it again, or set motion.instances: off", "holds no weights of maskrcnn_resnet50_fpn"
        with reading(path, remedy, missing=remedy, message=message):
            state = load_torch(path)
            # Files of a trainable network count their batches.
            state = {key: value for key, value in state.items() if not key.endswith("num_batches_tracked")}
            self.model.load_state_dict(state)
        self.model.to(self.device)

    def __call__(self, picture: UInt8[np.ndarray, "h w 3"]) -> Detections:
        import torch

        values = torch.from_numpy(np.ascontiguousarray(picture)).to(self.device).permute(2, 0, 1).float() / 255
        with torch.inference_mode():
            found = self.model([values])[0]
        labels, scores, masks = (found[key].cpu().numpy() for key in ("labels", "scores", "masks"))
        return Detections(labels, scores, masks[:, 0])


def build() -> Any:
    """The network with random weights, for inference; nothing is downloaded.

    Its batch normalisations are frozen, without the small number that newer ones add to the variance: the published
    weights are from before that.
    """
    from torchvision.models.detection import MaskRCNN
    from torchvision.models.detection.backbone_utils import resnet_fpn_backbone
    from torchvision.ops import FrozenBatchNorm2d

    backbone = resnet_fpn_backbone(
        backbone_name="resnet50", weights=None, norm_layer=FrozenBatchNorm2d, trainable_layers=3
    )
    model = MaskRCNN(backbone, num_classes=91)
    for module in model.modules():
        if isinstance(module, FrozenBatchNorm2d):
            module.eps = 0.0
    return model.eval()
