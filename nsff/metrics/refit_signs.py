"""Signs of flow and motion masks in frames that are left out, without any training.

Flow that belongs to these frames brings the frame before over to the one left out. What surely moves by cameras and
flow (off the epipolar lines) belongs on the motion masks; where much of the picture moves off them, cameras and flow
contradict each other instead.

Notation. Pictures (H,W,3) uint8; flow (H,W,2) in pixels, here to the frame before.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Bool, Float32, UInt8

from nsff.config import MotionConfig
from nsff.imaging.morphology import morphology
from nsff.imaging.scale import REFERENCE_ROWS
from nsff.priors.motion.sides import combine_sides
from nsff.priors.motion.stage import frame_distances
from nsff.scene import Scene
from nsff.tracking.chaining import FlowCache

MOVING = 2.0
"""Pixels at 288 rows off the epipolar lines beyond which a pixel surely moves."""
OPENING = 1
"""Radius, pixels, of the opening of what surely moves."""
LEAST_MOVING = 0.001
"""Share of the pictures that surely moves, below which nothing is said of the masks."""


def carried_by_flow(
    picture: UInt8[np.ndarray, "H W 3"], flow: Float32[np.ndarray, "H W 2"]
) -> UInt8[np.ndarray, "H W 3"]:
    """A frame brought over to another by the ``flow`` from there to it.

    >>> grey = np.arange(4, dtype=np.uint8).reshape(1, 4, 1).repeat(3, 2)
    >>> carried_by_flow(grey, np.full((1, 4, 2), [1, 0], np.float32))[0, :, 0].tolist()
    [1, 2, 3, 3]
    """
    rows, columns = np.mgrid[: flow.shape[0], : flow.shape[1]].astype(np.float32)
    at = columns + flow[..., 0], rows + flow[..., 1]
    return cv2.remap(picture, *at, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def surely_moving(small: Scene, i: int) -> Bool[np.ndarray, "H W"]:
    """The pixels of a frame that lie off the epipolar lines of its neighbours, by cameras and flow alone."""
    motion, link = MotionConfig(), FlowCache(small.flow)
    distance = combine_sides(frame_distances(small.cameras, link, i, motion), motion.combine)
    moves = np.nan_to_num(distance) > MOVING * distance.shape[0] / REFERENCE_ROWS
    return morphology(moves, cv2.MORPH_OPEN, OPENING)


def mask_numbers(small: Scene, frames: Sequence[int]) -> dict[str, float]:
    """``moving_off_masks``: share of the frames' pixels that surely moves off the motion masks; ``missed_by_masks``:
    its share of all that surely moves, left out where hardly anything does."""
    off, moving, seen = 0, 0, 0
    for i in frames:
        moves = surely_moving(small, i)
        off, moving, seen = (
            off + int((moves & ~small.motion_mask(i)).sum()),
            moving + int(moves.sum()),
            seen + moves.size,
        )
    numbers = {"moving_off_masks": off / seen}
    return numbers | ({"missed_by_masks": off / moving} if moving > LEAST_MOVING * seen else {})
