"""Masks of what moves that came with the source: given/motion_masks/ at the canonical size."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
from jaxtyping import Bool
from tqdm import tqdm

from nsff.files.io import read_mask, read_npz
from nsff.scene import Scene


def has_given_masks(scene: Scene) -> bool:
    """Whether the source brought masks."""
    return scene.given.masks_dir.is_dir()


def given_masks(scene: Scene) -> Iterator[Bool[np.ndarray, "H W"]]:
    """The mask of each frame in turn, read at the nearest pixel of the given one, through pixel_map.npz.

    Given masks show the same as the ingested frames, at any size. Raises StageError naming a file that is missing or
    no mask.
    """
    content = read_npz(scene.pixel_map_path, ["map", "frame_size"])
    where, (height, width) = content["map"].astype(np.float32), content["frame_size"]
    for i in tqdm(range(scene.n_frames), desc="given masks", unit="frame"):
        mask = read_mask(scene.given.mask_path(i))
        # Pixel centres at +0.5: position x of the frame is x * scale of the mask, and index x * scale - 0.5.
        at = where * np.array([mask.shape[1] / width, mask.shape[0] / height], np.float32) - np.float32(0.5)
        found = cv2.remap(mask, at[..., 0], at[..., 1], cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)
        yield found > 0
