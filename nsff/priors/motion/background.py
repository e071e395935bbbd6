"""The motion of the background between two frames: one two-view geometry, which nothing that moves has shaped.

A fundamental matrix that is fitted to all flow bends so that a mover lies on its lines, too: where little else has
parallax, the homography of the background and an epipole in the direction in which the mover goes explain both. So the
parts of the picture off the dominant homography are taken one by one, and each is judged by what the others say: a
fundamental matrix is fitted without it, and where nothing else asks for one, the homography judges. What lies on its
epipolar line moves still, if it is much nearer, or farther, than anything else would be (plane and parallax: Irani and
Anandan 1996). More votes have pixels near the border of the picture, where a mover seldom is.

Notation. Matches are pixels x (P,2) on a grid of the first frame, and x' = x + flow. Distances are pixels. Regions
number the matches off the homography by connected parts with a homography of their own: 0 is none.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import cv2
import numpy as np
from jaxtyping import Bool, Float, Float32, Float64, Int

from nsff.geometry.epipolar import pixel_centres
from nsff.geometry.robust_fit import (
    fit_fundamental,
    fit_homography,
    gric,
    line_distance,
    transfer_distance,
)

GRID_POINTS = 4000
FITTED = 1200
"""Most matches of a fit."""
LEAST_POINTS = 50
"""Fewer matches say nothing about a pair."""
EXPLAINED = 0.35
"""Fits that explain less of the flow than this say nothing about motion."""
SIGMA = 0.25
"""Noise of flow, pixels, in the choice of a model."""
NORMAL = 1.4826
"""Standard deviation over median of the size of a normal error."""
MARGIN = 1.0
"""Things that are nearer than all others, or farther, by more than this times the range of the others, move."""
REGIONS, LEAST_REGION = 4, 0.01
"""Most regions that are taken out by turns, and their least share of the matches."""
LIKE = 2.0
"""Thresholds within which matches share the homography of a region: surfaces of a thing are not quite flat."""
RIM = 3
"""Cells of the grid of matches around a region that belong to it where they are off the homography."""
PARALLAX = 0.04
"""A fundamental matrix is asked for where the homography misses this share of what it explains."""
AROUND, THIN = 0.06, 0.05
"""A region that takes a larger share than this of the matches at the rim of the picture (its width, as a share of the
height) belongs to the background, whatever its parallax."""
BORDER, INNER_WEIGHT = 0.2, 0.25
"""Width of the border, as a share of the height, and the weight of pixels inside it."""


@dataclass(frozen=True)
class Geometry:
    """The background's motion between two frames."""

    kind: Literal["homography", "fundamental", "none"]
    matrix: Float64[np.ndarray, "3 3"]
    plane: Float64[np.ndarray, "3 3"] | None = None
    """fundamental: the dominant homography M, against which nearness is told."""
    nearness: tuple[float, float] = (-np.inf, np.inf)
    """fundamental: the range of k that static things have, where x' ~ M x + k e' with the second view's epipole e'."""
    noise: float = 0.0
    """Standard deviation, pixels, of the distances of what stands still."""

    def distance(self, x: Float[np.ndarray, "*P 2"], x_other: Float[np.ndarray, "*P 2"]) -> Float64[np.ndarray, "*P"]:
        """Pixels by which matches break it; 0 everywhere for none."""
        if self.kind == "none":
            return np.zeros(x.shape[:-1])
        if self.kind == "homography":
            return transfer_distance(self.matrix, x, x_other)
        across = line_distance(self.matrix, x, x_other)
        return across if self.plane is None else np.hypot(across, self._too_near(x, x_other))

    def k(self, x: Float[np.ndarray, "*P 2"], x_other: Float[np.ndarray, "*P 2"]) -> Float64[np.ndarray, "*P"]:
        """k of matches, by least squares: nearness against the plane, of unknown scale and sign."""
        assert self.plane is not None
        base, epipole = _homogeneous(x) @ self.plane.T, self._epipole()
        # x' x (M x + k e') = 0
        to_base, to_epipole = np.cross(_homogeneous(x_other), base), np.cross(_homogeneous(x_other), epipole)
        return -(to_base * to_epipole).sum(-1) / np.maximum((to_epipole**2).sum(-1), 1e-30)

    def _too_near(self, x: np.ndarray, x_other: np.ndarray) -> Float64[np.ndarray, "*P"]:
        """Pixels along the epipolar line between where k and the nearest allowed k lead."""
        assert self.plane is not None
        base, epipole = _homogeneous(x) @ self.plane.T, self._epipole()
        k = self.k(x, x_other)
        there, allowed = (base + value[..., None] * epipole for value in (k, np.clip(k, *self.nearness)))
        return np.linalg.norm(_pixels(there) - _pixels(allowed), axis=-1)

    def _epipole(self) -> Float64[np.ndarray, " 3"]:
        """e' with e'^T F = 0, of unit length, so that its sign is the same for one F."""
        return np.linalg.svd(self.matrix.T)[2][-1]


NONE = Geometry("none", np.zeros((3, 3)))


def background(
    flow: Float32[np.ndarray, "H W 2"],
    mask: Bool[np.ndarray, "H W"],
    threshold: float,
    seed: int,
    likely: Bool[np.ndarray, "H W"] | None = None,
) -> Geometry:
    """The motion of the background of a pair of frames by its flow, consistent where ``mask``.

    ``likely`` is True where the background is thought to be: nothing else is fitted to, if that leaves enough.
    """
    x, x_other, at = grid_matches(flow, mask)
    if len(x) < LEAST_POINTS:
        return NONE
    votes = border_weights(*mask.shape)[at]
    if likely is not None and (known := likely[at]).sum() >= max(LEAST_POINTS, 0.1 * len(x)):
        votes = votes * known
    M, F = (_fitted(kind, x, x_other, votes, threshold, seed) for kind in ("homography", "fundamental"))
    if M.kind == "none":
        return NONE
    kept = votes
    if F.kind != "none" and needs_fundamental(M, F, x, x_other, votes, threshold):
        regions = parallax_regions(M, x, x_other, at, mask.shape, threshold, seed)
        rim = at_rim(at, mask.shape)
        for region in range(1, regions.max(initial=0) + 1):
            inside = regions == region
            if inside[rim].sum() > AROUND * rim.sum():
                continue  # ground or a wall, not a mover
            others = kept * ~inside
            if others.sum() < EXPLAINED * votes.sum() or others.sum() == kept.sum():
                continue
            without = _fitted("fundamental", x, x_other, others, threshold, seed)
            if without.kind == "none" or not needs_fundamental(M, without, x, x_other, others, threshold):
                kept = others
                continue
            without = limited(without, M, x, x_other, others, threshold)
            if np.median(without.distance(x[inside], x_other[inside])) > threshold:
                kept = others
        F = _fitted("fundamental", x, x_other, kept, threshold, seed)
    if F.kind == "none" or not needs_fundamental(M, F, x, x_other, kept, threshold):
        F = M
    else:
        F = limited(F, M, x, x_other, kept, threshold)
    near = F.distance(x, x_other) < threshold
    if (votes * near).sum() < EXPLAINED * votes.sum():
        return NONE
    own = F.distance(x, x_other)[near & (kept > 0)]
    return replace(F, noise=float(NORMAL * np.median(own)) if len(own) else 0.0)


def limited(
    F: Geometry,
    M: Geometry,
    x: Float[np.ndarray, "P 2"],
    x_other: Float[np.ndarray, "P 2"],
    votes: Float[np.ndarray, " P"],
    threshold: float,
) -> Geometry:
    """F with the range of nearness that the matches with votes have, widened by MARGIN times itself on both sides."""
    found = replace(F, plane=M.matrix)
    on = (votes > 0) & (line_distance(F.matrix, x, x_other) < threshold)
    if on.sum() < LEAST_POINTS:
        return found
    low, high = np.percentile(found.k(x[on], x_other[on]), [5, 95])
    return replace(found, nearness=(low - MARGIN * (high - low), high + MARGIN * (high - low)))


def needs_fundamental(
    M: Geometry,
    F: Geometry,
    x: Float[np.ndarray, "P 2"],
    x_other: Float[np.ndarray, "P 2"],
    votes: Float[np.ndarray, " P"],
    threshold: float,
) -> bool:
    """Whether the matches that have votes show parallax: by GRIC, or since the homography misses the share
    PARALLAX of what F explains."""
    on = votes > 0
    to_plane, to_lines = M.distance(x[on], x_other[on]), F.distance(x[on], x_other[on])
    if gric(to_lines, "fundamental", SIGMA) < gric(to_plane, "homography", SIGMA):
        return True
    on_lines = to_lines < threshold
    return bool((to_plane[on_lines] >= threshold).mean() > PARALLAX) if on_lines.any() else False


def parallax_regions(
    M: Geometry,
    x: Float[np.ndarray, "P 2"],
    x_other: Float[np.ndarray, "P 2"],
    at: tuple[Int[np.ndarray, " P"], Int[np.ndarray, " P"]],
    size: tuple[int, ...],
    threshold: float,
    seed: int = 0,
) -> Int[np.ndarray, " P"]:
    """The matches off the homography that share one of their own, and what they touch; at most REGIONS, others 0."""
    step = max(1, int(np.sqrt(size[0] * size[1] / GRID_POINTS)))
    cell = at[0] // step, at[1] // step
    left = M.distance(x, x_other) >= threshold
    numbers = np.zeros(len(x), int)
    for number in range(1, REGIONS + 1):
        least = max(LEAST_POINTS // 2, LEAST_REGION * len(x))
        if left.sum() < least:
            break
        own = _fitted("homography", x, x_other, left.astype(float), threshold, seed)
        if own.kind == "none":
            break
        like = left & (own.distance(x, x_other) < LIKE * threshold)
        cells = np.zeros((size[0] // step + 1, size[1] // step + 1), np.uint8)
        cells[cell] = like
        _, labels, statistics, _ = cv2.connectedComponentsWithStats(cells, connectivity=8)
        statistics[0] = 0
        largest = int(statistics[:, cv2.CC_STAT_AREA].argmax())
        left = left & ~like
        if statistics[largest, cv2.CC_STAT_AREA] >= least:
            # Flow at the rim of a thing is a mixture of both sides, and belongs to neither.
            part = cv2.dilate((labels == largest).astype(np.uint8), np.ones((2 * RIM + 1, 2 * RIM + 1), np.uint8))
            off = part[cell].astype(bool) & (numbers == 0) & (M.distance(x, x_other) >= threshold)
            numbers[like | off] = number
    return numbers


def grid_matches(
    flow: Float32[np.ndarray, "H W 2"], mask: Bool[np.ndarray, "H W"]
) -> tuple[Float64[np.ndarray, "P 2"], Float64[np.ndarray, "P 2"], tuple[Int[np.ndarray, " P"], Int[np.ndarray, " P"]]]:
    """About GRID_POINTS pixels with consistent flow, the positions to which it takes them, and their rows and
    columns."""
    height, width = mask.shape
    step = max(1, int(np.sqrt(height * width / GRID_POINTS)))
    chosen = np.zeros_like(mask)
    chosen[step // 2 :: step, step // 2 :: step] = True
    at = np.nonzero(chosen & mask)
    x = pixel_centres(height, width)[at]
    return x, x + flow[at], (at[0], at[1])


def at_rim(at: tuple[Int[np.ndarray, " P"], Int[np.ndarray, " P"]], size: tuple[int, ...]) -> Bool[np.ndarray, " P"]:
    """Whether matches lie next to one of the four sides of the picture."""
    row, column = at
    thick = THIN * size[0]
    return (row < thick) | (row >= size[0] - thick) | (column < thick) | (column >= size[1] - thick)


def border_weights(height: int, width: int) -> Float64[np.ndarray, "H W"]:
    """1 near the left, right and upper border of a picture, INNER_WEIGHT elsewhere."""
    thick = round(BORDER * height)
    weights = np.full((height, width), INNER_WEIGHT)
    weights[:thick] = weights[:, :thick] = weights[:, width - thick :] = 1.0
    return weights


def _fitted(
    kind: Literal["homography", "fundamental"],
    x: Float[np.ndarray, "P 2"],
    x_other: Float[np.ndarray, "P 2"],
    votes: Float[np.ndarray, " P"],
    threshold: float,
    seed: int,
) -> Geometry:
    """A fit to FITTED matches that are drawn by their votes; a tight threshold keeps slow movers from being inliers."""
    generator = np.random.default_rng(seed)
    count = min(FITTED, int((votes > 0).sum()))
    if count < LEAST_POINTS // 2:
        return NONE
    chosen = generator.choice(len(x), count, replace=False, p=votes / votes.sum())
    fit = fit_homography if kind == "homography" else fit_fundamental
    matrix = fit(x[chosen], x_other[chosen], threshold / 2, seed)
    return NONE if matrix is None else Geometry(kind, matrix)


def _homogeneous(x: Float[np.ndarray, "*P 2"]) -> Float64[np.ndarray, "*P 3"]:
    return np.concatenate([x, np.ones((*x.shape[:-1], 1))], axis=-1)


def _pixels(at: Float[np.ndarray, "*P 3"]) -> Float64[np.ndarray, "*P 2"]:
    w = at[..., 2:]
    return at[..., :2] / np.where(np.abs(w) < 1e-9, 1e-9, w)
