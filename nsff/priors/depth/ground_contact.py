"""Depth of moving things, which triangulation cannot see: what moves stands on the static floor below it.

Notation. Disparity is 1/z in 1/scene units. A component is a connected part of a motion mask, a tracklet a chain of
components that flow carries into each other (nsff.tracking.tracklets). Each component gets one disparity
(fronto-parallel): that of the floor where its lower boundary touches it, smoothed over the frames of its tracklet.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float

from nsff.imaging.medians import weighted_median
from nsff.imaging.morphology import morphology
from nsff.imaging.scale import REFERENCE_ROWS


@dataclass(frozen=True)
class Contact:
    """The disparity of one component, and how well it is known."""

    disparity: float
    """0 where nothing was found."""
    weight: float
    """1: it touches a floor; 0.5: what is below it is no floor; 0.3: only its surroundings are known; 0: nothing."""


def ground_contact(
    part: Bool[np.ndarray, "H W"],
    moving: Bool[np.ndarray, "H W"],
    disparity: Float[np.ndarray, "H W"],
    confidence: Float[np.ndarray, "H W"],
) -> Contact:
    """Disparity of the floor where ``part`` stands on it.

    ``moving`` is the whole motion mask; ``disparity`` and ``confidence`` are those of the static pixels. A plane is
    fitted robustly to the static pixels around the lowest part of the lower boundary, and read where the boundary
    touches it: reading the pixels below as they are would place the part too near.
    """
    height = part.shape[0]
    rows = height / REFERENCE_ROWS
    v, u = np.nonzero(part)
    tall, bottom = v.max() - v.min() + 1, v.max()
    reach = max(4, round(14 * rows))
    known = ~morphology(moving, cv2.MORPH_DILATE, max(1, round(2 * rows))) & (confidence > 0.1)
    if bottom < height - max(2, round(3 * rows)):
        # The lowest tenth is what touches the floor: a lifted foot or a coat does not.
        sole = v >= bottom - max(1, round(0.06 * tall))
        left, right = u[sole].min(), u[sole].max()
        window = np.zeros_like(known)
        window[max(0, bottom - reach // 2) : bottom + reach, max(0, left - reach) : right + reach + 1] = True
        window &= known
        if window.sum() >= 12:
            value, slope = _plane(window, disparity, confidence, float(np.median(u[sole])), float(bottom))
            # A floor grows nearer downwards, from a horizon that lies less than two heights above.
            floor = slope * 2 * height > value
            return Contact(value, 1.0 if floor else 0.5)
    # It leaves the picture below, or nothing is known there: it is at least as near as what is beside its lower part.
    ring = morphology(part, cv2.MORPH_DILATE, reach) & known
    ring[: int(v.min() + 0.6 * tall)] = False
    if ring.sum() < 12:
        return Contact(0.0, 0.0)
    return Contact(float(np.quantile(disparity[ring], 0.9)), 0.3)


def _plane(
    window: Bool[np.ndarray, "H W"],
    disparity: Float[np.ndarray, "H W"],
    confidence: Float[np.ndarray, "H W"],
    column: float,
    row: float,
) -> tuple[float, float]:
    """Value at (column, row) and slope per row of the plane fitted to a window by reweighted least absolute errors."""
    v, u = np.nonzero(window)
    d, weight = disparity[window].astype(np.float64), confidence[window].astype(np.float64)
    scale = float(np.maximum(np.maximum(np.ptp(u), np.ptp(v)), 1))
    design = np.stack([(u - column) / scale, (v - row) / scale, np.ones(len(u))], axis=1)
    # A little stiffness, so that a window of a few rows does not tip over.
    stiff = 1e-3 * np.diag([1.0, 1.0, 0.0]) * weight.sum()
    residual_weight = np.ones_like(d)
    solution = np.array([0.0, 0.0, np.median(d)])
    for _ in range(10):
        total = weight * residual_weight
        solution = np.linalg.solve(design.T @ (total[:, None] * design) + stiff, design.T @ (total * d))
        residual_weight = 1 / np.maximum(np.abs(design @ solution - d), 0.005 * np.median(d))
        residual_weight /= residual_weight.max()
    return float(np.clip(solution[2], d.min(), d.max())), float(solution[1] / scale)


def smooth_contacts(
    contacts: Sequence[dict[int, Contact]], tracklets: Sequence[dict[int, int]], sigma: float = 2.0
) -> list[dict[int, Contact]]:
    """Contacts whose disparity is smoothed over the frames of each tracklet: a weighted median, then a Gaussian mean.

    ``sigma`` in frames. A component without a contact of its own takes that of its tracklet nearby in time.
    """
    result: list[dict[int, Contact]] = [{} for _ in contacts]
    every = sorted({identity for frame in tracklets for identity in frame.values()})
    for identity in every:
        where = [(i, part) for i, frame in enumerate(tracklets) for part, number in frame.items() if number == identity]
        times = np.array([i for i, _ in where], float)
        values = np.array([contacts[i][part].disparity for i, part in where])
        weights = np.array([contacts[i][part].weight for i, part in where])
        near = [weights * (np.abs(times - t) <= 2 * sigma) for t in times]
        middle = np.array([float(weighted_median(values, w)) if w.sum() > 0 else 0.0 for w in near])
        known = (middle > 0).astype(float)
        for (i, part), t in zip(where, times, strict=True):
            kernel = known * np.exp(-0.5 * ((times - t) / sigma) ** 2)
            value = float((kernel * middle).sum() / kernel.sum()) if kernel.sum() > 1e-12 else 0.0
            result[i][part] = Contact(value, max(contacts[i][part].weight, 0.2 if value > 0 else 0.0))
    return result
