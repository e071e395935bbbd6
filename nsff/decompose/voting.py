"""Which clusters belong together, and which are salient objects (SAFF's cluster_2D).

Notation. Labels 0..K-1; merge (K,) leads a label to the lowest label of its group; saliency (V,K) is the mean
saliency of each label in each of V views, NaN where a view does not show it.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Int64, Integer
from scipy.cluster import hierarchy

from nsff.config import DecomposeConfig
from nsff.decompose.clusters import Clusters


def merge_map(
    centroids: Float[np.ndarray, "K C"],
    similarity: float,
    chains: Literal["average", "resolved", "one_step"] = "resolved",
) -> Int64[np.ndarray, K]:
    """The label that each label becomes: that of the first earlier centroid with a cosine above ``similarity``.

    Chains are resolved: if 2 merges into 1 and 1 into 0, then 2 becomes 0; with ``one_step`` it becomes 1. With
    ``average`` the most similar groups merge first, as long as the mean cosine between their members is above
    (average linkage, Sokal and Michener 1958), whatever the order of the labels. A similarity of 1 merges nothing.
    """
    directions = np.asarray(centroids, np.float64)
    directions = directions / np.maximum(np.linalg.norm(directions, axis=1, keepdims=True), 1e-12)
    cosine = np.clip(directions @ directions.T, -1, 1)
    merge = np.arange(len(centroids))
    if similarity >= 1 or len(merge) < 2:
        return merge
    if chains == "average":
        tree = hierarchy.average((1 - cosine)[np.triu_indices(len(merge), 1)])
        group = hierarchy.fcluster(tree, np.nextafter(1 - similarity, -1), "distance")
        first = np.unique(group, return_index=True)[1]
        return first[group - 1]
    for second in range(1, len(centroids)):
        similar = np.flatnonzero(cosine[second, :second] > similarity)
        if len(similar):
            merge[second] = similar[0] if chains == "one_step" else merge[similar[0]]
    return merge


def mean_by_label(
    values: Float[np.ndarray, "H W"], labels: Integer[np.ndarray, "H W"], n_labels: int
) -> Float[np.ndarray, K]:
    """Mean of a map over each label's pixels; NaN for labels that do not occur."""
    count = np.bincount(labels.ravel(), minlength=n_labels)
    total = np.bincount(labels.ravel(), values.ravel(), minlength=n_labels)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def needed_votes(n_views: int, fraction: float) -> int:
    """ceil(fraction · views): the least number of votes that makes a label salient.

    >>> needed_votes(24, 0.7), needed_votes(48, 0.7)
    (17, 34)
    """
    # The subtraction keeps products such as 0.07·100 = 7.000000000000001 at 7.
    return max(1, math.ceil(fraction * n_views - 1e-9))


def votes(values: Float[np.ndarray, "V K"], threshold: float) -> Bool[np.ndarray, "V K"]:
    """Whether a label's mean exceeds the threshold in a view. A view that does not show the label does not vote."""
    return np.nan_to_num(values, nan=-np.inf) > threshold


def count_votes(
    saliency: Float[np.ndarray, "V K"],
    threshold: float,
    motion: Float[np.ndarray, "V K"] | None = None,
    motion_threshold: float | None = None,
) -> Int64[np.ndarray, K]:
    """Views in which a label's mean saliency exceeds the threshold, and its mean motion the other, where there is one
    (SAFF's cluster_2D_flow)."""
    cast = votes(saliency, threshold)
    if motion is not None and motion_threshold is not None:
        cast &= votes(motion, motion_threshold)
    return cast.sum(0)


def vote(
    saliency: Float[np.ndarray, "V K"],
    threshold: float,
    fraction: float,
    motion: Float[np.ndarray, "V K"] | None = None,
    motion_threshold: float | None = None,
) -> Bool[np.ndarray, K]:
    """Labels that are salient: with votes from at least ``needed_votes`` of the views."""
    return count_votes(saliency, threshold, motion, motion_threshold) >= needed_votes(len(saliency), fraction)


def overall_saliency(saliency: Float[np.ndarray, "V K"]) -> Float[np.ndarray, K]:
    """Mean over the views that show a label; 0 for labels never shown."""
    shown = np.isfinite(saliency)
    return np.where(shown, saliency, 0).sum(0) / np.maximum(shown.sum(0), 1)


def best_label(saliency: Float[np.ndarray, "V K"]) -> Bool[np.ndarray, K]:
    """The one label with the highest mean saliency over the views that show it; none where all saliency is zero."""
    mean = overall_saliency(saliency)
    return (np.arange(len(mean)) == mean.argmax()) & (mean > 0)


def voting_merge(clusters: Clusters, decompose: DecomposeConfig) -> Int64[np.ndarray, "K+F"]:
    """The merge map that votes are counted by: with all chains resolved, whatever the files have (SAFF)."""
    merge = clusters.merge.copy()
    if decompose.merge_chains == "one_step":
        while (merge != merge[merge]).any():
            merge = merge[merge]
    return merge


def select_salient(
    saliency: Float[np.ndarray, "V K"], motion: Float[np.ndarray, "V K"] | None, decompose: DecomposeConfig
) -> tuple[list[int], dict[str, object]]:
    """The salient labels (with ``keep_best`` the most salient one where none has the votes), and the vote's numbers."""
    threshold, moving = decompose.saliency_threshold, decompose.motion_threshold
    passed: Bool[np.ndarray, K] = vote(saliency, threshold, decompose.vote_fraction, motion, moving)
    salient = best_label(saliency) if decompose.keep_best and not passed.any() else passed
    return [int(label) for label in np.flatnonzero(salient)], {
        "votes": count_votes(saliency, threshold, motion, moving),
        "needed_votes": needed_votes(len(saliency), decompose.vote_fraction),
        "passed_vote": bool(passed.any()),
    }
