"""Instances of things that usually move (people, animals, vehicles that are driven by hand) by Mask R-CNN.

Notation. A detection has a COCO category (1 person, 2 bicycle, 4 motorcycle, 8 truck, 17 cat, 18 dog, 28 umbrella,
36 snowboard, 41 skateboard are taken by default), a score and a soft mask, both in [0,1]; it counts above 1/2. Frames
are detected on as ingested, resized to a long side of 960 pixels; masks are brought to the canonical frame by nearest
neighbour. Sources: He et al. 2017; torchvision; NSFF, run_flows_video.py.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Bool

from nsff.config import MotionConfig
from nsff.files.io import read_npz
from nsff.imaging.morphology import morphology
from nsff.priors.motion.detector import Detect, Detections
from nsff.priors.motion.registry import INSTANCES
from nsff.scene import Scene

MASK_LEVEL = 0.5


class Instances:
    """Instances of each frame of a scene in canonical pixels. ``detect`` is an opened backend.

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
        found = select_detections(self.detect(picture), self.motion.instance_labels, self.motion.instance_score)
        # Pixel centres at +0.5: position x of the frame is x * scale of the picture, and index x * scale - 0.5.
        where = self._map * np.array([size[0] / width, size[1] / height], np.float32) - np.float32(0.5)
        masks = (cv2.remap(mask.astype(np.uint8), where, None, cv2.INTER_NEAREST) > 0 for mask in found)  # type: ignore[call-overload]
        return [morphology(mask, cv2.MORPH_DILATE, self.motion.instance_growth) for mask in masks if mask.any()]


def select_detections(found: Detections, labels: Sequence[int], score: float) -> list[Bool[np.ndarray, "h w"]]:
    """Masks of the detections of these categories whose score is above ``score``."""
    taken = np.isin(found.labels, list(labels)) & (found.scores > score)
    return [mask > MASK_LEVEL for mask in found.masks[taken]]


def open_instances(scene: Scene, motion: MotionConfig) -> tuple[Instances | None, str]:
    """The instances of a scene by the backend that motion.instances stands for, and a description of them for the
    summary.

    None with ``off``, and with ``auto`` where weights or packages are missing. Raises StageError or ConfigError where a
    backend is asked for and they are, and wherever a file is there that holds something else.
    """
    if motion.instances == "off":
        return None, "off"
    chosen = INSTANCES.choose(motion)
    if chosen is None:
        titles = [getattr(INSTANCES.backends[name], "title", name) for name in INSTANCES.order(motion)]
        return None, f"no weights of {' or '.join(titles)} on this machine"
    name, weights = chosen
    missing = INSTANCES.backends[name].missing_packages()
    if missing and not INSTANCES.required(motion):
        return None, f"{', '.join(missing)} is not installed"
    detect = INSTANCES.open_chosen(motion, name, weights)
    return Instances(scene, motion, detect), weights.name if weights else name
