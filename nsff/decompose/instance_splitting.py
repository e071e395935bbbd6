"""Instance splitting: the connected regions of one label are instances of their own if they are apart often enough.

The connected regions of a label's mask are followed along optical flow into tracklets; regions that touch are kept
apart where they were apart before, or will be later (nsff.tracking.split_merge_tracking). Two tracklets are different
instances if they are apart in a good share of the views that show both, and nothing between them is nearer to the
camera, which could hide the part that joins them. So a hand that leaves the body's mask for a moment, or a walker
behind a lamp post, stays one instance.

Notation. Masks (H,W) of one label, one for each view, in order of time. A tracklet is one connected region followed
over views. Regions and instances are numbered from 1 in a view, 0 elsewhere.
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

MIN_VIEWS_APART = 3
"""Different instances are apart in at least this many views."""
MIN_SHARE_APART = 0.25
"""Different instances are apart in at least this share of the views that show both."""
MIN_LIFETIME_SHARE = 0.2
"""An instance is seen in at least this share of the views."""
MIN_AREA_SHARE = 0.1
"""An instance has at least this share of the area of the label's largest instance."""
OCCLUDER_RATIO = 1.05
"""A surface between two regions occludes if its disparity is above this many times that of the nearer region."""


Centres = dict[int, dict[int, Float[np.ndarray, "3"]]]
"""The median surface point in the world of every tracklet, by tracklet and view."""


@dataclass
class Tracklet:
    """One connected region followed over time: its area in pixels, by view."""

    areas: dict[int, int] = field(default_factory=dict)

    @property
    def size(self) -> int:
        return sum(self.areas.values())

    @property
    def area(self) -> float:
        return float(np.median(list(self.areas.values())))


def split_label(
    masks: Sequence[Bool[np.ndarray, "H W"]],
    points: Callable[[int], Float[np.ndarray, "H W 3"]],
    disparity: Callable[[int], Float[np.ndarray, "H W"]],
    link: Callable[[int, int], FlowAndMask],
) -> tuple[int, list[Int64[np.ndarray, "H W"]]]:
    """The number of instances of one label, and for each view the instance (1 is the largest) of every pixel.

    ``masks`` are those of the label, in order of time. ``points(i)`` are the surface points that view i shows, in the
    world, ``disparity(i)`` their inverse depths, and ``link(i, j)`` is flow between neighbouring views with its mask.
    """
    whole = [label_components(mask) for mask in masks]
    parts = separate_merged([labels.copy() for labels in whole], link)
    tracklet_of = link_tracklets(parts, link)
    tracklets = _tracklets(parts, tracklet_of)
    candidates = _candidates(tracklets, len(masks))
    # With one candidate there is one instance, and nothing has to be compared.
    different = _different(parts, whole, tracklet_of, disparity, candidates) if len(candidates) > 1 else set()
    if not different:
        return 1, [mask.astype(np.int64) for mask in masks]
    instance_of = _instances(tracklets, _centres(parts, tracklet_of, points), candidates, different)
    labels = []
    for mask, part, tracklet in zip(masks, parts, tracklet_of, strict=True):
        lookup = np.array([0] + [instance_of[tracklet[k]] for k in range(1, int(part.max(initial=0)) + 1)])
        labels.append(_fill_by_nearest(lookup[part], mask))
    return max(instance_of.values()), labels


def _tracklets(parts: Sequence[Int32[np.ndarray, "H W"]], tracklet_of: Sequence[dict[int, int]]) -> dict[int, Tracklet]:
    tracklets: dict[int, Tracklet] = {}
    for view, (labels, of) in enumerate(zip(parts, tracklet_of, strict=True)):
        areas = np.bincount(labels.ravel())
        for part, number in of.items():
            tracklets.setdefault(number, Tracklet()).areas[view] = int(areas[part])
    return tracklets


def _centres(
    parts: Sequence[Int32[np.ndarray, "H W"]],
    tracklet_of: Sequence[dict[int, int]],
    points: Callable[[int], Float[np.ndarray, "H W 3"]],
) -> Centres:
    centres: Centres = {}
    for view, (labels, of) in enumerate(zip(parts, tracklet_of, strict=True)):
        if not of:
            continue
        surface = points(view)
        for part, number in of.items():
            centres.setdefault(number, {})[view] = np.median(surface[labels == part], axis=0)
    return centres


def _candidates(tracklets: dict[int, Tracklet], n_views: int) -> list[int]:
    """Tracklets that may be instances, by size: the largest one, and others that last and are large enough."""
    order = sorted(tracklets, key=lambda number: -tracklets[number].size)
    life, area = (
        max(MIN_VIEWS_APART, MIN_LIFETIME_SHARE * n_views),
        MIN_AREA_SHARE * tracklets[order[0]].area if order else 0.0,
    )
    return order[:1] + [k for k in order[1:] if len(tracklets[k].areas) >= life and tracklets[k].area >= area]


def _different(
    parts: Sequence[Int32[np.ndarray, "H W"]],
    whole: Sequence[Int32[np.ndarray, "H W"]],
    tracklet_of: Sequence[dict[int, int]],
    disparity: Callable[[int], Float[np.ndarray, "H W"]],
    candidates: Sequence[int],
) -> set[frozenset[int]]:
    """Pairs of a candidate and another tracklet that are apart in enough of the views that show both."""
    apart: Counter[frozenset[int]] = Counter()
    shown: Counter[frozenset[int]] = Counter()
    for view, (labels, before, of) in enumerate(zip(parts, whole, tracklet_of, strict=True)):
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
    return {pair for pair, n in apart.items() if n >= max(MIN_VIEWS_APART, MIN_SHARE_APART * shown[pair])}


def distance_to(region: Bool[np.ndarray, "H W"]) -> Float[np.ndarray, "H W"]:
    """The distance of every pixel to the region, in pixels; 0 inside."""
    return cv2.distanceTransform((~region).astype(np.uint8), cv2.DIST_L2, 5)


def gap_is_open(
    to_a: Float[np.ndarray, "H W"], b: Bool[np.ndarray, "H W"], disparity: Float[np.ndarray, "H W"]
) -> bool:
    """Whether no surface between two regions, along the shortest line from one to the other, is nearer to the camera
    than both. ``to_a`` is the distance of every pixel to the first region."""
    a = to_a == 0
    end = np.unravel_index(np.where(b, to_a, np.inf).argmin(), b.shape)
    rows, columns = np.nonzero(a)
    nearest = np.hypot(rows - end[0], columns - end[1]).argmin()
    start, steps = (rows[nearest], columns[nearest]), int(np.ceil(to_a[end])) + 1
    line = tuple(np.linspace(s, e, steps).round().astype(int) for s, e in zip(start, end, strict=True))
    between = ~(a | b)[line]
    if not between.any():
        return True
    limit = OCCLUDER_RATIO * max(float(np.median(disparity[a])), float(np.median(disparity[b])))
    return float(np.median(disparity[line][between])) <= limit


def _instances(
    tracklets: dict[int, Tracklet], centres: Centres, candidates: Sequence[int], different: set[frozenset[int]]
) -> dict[int, int]:
    """The instance, numbered from 1 by size, of every tracklet.

    A candidate that is different from all instances so far begins a new one. Every other tracklet belongs to the
    instance that is nearest in time, then in space, among those that it is not different from.
    """

    def apart(number: int, instance: list[int]) -> bool:
        return any(frozenset((number, other)) in different for other in instance)

    instances: list[list[int]] = []
    for number in candidates:
        if all(apart(number, instance) for instance in instances):
            instances.append([number])
    begun = {number for instance in instances for number in instance}
    for number in sorted(tracklets.keys() - begun, key=lambda k: -tracklets[k].size):
        same = [instance for instance in instances if not apart(number, instance)] or instances
        min(same, key=lambda t: min(_distance(centres[number], centres[other]) for other in t)).append(number)
    instances.sort(key=lambda instance: -sum(tracklets[number].size for number in instance))
    return {number: k for k, instance in enumerate(instances, start=1) for number in instance}


def _distance(a: dict[int, np.ndarray], b: dict[int, np.ndarray]) -> tuple[int, float]:
    """How far apart two tracklets are where they are nearest in time: in views, and in the world."""
    return min((abs(i - j), float(np.linalg.norm(p - q))) for i, p in a.items() for j, q in b.items())


def _fill_by_nearest(labels: Int64[np.ndarray, "H W"], mask: Bool[np.ndarray, "H W"]) -> Int64[np.ndarray, "H W"]:
    """Gives every pixel of the mask without a label that of the nearest pixel with one; 1 where no pixel has one."""
    if not (labels > 0).any():
        return mask.astype(np.int64)
    at = cv2.distanceTransformWithLabels(
        (labels == 0).astype(np.uint8), cv2.DIST_L2, 3, labelType=cv2.DIST_LABEL_PIXEL
    )[1]
    lookup = np.zeros(int(at.max()) + 1, np.int64)
    lookup[at[labels > 0]] = labels[labels > 0]
    return np.where(mask, lookup[at], 0)
