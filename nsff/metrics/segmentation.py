"""Segmentation metrics (Hubert & Arabie 1985; SAFF): ARI, foreground ARI, Jaccard. All are free of label matching.

Notation. Labels (H,W) are integers, 0 is background, other values are objects; numbers of prediction and truth need
not agree.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Integer, UInt8
from sklearn.metrics import adjusted_rand_score

Labels = Integer[np.ndarray, "..."]


def adjusted_rand_index(prediction: Labels, truth: Labels) -> float:
    """Adjusted Rand index over all pixels (Hubert & Arabie 1985), of labels that fit 32 bits.

    1 for equal partitions, 0 in expectation for independent ones; a constant prediction of a truth with several
    labels is 0. NaN without pixels. Raises ValueError where the shapes differ.

    >>> adjusted_rand_index(np.array([1, 1, 2, 2]), np.array([7, 7, 3, 3]))
    1.0
    """
    _check(prediction, truth)
    if prediction.size == 0:
        return math.nan
    return float(adjusted_rand_score(truth.ravel().astype(np.int32), prediction.ravel().astype(np.int32)))


def foreground_ari(prediction: Labels, truth: Labels) -> float:
    """ARI over the pixels that the truth calls foreground; NaN where it has none.

    >>> foreground_ari(np.array([9, 1, 1, 2, 2]), np.array([0, 3, 3, 4, 4]))
    1.0
    """
    _check(prediction, truth)
    inside = truth != 0
    return adjusted_rand_index(prediction[inside], truth[inside])


def jaccard(prediction: Labels, truth: Labels) -> float:
    """|P ∩ G| / |P ∪ G| of the foregrounds (any object against background). All black against a truth with objects is
    0; both empty is 1 (SAFF divides by zero there).

    >>> round(float(jaccard(np.array([0, 1, 1, 2]), np.array([0, 0, 5, 5]))), 3)
    0.667
    """
    _check(prediction, truth)
    p, g = prediction != 0, truth != 0
    union = np.count_nonzero(p | g)
    return np.count_nonzero(p & g) / union if union else 1.0


def segmentation_scores(prediction: Labels, truth: Labels) -> dict[str, float]:
    """All three, by name: ari, fg_ari, jaccard."""
    return {
        "ari": adjusted_rand_index(prediction, truth),
        "fg_ari": foreground_ari(prediction, truth),
        "jaccard": jaccard(prediction, truth),
    }


def merge_like_saff(labels: Labels, clusters: Sequence[int] | None = None) -> Labels:
    """Labels as SAFF's evaluators see them: colours are compared on one channel only, so labels whose palette colours
    share it fall together (0-based {2, 3, 7} among the first 24). The background stays apart.

    ``clusters`` holds the clusters' labels by object, whose colours SAFF's masks have; None: label k has colour k-1,
    and labels beyond the palette, which are grey levels, stay apart.
    """
    from nsff.decompose.colours import N_COLOURS, PALETTE, cluster_colours

    if clusters is not None:
        present, where = np.unique(labels, return_inverse=True)
        colours = cluster_colours(present, clusters)
        first = np.where(colours.any(1), colours[:, 0].astype(np.int64) + 1, 0)
        return first[where].reshape(np.shape(labels))

    # SAFF hands RGB colours to OpenCV, which writes and reads them as BGR: its channel 0 is the palette's red.
    red = PALETTE[:N_COLOURS, 0].astype(np.int64)
    labels = np.asarray(labels).astype(np.int64)
    coloured = np.where(labels > 0, red[(labels - 1) % N_COLOURS] + 1, 0)
    return np.where(labels > N_COLOURS, 256 + labels, coloured)


def merge_channel_0(picture: UInt8[np.ndarray, "H W 3"]) -> Integer[np.ndarray, "H W"]:
    """Labels that SAFF's evaluators see in a colour-coded picture (RGB): those of OpenCV's channel 0, which is blue.
    Colours that share it are one label, black among them."""
    return picture[..., 2].astype(np.int64)


def published_ari(prediction: Labels, truth: Labels) -> float:
    """As scikit-learn's adjusted_rand_score: 1 where there are no pixels."""
    return adjusted_rand_index(prediction, truth) if prediction.size else 1.0


def published_jaccard(prediction: Labels, truth: Labels) -> float:
    """As SAFF's evaluators: NaN (0 / 0) where both foregrounds are empty."""
    return jaccard(prediction, truth) if (prediction != 0).any() or (truth != 0).any() else math.nan


def _check(prediction: Labels, truth: Labels) -> None:
    if prediction.shape != truth.shape:
        raise ValueError(f"prediction {prediction.shape} and truth {truth.shape} differ in shape")
