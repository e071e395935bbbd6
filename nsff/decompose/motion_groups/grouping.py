"""Objects from the pixels that move: connected regions followed over time, joined by the trajectories that they share.

Regions of each frame are linked by flow into tracklets; regions that touch only for a while stay apart
(nsff.tracking). Two tracklets are one object where trajectories lead from one to the other, so that an object which a
post cuts in two is one, or where one goes on where the other ended, as predicted from its motion and with its colours,
so that an object that was hidden is the same. What is apart in a good share of the frames that show both is two. A
tracklet is an object only if the motion masks vote for it over time.

Notation. N frames (H,W). Tracklets are numbered from 0, objects from 1, the largest first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from jaxtyping import Bool, Float64, Int32, Int64

from nsff.decompose.motion_groups.moving_pixels import Clip, MovingPixels
from nsff.decompose.motion_groups.track_evidence import vote_evidence
from nsff.tracking.components import label_components
from nsff.tracking.split_merge_tracking import separate_merged
from nsff.tracking.tracklets import link_tracklets

COVERED = 0.3
"""Share of a region that its frame's motion mask covers for a vote."""
LEAST_VIEWS = 3
"""An object is seen in at least so many frames, or in all of a shorter clip."""
LEAST_SHARE = 0.0005
"""Share of the picture below which a region is none, on average over its frames."""
SHARED = 0.1
"""Share of the smaller tracklet's trajectories that two tracklets share, to be one object."""
MIN_SHARE_APART = 0.25
"""Different objects are apart in at least this share of the frames that show both."""
GAP = 12
"""Frames for which an object can be hidden and be the same."""
LIKE = 0.6
"""Similarity of colour histograms (Bhattacharyya's coefficient) of what is the same after it was hidden."""
BINS = 6


@dataclass
class Tracklet:
    """One region followed over time, by frame."""

    areas: dict[int, int] = field(default_factory=dict)
    centres: dict[int, Float64[np.ndarray, "2"]] = field(default_factory=dict)
    votes: int = 0
    colours: Float64[np.ndarray, "B"] = field(default_factory=lambda: np.zeros(BINS**3))

    @property
    def size(self) -> int:
        return sum(self.areas.values())

    @property
    def first(self) -> int:
        return min(self.areas)

    @property
    def last(self) -> int:
        return max(self.areas)

    def predicted(self, frame: int) -> Float64[np.ndarray, "2"]:
        """The centre at a frame beyond an end, by the mean motion of the three frames before it."""
        forward = frame > self.last
        end = self.last if forward else self.first
        near = sorted(self.centres, key=lambda t: abs(t - end))[:4]
        if len(near) < 2:
            return self.centres[end]
        velocity = (self.centres[near[0]] - self.centres[near[-1]]) / (near[0] - near[-1])
        return self.centres[end] + velocity * (frame - end)


def group_objects(clip: Clip, moving: MovingPixels) -> list[Int64[np.ndarray, "H W"]]:
    """Object numbers of every frame, 0 for none."""
    parts = separate_merged([label_components(mask) for mask in moving.masks], clip.link)
    tracklet_of = link_tracklets(parts, clip.link)
    maps = [_tracklet_map(labels, of) for labels, of in zip(parts, tracklet_of, strict=True)]
    tracklets = describe_tracklets(clip, maps)
    kept = {k for k, one in tracklets.items() if is_object(one, len(clip), maps[0].size)}
    joined = join_tracklets(tracklets, kept, shared_tracks(moving, maps), apart_counts(maps), clip.rows)
    number_of = number_objects(tracklets, joined)
    count = max(tracklets, default=-1) + 1
    lookup = np.zeros(count + 1, np.int64)
    for tracklet, number in number_of.items():
        lookup[tracklet] = number
    # Tracklet -1, no region, is the last entry.
    return [lookup[one] for one in maps]


def _tracklet_map(labels: Int32[np.ndarray, "H W"], of: dict[int, int]) -> Int32[np.ndarray, "H W"]:
    lookup = np.full(int(labels.max(initial=0)) + 1, -1, np.int32)
    for part, tracklet in of.items():
        lookup[part] = tracklet
    return lookup[labels]


def describe_tracklets(clip: Clip, maps: Sequence[Int32[np.ndarray, "H W"]]) -> dict[int, Tracklet]:
    """Areas, centres, votes and colours of all tracklets."""
    result: dict[int, Tracklet] = {}
    for i, one in enumerate(maps):
        v, u = np.nonzero(one >= 0)
        numbers = one[v, u]
        bins = (clip.images[i][v, u].astype(int) * BINS) // 256
        bins = (bins[:, 0] * BINS + bins[:, 1]) * BINS + bins[:, 2]
        covered = clip.masks[i][v, u]
        for k in np.unique(numbers):
            own = numbers == k
            tracklet = result.setdefault(int(k), Tracklet())
            tracklet.areas[i] = int(own.sum())
            tracklet.centres[i] = np.array([np.median(u[own]), np.median(v[own])])
            tracklet.votes += bool(covered[own].mean() >= COVERED)
            tracklet.colours += np.bincount(bins[own], minlength=BINS**3)
    return result


def is_object(tracklet: Tracklet, count: int, pixels: int) -> bool:
    """Whether the motion masks vote for it over time, and it lasts and is large enough to be seen."""
    seen = len(tracklet.areas)
    evidence = vote_evidence(np.array([float(tracklet.votes)]), np.array([float(seen)]))[0]
    large = np.mean(list(tracklet.areas.values())) >= LEAST_SHARE * pixels
    return bool(evidence > 0 and large and seen >= min(LEAST_VIEWS, count))


def shared_tracks(moving: MovingPixels, maps: Sequence[Int32[np.ndarray, "H W"]]) -> dict[tuple[int, int], int]:
    """The number of trajectories that visit both of two tracklets (k, k: those that visit one)."""
    visits: set[tuple[int, int]] = set()
    for i, one in enumerate(maps):
        alive = np.flatnonzero(moving.tracks.alive[i] & (moving.moving > 0.5))
        at = np.rint(moving.tracks.positions[i, alive]).astype(int)
        numbers = one[at[:, 1], at[:, 0]]
        visits |= set(zip(alive[numbers >= 0].tolist(), numbers[numbers >= 0].tolist(), strict=True))
    of_track: dict[int, list[int]] = {}
    for track, tracklet in visits:
        of_track.setdefault(track, []).append(tracklet)
    result: Counter[tuple[int, int]] = Counter()
    for tracklets in of_track.values():
        for a in tracklets:
            for b in tracklets:
                if a <= b:
                    result[a, b] += 1
    return dict(result)


def apart_counts(maps: Sequence[Int32[np.ndarray, "H W"]]) -> dict[tuple[int, int], tuple[int, int]]:
    """Frames that show both of two tracklets, and those in which they do not touch."""
    shown: Counter[tuple[int, int]] = Counter()
    apart: Counter[tuple[int, int]] = Counter()
    for one in maps:
        present = [int(k) for k in np.unique(one) if k >= 0]
        grown = {k: cv2.dilate((one == k).astype(np.uint8), np.ones((5, 5), np.uint8)) > 0 for k in present}
        for n, a in enumerate(present):
            for b in present[n + 1 :]:
                shown[a, b] += 1
                apart[a, b] += not bool((grown[a] & (one == b)).any())
    return {pair: (count, apart[pair]) for pair, count in shown.items()}


def join_tracklets(
    tracklets: dict[int, Tracklet],
    kept: set[int],
    shared: dict[tuple[int, int], int],
    together: dict[tuple[int, int], tuple[int, int]],
    rows: float,
) -> list[set[int]]:
    """Objects as sets of tracklets: pairs join by falling evidence, unless parts of both are apart too often."""
    candidates: list[tuple[float, int, int]] = []
    for a in kept:
        for b in kept:
            if a >= b:
                continue
            common = shared.get((a, b), 0) / max(1, min(shared.get((a, a), 1), shared.get((b, b), 1)))
            if common >= SHARED:
                candidates.append((common, a, b))
            elif (likeness := same_after_hiding(tracklets[a], tracklets[b], rows)) > 0:
                candidates.append((likeness * SHARED, a, b))
    group = {k: {k} for k in kept}
    for _, a, b in sorted(candidates, reverse=True):
        first, second = group[a], group[b]
        if first is second or any(_different(x, y, together) for x in first for y in second):
            continue
        first |= second
        for k in second:
            group[k] = first
    unique = {id(one): one for one in group.values()}
    return list(unique.values())


def _different(a: int, b: int, together: dict[tuple[int, int], tuple[int, int]]) -> bool:
    shown, apart = together.get((min(a, b), max(a, b)), (0, 0))
    return apart >= LEAST_VIEWS and apart >= MIN_SHARE_APART * shown


def same_after_hiding(a: Tracklet, b: Tracklet, rows: float) -> float:
    """Likeness in [0,1] of two tracklets of which one ends before the other begins, 0 where they are not the same:
    where prediction from both sides misses, colours differ, or the gap is long."""
    first, second = (a, b) if a.last < b.first else (b, a)
    gap = second.first - first.last
    if not 0 < gap <= GAP:
        return 0.0
    size = np.sqrt(max(np.median(list(one.areas.values())) for one in (first, second)))
    miss = min(
        float(np.linalg.norm(first.predicted(second.first) - second.centres[second.first])),
        float(np.linalg.norm(second.predicted(first.last) - first.centres[first.last])),
    )
    if miss > size + 2.0 * rows * gap:
        return 0.0
    likeness = float(np.sqrt(a.colours / a.colours.sum() * b.colours / b.colours.sum()).sum())
    return likeness if likeness >= LIKE else 0.0


def number_objects(tracklets: dict[int, Tracklet], joined: Sequence[set[int]]) -> dict[int, int]:
    """The object's number of every tracklet that belongs to one, the largest first."""
    order = sorted(joined, key=lambda one: -sum(tracklets[k].size for k in one))
    return {k: number for number, one in enumerate(order, start=1) for k in one}


def shadows_of(
    objects: Sequence[Int64[np.ndarray, "H W"]], shadow: Sequence[Bool[np.ndarray, "H W"]]
) -> list[Int64[np.ndarray, "H W"]]:
    """For every frame the number of the object that casts the shadow at a pixel, 0 for none: of the object nearest to
    the shadow's region that it touches."""
    result = []
    for one, dark in zip(objects, shadow, strict=True):
        labels = np.zeros(one.shape, np.int64)
        count, regions = cv2.connectedComponents(dark.astype(np.uint8), connectivity=8)
        for k in range(1, count):
            region = regions == k
            ring = cv2.dilate(region.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
            casters = one[ring & (one > 0)]
            if len(casters):
                labels[region] = np.bincount(casters).argmax()
        result.append(labels)
    return result
