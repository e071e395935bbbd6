"""Holes in motion masks, filled by colour: parts of a thing whose flow a still thing would have, too.

Where a thing moves along with the camera, or along its epipolar lines, it looks still, and its mask has a hole or a bay
there. Such a gap belongs to the thing if its colours are clearly those of what moves and not those around it.

Notation. A colour is a cell of Lab space, 16 cells along each axis; p(c) is the share of colour c among pixels on the
masks of a frame and its neighbours, q(c) among those around them; a gap is what morphological closing would add. It is
filled where log p / q, limited and blurred, is above 1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int, Int16, UInt8
from scipy.ndimage import gaussian_filter

from nsff.imaging.morphology import close_by_distance, dilate_by_distance, morphology
from nsff.imaging.scale import REFERENCE_ROWS

CELLS = 16
SPREAD = 1.0
"""Cells, standard deviation: colours nearby count too."""
SELDOM = 1e-6
"""Share of a colour that was never seen."""
SPAN = 2
"""Frames before and after whose colours count."""
CLEARLY, LIMIT = 1.0, 3.0
BLUR, THINNEST = 4.0, 2
"""Pixels at 288 rows: standard deviation of the blur, and radius of the opening of what is added."""


def fill_holes(
    masks: Sequence[Bool[np.ndarray, "H W"]], image: Callable[[int], UInt8[np.ndarray, "H W 3"]], radius: int
) -> list[Bool[np.ndarray, "H W"]]:
    """The masks with the gaps that a closing with a disk of ``radius`` (pixels at 288 rows) fills and that have their
    colours; ``image`` gives the picture of a frame. Nothing is taken away; radius 0 changes nothing.
    """
    if radius == 0:
        return list(masks)
    rows = masks[0].shape[0] / REFERENCE_ROWS
    reach, thinnest = max(1, round(radius * rows)), max(1, round(THINNEST * rows))
    closed = [close_by_distance(mask, reach) if mask.any() else mask for mask in masks]
    colour = [colours(image(i)) for i in range(len(masks))]
    counts = [_counts(*of_frame, reach) for of_frame in zip(colour, masks, closed, strict=True)]
    result = []
    for i, mask in enumerate(masks):
        near = counts[max(0, i - SPAN) : i + SPAN + 1]
        inside, around = (_shares(np.sum([pair[k] for pair in near], axis=0)) for k in (0, 1))
        if inside is None or around is None:
            result.append(mask)
            continue
        ratio = np.log((inside + SELDOM) / (around + SELDOM))[colour[i]]
        evidence = cv2.GaussianBlur(np.clip(ratio, -LIMIT, LIMIT), (0, 0), max(0.5, BLUR * rows))
        gaps = closed[i] & ~mask & (evidence > CLEARLY)
        result.append(mask | (gaps & morphology(mask | gaps, cv2.MORPH_OPEN, thinnest)))
    return result


def colours(image: UInt8[np.ndarray, "H W 3"]) -> Int16[np.ndarray, "H W"]:
    """The number of each pixel's cell in Lab space: two bytes a pixel, since those of all frames are held."""
    cell = cv2.cvtColor(image, cv2.COLOR_RGB2LAB).astype(np.int16) // (256 // CELLS)
    return (cell[..., 0] * CELLS + cell[..., 1]) * CELLS + cell[..., 2]


def _counts(
    colour: Int16[np.ndarray, "H W"], mask: Bool[np.ndarray, "H W"], closed: Bool[np.ndarray, "H W"], reach: int
) -> tuple[Int[np.ndarray, " c"], Int[np.ndarray, " c"]]:
    """Counts of each colour on the mask, and around it: within twice the reach, outside the gaps and not next to
    them."""
    around = dilate_by_distance(mask, 2 * reach) & ~closed & ~dilate_by_distance(mask, 2) if mask.any() else mask
    inside, outside = (np.bincount(colour[part], minlength=CELLS**3) for part in (mask, around))
    return inside, outside


def _shares(counts: Int[np.ndarray, " c"]) -> Float[np.ndarray, " c"] | None:
    if not counts.any():
        return None
    spread = gaussian_filter(counts.astype(float).reshape(CELLS, CELLS, CELLS), SPREAD, mode="constant").ravel()
    return spread / spread.sum()
