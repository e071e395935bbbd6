"""Objects that come out from behind another one while they touch it, told from it by their colours.

Where one thing hides another, nothing leads from the hidden one to what comes out later: flow has not seen it, and it
is no region of its own, since it touches what hid it. So its pixels fall to the other. But both were seen apart before
or after, and where their colours tell them apart there, they do so here.

Notation. N frames; labels (H,W) are numbers of objects, 0 for none. Object b is missing in a frame; object a is there.
The ratio of a pixel is log p_b(c) - log p_a(c) of its colour c, from the frames that show both, blurred over a.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Bool, Float32, Int64, UInt8

from nsff.decompose.motion_groups.pixel_evidence import ColourModel
from nsff.imaging.morphology import morphology
from nsff.imaging.scale import REFERENCE_ROWS

BLUR, THINNEST = 3.0, 3.0
"""Pixels at 288 rows: standard deviation of the blur, and radius of the opening of what is found."""
LIMIT = 3.0
"""A single pixel says at most so much."""
LEAST_BOTH = 3
"""Frames that show both, at least half of b, below which nothing is known of their colours."""
KNOWN, MISTAKEN = 0.8, 0.05
"""Told apart are colours by which, in the frames that show both, this share of b is found, and no more of a."""
LEAST_PART = 0.1
"""Share of b's usual area below which a part is none."""
HIDDEN = 12
"""Frames for which an object can be hidden."""
NEAR = 15.0
"""Pixels at 288 rows and frame since b was last seen, from the place where that was, in which it can come out."""


def with_hidden_parts(
    labels: Sequence[Int64[np.ndarray, "H W"]], images: Sequence[UInt8[np.ndarray, "H W 3"]]
) -> list[Int64[np.ndarray, "H W"]]:
    """The labels with the parts of other objects that show an object which is missing in their frame given to it."""
    result = [one.copy() for one in labels]
    count = max((int(one.max(initial=0)) for one in labels), default=0)
    areas = np.array([np.bincount(one.ravel(), minlength=count + 1) for one in labels])
    for b in range(1, count + 1):
        if not (areas[:, b] > 0).any() or (areas[:, b] > 0).all():
            continue
        usual = float(np.median(areas[areas[:, b] > 0, b]))
        ratios = {
            a: ratio
            for a in range(1, count + 1)
            if a != b and (ratio := _colours_apart(labels, images, areas, a, b, usual)) is not None
        }
        if ratios:
            for order in (range(len(labels)), range(len(labels) - 1, -1, -1)):
                _find_missing(result, images, b, usual, ratios, order)
    return result


class _Ratio:
    """Log ratio of colours of two objects."""

    def __init__(self, of_b: ColourModel, of_a: ColourModel) -> None:
        self.of_b, self.of_a = of_b, of_a

    def found(self, image: UInt8[np.ndarray, "H W 3"], inside: Bool[np.ndarray, "H W"]) -> Bool[np.ndarray, "H W"]:
        """Pixels of ``inside`` whose surroundings have the colours of b rather than of a."""
        rows = inside.shape[0] / REFERENCE_ROWS
        ratio = np.clip(self.of_b.log_density(image) - self.of_a.log_density(image), -LIMIT, LIMIT) * inside
        weight, total = (_blurred(value, max(0.5, BLUR * rows)) for value in (inside, ratio))
        likely = inside & (total > 0) & (weight > 1e-3)
        return morphology(likely, cv2.MORPH_OPEN, max(1, round(THINNEST * rows))) & inside


def _blurred(value: np.ndarray, sigma: float) -> Float32[np.ndarray, "H W"]:
    return cv2.GaussianBlur(value.astype(np.float32), (0, 0), sigma)


def _colours_apart(
    labels: Sequence[np.ndarray], images: Sequence[np.ndarray], areas: np.ndarray, a: int, b: int, usual: float
) -> _Ratio | None:
    """The ratio of two objects; None where they are seldom seen together, or their colours do not tell them apart."""
    both = [int(i) for i in np.flatnonzero((areas[:, a] > 0) & (areas[:, b] > 0.5 * usual))]
    if len(both) < LEAST_BOTH:
        return None
    of_a, of_b = (ColourModel(np.concatenate([images[i][labels[i] == k] for i in both])) for k in (a, b))
    ratio = _Ratio(of_b, of_a)
    known, mistaken = (
        np.mean([ratio.found(images[i], labels[i] == k).sum() / areas[i, k] for i in both]) for k in (b, a)
    )
    return ratio if known >= KNOWN and mistaken <= MISTAKEN else None


def _find_missing(
    labels: list[np.ndarray],
    images: Sequence[np.ndarray],
    b: int,
    usual: float,
    ratios: dict[int, _Ratio],
    order: range,
) -> None:
    """Looks for b, along ``order``, in the frames that lack it after one that shows it. Changes ``labels``."""
    seen: Bool[np.ndarray, "H W"] | None = None
    since = 0
    for i in order:
        own = labels[i] == b
        if own.any():
            seen, since = own, 0
            continue
        since += 1
        if seen is None or since > HIDDEN:
            continue
        reach = NEAR * since * own.shape[0] / REFERENCE_ROWS
        near = cv2.distanceTransform((~seen).astype(np.uint8), cv2.DIST_L2, 3) <= reach
        for a, ratio in ratios.items():
            inside = labels[i] == a
            if (inside & near).any():
                labels[i][_parts(ratio.found(images[i], inside), near, LEAST_PART * usual)] = b
        if (labels[i] == b).any():
            seen, since = labels[i] == b, 0


def _parts(found: Bool[np.ndarray, "H W"], near: Bool[np.ndarray, "H W"], least: float) -> Bool[np.ndarray, "H W"]:
    """The connected parts that are large enough and reach into ``near``."""
    count, parts, statistics, _ = cv2.connectedComponentsWithStats(found.astype(np.uint8), connectivity=8)
    kept = statistics[:, cv2.CC_STAT_AREA] >= least
    kept &= np.bincount(parts[near], minlength=count) > 0
    kept[0] = False
    return kept[parts]
