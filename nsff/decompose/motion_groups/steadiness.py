"""How well each pixel agrees with the other frames if it stands still: a test over the whole clip, without drift.

Every pixel of frame i, at its depth, is looked up in all frames j (thinned out in long clips). The median difference of
colour over the frames that see it is compared with what still pixels of the same steepness have. What waves by two
pixels about one place has little flow, but its colours do not agree over the clip.

Notation as in nsff.decompose.motion_groups.clean_plate.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Bool, Float32, UInt8

from nsff.cameras import Cameras
from nsff.decompose.motion_groups.clean_plate import nearby_frames, seen_by
from nsff.decompose.motion_groups.pixel_evidence import LEAST_NOISE
from nsff.geometry.epipolar import pixel_centres

VISIBLE = 0.1
"""A frame sees a pixel where its own depth differs by at most this share."""
LEAST_FRAMES = 3
"""With fewer frames nothing is said."""


def colour_change(
    cameras: Cameras,
    i: int,
    inverse_depth: Sequence[Float32[np.ndarray, "H W"]],
    images: Sequence[UInt8[np.ndarray, "H W 3"]],
) -> Float32[np.ndarray, "H W"]:
    """Root of the median (over frames) mean (over channels) squared difference of colours in [0,1]; NaN where too few
    frames see a pixel."""
    w = inverse_depth[i]
    x = pixel_centres(*w.shape)
    own = images[i].astype(np.float32) / 255
    squares = []
    for j in nearby_frames(i, len(cameras)):
        u, v, depth_ratio, inside = seen_by(cameras, i, j, x, w)
        surface = cv2.remap(inverse_depth[j], u, v, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)
        ratio = np.maximum(surface * depth_ratio, 1e-9) / np.maximum(w, 1e-9)
        sees = inside & (np.abs(np.log(ratio)) < VISIBLE)
        seen = cv2.remap(images[j], u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE).astype(np.float32) / 255
        squares.append(np.where(sees, ((seen - own) ** 2).mean(-1), np.nan).astype(np.float32))
    stack = np.array(squares)
    enough = np.isfinite(stack).sum(0) >= LEAST_FRAMES
    stack[:, ~enough] = 0
    return np.where(enough, np.sqrt(np.nanmedian(stack, axis=0)), np.nan).astype(np.float32)


def significance(
    change: Float32[np.ndarray, "H W"], steepness: Float32[np.ndarray, "H W"], still: Bool[np.ndarray, "H W"]
) -> Float32[np.ndarray, "H W"]:
    """Change of colour over its standard deviation where the scene is still: noise, and misplacement times steepness,
    from the pixels that do not move by the motion masks. NaN stays."""
    chosen = still & np.isfinite(change)
    if chosen.sum() < 100:
        return np.full(change.shape, np.nan, np.float32)
    values, slopes = change[chosen], steepness[chosen]
    flat, steep = slopes <= np.quantile(slopes, 0.3), slopes >= np.quantile(slopes, 0.8)
    noise = max(LEAST_NOISE, 1.4826 * float(np.median(values[flat])))
    beyond = np.sqrt(np.maximum(values[steep] ** 2 - noise**2, 0)) / np.maximum(slopes[steep], 1e-6)
    misplaced = 1.4826 * float(np.median(beyond))
    return (change / np.sqrt(noise**2 + (misplaced * steepness) ** 2)).astype(np.float32)
