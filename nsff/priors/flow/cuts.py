"""Cuts, at which a clip passes from one shot to another: hard cuts, cuts through black, and dissolves.

Notation. Frame b begins a shot when no frame shortly before it shares features with any shortly after, while
neighbours on both sides do (see frame_links). One bad frame, a flash, blur or dropped frames do not begin a shot: the
frames around them still share features. Frames that show next to nothing are passed over, so that a fade through black
is seen as a cut between what comes before and after it.

In a dissolve neighbours always share something. There frames i and j share nothing, yet a frame m between them shares
features with both, and its picture resembles both while theirs do not resemble each other: m shows two scenes at the
same places. In a pan m, too, may share features with frames that share nothing with each other, but at different
places.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
from jaxtyping import Float32, Int, UInt8

from nsff.priors.flow.frame_links import Features, LinkCounter, link, softened

REACH = 4
"""Frames on each side of a cut of which none may share features with one of the other side."""
SHARE = 0.2
"""Fewer links than this share of those between neighbours are none."""
SOFT_SHARE, SOFT_LINKS = 0.35, 12
"""The same share for softened frames, which have fewer features, and how many links are more than chance between them:
13 and more with blur over a tenth of the width, 11 at most over a cut."""
DIP = 0.5
"""Pairs next to a suspected cut with less than this share of the links of those beyond belong to it."""
BLURRED = 0.3
"""Frames whose detail (variance of the Laplacian over that of the picture) is less than this share of that of those
around them are blurred."""
FADED = 0.35
"""A shot fades where the contrast (standard deviation) falls below this share of that before and after."""
ENOUGH_LINKS = 40
"""Neighbours must have so many for their absence to say anything."""
BARE = 0.1
"""A frame with less than this share of the usual number of features shows next to nothing."""
LAGS = (6, 12, 24)
"""Frames between i and j of a dissolve."""
CHANCE = 12
"""So many links and more are no chance."""
BLEND_SHARED = 1
"""So many features of a frame within a dissolve may be linked to both sides: one scene would show several to both."""
BLEND_LINKS = 12
"""Links that the frame within a dissolve has with either side, at least: a blend hides features of both."""
BLEND_AREA = 0.25
"""Share of the picture that both sides must cover once brought to the frame between them."""
BLEND_LIKENESS = 0.3
"""Least correlation of the frame within a dissolve with either side."""
BLEND_UNLIKE = 0.6
"""Two pictures of one scene are at least as much like each other as the product of both correlations says; those of
two scenes stay below this times that."""
BLEND_GAIN = 0.1
"""Least share of the variance that both sides together explain beyond the better one alone."""

AGREEMENT = 0.75
"""A cut by flow, where features are too few to tell: flow agrees with its return on less than this times the usual
share of the pixels, ..."""
COLOURS = 0.25
"""... the colour histograms differ by more than this (0 to 1), ..."""
COLOURS_JUMP = 4.0
"""... and by more than this times the usual difference."""


@dataclass(frozen=True)
class Cut:
    """Frame ``first`` is the first of a new shot, ``last`` the last of the shot before; between them lies what is bare
    or blended."""

    last: int
    first: int
    kind: str
    """cut, fade or dissolve."""


def find_cuts(n_frames: int, features: Callable[[int], Features]) -> list[Cut]:
    """All cuts of a clip in order, where its features can tell."""
    counts = np.array([len(features(i)) for i in range(n_frames)])
    if n_frames < 4 or not counts.any():
        return []
    shown = [int(i) for i in np.flatnonzero(counts >= BARE * np.median(counts[counts > 0]))]
    links = LinkCounter(features)
    hard = _hard_cuts(shown, links)
    # Between hard cuts neighbours hang together; there may still be a slow dissolve.
    edges = [0, *(k for cut in hard for k in (cut.last + 1, cut.first)), n_frames]
    soft = [
        cut for first, end in zip(edges[::2], edges[1::2], strict=True) for cut in _dissolves(first, end, links)
    ]  # fmt: skip
    return sorted([*hard, *soft], key=lambda cut: cut.first)


def bare_cuts(
    n_frames: int, features: Callable[[int], Features], agreement: Sequence[float], colours: Sequence[float]
) -> list[Cut]:
    """Cuts between frames of too little texture for features to tell, by flow and colours of the pairs (N-1).

    ``agreement`` is the share of pixels whose flow agrees with its return, ``colours`` the difference of histograms
    (colour_difference). A cut stands alone: a flash or a bad frame makes two such pairs, next to each other.
    """
    links = LinkCounter(features)
    agree, differ = np.asarray(agreement), np.asarray(colours)

    def jumps(p: int) -> bool:
        around = [q for q in range(max(0, p - REACH), min(n_frames - 1, p + REACH + 1)) if q != p]
        return bool(
            agree[p] < AGREEMENT * np.median(agree[around])
            and differ[p] > max(COLOURS, COLOURS_JUMP * float(np.median(differ[around])))
        )

    found = [p for p in range(1, n_frames - 2) if jumps(p)]
    alone = [p for p in found if not any(q != p and abs(q - p) < REACH for q in found)]
    return [
        Cut(p, p + 1, "cut")
        for p in alone
        if min(links.count(p - 1, p), links.count(p + 1, p + 2)) < ENOUGH_LINKS and not links.count(p, p + 1)
    ]


def colour_difference(first: UInt8[np.ndarray, "H W 3"], second: UInt8[np.ndarray, "H W 3"]) -> float:
    """Half the L1 distance of the colour histograms of two pictures (8x8x8 bins): 0 the same, 1 nothing in common."""
    one, other = (
        cv2.calcHist([picture], [0, 1, 2], None, [8, 8, 8], [0, 256] * 3).ravel() / (picture.size / 3)
        for picture in (first, second)
    )
    return float(np.abs(one - other).sum() / 2)


def shots(n_frames: int, cuts: Sequence[Cut]) -> list[tuple[int, int]]:
    """First frame and one past the last of each shot."""
    starts, ends = [0, *(cut.first for cut in cuts)], [*(cut.last + 1 for cut in cuts), n_frames]
    return list(zip(starts, ends, strict=True))


def _hard_cuts(shown: Sequence[int], links: LinkCounter) -> list[Cut]:
    """Cuts, fades, and dissolves that part neighbours; ``shown`` are the frames that show something."""
    neighbours = np.array([links.count(a, b) for a, b in pairwise(shown)])
    found, end = [], 0
    for p in range(1, len(neighbours) - 1):
        # Pair p is of frames shown[p] and shown[p + 1]; a side of one frame has no neighbours to compare with.
        if p < end or neighbours[p] >= SHARE * min(_before(neighbours, p), _after(neighbours, p + 1)):
            continue
        start, end = _dip(neighbours, p)
        usual = min(_before(neighbours, start), _after(neighbours, end))
        if usual < ENOUGH_LINKS:
            continue
        before, after = shown[max(0, start + 1 - REACH) : start + 1], shown[end : end + REACH]
        if any(links.count(a, b) >= SHARE * usual for a in reversed(before) for b in after):
            continue
        between = shown[start + 1 : end]
        if not _alike_when_soft(before[-2:], after[:2], links) and not _blurred(before[-1], between, after[0], links):
            last, first = shown[start], shown[end]
            found.append(Cut(last, first, _kind(last, between, first, links)))
    return found


def _before(neighbours: Int[np.ndarray, " P"], p: int) -> float:
    """Usual links of the pairs before pair p; 0 where there are none."""
    return float(np.median(neighbours[max(0, p - REACH) : p])) if p > 0 else 0.0


def _after(neighbours: Int[np.ndarray, " P"], p: int) -> float:
    """Usual links of the pairs from pair p on; 0 where there are none."""
    return float(np.median(neighbours[p : p + REACH])) if p < len(neighbours) else 0.0


def _dip(neighbours: Int[np.ndarray, " P"], p: int) -> tuple[int, int]:
    """First, and one past the last, of the pairs around p that have less than half the links of those outside."""
    start, end = p, p + 1
    while start > 1 and neighbours[start - 1] < DIP * _before(neighbours, start - 1):
        start -= 1
    while end < len(neighbours) - 1 and neighbours[end] < DIP * _after(neighbours, end + 1):
        end += 1
    return start, end


def _blurred(last: int, between: Sequence[int], first: int, links: LinkCounter) -> bool:
    """Whether frames between two others have much less detail for their contrast than both: a blend keeps its share."""
    sharp = []
    for i in (last, first, *between):
        grey = links.features(i).grey.astype(np.float32)
        sharp.append(float(cv2.Laplacian(grey, cv2.CV_32F).var()) / max(float(grey.var()), 1e-6))
    return bool(between) and min(sharp[2:]) < BLURRED * min(sharp[:2])


def _kind(last: int, between: Sequence[int], first: int, links: LinkCounter) -> str:
    """The kind of a cut; ``between`` are the frames on the way to the next that show something."""
    contrast = [float(links.features(i).grey.std()) for i in (last, first, *between)]
    if len(between) < first - last - 1 or min(contrast[2:], default=np.inf) < FADED * min(contrast[:2]):
        return "fade"
    return "dissolve" if between else "cut"


def _alike_when_soft(before: Sequence[int], after: Sequence[int], links: LinkCounter) -> bool:
    """Whether the frames on both sides of a suspected cut are linked once all are softened: blur sets in, or ends."""
    soft = {i: softened(links.features(i)) for i in (*before, *after)}
    usual = min(len(link(soft[pair[0]], soft[pair[-1]])) for pair in (before, after))
    return len(link(soft[before[-1]], soft[after[0]])) >= max(SOFT_LINKS, SOFT_SHARE * usual)


def _dissolves(first: int, end: int, links: LinkCounter) -> list[Cut]:
    """Dissolves within the frames first..end-1, between which there are no hard cuts."""
    usual = np.median([links.count(i, i + 1) for i in range(first, end - 1)] or [0])
    if usual < ENOUGH_LINKS:
        return []
    found: list[Cut] = []
    for lag in LAGS:
        blends = []
        for i in range(first, end - lag, max(1, lag // 6)):
            ends = (i, i + lag)
            known = any(cut.last < ends[1] and ends[0] < cut.first for cut in found)
            if not known and links.count(*ends) < min(CHANCE, SHARE / 2 * usual) and shows_two_scenes(links, *ends):
                blends.append(ends)
        found += _joined(blends)
    return found


def shows_two_scenes(links: LinkCounter, i: int, j: int) -> bool:
    """Whether a frame halfway between i and j is a blend of both: a sum of the two pictures, each warped to it."""
    half, aside = (i + j) // 2, (j - i) // 8
    earlier, later = links.features(i), links.features(j)
    return any(_is_blend(links.features(m), earlier, later) for m in {half - aside, half, half + aside})


def _is_blend(middle: Features, earlier: Features, later: Features) -> bool:
    placed = [_brought(side, middle) for side in (earlier, later)]
    if any(one is None for one in placed):
        return False
    to_earlier, to_later = (link(middle, side)[:, 0] for side in (earlier, later))
    if len(np.intersect1d(to_earlier, to_later)) > BLEND_SHARED:
        return False
    (first, inside), (second, within) = (one for one in placed if one is not None)
    both = inside & within
    if both.mean() < BLEND_AREA:
        return False
    values = np.stack([one[both] for one in (first, second, _detail(middle.grey))])
    correlations = np.asarray(np.corrcoef(values.astype(np.float64)))
    between, one, other = (float(correlations[pair]) for pair in ((0, 1), (0, 2), (1, 2)))
    # Variance explained by two regressors at once, from the three correlations.
    together = (one**2 + other**2 - 2 * one * other * between) / max(1 - between**2, 1e-9)
    return (
        min(one, other) >= BLEND_LIKENESS
        and between <= BLEND_UNLIKE * one * other
        and together - max(one, other) ** 2 >= BLEND_GAIN
    )


def _brought(side: Features, middle: Features) -> tuple[np.ndarray, np.ndarray] | None:
    """The detail of ``side``, warped to ``middle`` by an affine map, and the mask of the pixels that it covers."""
    pairs = link(middle, side)
    if len(pairs) < BLEND_LINKS:
        return None
    A, _ = cv2.estimateAffine2D(middle.positions[pairs[:, 0]], side.positions[pairs[:, 1]], ransacReprojThreshold=3.0)
    if A is None:
        return None
    height, width = middle.grey.shape
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    inside = cv2.warpAffine(np.ones(side.grey.shape, np.uint8), A, (width, height), flags=flags) > 0
    return cv2.warpAffine(_detail(side.grey), A, (width, height), flags=flags), inside


def _detail(grey: UInt8[np.ndarray, "h w"]) -> Float32[np.ndarray, "h w"]:
    """A picture without light and shade, and without detail finer than the error of the map, a few pixels."""
    values = grey.astype(np.float32)
    return cv2.GaussianBlur(values, (0, 0), 2.0) - cv2.GaussianBlur(values, (0, 0), 12.0)


def _joined(blends: Sequence[tuple[int, int]]) -> list[Cut]:
    """One dissolve for each group of overlapping spans: neither of its outer frames shows both scenes."""
    found: list[Cut] = []
    for last, first in blends:
        if found and last < found[-1].first:
            found[-1] = Cut(found[-1].last, first, "dissolve")
        else:
            found.append(Cut(last, first, "dissolve"))
    return found
