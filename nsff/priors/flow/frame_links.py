"""Links between two frames: features matched and verified by two-view geometry, at a small size.

Notation. Features are SIFT (Lowe 2004) at ROWS rows, compared as RootSIFT (Arandjelović and Zisserman 2012). A link is
the list of pairs of features of two frames that are each other's nearest, pass the ratio test and agree with one
fundamental matrix. Measured between neighbours of ten clips: 76 links and more (blurred pans at half the frame rate
included), 210 and more in nine of them; between frames of different clips: 16 at most, mostly below 8.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from jaxtyping import Bool, Float32, Int, UInt8

ROWS = 270
MOST_FEATURES = 800
RATIO = 0.8
"""The nearest descriptor must be nearer than this times the second nearest."""
EPIPOLAR = 1.5
"""Pixels at ROWS rows between a verified feature and its epipolar line."""
SOFT = 7.0
"""Standard deviation, pixels at ROWS rows, of the blur of softened frames, beside which motion blur over a tenth of the
width makes no difference."""
FEWEST = 8
"""A fundamental matrix takes so many matches."""


@dataclass(frozen=True)
class Features:
    """Features of one frame; positions are pixels of the reduced picture."""

    positions: Float32[np.ndarray, "K 2"]
    descriptors: UInt8[np.ndarray, "K 128"]
    grey: UInt8[np.ndarray, "h w"]
    """The reduced picture."""
    seen: Bool[np.ndarray, "h w"]
    """True where features were searched for."""

    def __len__(self) -> int:
        return len(self.positions)


def describe(image: UInt8[np.ndarray, "H W 3"], seen: Bool[np.ndarray, "H W"] | None = None) -> Features:
    """The strongest features of a picture, brought to ROWS rows; only where ``seen``, if that is given."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    height, width = grey.shape
    size = (ROWS, max(1, round(width * ROWS / height)))
    larger = height < ROWS
    grey = cv2.resize(grey, size[::-1], interpolation=cv2.INTER_CUBIC if larger else cv2.INTER_AREA)
    mask = np.broadcast_to(np.array(True), size)  # of no size: a clip has many frames
    if seen is not None:
        mask = cv2.resize(seen.astype(np.uint8), size[::-1], interpolation=cv2.INTER_NEAREST) > 0
    return _described(grey, mask)


def softened(features: Features) -> Features:
    """The features of the same frame out of focus: what a blurred frame and a sharp one can have in common."""
    return _described(cv2.GaussianBlur(features.grey, (0, 0), SOFT), features.seen)


def _described(grey: UInt8[np.ndarray, "h w"], seen: Bool[np.ndarray, "h w"]) -> Features:
    keypoints, found = _sift().detectAndCompute(grey, None if seen.all() else seen.astype(np.uint8) * 255)
    if found is None:
        return Features(np.zeros((0, 2), np.float32), np.zeros((0, 128), np.uint8), grey, seen)
    positions = np.array([keypoint.pt for keypoint in keypoints], np.float32)
    return Features(positions, np.clip(found, 0, 255).astype(np.uint8), grey, seen)


def link(first: Features, second: Features, seed: int = 0) -> Int[np.ndarray, "M 2"]:
    """Pairs of indices into the features of both frames; empty where they share nothing that can be verified."""
    pairs = match(first, second)
    if len(pairs) < FEWEST:
        return np.zeros((0, 2), int)
    verified = _verified(first.positions[pairs[:, 0]], second.positions[pairs[:, 1]], seed)
    return pairs[verified]


def match(first: Features, second: Features) -> Int[np.ndarray, "M 2"]:
    """Pairs of indices of features that are each other's nearest and pass the ratio test, not verified."""
    if min(len(first), len(second)) < FEWEST:
        return np.zeros((0, 2), int)
    similarity = _normalised(first.descriptors) @ _normalised(second.descriptors).T
    there, best, runner_up = _two_best(similarity)
    back, *_ = _two_best(np.ascontiguousarray(similarity.T))
    distance, next_distance = (np.sqrt(np.maximum(2 - 2 * value, 0)) for value in (best, runner_up))
    kept = np.flatnonzero((distance < RATIO * next_distance) & (back[there] == np.arange(len(there))))
    return np.stack([kept, there[kept]], axis=1)


class LinkCounter:
    """Links between frames of a clip, each pair matched once. ``features(i)`` are those of frame i."""

    def __init__(self, features: Callable[[int], Features]) -> None:
        self.features = features
        self._counts: dict[tuple[int, int], int] = {}

    def count(self, i: int, j: int) -> int:
        """The number of features that frames i and j share."""
        key = (min(i, j), max(i, j))
        if key not in self._counts:
            self._counts[key] = len(link(self.features(key[0]), self.features(key[1])))
        return self._counts[key]


@lru_cache(maxsize=1)
def _sift() -> Any:
    # A low contrast threshold keeps features of dim frames; the strongest are taken anyway.
    return cv2.SIFT.create(MOST_FEATURES, contrastThreshold=0.01)


def _normalised(descriptors: UInt8[np.ndarray, "K 128"]) -> Float32[np.ndarray, "K 128"]:
    """RootSIFT: the square root of each descriptor whose entries sum to one."""
    values = descriptors.astype(np.float32)
    return np.sqrt(values / np.maximum(values.sum(1, keepdims=True), 1e-9))


def _two_best(similarity: Float32[np.ndarray, "A B"]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Index and value of the largest entry of each row, and the value of the second largest."""
    best = similarity.argmax(1)
    rows = np.arange(len(similarity))
    value = similarity[rows, best].copy()
    similarity[rows, best] = -np.inf
    runner_up = similarity.max(1)
    similarity[rows, best] = value
    return best, value, runner_up


def _verified(
    first: Float32[np.ndarray, "M 2"], second: Float32[np.ndarray, "M 2"], seed: int
) -> Bool[np.ndarray, " M"]:
    """Which matches agree with the fundamental matrix of most of them (MAGSAC, seeded)."""
    parameters = cv2.UsacParams()
    parameters.threshold, parameters.confidence, parameters.maxIterations = EPIPOLAR, 0.999, 1000
    parameters.randomGeneratorState = seed
    parameters.score, parameters.sampler = cv2.SCORE_METHOD_MAGSAC, cv2.SAMPLING_UNIFORM
    parameters.loMethod = cv2.LOCAL_OPTIM_SIGMA
    try:
        _, inliers = cv2.findFundamentalMat(first, second, parameters)
    except cv2.error:  # raised, instead of returning nothing, when no sample gives a model
        inliers = None
    return np.zeros(len(first), bool) if inliers is None else inliers.ravel() > 0
