"""Robust fits of two-view geometry to matches, and the choice between a homography and a fundamental matrix.

Notation. Matches are positions x (P,2) in the first view and x' in the second, pixels. Fits are by MAGSAC++ (Barath et
al. 2020) as in OpenCV, seeded. The choice is by GRIC (Torr, An assessment of information criteria for motion model
selection, 1997; Bayesian model estimation and selection for epipolar geometry, 1999):

    GRIC = sum_i min(e_i^2 / sigma^2, 2 (r - d)) + d P ln r + k ln(r P)

r = 4 coordinates a match; a homography leaves d = 2 of them free and has k = 8 parameters, a fundamental matrix d = 3
and k = 7. The model with the smaller value is taken.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from jaxtyping import Float, Float64

FREE = {"homography": 2, "fundamental": 3}
PARAMETERS = {"homography": 8, "fundamental": 7}
COORDINATES = 4
POLISHED = 2
"""Fits by least squares to what lies within the threshold, after the robust one, which gives some weight to all."""


def fit_homography(
    first: Float[np.ndarray, "P 2"], second: Float[np.ndarray, "P 2"], threshold: float, seed: int = 0
) -> Float64[np.ndarray, "3 3"] | None:
    """The homography that takes most of ``first`` to within about ``threshold`` pixels of ``second``; None for none."""
    M = _model(cv2.findHomography, first, second, threshold, seed)
    if M is None:
        return None
    for _ in range(POLISHED):
        near = transfer_distance(M, first, second) < threshold
        better = cv2.findHomography(first[near], second[near], 0)[0] if near.sum() >= 8 else None
        M = M if better is None else better
    return M


def fit_fundamental(
    first: Float[np.ndarray, "P 2"], second: Float[np.ndarray, "P 2"], threshold: float, seed: int = 0
) -> Float64[np.ndarray, "3 3"] | None:
    """F (second^T F first = 0) with most matches within about ``threshold`` pixels of their lines; None for none."""
    F = _model(cv2.findFundamentalMat, first, second, threshold, seed)
    if F is None:
        return None
    for _ in range(POLISHED):
        near = line_distance(F, first, second) < threshold
        better = cv2.findFundamentalMat(first[near], second[near], cv2.FM_8POINT)[0] if near.sum() >= 16 else None
        F = F if better is None or better.shape != (3, 3) else better
    return F


def transfer_distance(
    M: Float[np.ndarray, "3 3"], x: Float[np.ndarray, "*P 2"], x_other: Float[np.ndarray, "*P 2"]
) -> Float64[np.ndarray, "*P"]:
    """Pixels between x' and the image of x by the homography M."""
    there = x @ M[:, :2].T + M[:, 2]
    return np.linalg.norm(there[..., :2] / there[..., 2:] - x_other, axis=-1)


def line_distance(
    F: Float[np.ndarray, "3 3"], x: Float[np.ndarray, "*P 2"], x_other: Float[np.ndarray, "*P 2"]
) -> Float64[np.ndarray, "*P"]:
    """Pixels between x' and the line F x in the second view."""
    line = x @ F[:, :2].T + F[:, 2]
    value = (line[..., :2] * x_other).sum(-1) + line[..., 2]
    return np.abs(value) / (np.hypot(line[..., 0], line[..., 1]) + 1e-12)


def gric(distance: Float[np.ndarray, " P"], kind: str, sigma: float) -> float:
    """GRIC of a model of ``kind`` whose matches lie ``distance`` pixels off it; ``sigma``: noise of flow, pixels.

    A homography that explains everything is cheaper than a fundamental matrix that does so too:

    >>> gric(np.zeros(100), "homography", 1.0) < gric(np.zeros(100), "fundamental", 1.0)
    True
    """
    d, count = FREE[kind], len(distance)
    cost = np.minimum((distance / sigma) ** 2, 2.0 * (COORDINATES - d)).sum()
    return float(cost + d * count * np.log(COORDINATES) + PARAMETERS[kind] * np.log(COORDINATES * max(count, 1)))


def _model(
    fit: Callable[..., tuple[np.ndarray | None, np.ndarray]],
    first: np.ndarray,
    second: np.ndarray,
    threshold: float,
    seed: int,
) -> Float64[np.ndarray, "3 3"] | None:
    parameters = cv2.UsacParams()
    parameters.threshold = threshold
    parameters.confidence = 0.9999
    parameters.maxIterations = 2000
    parameters.randomGeneratorState = seed
    parameters.score = cv2.SCORE_METHOD_MSAC
    parameters.sampler = cv2.SAMPLING_UNIFORM
    parameters.loMethod = cv2.LOCAL_OPTIM_INNER_LO
    try:
        model, _ = fit(first, second, parameters)
    except cv2.error:  # raised, instead of returning nothing, when no sample gives a model
        return None
    return model if model is not None and model.shape == (3, 3) and np.isfinite(model).all() else None
