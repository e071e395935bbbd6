"""k-means on unit feature vectors, with the number of clusters chosen at an elbow (SAFF's cluster_2D).

Notation. Pixels (P,C); centroids (K,C); labels 0..K-1. J_K is the mean squared distance of pixels to their centroid.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Float32, Int64
from tqdm import tqdm

from nsff.config import DecomposeConfig

Centroids = Float32[np.ndarray, "K C"]


def fit_elbow(
    fit: Callable[[int], Centroids], objective: Callable[[Centroids], float], max_clusters: int, elbow: float
) -> tuple[Centroids, list[float]]:
    """Centroids of the first K with J_K > elbow·J_{K-1}, else of K = max_clusters; and the objectives J_1, J_2, … .

    The K that no longer improves is the one used, as published, not the one before it. ``fit`` gives the centroids
    for a K, ``objective`` their J.
    """
    objectives: list[float] = []
    for k in range(1, max_clusters + 1):
        centroids = fit(k)
        objectives.append(objective(centroids))
        if k > 1 and objectives[-1] > elbow * objectives[-2]:
            break
    return centroids, objectives


def fit(
    subset: Float32[np.ndarray, "P D"],
    judge_centroids: Callable[[np.ndarray], float],
    decompose: DecomposeConfig,
    title: str = "k-means",
) -> tuple[np.ndarray, list[float]]:
    """Fits k-means for K = 1, 2, … on ``subset`` up to the elbow of the objective; see ``fit_elbow``."""
    with tqdm(total=decompose.max_clusters, desc=title, unit="K") as progress:

        def fit_k(k: int) -> Float32[np.ndarray, "K D"]:
            progress.update()
            return kmeans(subset, k, decompose.iterations, decompose.restarts, decompose.seed)

        return fit_elbow(fit_k, judge_centroids, min(decompose.max_clusters, len(subset)), decompose.elbow)


def kmeans(pixels: Float32[np.ndarray, "P C"], k: int, iterations: int, restarts: int, seed: int) -> Centroids:
    """Centroids of faiss.Kmeans (L2). It trains on a random 256·k of the pixels and keeps the best restart."""
    import faiss

    model = faiss.Kmeans(
        pixels.shape[1], k, niter=iterations, nredo=restarts, seed=seed, min_points_per_centroid=1, verbose=False
    )
    model.train(np.ascontiguousarray(pixels, np.float32))
    return np.asarray(model.centroids, np.float32).reshape(k, -1)


def assign(
    pixels: Float32[np.ndarray, "P C"], centroids: Centroids
) -> tuple[Int64[np.ndarray, P], Float32[np.ndarray, P]]:
    """Nearest centroid of each pixel, and the squared distance to it."""
    # |x-c|² = |x|² - 2 x·c + |c|²; the first term does not change which centroid is nearest.
    score = (centroids**2).sum(1) - 2 * pixels @ centroids.T
    labels = score.argmin(1)
    squared = np.take_along_axis(score, labels[:, None], 1)[:, 0] + (pixels**2).sum(1)
    return labels, np.maximum(squared, 0)
