"""Clustering of points in space, in two stages (SAFF's cluster_pcd).

Stage one clusters the model's points near surfaces, drawn by saliency (run_points), and votes by the saliency of the
points that each view sees. Stage two clusters the salient ones once more, which tells objects apart that stand out
together; in the published code it is never reached.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float32
from tqdm import tqdm

from nsff.config import DecomposeConfig
from nsff.decompose.clusterer import open_clusterer
from nsff.decompose.clusters import Clusters
from nsff.decompose.kmeans import assign
from nsff.decompose.view_points import ViewPoints, describe_points, draw_by_saliency
from nsff.decompose.views import View, read_motion, read_views, training_views
from nsff.decompose.voting import merge_map, select_salient, voting_merge
from nsff.errors import StageError
from nsff.files.io import atomic_directory
from nsff.layout import surface_points_name
from nsff.scene import Scene


@dataclass(frozen=True)
class Found:
    """The clustering, and its numbers for clusters.json and the summary."""

    clusters: Clusters
    numbers: dict[str, Any]


def run_points(scene: Scene, decompose: DecomposeConfig) -> dict[str, Any]:
    """Draws points in all training views into surface_points/; returns the summary."""
    from nsff.decompose.surfaces import near_surfaces
    from nsff.rendering.renderer import Renderer

    renderer = Renderer.load(scene.model_dir)
    generator = np.random.default_rng(decompose.seed)
    drawn, found = 0, 0
    training = training_views(read_views(scene))
    with atomic_directory(scene.surface_points_dir, sealed=True) as folder:
        for view in tqdm(training, desc="points", unit="view"):
            points = near_surfaces(renderer, scene, view, decompose.point_opacity)
            chosen = draw_by_saliency(points, decompose, generator)
            chosen.save(folder / surface_points_name(view.index))
            drawn, found = drawn + len(chosen), found + len(points)
    message = f"{drawn} points drawn of {found} near surfaces in {len(training)} views."
    verdict = "good" if drawn >= 256 else "poor"
    if verdict == "poor":
        message += " That is too few to cluster: lower decompose.point_interval, or nothing in the scene is salient."
    summary = {"points": drawn, "near_surfaces": found, "verdict": verdict, "message": message}
    scene.write_summary("points", summary)
    return summary


def cluster_points(scene: Scene, training: Sequence[View], decompose: DecomposeConfig) -> Found:
    """Clusters the drawn points of all training views in two stages and votes. Raises StageError where there are none
    (the scene is transparent, or nothing in it is salient)."""
    drawn = [ViewPoints.load(scene.surface_points_path(view.index)) for view in training]
    descriptors = [
        describe_points(points, view, scene.n_frames, decompose.use_position, decompose.use_time)
        for points, view in zip(drawn, training, strict=True)
    ]
    everything = np.concatenate(descriptors)
    if not len(everything):
        raise StageError(
            scene.model_dir, f"no sample has an opacity above {decompose.point_opacity} and is salient",
            "train longer, or set decompose.source: rendered",
        )  # fmt: skip
    extra = 3 * decompose.use_position + decompose.use_time
    numbers: dict[str, Any] = {"points": len(everything)}
    centroids, merge, numbers["objectives"] = _stage(everything, extra, decompose, "clusters")
    clusters = Clusters(centroids, merge, extra=extra)
    resolved = voting_merge(clusters, decompose)
    saliency = np.full((len(training), len(merge)), np.nan)
    motion = saliency.copy() if decompose.motion_threshold is not None else None
    for row, (view, points, values) in enumerate(zip(training, drawn, descriptors, strict=True)):
        labels = resolved[assign(values, centroids)[0]] if len(values) else np.zeros(0, np.int64)
        saliency[row] = mean_of(points.saliency, labels, len(merge))
        if motion is not None:
            motion[row] = mean_of(read_motion(scene, view).ravel()[points.pixel], labels, len(merge))
    parents, cast = select_salient(saliency, motion, decompose)
    numbers |= cast | {"K": len(centroids)}
    foreground = everything[np.isin(merge[assign(everything, centroids)[0]], parents)]
    if not len(foreground):
        return Found(clusters, numbers)
    fine, fine_merge, numbers["fine_objectives"] = _stage(foreground, extra, decompose, "clusters of the foreground")
    salient = sorted({len(centroids) + int(label) for label in fine_merge})
    both = np.concatenate([merge, len(centroids) + fine_merge])
    return Found(Clusters(centroids, both, salient, fine, parents, extra), numbers | {"fine_K": len(fine)})


def mean_of(values: Float32[np.ndarray, " P"], labels: np.ndarray, n_labels: int) -> np.ndarray:
    """Mean by label; NaN for labels that do not occur."""
    count = np.bincount(labels, minlength=n_labels)
    return np.where(count > 0, np.bincount(labels, values, minlength=n_labels) / np.maximum(count, 1), np.nan)


def _stage(
    values: Float32[np.ndarray, "P D"], extra: int, decompose: DecomposeConfig, title: str
) -> tuple[np.ndarray, np.ndarray, list[float]]:
    """Centroids, merge map and objectives of one stage."""
    judge = lambda c: float(assign(values, c)[1].mean(dtype=np.float64))  # noqa: E731
    centroids, objectives = open_clusterer(decompose)(values, judge, decompose, title)
    features = centroids[:, : centroids.shape[1] - extra]
    return centroids, merge_map(features, decompose.merge_similarity, decompose.merge_chains), objectives
