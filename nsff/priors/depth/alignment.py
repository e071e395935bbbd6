"""Scale and shift that bring relative disparity into the scene's units: a robust fit per frame, smoothed over time.

Notation. d (K,) is relative disparity at K anchors of a frame, w (K,) their inverse depth in 1/scene units; the aligned
disparity is a d + b with a > 0. Anchors are static: pixels on the motion mask and next to it never count. Errors are
those of depth, |w / (a d + b) - 1|; the fit minimises them to first order, |(a d + b) / w - 1|.

The shift is there where it halves the error, and 0 else. A network that misreads what is still, such as a slanted wall,
gets a large shift and a small scale for little, which press things that stand before all anchors, as moving ones do,
against what is behind them.

Sources: Ranftl et al. 2020 (scale and shift in inverse depth); Kopf et al. 2021 (Robust Consistent Video Depth: scales
alone, which vary over the picture); Torr, Zisserman 2000 (capped residuals); Huber 1964.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy import ndimage

from nsff.imaging.medians import weighted_median

Fit = tuple[float, float] | None
"""Scale and shift of a frame."""
HYPOTHESES = 400
"""Pairs of anchors tried: with half of the anchors wrong, a quarter of the pairs is still right."""
CAP = 0.3
"""Relative residuals beyond this are outliers, whose size says nothing."""
HUBER = 0.02
"""Relative residuals beyond this count linearly."""
SHIFT_PAYS = 0.5
"""A clip's maps get shifts where these leave less than this share of the error without."""
TRIM = 2.5
"""Anchors with residuals beyond this many (robust) standard deviations do not count in the final least squares."""


@dataclass(frozen=True)
class Anchors:
    """Pixels of one frame whose inverse depth is known."""

    disparity: Float[np.ndarray, " K"]
    """Disparity as the maps have it, before alignment."""
    inverse_depth: Float[np.ndarray, " K"]
    """> 0, 1/scene units."""
    weight: Float[np.ndarray, " K"]
    """> 0."""
    source: str = "points"
    """points: of structure from motion; triangulation: along flow."""
    at: Float[np.ndarray, "K 2"] | None = None
    """Their positions in the picture, (u, v) in pixels; None: not known, and not corrected locally."""

    def __len__(self) -> int:
        return len(self.disparity)

    @staticmethod
    def nowhere() -> Anchors:
        nothing = np.zeros(0)
        return Anchors(nothing, nothing, nothing, "none")


@dataclass(frozen=True)
class Alignment:
    """Scale and shift of N frames, and how well they fit."""

    scale: Float[np.ndarray, " N"]
    shift: Float[np.ndarray, " N"]
    """1/scene units."""
    fitted: Sequence[bool]
    """False where a frame takes after its neighbours in time."""
    error: Float[np.ndarray, " N"]
    """Median relative error of depth at the frame's anchors after alignment; NaN where there are none."""
    error_before: float
    """Median relative error of depth over all anchors, with one scale for the whole clip and no shift."""
    error_after: float
    """Median relative error of depth over all anchors after alignment."""
    misfit: float
    """Mean capped error of scales and shifts alone: unlike the median it sees what only a part of the anchors tells."""

    @property
    def shifted(self) -> bool:
        return bool(self.shift.any())


def fit_scale(
    disparity: Float[np.ndarray, " K"],
    inverse_depth: Float[np.ndarray, " K"],
    weight: Float[np.ndarray, " K"],
) -> Fit:
    """a with a d ~ w, the weighted median of w / d, and a shift of 0; None where d is positive nowhere."""
    positive = disparity > 0
    if not positive.any():
        return None
    return float(weighted_median(inverse_depth[positive] / disparity[positive], weight[positive])), 0.0


def fit_affine(
    disparity: Float[np.ndarray, " K"],
    inverse_depth: Float[np.ndarray, " K"],
    weight: Float[np.ndarray, " K"] | None = None,
    seed: int = 0,
) -> Fit:
    """a and b with a d + b ~ w, robustly.

    Begins with the best of many pairs of anchors by the mean of capped residuals, goes on with Huber's weights, and
    ends with least squares over what lies within 2.5 robust standard deviations. Holds with 40 % of the anchors wrong.
    Where no line fits (a network that takes a slanted wall for an upright one) all anchors count, so that neighbouring
    frames get similar lines. Where d hardly varies nothing tells the shift from the scale, and b is 0.

    None where no positive scale fits, or fewer than two anchors are there.
    """
    d, w = np.asarray(disparity, float), np.asarray(inverse_depth, float)
    weight = np.ones_like(d) if weight is None else np.asarray(weight, float)
    if len(d) < 2:
        return None
    # Relative residuals; the farthest anchors, whose error is mostly that of the anchor itself, count less.
    reference = np.maximum(w, 0.2 * np.median(w))
    low, high = np.quantile(d, [0.02, 0.98])
    if high - low < 0.02 * abs(np.median(d)) or high == low:
        return fit_scale(d, w, weight)
    start = _best_pair(d, w, reference, weight, 0.1 * (high - low), np.random.default_rng(seed))
    if start is None:
        return None
    design, target = np.stack([d, np.ones_like(d)], axis=1) / reference[:, None], w / reference
    solution = _reweighted(design, target, weight, np.array(start), _capped_huber, 30)
    for _ in range(3):
        residual = np.abs(design @ solution - target)
        reach = TRIM * max(1.4826 * float(weighted_median(residual, weight)), 1e-6)
        solution = _reweighted(design, target, weight * (residual <= reach), solution, np.ones_like, 1)
    return (float(solution[0]), float(solution[1])) if solution[0] > 0 else None


def _capped_huber(residual: np.ndarray) -> np.ndarray:
    """Huber's weights, and none beyond the cap: wrong values of d would pull from any distance."""
    return (residual <= CAP) / np.maximum(residual / HUBER, 1)


def _reweighted(
    design: np.ndarray,
    target: np.ndarray,
    weight: np.ndarray,
    solution: np.ndarray,
    trust: Callable[[np.ndarray], np.ndarray],
    rounds: int,
) -> np.ndarray:
    """Least squares, each time with the weights that ``trust`` gives to the residuals before."""
    for _ in range(rounds):
        root = np.sqrt(weight * trust(np.abs(design @ solution - target)))
        found = np.linalg.lstsq(design * root[:, None], target * root, rcond=None)[0]
        done = np.allclose(found, solution, rtol=1e-8, atol=1e-14)
        solution = found
        if done:
            break
    return solution


def _best_pair(
    d: np.ndarray, w: np.ndarray, reference: np.ndarray, weight: np.ndarray, apart: float, random: np.random.Generator
) -> tuple[float, float] | None:
    """The line through two anchors that leaves the least capped residual; None where none has a positive scale."""
    first, second = random.choice(len(d), size=(2, HYPOTHESES), p=weight / weight.sum())
    usable = np.abs(d[first] - d[second]) > apart
    if not usable.any():
        return None
    first, second = first[usable], second[usable]
    scale = (w[first] - w[second]) / (d[first] - d[second])
    shift = w[first] - scale * d[first]
    scale, shift = scale[scale > 0], shift[scale > 0]
    if not len(scale):
        return None
    # A thousand anchors rank the hypotheses as well as all of them.
    some = random.choice(len(d), size=min(len(d), 1000), p=weight / weight.sum())
    residual = np.abs((scale[:, None] * d[some] + shift[:, None] - w[some]) / reference[some])
    best = int(np.minimum(residual, CAP).mean(axis=1).argmin())
    return float(scale[best]), float(shift[best])


def align(
    anchors: Sequence[Anchors], floor: Float[np.ndarray, " N"], min_points: int, median: int, sigma: float
) -> Alignment | None:
    """Scale of every frame, and shift where shifts pay; None where no frame could be fitted.

    ``floor`` is the least disparity that a frame may have after alignment, > 0; ``min_points`` anchors are needed for
    a fit of its own; ``median`` and ``sigma`` (frames) smooth log-scales and shifts over time.
    """
    enough = [(i, one) for i, one in enumerate(anchors) if len(one) >= min_points]
    affine = {i: fit_affine(one.disparity, one.inverse_depth, one.weight, seed=i) for i, one in enough}
    scales = {i: fit_scale(one.disparity, one.inverse_depth, one.weight) for i, one in enough}
    shifted, plain = (_over_time(anchors, floor, fits, median, sigma) for fits in (affine, scales))
    if shifted is None or plain is None:
        return shifted or plain
    return shifted if shifted.misfit < SHIFT_PAYS * plain.misfit else plain


def _over_time(
    anchors: Sequence[Anchors], floor: np.ndarray, fits: Mapping[int, Fit], median: int, sigma: float
) -> Alignment | None:
    """The fits of single frames, smoothed over time; None where there is none.

    Smoothing helps frames whose anchors say little. Where a network's scale really jumps between frames it would spoil
    a good fit: a frame keeps its own where that is good (5 %) and smoothing would add more than a quarter and 1 %, and
    where smoothing would double its error.
    """
    own = [fits.get(i) for i in range(len(anchors))]
    known = np.array([found is not None for found in own])
    if not known.any():
        return None
    values = np.array([found if found is not None else (np.nan, np.nan) for found in own], float)
    scale = np.exp(smooth(np.log(values[:, 0]), median, sigma))
    shift = smooth(values[:, 1], median, sigma)
    for i in np.flatnonzero(known).tolist():
        alone = _median_error(anchors[i], values[i, 0], values[i, 1], floor[i])
        smoothed = _median_error(anchors[i], scale[i], shift[i], floor[i])
        if (alone < 0.05 and smoothed > 1.25 * alone + 0.01) or smoothed > 2 * alone + 0.01:
            scale[i], shift[i] = values[i]
    errors = [depth_errors(one, scale[i], shift[i], floor[i]) for i, one in enumerate(anchors)]
    common = common_scale(anchors)
    before = [depth_errors(one, common, 0.0, floor[i]) for i, one in enumerate(anchors)]
    return Alignment(
        scale,
        shift,
        [bool(one) for one in known],
        np.array([np.median(one) if len(one) else np.nan for one in errors]),
        float(np.median(np.concatenate(before))),
        float(np.median(np.concatenate(errors))),
        float(np.minimum(np.concatenate(errors), CAP).mean()),
    )


def smooth(values: Float[np.ndarray, " N"], median: int, sigma: float) -> Float[np.ndarray, " N"]:
    """Values over time, gaps (NaN) filled between their neighbours, through a median and a Gaussian (frames)."""
    known = np.flatnonzero(np.isfinite(values))
    result = np.interp(np.arange(len(values)), known, values[known])
    if median > 1:
        result = ndimage.median_filter(result, size=median, mode="nearest")
    return ndimage.gaussian_filter1d(result, sigma, mode="nearest") if sigma > 0 else result


def common_scale(anchors: Sequence[Anchors]) -> float:
    """Median over all anchors of w / d: the one scale that suits the whole clip. 1 where d is positive nowhere."""
    ratios = [one.inverse_depth[one.disparity > 0] / one.disparity[one.disparity > 0] for one in anchors]
    every = np.concatenate(ratios)
    return float(np.median(every)) if len(every) else 1.0


def depth_errors(anchors: Anchors, scale: float, shift: float, floor: float) -> Float[np.ndarray, " K"]:
    """|w / max(a d + b, floor) - 1| of every anchor."""
    aligned = np.maximum(scale * anchors.disparity + shift, floor)
    return np.abs(anchors.inverse_depth / aligned - 1)


def _median_error(anchors: Anchors, scale: float, shift: float, floor: float) -> float:
    return float(np.median(depth_errors(anchors, scale, shift, floor)))
