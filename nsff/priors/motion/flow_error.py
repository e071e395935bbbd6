"""How wrong flow may be, by what it leaves unexplained of the pictures: for flow that no network made.

Dense inverse search always finds something: on bare ground, in blur and on glitter it is off by pixels and agrees with
its own return all the same. A shift by one pixel changes a picture by its gradient, so the difference that flow leaves,
over the gradient, is an error in pixels. A network's flow is good where the pictures alone tell little, and is not
asked.

Notation. Grey values 0 to 255; means are over a window; the error is that of the better of both neighbours.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

from nsff.imaging.flow_sampling import FlowAndMask
from nsff.imaging.scale import REFERENCE_ROWS
from nsff.priors.motion.picture_evidence import MOST, WINDOW

LEAST_GRADIENT = 1.0
"""Grey levels a pixel: flatter pictures tell no more than this."""


def flow_error(
    image: Callable[[int], UInt8[np.ndarray, "H W 3"]], link: Callable[[int, int], FlowAndMask], i: int, n_frames: int
) -> Float32[np.ndarray, "H W"]:
    """Error of the flow of frame i to its neighbours, pixels; 0 where it has none. ``link(i, j)`` is flow between
    neighbours and its mask."""
    own = _grey(image(i))
    side = 2 * max(1, round(WINDOW * own.shape[0] / REFERENCE_ROWS / 2)) + 1
    columns, rows = np.meshgrid(*(np.arange(n, dtype=np.float32) for n in own.shape[::-1]))
    left = []
    for j in (i - 1, i + 1):
        if 0 <= j < n_frames:
            flow = link(i, j)[0]
            at = columns + flow[..., 0], rows + flow[..., 1]
            there = cv2.remap(_grey(image(j)), *at, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            left.append(cv2.blur(np.minimum(np.abs(there - own), MOST), (side, side)))
    if not left:
        return np.zeros(own.shape, np.float32)
    u, v = (cv2.Scharr(own, cv2.CV_32F, *axis) / 32 for axis in ((1, 0), (0, 1)))
    steepness = cv2.blur(np.hypot(u, v), (side, side))
    return (np.minimum.reduce(left) / np.maximum(steepness, LEAST_GRADIENT)).astype(np.float32)


def _grey(picture: UInt8[np.ndarray, "H W 3"]) -> Float32[np.ndarray, "H W"]:
    return cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32)
