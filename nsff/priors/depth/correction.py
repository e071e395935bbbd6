"""A smooth factor on aligned disparity, where a network misreads a part of a scene: a coarse grid of its logarithm.

Notation. w (K,) is the inverse depth of the anchors of one frame, p (K,) the aligned disparity there; the field g is
trilinear on a grid over column, row and log p, and exp(g) p follows w. The third axis lets the field differ between
what is near and what lies behind it at the same place. g minimises

    sum c rho((log(w / p) - g) / ANCHOR) + sum over neighbouring grid points of (dg / step)^2 + sum (g / FAR)^2,

so that it continues as a constant into what has no anchors, such as moving things, from what is near them in the
picture and in depth. Sources: bilateral grids, Chen et al. 2007; solved as one linear system, reweighted (Charbonnier).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32
from scipy import sparse
from scipy.sparse import linalg

from nsff.imaging.differences import difference_rows

GRID = (9, 6, 5)
"""Points along columns, rows and log disparity."""
ANCHOR, FAR = 0.02, 0.5
"""Standard deviations of log ratios: of an anchor, and of the field itself."""
STEP = 0.05
"""Standard deviation of the difference of neighbouring grid points along columns and rows."""
STEP_SHIFTED, STEP_SCALED = 0.01, 0.04
"""The same deviation along depth, for disparity that has a shift and for disparity that has a scale alone. Stiff with a
shift, which says already how far things of all depths are: things nearer than all anchors, as moving things often are,
get the factor of what is at the same place, not one that a few anchors would extrapolate."""
OUTLIER = 0.5
"""Log ratios that the field misses by more do not count."""
ROUNDS = 12
BLOCKS = 8
"""Rows of blocks of which every fifth is held out to measure the error."""


@dataclass(frozen=True)
class Correction:
    """The field of one frame."""

    grid: Float[np.ndarray, "X Y Z"]
    size: tuple[int, int]
    """Height and width of the picture."""
    bounds: tuple[float, float]
    """Log disparity at the ends of the third axis."""

    def __call__(self, at: Float[np.ndarray, "K 2"], disparity: Float[np.ndarray, " K"]) -> Float[np.ndarray, " K"]:
        """The factor at pixel positions (u, v) of aligned ``disparity`` > 0."""
        return np.exp(_weights(at, disparity, self.grid.shape, self.size, self.bounds) @ self.grid.ravel())

    def whole(self, disparity: Float[np.ndarray, "H W"]) -> Float32[np.ndarray, "H W"]:
        """The factor of every pixel."""
        v, u = np.mgrid[: self.size[0], : self.size[1]] + 0.5
        at = np.stack([u.ravel(), v.ravel()], axis=1)
        return self(at, disparity.ravel()).reshape(self.size).astype(np.float32)


def correct(
    at: Float[np.ndarray, "K 2"],
    aligned: Float[np.ndarray, " K"],
    inverse_depth: Float[np.ndarray, " K"],
    weight: Float[np.ndarray, " K"],
    size: tuple[int, int],
    step: float = STEP_SHIFTED,
) -> tuple[Correction, Float[np.ndarray, " J"]] | None:
    """The field of one frame and its relative errors of depth at anchors that were held out of a fit like it.

    ``at`` (u, v) in pixels, ``aligned`` > 0; ``step`` is the deviation between neighbours along depth. None where it
    does not better what it corrects at those anchors, or too few are there to tell.
    """
    out = held_out(at, size)
    if out.sum() < 4 or (~out).sum() < 8:
        return None
    low, high = np.log(np.quantile(aligned, [0.02, 0.98]))
    bounds = (float(low), float(max(high, low + 0.05)))
    ratio = np.log(inverse_depth / aligned)
    trial = Correction(_fit(at[~out], aligned[~out], ratio[~out], weight[~out], size, bounds, step), size, bounds)
    errors = np.abs(inverse_depth[out] / (aligned[out] * trial(at[out], aligned[out])) - 1)
    if np.median(errors) >= np.median(np.abs(np.exp(ratio[out]) - 1)):
        return None
    return Correction(_fit(at, aligned, ratio, weight, size, bounds, step), size, bounds), errors


def held_out(at: Float[np.ndarray, "K 2"], size: tuple[int, int]) -> Bool[np.ndarray, " K"]:
    """Whole blocks of the picture, every fifth: neighbours of an anchor would say little about the error between."""
    block = max(1, size[0] // BLOCKS)
    column, row = (at // block).astype(int).T
    return (column + 2 * row) % 5 == 0


def _fit(
    at: np.ndarray,
    aligned: np.ndarray,
    ratio: np.ndarray,
    weight: np.ndarray,
    size: tuple[int, int],
    bounds: tuple[float, float],
    step: float,
) -> np.ndarray:
    B = _weights(at, aligned, GRID, size, bounds)
    along = [(_differences(axis), deviation) for axis, deviation in enumerate((STEP, STEP, step))]
    stiff = sum(D.T @ D / deviation**2 for D, deviation in along)
    stiff = stiff + sparse.eye(B.shape[1]) / FAR**2
    g = np.zeros(B.shape[1])
    for _ in range(ROUNDS):
        miss = ratio - B @ g
        trust = weight / np.sqrt(1 + (miss / ANCHOR) ** 2) / ANCHOR**2
        # In the first round nothing is known yet to be an outlier.
        trust = np.where((np.abs(miss) < OUTLIER) | (not g.any()), trust, 0)
        g = linalg.spsolve((B.T @ B.multiply(trust[:, None]) + stiff).tocsc(), B.T @ (trust * ratio))
    return g.reshape(GRID)


def _weights(
    at: np.ndarray, disparity: np.ndarray, grid: tuple[int, ...], size: tuple[int, int], bounds: tuple[float, float]
) -> sparse.csr_matrix:
    """Trilinear weights (K, grid points); beyond the ends of an axis the last value holds."""
    low, high = bounds
    along = (np.log(disparity) - low) / (high - low)
    coordinates = (at[:, 0] / size[1], at[:, 1] / size[0], along)
    below, share = [], []
    for coordinate, count in zip(coordinates, grid, strict=True):
        scaled = np.clip(coordinate, 0, 1) * (count - 1)
        below.append(np.minimum(scaled.astype(int), count - 2))
        share.append(scaled - below[-1])
    columns, values = [], []
    for corner in np.ndindex(2, 2, 2):
        columns.append(np.ravel_multi_index([b + c for b, c in zip(below, corner, strict=True)], grid))
        values.append(np.prod([s if c else 1 - s for s, c in zip(share, corner, strict=True)], axis=0))
    rows = np.tile(np.arange(len(at)), 8)
    shape = (len(at), int(np.prod(grid)))
    return sparse.csr_matrix((np.concatenate(values), (rows, np.concatenate(columns))), shape=shape)


def _differences(axis: int) -> sparse.csr_matrix:
    """One row for each pair of neighbours along an axis of the grid."""
    index = np.moveaxis(np.arange(np.prod(GRID)).reshape(GRID), axis, 0)
    return difference_rows(index[:-1].ravel(), index[1:].ravel(), index.size)
