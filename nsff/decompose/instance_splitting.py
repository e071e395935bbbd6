"""Parts of one label, followed over time, that come apart often enough to be things of their own.

Parts are the connected regions of a label's mask; they are followed along optical flow, and those that touch are kept
apart where they were apart before, or will be later (nsff.tracking.split_merge_tracking). Two of them are different
things if they are apart in a good share of the views that show both, with nothing nearer between them that could hide
what joins them. So a hand that leaves the body's mask for a moment, or a walker behind a lamp post, stays whole.

Notation. Masks (H,W) of one label, one a view, in order of time. A chain is one part followed over views; parts and
things are numbered from 1 in a view, 0 elsewhere.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int32, Int64

from nsff.imaging.flow_sampling import FlowAndMask
from nsff.tracking.components import label_components
from nsff.tracking.split_merge_tracking import separate_merged
from nsff.tracking.tracklets import link_tracklets

LEAST_VIEWS = 3
"""In which two parts are apart."""
LEAST_SHARE = 0.25
"""Of the views that show both, in which they are apart."""
LEAST_LIFE = 0.2
"""Of the views, in which a thing is followed."""
LEAST_AREA = 0.1
"""Of the area of the label's largest thing."""
NEARER = 1.05
"""Times the disparity of the nearer part: what lies between two parts and is nearer may hide what joins them."""


Middles = dict[int, dict[int, Float[np.ndarray, "3"]]]
"""Of every chain: its middle, a point in the world, by view."""


@dataclass
class Chain:
    """One part over time: its area by view."""

    areas: dict[int, int] = field(default_factory=dict)

    @property
    def size(self) -> int:
        return sum(self.areas.values())

    @property
    def area(self) -> float:
        return float(np.median(list(self.areas.values())))


def part_label(
    masks: Sequence[Bool[np.ndarray, "H W"]],
    points: Callable[[int], Float[np.ndarray, "H W 3"]],
    disparity: Callable[[int], Float[np.ndarray, "H W"]],
    link: Callable[[int, int], FlowAndMask],
) -> tuple[int, list[Int64[np.ndarray, "H W"]]]:
    """How many things a label is, and which of them (1 is the largest) each pixel of its masks belongs to.

    ``points(i)`` are the surfaces that view i shows, in the world, ``disparity(i)`` their inverse depths, and
    ``link(i, j)`` flow between neighbouring views and its mask.
    """
    whole = [label_components(mask) for mask in masks]
    parts = separate_merged([labels.copy() for labels in whole], link)
    chain_of = link_tracklets(parts, link)
    chains = _chains(parts, chain_of)
    candidates = _candidates(chains, len(masks))
    # One candidate is the one thing there is: nothing has to be compared.
    different = _different(parts, whole, chain_of, disparity, candidates) if len(candidates) > 1 else set()
    if not different:
        return 1, [mask.astype(np.int64) for mask in masks]
    thing_of = _things(chains, _middles(parts, chain_of, points), candidates, different)
    labels = []
    for mask, part, chain in zip(masks, parts, chain_of, strict=True):
        lookup = np.array([0] + [thing_of[chain[k]] for k in range(1, int(part.max(initial=0)) + 1)])
        labels.append(_spread(lookup[part], mask))
    return max(thing_of.values()), labels


def _chains(parts: Sequence[Int32[np.ndarray, "H W"]], chain_of: Sequence[dict[int, int]]) -> dict[int, Chain]:
    chains: dict[int, Chain] = {}
    for view, (labels, of) in enumerate(zip(parts, chain_of, strict=True)):
        areas = np.bincount(labels.ravel())
        for part, number in of.items():
            chains.setdefault(number, Chain()).areas[view] = int(areas[part])
    return chains


def _middles(
    parts: Sequence[Int32[np.ndarray, "H W"]],
    chain_of: Sequence[dict[int, int]],
    points: Callable[[int], Float[np.ndarray, "H W 3"]],
) -> Middles:
    middles: Middles = {}
    for view, (labels, of) in enumerate(zip(parts, chain_of, strict=True)):
        if not of:
            continue
        surface = points(view)
        for part, number in of.items():
            middles.setdefault(number, {})[view] = np.median(surface[labels == part], axis=0)
    return middles


def _candidates(chains: dict[int, Chain], n_views: int) -> list[int]:
    """Chains that may be things, by size: the largest, and those that live long and are large enough beside it."""
    order = sorted(chains, key=lambda number: -chains[number].size)
    life, area = max(LEAST_VIEWS, LEAST_LIFE * n_views), LEAST_AREA * chains[order[0]].area if order else 0.0
    return order[:1] + [k for k in order[1:] if len(chains[k].areas) >= life and chains[k].area >= area]


def _different(
    parts: Sequence[Int32[np.ndarray, "H W"]],
    whole: Sequence[Int32[np.ndarray, "H W"]],
    chain_of: Sequence[dict[int, int]],
    disparity: Callable[[int], Float[np.ndarray, "H W"]],
    candidates: Sequence[int],
) -> set[frozenset[int]]:
    """Pairs of a candidate and another chain that are apart in enough of the views that show both."""
    apart: Counter[frozenset[int]] = Counter()
    shown: Counter[frozenset[int]] = Counter()
    for view, (labels, before, of) in enumerate(zip(parts, whole, chain_of, strict=True)):
        here = [a for a in candidates if a in of.values()]
        if not here or len(of) < 2:
            continue
        regions = {number: labels == part for part, number in of.items()}
        connected = {number: int(before[inside].max()) for number, inside in regions.items()}
        inverse_depth = disparity(view)
        for n, a in enumerate(here):
            to_a = distance_to(regions[a])
            for b in (number for number in regions if number not in here[: n + 1]):
                pair = frozenset((a, b))
                shown[pair] += 1
                if connected[a] != connected[b] and gap_is_open(to_a, regions[b], inverse_depth):
                    apart[pair] += 1
    return {pair for pair, n in apart.items() if n >= max(LEAST_VIEWS, LEAST_SHARE * shown[pair])}


def distance_to(region: Bool[np.ndarray, "H W"]) -> Float[np.ndarray, "H W"]:
    """Of every pixel, in pixels; 0 inside."""
    return cv2.distanceTransform((~region).astype(np.uint8), cv2.DIST_L2, 5)


def gap_is_open(
    to_a: Float[np.ndarray, "H W"], b: Bool[np.ndarray, "H W"], disparity: Float[np.ndarray, "H W"]
) -> bool:
    """Whether what lies between two regions, where they are nearest, is not nearer to the camera than both; ``to_a`` is
    the distance to the first."""
    a = to_a == 0
    end = np.unravel_index(np.where(b, to_a, np.inf).argmin(), b.shape)
    rows, columns = np.nonzero(a)
    nearest = np.hypot(rows - end[0], columns - end[1]).argmin()
    start, steps = (rows[nearest], columns[nearest]), int(np.ceil(to_a[end])) + 1
    line = tuple(np.linspace(s, e, steps).round().astype(int) for s, e in zip(start, end, strict=True))
    between = ~(a | b)[line]
    if not between.any():
        return True
    limit = NEARER * max(float(np.median(disparity[a])), float(np.median(disparity[b])))
    return float(np.median(disparity[line][between])) <= limit


def _things(
    chains: dict[int, Chain], middles: Middles, candidates: Sequence[int], different: set[frozenset[int]]
) -> dict[int, int]:
    """The thing, numbered from 1 by size, of every chain.

    A candidate that is different from all things so far begins one. The rest belong to the thing that is nearest to
    them in time and space, of those they do not differ from.
    """

    def apart(number: int, thing: list[int]) -> bool:
        return any(frozenset((number, other)) in different for other in thing)

    things: list[list[int]] = []
    for number in candidates:
        if all(apart(number, thing) for thing in things):
            things.append([number])
    begun = {number for thing in things for number in thing}
    for number in sorted(chains.keys() - begun, key=lambda k: -chains[k].size):
        same = [thing for thing in things if not apart(number, thing)] or things
        min(same, key=lambda t: min(_distance(middles[number], middles[other]) for other in t)).append(number)
    things.sort(key=lambda thing: -sum(chains[number].size for number in thing))
    return {number: k for k, thing in enumerate(things, start=1) for number in thing}


def _distance(a: dict[int, np.ndarray], b: dict[int, np.ndarray]) -> tuple[int, float]:
    """Between the middles of two chains where they are nearest in time: views, and distance in the world."""
    return min((abs(i - j), float(np.linalg.norm(p - q))) for i, p in a.items() for j, q in b.items())


def _spread(labels: Int64[np.ndarray, "H W"], mask: Bool[np.ndarray, "H W"]) -> Int64[np.ndarray, "H W"]:
    """Labels of what has one carried to the nearest pixels of the mask that have none; 1 where there is none at all."""
    if not (labels > 0).any():
        return mask.astype(np.int64)
    at = cv2.distanceTransformWithLabels(
        (labels == 0).astype(np.uint8), cv2.DIST_L2, 3, labelType=cv2.DIST_LABEL_PIXEL
    )[1]
    lookup = np.zeros(int(at.max()) + 1, np.int64)
    lookup[at[labels > 0]] = labels[labels > 0]
    return np.where(mask, lookup[at], 0)
