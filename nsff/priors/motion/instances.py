"""Instances of things that usually move (people, animals, vehicles that are driven by hand) by Mask R-CNN.

Notation. A detection has a COCO category (1 person, 2 bicycle, 4 motorcycle, 8 truck, 17 cat, 18 dog, 28 umbrella,
36 snowboard, 41 skateboard are taken by default), a score and a soft mask, both in [0,1]; it counts above 1/2. Frames
are detected on as ingested, resized to a long side of 960 pixels; masks are brought to the canonical frame by nearest
neighbour. Sources: He et al. 2017; torchvision; NSFF, run_flows_video.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import Bool, Float32, UInt8

from nsff.config import MotionConfig
from nsff.errors import StageError
from nsff.files.io import read_npz
from nsff.files.reading import reading
from nsff.imaging.morphology import morphology
from nsff.priors.motion.instance_weights import FILE, instance_file
from nsff.scene import Scene
from nsff.weights.tensors import load_torch

MASK_LEVEL = 0.5


@dataclass(frozen=True)
class Detections:
    """K detections in one picture of any size: categories (K,), scores (K,), soft masks (K,h,w)."""

    labels: np.ndarray
    scores: np.ndarray
    masks: Float32[np.ndarray, "K h w"]


Detect = Callable[[UInt8[np.ndarray, "h w 3"]], Detections]


class Instances:
    """Instances of each frame of a scene in canonical pixels. ``detect`` takes the place of the network (for tests).

    Raises StageError where pixel_map.npz is missing.
    """

    def __init__(self, scene: Scene, motion: MotionConfig, detect: Detect) -> None:
        self.scene, self.motion, self.detect = scene, motion, detect
        self._map = read_npz(scene.pixel_map_path, ["map"])["map"].astype(np.float32)

    def __call__(self, i: int) -> list[Bool[np.ndarray, "H W"]]:
        """The masks of frame i that count, each grown by motion.instance_growth pixels; empty ones left out."""
        frame = self.scene.frame(i)
        height, width = frame.shape[:2]
        scale = self.motion.instance_long_side / max(height, width)
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        shrinks = scale < 1
        picture = cv2.resize(frame, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
        found = chosen(self.detect(picture), self.motion.instance_labels, self.motion.instance_score)
        # Pixel centres at +0.5: position x of the frame is x * scale of the picture, and index x * scale - 0.5.
        where = self._map * np.array([size[0] / width, size[1] / height], np.float32) - np.float32(0.5)
        masks = (cv2.remap(mask.astype(np.uint8), where, None, cv2.INTER_NEAREST) > 0 for mask in found)  # type: ignore[call-overload]
        return [morphology(mask, cv2.MORPH_DILATE, self.motion.instance_growth) for mask in masks if mask.any()]


def chosen(found: Detections, labels: Sequence[int], score: float) -> list[Bool[np.ndarray, "h w"]]:
    """Masks of the detections of these categories whose score is above ``score``."""
    taken = np.isin(found.labels, list(labels)) & (found.scores > score)
    return [mask > MASK_LEVEL for mask in found.masks[taken]]


def open_instances(scene: Scene, motion: MotionConfig) -> tuple[Instances | None, str]:
    """The instances of a scene by torchvision's network, and in words what became of them.

    None with motion.instances off, and with auto where weights or torchvision are missing. Raises StageError with on
    where they are, and wherever a file is there that holds something else.
    """
    if motion.instances == "off":
        return None, "off"
    path = instance_file(motion)
    if path is None:
        if motion.instances == "on":
            raise StageError(
                motion.instance_weights or FILE,
                "weights of Mask R-CNN not found",
                f"put {FILE} into the folder that NSFF_WEIGHTS names or into ~/.cache/nsff, or name the file in "
                "motion.instance_weights; or set motion.instances: auto or off",
            )
        return None, "no weights of Mask R-CNN on this machine"
    try:
        import torchvision  # noqa: F401
    except ImportError as error:
        if motion.instances == "on":
            raise StageError("motion", f"torchvision is missing ({error})", "install it, or use auto or off") from None
        return None, "torchvision is not installed"
    return Instances(scene, motion, MaskRcnn(path)), path.name


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
