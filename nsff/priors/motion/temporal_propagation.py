"""Motion masks carried along flow to frames in which an object rests, or seems to.

A thing that turns while the camera passes can look like a still one that is nearer or farther; one that pauses looks
still. A pixel counts as moving where flow leads it onto the mask of several nearby frames.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np
from jaxtyping import Bool

from nsff.imaging.flow_sampling import FlowAndMask, lands_on_mask
from nsff.imaging.morphology import morphology
from nsff.imaging.scale import REFERENCE_ROWS
from nsff.tracking.chaining import chain_flows

LEAST_FRAMES = 2
"""Fewest frames on whose masks a pixel must land."""
LEAST_SHARE = 0.3
"""Least share of the frames that flow leads to."""
RIM = 1
"""Radius in pixels by which masks are eroded first: next to a thing, flow drags the background along."""
THINNEST, SMALLEST = 4.0, 300.0
"""Radius in pixels and area in square pixels, at 288 rows, of what is added: rims that grow and specks are not."""
ROUNDS = 2


def propagate_masks(
    masks: Sequence[Bool[np.ndarray, "H W"]], link: Callable[[int, int], FlowAndMask], reach: int
) -> list[Bool[np.ndarray, "H W"]]:
    """The masks, each with the pixels that flow leads onto the masks of up to ``reach`` frames before and after.

    ``link(i, j)`` is flow between neighbouring frames and its mask, as for ``chain_flows``; ``reach`` 0 changes
    nothing.
    """
    result = list(masks)
    for _ in range(ROUNDS if reach else 0):
        inner = [morphology(mask, cv2.MORPH_ERODE, RIM) for mask in result]
        result = [mask | _added(mask, inner, i, link, reach) for i, mask in enumerate(result)]
    return result


def _added(
    mask: Bool[np.ndarray, "H W"],
    inner: Sequence[Bool[np.ndarray, "H W"]],
    i: int,
    link: Callable[[int, int], FlowAndMask],
    reach: int,
) -> Bool[np.ndarray, "H W"]:
    others = [j for j in range(i - reach, i + reach + 1) if 0 <= j < len(inner) and j != i]
    hits, seen = np.zeros(mask.shape, int), np.zeros(mask.shape, int)
    for j, (flow, valid) in chain_flows(link, i, others).items():
        hits += valid & lands_on_mask(inner[j], flow, 0.5)
        seen += valid
    found = (hits >= LEAST_FRAMES) & (hits >= LEAST_SHARE * seen) & ~mask
    rows = mask.shape[0] / REFERENCE_ROWS
    found = morphology(found, cv2.MORPH_OPEN, max(1, round(THINNEST * rows)))
    _, labels, statistics, _ = cv2.connectedComponentsWithStats(found.astype(np.uint8), connectivity=8)
    return found & (statistics[labels, cv2.CC_STAT_AREA] >= SMALLEST * rows**2)
