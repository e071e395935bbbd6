"""Frames and flow at another size."""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Float32, UInt8


def resize_frame(frame: UInt8[np.ndarray, "H W 3"], size: tuple[int, int]) -> UInt8[np.ndarray, "h w 3"]:
    """The picture at ``size`` (h, w): averaged where it shrinks, else bilinear."""
    if frame.shape[:2] == tuple(size):
        return frame
    how = cv2.INTER_AREA if size[0] < frame.shape[0] else cv2.INTER_LINEAR
    return cv2.resize(frame, (size[1], size[0]), interpolation=how)


def resize_flow(flow: Float32[np.ndarray, "h w 2"], size: tuple[int, int]) -> Float32[np.ndarray, "H W 2"]:
    """Flow at ``size`` (H, W), its values in pixels of that size; bilinear, or by averaging where it shrinks."""
    h, w = flow.shape[:2]
    if (h, w) == tuple(size):
        return flow
    scale = np.array([size[1] / w, size[0] / h], np.float32)
    how = cv2.INTER_AREA if size[0] < h else cv2.INTER_LINEAR
    return cv2.resize(flow, (size[1], size[0]), interpolation=how) * scale


def average_blocks(value: np.ndarray, stride: int) -> np.ndarray:
    """Averages over blocks of stride x stride pixels: (H,W) or (H,W,C), C <= 4, becomes (ceil(H/stride),
    ceil(W/stride)).

    Example: ``average_blocks(np.float32([[1, 3], [5, 7]]), 2)`` is ``[[4]]``.
    """
    height, width = (-(-n // stride) for n in value.shape[:2])
    return value if stride == 1 else cv2.resize(value, (width, height), interpolation=cv2.INTER_AREA)
