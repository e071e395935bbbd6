"""Clusters of rendered features over all views, and which of them are objects (SAFF; specification section 6.1).

Notation. Views come from maps/views.json; only those of split ``training`` define clusters and vote, all are
labelled. Pixel features have unit length. Raw labels are 0..K-1; merged labels are the lowest raw label of each
group; files hold label + 1.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Float, Float32, Int64
from tqdm import tqdm

from nsff.config import DecomposeConfig
from nsff.decompose.kmeans import assign, fit_elbow, kmeans, unit
from nsff.decompose.stability import describe_masks, judge
from nsff.decompose.views import View, read_features, read_saliency, read_views, training_views
from nsff.decompose.voting import (
    best_label,
    count_votes,
    mean_by_label,
    merge_map,
    needed_votes,
    overall_saliency,
    vote,
)
from nsff.errors import StageError
from nsff.io import atomic_directory, write_image, write_json
from nsff.scene import Scene


def run_cluster(scene: Scene, decompose: DecomposeConfig) -> None:
    """Writes clusters/ (centroids.npy, clusters.json, raw/ and merged/ labels of all views) and the summary.

    Raises StageError where maps are missing, of different shapes, or not finite.
    """
    views = read_views(scene)
    training = training_views(views)
    centroids, objectives = fit(scene, training, decompose)
    merge = merge_map(centroids, decompose.merge_similarity)
    with atomic_directory(scene.clusters_dir) as folder:
        merged: dict[int, np.ndarray] = {}
        saliency = np.full((len(training), len(centroids)), np.nan)
        for view in tqdm(views, desc="labels", unit="view"):
            raw = label_view(read_features(scene, view), centroids, scene.size)
            write_image(folder / "raw" / f"{view.index}.png", (raw + 1).astype(np.uint8))
            write_image(folder / "merged" / f"{view.index}.png", (merge[raw] + 1).astype(np.uint8))
            if view in training:
                merged[view.index] = merge[raw].astype(np.uint8)
                view_saliency = resize(read_saliency(scene, view), scene.size)
                saliency[training.index(view)] = mean_by_label(view_saliency, merge[raw], len(centroids))
        passed = vote(saliency, decompose.saliency_threshold, decompose.vote_fraction)
        salient = best_label(saliency) if decompose.keep_best and not passed.any() else passed
        votes = count_votes(saliency, decompose.saliency_threshold)
        chosen = [int(label) for label in np.flatnonzero(salient)]
        result = {
            "K": len(centroids), "objectives": objectives, "merge_map": merge, "votes": votes,
            "needed_votes": needed_votes(len(training), decompose.vote_fraction), "training_views": len(training),
            "mean_saliency": overall_saliency(saliency), "salient": chosen,
            "passed_vote": bool(passed.any()),
        }  # fmt: skip
        with (folder / "centroids.npy").open("wb") as stream:
            np.save(stream, centroids, allow_pickle=False)
        write_json(folder / "clusters.json", result)
    objects = [objects_of(merged[v.index], chosen) for v in training]
    numbers = describe_masks(scene, objects, [v.camera for v in training])
    numbers |= {key: value for key, value in result.items() if key not in ("merge_map", "salient")}
    numbers |= {"labels_after_merging": len(np.unique(merge)), "salient_labels": int(salient.sum())}
    scene.write_summary("cluster", numbers | verdict(numbers))


def fit(scene: Scene, training: Sequence[View], decompose: DecomposeConfig) -> tuple[np.ndarray, list[float]]:
    """Centroids (K,C) and objectives: fit on every ``sample_interval``-th pixel, judged on all of them."""
    subset = sample_pixels(scene, training, decompose.sample_interval)
    with tqdm(total=decompose.max_clusters, desc="k-means", unit="K") as progress:

        def fit_k(k: int) -> Float32[np.ndarray, "K C"]:
            progress.update()
            return kmeans(subset, k, decompose.iterations, decompose.restarts, decompose.seed)

        return fit_elbow(
            fit_k, lambda c: objective(scene, training, c), min(decompose.max_clusters, len(subset)), decompose.elbow
        )


def sample_pixels(scene: Scene, views: Sequence[View], interval: int) -> Float32[np.ndarray, "P C"]:
    """Every ``interval``-th pixel, with unit length, of the list of all views' pixels at feature resolution."""
    samples: list[np.ndarray] = []
    start = 0
    for view in views:
        features = read_features(scene, view)
        pixels = features.reshape(-1, features.shape[2])
        if samples and pixels.shape[1] != samples[0].shape[1]:
            raise StageError(
                scene.maps_dir,
                f"view {view.index} has {pixels.shape[1]} feature channels, others {samples[0].shape[1]}",
                "delete maps/ and run again",
            )  # fmt: skip
        samples.append(unit(pixels[start::interval]))
        start = (start - len(pixels)) % interval
    return np.concatenate(samples)


def objective(scene: Scene, views: Sequence[View], centroids: Float32[np.ndarray, "K C"]) -> float:
    """Mean squared distance of all pixels of the views (feature resolution) to their centroids, one view at a time."""
    total, count = 0.0, 0
    for view in views:
        features = read_features(scene, view)
        squared = assign(unit(features).reshape(-1, features.shape[2]), centroids)[1]
        total, count = total + float(squared.sum(dtype=np.float64)), count + len(squared)
    return total / count


def label_view(
    features: Float[np.ndarray, "h w C"], centroids: Float32[np.ndarray, "K C"], size: tuple[int, int]
) -> Int64[np.ndarray, "H W"]:
    """Labels at ``size`` (height, width). Features are interpolated, then normalised, so that outlines stay smooth."""
    full = unit(resize(np.asarray(features, np.float32), size))
    return assign(full.reshape(-1, full.shape[2]), centroids)[0].reshape(size)


def resize(values: Float32[np.ndarray, "h w ..."], size: tuple[int, int]) -> Float32[np.ndarray, "H W ..."]:
    """Bilinear resampling to (height, width)."""
    if values.shape[:2] == tuple(size):
        return values
    return cv2.resize(np.ascontiguousarray(values), size[::-1], interpolation=cv2.INTER_LINEAR)


def objects_of(merged: Int64[np.ndarray, "H W"], salient: Sequence[int]) -> Int64[np.ndarray, "H W"]:
    """Object numbers of merged labels (0-based): 0 for labels that are not salient, else 1, 2, … in the order of
    labels."""
    result = np.zeros(merged.shape, np.int64)
    for number, label in enumerate(sorted(salient), start=1):
        result[merged == label] = number
    return result


def verdict(numbers: dict[str, object]) -> dict[str, str]:
    """Verdict and words of the summary."""
    if numbers["salient_labels"] == 0:
        return {
            "verdict": "poor",
            "words": f"{numbers['K']} clusters, none salient: all masks are background. The rendered saliency is "
            "zero or below decompose.saliency_threshold everywhere; see the motion and features stages.",
        }
    level, words = judge(numbers)
    words = f"{numbers['K']} clusters, {numbers['labels_after_merging']} after merging. {words}"
    if not numbers["passed_vote"]:
        level = "poor" if level == "poor" else "doubtful"
        words += (
            f" No cluster had the {numbers['needed_votes']} votes needed; the most salient one was kept. Train longer, "
            "lower decompose.saliency_threshold, or see the motion masks."
        )
    return {"verdict": level, "words": words}
