"""Clusters of features over all views, and which of them are objects (SAFF's cluster_2D).

Notation. Views come from maps/views.json; only those of split ``training`` define clusters and vote, all are labelled
(with source ``images`` the training views alone). Descriptors as in nsff.decompose.descriptors, labels as in
nsff.decompose.clusters; files hold label + 1.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float32, Int64
from tqdm import tqdm

from nsff.config import DecomposeConfig
from nsff.decompose.clusterer import open_clusterer
from nsff.decompose.clusters import Clusters, objects_of
from nsff.decompose.descriptors import Descriptors
from nsff.decompose.kmeans import assign
from nsff.decompose.point_clusters import cluster_points
from nsff.decompose.stability import describe_masks, judge
from nsff.decompose.views import View, read_motion, read_views, training_views
from nsff.decompose.voting import mean_by_label, merge_map, overall_saliency, select_salient, voting_merge
from nsff.errors import StageError
from nsff.files.io import atomic_directory, write_image
from nsff.layout import labels_name, worse
from nsff.scene import Scene

DILUTED = 0.4
"""Mean saliency of an object below which most of it is not salient."""
UNVOTED = 0.3
"""Share of the picture above which an object that no vote made is none."""


def run_cluster(scene: Scene, decompose: DecomposeConfig) -> None:
    """Writes clusters/ (centroids, clusters.json, raw/ and merged/ labels of all views) and the summary.

    Raises StageError where maps are missing, of different shapes, or not finite.
    """
    if decompose.by_motion:
        from nsff.decompose.motion_groups.stage import run_motion_groups

        run_motion_groups(scene)
        return
    views = read_views(scene)
    training = training_views(views)
    descriptors = Descriptors(scene, decompose)
    if decompose.source == "points":
        found = cluster_points(scene, training, decompose)
        clusters, numbers = found.clusters, found.numbers
    else:
        centroids, objectives = fit_pixels(descriptors, training, decompose)
        clusters = Clusters(centroids, _merge(centroids, descriptors.extra, decompose), extra=descriptors.extra)
        numbers = {"K": len(centroids), "objectives": objectives}
    with atomic_directory(scene.clusters_dir, sealed=True) as folder:
        labels: dict[int, np.ndarray] = {}
        saliency = np.full((len(training), len(clusters.merge)), np.nan)
        motion = saliency.copy() if decompose.motion_threshold is not None else None
        resolved = voting_merge(clusters, decompose)
        for view in tqdm(training if descriptors.of_images else views, desc="labels", unit="view"):
            raw, merged = label_view(descriptors, view, clusters)
            write_image(folder / "raw" / labels_name(view.index), (raw + 1).astype(np.uint8))
            write_image(folder / "merged" / labels_name(view.index), (merged + 1).astype(np.uint8))
            if view in training:
                labels[view.index] = merged.astype(np.uint8)
                row = training.index(view)
                saliency[row] = mean_by_label(descriptors.saliency(view), resolved[raw], len(resolved))
                if motion is not None:
                    motion[row] = mean_by_label(read_motion(scene, view), resolved[raw], len(resolved))
        if decompose.source != "points":
            salient, votes_cast = select_salient(saliency, motion, decompose)
            clusters = Clusters(clusters.centroids, clusters.merge, salient, extra=clusters.extra)
            numbers |= votes_cast
        numbers |= {"mean_saliency": overall_saliency(saliency), "training_views": len(training)}
        clusters.save(folder, numbers)
    masks = [objects_of(labels[v.index], clusters.salient) for v in training]
    summary = describe_masks(scene, masks, [v.camera for v in training]) | numbers
    summary |= {"labels_after_merging": len(np.unique(clusters.merge)), "salient_labels": len(clusters.salient)}
    if decompose.source != "points" and clusters.salient:
        summary["object_saliency"] = float(min(overall_saliency(saliency)[k] for k in clusters.salient))
    scene.write_summary("cluster", summary | verdict(summary))


def _merge(centroids: Float32[np.ndarray, "K D"], extra: int, decompose: DecomposeConfig) -> Int64[np.ndarray, K]:
    features = centroids[:, : centroids.shape[1] - extra]
    return merge_map(features, decompose.merge_similarity, decompose.merge_chains)


# --- fitting ---------------------------------------------------------------------------------------------------------
def fit_pixels(
    descriptors: Descriptors, training: Sequence[View], decompose: DecomposeConfig
) -> tuple[np.ndarray, list[float]]:
    """Centroids (K,D) and objectives: fit on every ``sample_interval``-th pixel, judged on all of them."""
    subset = sample_pixels(descriptors, training, decompose.sample_interval)
    judge = lambda centroids: objective(descriptors, training, centroids)  # noqa: E731
    return open_clusterer(decompose)(subset, judge, decompose, "clusters")


def sample_pixels(descriptors: Descriptors, views: Sequence[View], interval: int) -> Float32[np.ndarray, "P D"]:
    """Descriptors of every ``interval``-th pixel of the list of all views' pixels at feature resolution."""
    samples: list[np.ndarray] = []
    start = 0
    for view in views:
        pixels = _flat(descriptors.of_view(view))
        if samples and pixels.shape[1] != samples[0].shape[1]:
            channels = [n - descriptors.extra for n in (pixels.shape[1], samples[0].shape[1])]
            raise StageError(
                descriptors.scene.maps_dir,
                f"view {view.index} has {channels[0]} feature channels, others {channels[1]}",
                "delete maps/ and run again",
            )
        samples.append(pixels[start::interval])
        start = (start - len(pixels)) % interval
    return np.concatenate(samples)


def objective(descriptors: Descriptors, views: Sequence[View], centroids: Float32[np.ndarray, "K D"]) -> float:
    """Mean squared distance of all pixels of the views (feature resolution) to their centroids, one view at a time."""
    total, count = 0.0, 0
    for view in views:
        squared = assign(_flat(descriptors.of_view(view)), centroids)[1]
        total, count = total + float(squared.sum(dtype=np.float64)), count + len(squared)
    return total / count


def label_view(
    descriptors: Descriptors, view: View, clusters: Clusters
) -> tuple[Int64[np.ndarray, "H W"], Int64[np.ndarray, "H W"]]:
    """Raw and merged labels of a view at canonical size."""
    size = descriptors.scene.size
    raw, merged = clusters.labels(_flat(descriptors.of_view(view, size)))
    return raw.reshape(size), merged.reshape(size)


def _flat(values: Float32[np.ndarray, "H W D"]) -> Float32[np.ndarray, "P D"]:
    return values.reshape(-1, values.shape[2])


def verdict(numbers: dict[str, object]) -> dict[str, str]:
    """Verdict and message of the summary."""
    if numbers["salient_labels"] == 0:
        return {
            "verdict": "poor",
            "message": f"{numbers['K']} clusters, none salient: all masks are background. The rendered saliency is "
            "zero or below decompose.saliency_threshold everywhere; see the motion and features stages.",
        }
    level, message = judge(numbers)
    message = f"{numbers['K']} clusters, {numbers['labels_after_merging']} after merging. {message}"
    if not numbers["passed_vote"]:
        large = float(str(numbers["foreground_fraction"])) > UNVOTED
        level = worse(level, "poor" if large else "doubtful")
        message += (
            f" No cluster had the {numbers['needed_votes']} votes needed; the most salient one was kept. Train longer, "
            "lower decompose.saliency_threshold, or see the motion masks."
        )
    elif isinstance(saliency := numbers.get("object_saliency"), float) and saliency < DILUTED:
        level = worse(level, "doubtful")
        message += (
            f" An object has a mean saliency of {saliency:.2f} only: most of it is not salient, and was probably "
            "merged into it. Raise decompose.merge_similarity, or train longer."
        )
    return {"verdict": level, "message": message}
