"""Rims of motion masks: flow jumps where a thing that moves ends, and does not where cameras are a little wrong.

Errors of cameras, such as of a lens that is not quite known, change slowly over the picture. Where they exceed the
threshold of motion, a mask covers what stands still, and ends in the middle of it, at a rim without a jump of flow.

Notation. Masks (H,W), True moves; flow (H,W,2) in pixels to a neighbouring frame. The rim are the pixels next to a
mask's part; those at the border of the picture do not count.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np
from jaxtyping import Bool, Float32

from nsff.imaging.flow_sampling import FlowAndMask
from nsff.imaging.scale import REFERENCE_ROWS

SIDE = 4.0
"""Pixels at 288 rows on both sides of a rim over which flow is averaged."""
JUMP = 0.5
"""Pixels at 288 rows by which flow differs at the rim of a thing that moves."""
LEAST_RIM = 20
"""Shorter rims, in pixels, say nothing."""
LEAST_JUMPING = 0.2
"""Share of its rim at which flow must jump for a part of a mask to stay."""


def without_smooth_parts(
    masks: Sequence[Bool[np.ndarray, "H W"]], link: Callable[[int, int], FlowAndMask]
) -> list[Bool[np.ndarray, "H W"]]:
    """The masks of a clip without the connected parts at whose rims flow does not jump, neither to the frame before nor
    to the one after.

    ``link(i, j)`` is flow between neighbouring frames and its mask, as for ``chain_flows``.
    """
    result = []
    for i, mask in enumerate(masks):
        neighbours = [j for j in (i - 1, i + 1) if 0 <= j < len(masks)]
        if not (mask.any() and neighbours):
            result.append(mask)
            continue
        jumps = [flow_jumps(mask, link(i, j)[0]) for j in neighbours]
        _, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
        kept = np.ones(int(labels.max()) + 1, bool)
        kept[0] = False
        for part in range(1, len(kept)):
            rim = rim_of(labels == part) & ~mask
            if rim.sum() >= LEAST_RIM:
                kept[part] = max(float(jump[rim].mean()) for jump in jumps) >= LEAST_JUMPING
        result.append(kept[labels])
    return result


def rim_jumps(mask: Bool[np.ndarray, "H W"], flow: Float32[np.ndarray, "H W 2"]) -> float | None:
    """Share of the mask's rim at which the mean flow of both sides differs by JUMP; None where there is no rim."""
    rim = rim_of(mask)
    return float(flow_jumps(mask, flow)[rim].mean()) if rim.sum() >= LEAST_RIM else None


def rim_of(part: Bool[np.ndarray, "H W"]) -> Bool[np.ndarray, "H W"]:
    """The pixels next to a part, those near the border of the picture apart."""
    side = _side(part)
    rim = (cv2.dilate(part.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0) & ~part
    rim[:side] = rim[-side:] = rim[:, :side] = rim[:, -side:] = False
    return rim


def flow_jumps(mask: Bool[np.ndarray, "H W"], flow: Float32[np.ndarray, "H W 2"]) -> Bool[np.ndarray, "H W"]:
    """Whether the mean flow on the mask and that off it, around each pixel, differ by JUMP."""
    inside, outside = (_mean(flow, part, _side(mask)) for part in (mask, ~mask))
    return np.linalg.norm(inside - outside, axis=-1) > JUMP * mask.shape[0] / REFERENCE_ROWS


def _side(mask: Bool[np.ndarray, "H W"]) -> int:
    return max(2, round(SIDE * mask.shape[0] / REFERENCE_ROWS))


def _mean(flow: Float32[np.ndarray, "H W 2"], part: Bool[np.ndarray, "H W"], side: int) -> Float32[np.ndarray, "H W 2"]:
    """Mean flow of the pixels of ``part`` within a square of ``side`` pixels to each side."""
    size = (2 * side + 1, 2 * side + 1)
    weight = part.astype(np.float32)
    total = cv2.blur(flow.astype(np.float32) * weight[..., None], size)
    return total / np.maximum(cv2.blur(weight, size), 1e-6)[..., None]
