"""The focal length that pictures speak for: bundle adjustment of static pixels, once for each of several focal lengths.

Poses, flow and points can fit each other under a wrong focal length, but where the camera moves and turns something is
left: each focal length but the right one misses by more, whatever the poses. A camera that only moves sideways leaves
nothing, and any focal length will do. So poses and depths are fitted anew for each focal length of a grid, and the
misses are compared.

Notation. A track is a pixel x of its anchor frame i at inverse depth w there, seen at x' in other frames j. With focal
lengths s times the given ones and m = K^-1 x, view j sees it at pi(q), q = R m + w t, where [R|t] leads from view i to
view j. A camera changes by a turn omega and a shift tau in its own axes: X -> exp(omega) X + tau. Depths are eliminated
from the normal equations (Schur complement); steps are damped (Levenberg and Marquardt). The cost of a miss e is
sqrt(1 + e^2) - 1 at first and e^2 / (2 (1 + e^2)) in the end (Geman and McClure 1985), which what moves hardly changes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int
from scipy.spatial.transform import Rotation

from nsff.cameras import Cameras
from nsff.cameras.align import extent
from nsff.geometry.cross_product import cross_matrix
from nsff.geometry.epipolar import epipolar_curve
from nsff.geometry.robust_fit import fit_fundamental, line_distance
from nsff.imaging.scale import REFERENCE_ROWS

RATIOS = tuple(float(s) for s in np.exp(np.linspace(-1, 1, 13) * np.log(2.0)))
"""Focal lengths that are tried, over the given one: half to twice, in steps of 12 %."""
FIRST, EACH = 15, 12
"""Steps of the first fit, at the given focal length, and of each one after it."""
SOFT = 1.0
"""Misses that count as large, pixels at 288 rows."""
OFF_LINE, MOST_OFF = 0.5, 0.25
"""Pixels at 288 rows, times the root of the step, beyond which a sighting lies off the pair's epipolar line; share of
its sightings beyond which a track is left out."""
FEWEST = 100
"""Tracks that are needed."""


@dataclass(frozen=True)
class Tracks:
    """P pixels of anchor frames, and M times that flow finds one of them in another frame."""

    anchor: Int[np.ndarray, " P"]
    start: Float[np.ndarray, "P 2"]
    track: Int[np.ndarray, " M"]
    frame: Int[np.ndarray, " M"]
    at: Float[np.ndarray, "M 2"]


@dataclass(frozen=True)
class FocalFit:
    """The focal length that pictures speak for, and how much it explains."""

    ratio: float
    """The focal length of least cost over the given one."""
    miss: float
    """Median miss with it, pixels at 288 rows."""
    miss_given: float
    """Median miss with the given one, poses fitted to it."""


def focal_by_tracks(cameras: Cameras, tracks: Tracks) -> FocalFit | None:
    """The focal length that explains tracks best, from half to twice the given one; None where there are too few.

    Example: ``focal_by_tracks(cameras, tracks).ratio`` is near 1 where the focal length of ``cameras`` is right.
    """
    rows = cameras.height / REFERENCE_ROWS
    tracks = on_lines(tracks, rows)
    if len(tracks.anchor) < FEWEST:
        return None
    used = np.unique(np.r_[tracks.anchor, tracks.frame])
    cameras = replace(
        cameras, world_to_camera=cameras.world_to_camera[used], intrinsics=cameras.intrinsics[used],
        near_far=cameras.near_far[used],
    )  # fmt: skip
    tracks = replace(tracks, anchor=np.searchsorted(used, tracks.anchor), frame=np.searchsorted(used, tracks.frame))
    first = Adjustment(cameras, tracks, SOFT * rows)
    first.fit(1.0, FIRST)
    first.redescending = True
    costs, misses = {}, {}
    for upwards in (True, False):
        fit = first.copy()
        for s in sorted(RATIOS, reverse=not upwards):
            if s > 0.999 if upwards else s < 1.001:
                fit.fit(s, EACH)
                costs[s], misses[s] = fit.cost(s), float(np.median(np.linalg.norm(fit.misses(s), axis=1)))
    tried = np.array([costs[one] for one in RATIOS])
    best, given = RATIOS[int(np.argmin(tried))], min(RATIOS, key=lambda one: abs(one - 1))
    return FocalFit(_lowest(np.array(RATIOS), tried), misses[best] / rows, misses[given] / rows)


def on_lines(tracks: Tracks, rows: float) -> Tracks:
    """The tracks that follow the epipolar lines which most of a pair's sightings share: a fundamental matrix a pair, so
    that no focal length is asked. ``rows``: height of the pictures over 288."""
    i, off = tracks.anchor[tracks.track], np.zeros(len(tracks.track), bool)
    for a, j in sorted(set(zip(i.tolist(), tracks.frame.tolist(), strict=True))):
        mine = np.flatnonzero((i == a) & (tracks.frame == j))
        x, x_other = tracks.start[tracks.track[mine]], tracks.at[mine]
        limit = OFF_LINE * rows * np.sqrt(abs(j - a))
        F = fit_fundamental(x, x_other, limit) if len(mine) >= 20 else None
        if F is not None:
            off[mine] = line_distance(F, x, x_other) > limit
    seen = np.bincount(tracks.track, minlength=len(tracks.anchor))
    kept = np.bincount(tracks.track, off, minlength=len(tracks.anchor)) <= MOST_OFF * seen
    sightings = kept[tracks.track] & ~off
    number = np.cumsum(kept) - 1
    return Tracks(
        tracks.anchor[kept], tracks.start[kept], number[tracks.track[sightings]], tracks.frame[sightings],
        tracks.at[sightings],
    )  # fmt: skip


def _lowest(s: Float[np.ndarray, " S"], cost: Float[np.ndarray, " S"]) -> float:
    """Where a parabola through the least cost and its neighbours, over the logarithm of s, is lowest."""
    k = int(np.argmin(cost))
    if k in (0, len(s) - 1):
        return float(s[k])
    square, slope, _ = np.polyfit(np.log(s[k - 1 : k + 2]), cost[k - 1 : k + 2], 2)
    return float(np.exp(-slope / (2 * square))) if square > 0 else float(s[k])


class Adjustment:
    """Poses and inverse depths that are fitted to tracks; lengths are in units of the path's extent."""

    def __init__(self, cameras: Cameras, tracks: Tracks, soft: float) -> None:
        self.tracks, self.soft, self.redescending = tracks, soft, False
        self.K, size = cameras.intrinsics, extent(cameras.centres) or 1.0
        self.R, self.t = cameras.world_to_camera[:, :, :3].copy(), cameras.world_to_camera[:, :, 3] / size
        self.nearest = 10 * size / float(cameras.near_far[:, 0].min())
        self.w = np.clip(_inverse_depths(cameras, tracks) * size, 0, self.nearest)

    def copy(self) -> Adjustment:
        other = object.__new__(Adjustment)
        other.__dict__ |= self.__dict__
        other.R, other.t, other.w = self.R.copy(), self.t.copy(), self.w.copy()
        return other

    def misses(self, s: float) -> Float[np.ndarray, "M 2"]:
        """Pixels between where the fit shows each track and where flow finds it."""
        return self._sights(s)[0]

    def cost(self, s: float) -> float:
        """Sum of the costs of the misses at ``s`` times the given focal length."""
        square = (self.misses(s) ** 2).sum(1) / self.soft**2
        return float((square / (1 + square) / 2 if self.redescending else np.sqrt(1 + square) - 1).sum())

    def fit(self, s: float, steps: int) -> None:
        """At most ``steps`` damped steps, as long as the cost falls by a thousandth."""
        damping, cost = 1e-3, self.cost(s)
        for _ in range(steps):
            tried = self._stepped(s, damping)
            new = tried.cost(s)
            if new >= cost:
                damping *= 8
                continue
            self.R, self.t, self.w, damping = tried.R, tried.t, tried.w, max(damping / 5, 1e-7)
            if new > 0.999 * cost:
                return
            cost = new

    def _sights(self, s: float) -> tuple[np.ndarray, ...]:
        """Misses (M,2), derivatives of positions by q (M,2,3), m and q (M,3), R (M,3,3) and t (M,3)."""
        tracks = self.tracks
        i, j = tracks.anchor[tracks.track], tracks.frame
        f_i, f_j = (s * self.K[k][:, [0, 1], [0, 1]] for k in (i, j))
        m = np.concatenate([(tracks.start[tracks.track] - self.K[i, :2, 2]) / f_i, np.ones((len(i), 1))], axis=1)
        R = self.R[j] @ self.R[i].transpose(0, 2, 1)
        t = self.t[j] - np.einsum("mij,mj->mi", R, self.t[i])
        q = np.einsum("mij,mj->mi", R, m) + self.w[tracks.track, None] * t
        z = np.maximum(q[:, 2], 1e-3)
        shown = f_j * q[:, :2] / z[:, None]
        by_q = np.zeros((len(i), 2, 3))
        for k in range(2):
            by_q[:, k, k] = f_j[:, k] / z
            by_q[:, k, 2] = -shown[:, k] / z
        return shown + self.K[j, :2, 2] - tracks.at, by_q, m, q, R, t

    def _stepped(self, s: float, damping: float) -> Adjustment:
        tracks, n, points = self.tracks, len(self.R), len(self.w)
        miss, by_q, m, q, R, t = self._sights(s)
        square = (miss**2).sum(1) / self.soft**2
        weight = 1 / (1 + square) ** 2 if self.redescending else 1 / np.sqrt(1 + square)
        w = self.w[tracks.track][:, None, None]
        by_w = np.einsum("mij,mj->mi", by_q, t)
        sides = (
            (tracks.frame, np.concatenate([-by_q @ cross_matrix(q), w * by_q], axis=2)),
            (tracks.anchor[tracks.track], np.concatenate([by_q @ R @ cross_matrix(m), -w * (by_q @ R)], axis=2)),
        )
        H, g, E = np.zeros((n, n, 6, 6)), np.zeros((n, 6)), np.zeros((points, n, 6))
        for one, A in sides:
            weighted = weight[:, None, None] * A
            np.add.at(g, one, np.einsum("mka,mk->ma", weighted, miss))
            np.add.at(E, (tracks.track, one), np.einsum("mka,mk->ma", weighted, by_w))
            for two, B in sides:
                np.add.at(H, (one, two), np.einsum("mka,mkb->mab", weighted, B))
        h = np.bincount(tracks.track, weight * (by_w**2).sum(1), points) * (1 + damping) + 1e-9
        e = np.bincount(tracks.track, weight * (by_w * miss).sum(1), points)
        H_flat, E_flat = H.transpose(0, 2, 1, 3).reshape(6 * n, 6 * n), E.reshape(points, 6 * n)
        # The small term keeps the world in its place, which nothing else does.
        H_flat = H_flat + np.diag(damping * np.diag(H_flat) + 1e-6)
        shared = (E_flat / h[:, None]).T
        change = np.linalg.solve(H_flat - shared @ E_flat, shared @ e - g.ravel())
        turn, shift = np.split(change.reshape(n, 6), 2, axis=1)
        other, dR = self.copy(), Rotation.from_rotvec(turn).as_matrix()
        other.R, other.t = dR @ self.R, np.einsum("nij,nj->ni", dR, self.t) + shift
        other.w = np.clip(self.w - (e + E_flat @ change) / h, 0, self.nearest)
        return other


def _inverse_depths(cameras: Cameras, tracks: Tracks) -> Float[np.ndarray, " P"]:
    """By least squares over all sightings of a track, weighted by their parallax."""
    top, bottom = np.zeros(len(tracks.anchor)), np.full(len(tracks.anchor), 1e-12)
    i = tracks.anchor[tracks.track]
    for a_frame, j in sorted(set(zip(i.tolist(), tracks.frame.tolist(), strict=True))):
        mine = (i == a_frame) & (tracks.frame == j)
        a, b = epipolar_curve(cameras, a_frame, j, tracks.start[tracks.track[mine]])
        depth = np.maximum(np.abs(a[:, 2:]), 1e-9)
        slope, right = (b[:2] - tracks.at[mine] * b[2]) / depth, (tracks.at[mine] * a[:, 2:] - a[:, :2]) / depth
        np.add.at(top, tracks.track[mine], (slope * right).sum(1))
        np.add.at(bottom, tracks.track[mine], (slope**2).sum(1))
    return top / bottom
