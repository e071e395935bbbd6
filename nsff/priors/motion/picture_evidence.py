"""Whether the pictures themselves tell what moves: the flow must explain them better than a still world would.

Beside a thing, flow without texture to go by is dragged along: bare road seems to move with a car. There the still
world explains the pictures as well. Pixels at which it does decide little, so that the colours around them do.

Notation. E_f and E_s are mean differences of grey over a window, between a frame and its neighbour read where flow
leads, and read at the nearest position where a still world would have it. The pictures tell motion from stillness by
(E_s - E_f) / TELLING, limited to [0,1].
"""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Float, Float32, UInt8

from nsff.imaging.scale import REFERENCE_ROWS

WINDOW = 9
"""Side of the window, pixels at 288 rows."""
TELLING = 1.0
"""Grey levels of difference that tell all."""
MOST = 40.0
"""Grey levels from which a difference counts no more: occlusions and highlights are not endless evidence."""


def told_by_picture(
    image: UInt8[np.ndarray, "H W 3"],
    other: UInt8[np.ndarray, "H W 3"],
    moving_to: Float[np.ndarray, "H W 2"],
    still_to: Float[np.ndarray, "H W 2"],
) -> Float32[np.ndarray, "H W"]:
    """How well two frames tell the end points of flow (pixel centres at +0.5) from those of a still world: 0 to 1."""
    rows = image.shape[0] / REFERENCE_ROWS
    side = 2 * max(1, round(WINDOW * rows / 2)) + 1
    first, second = (cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32) for picture in (image, other))
    errors = []
    for to in (moving_to, still_to):
        at = to.astype(np.float32) - 0.5
        there = cv2.remap(second, at[..., 0], at[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        errors.append(cv2.blur(np.minimum(np.abs(there - first), MOST), (side, side)))
    return np.clip((errors[1] - errors[0]) / TELLING, 0, 1).astype(np.float32)
