"""The cluster stage by motion (decompose.method: motion): objects of all views, in the files that clusters have.

Raw and merged labels are object numbers; label 0 is the background and no feature is compared. Objects are found in the
input frames; views from elsewhere get the objects of the points that they show (nsff.decompose.motion_groups.placed).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Integer
from tqdm import tqdm

from nsff.decompose.clusters import Clusters
from nsff.decompose.motion_groups.grouping import group_objects, shadows_of
from nsff.decompose.motion_groups.hidden_parts import with_hidden_parts
from nsff.decompose.motion_groups.moving_pixels import Clip, find_moving_pixels
from nsff.decompose.motion_groups.placed import place_objects
from nsff.decompose.motion_groups.still_things import without_still_things
from nsff.decompose.stability import describe_masks, judge
from nsff.decompose.view_surfaces import read_disparity, surface_points
from nsff.decompose.views import read_views, training_views
from nsff.files.io import atomic_directory, write_image
from nsff.layout import labels_name
from nsff.scene import Scene
from nsff.tracking.chaining import FlowCache

MOST_OBJECTS = 254
"""Labels of a view fit 8 bits."""


@dataclass(frozen=True)
class FoundObjects:
    """Objects of the N frames of a clip."""

    labels: list[Integer[np.ndarray, "H W"]]
    """Numbers of the objects, 0 for none."""
    shadows: list[Integer[np.ndarray, "H W"]]
    """For each pixel in a shadow the number of the object that casts it."""
    count: int
    moving_trajectories: float
    """Share of the trajectories that move."""


def find_objects(clip: Clip) -> FoundObjects:
    """The objects of a clip and their shadows."""
    moving = find_moving_pixels(clip)
    labels = without_still_things(group_objects(clip, moving), moving.tracks, clip.cameras)
    labels = with_hidden_parts(labels, clip.images)
    count = min(max(int(one.max(initial=0)) for one in labels), MOST_OBJECTS)
    labels = [np.where(one <= count, one, 0) for one in labels]
    share = float((moving.moving > 0.5).mean()) if len(moving.tracks) else 0.0
    return FoundObjects(labels, shadows_of(labels, moving.shadow), count, share)


def run_motion_groups(scene: Scene) -> None:
    """Writes clusters/ (clusters.json, raw/ and merged/ labels of all views, shadows/ of the training views) and the
    summary. Raises StageError where maps are missing."""
    views = read_views(scene)
    training = training_views(views)
    found = find_objects(read_clip(scene))
    count, shadows = found.count, found.shadows
    masks = [found.labels[view.camera] for view in training]
    placed = place_objects(scene, training, masks, count)
    clusters = Clusters(np.zeros((count + 1, 1), np.float32), np.arange(count + 1), list(range(1, count + 1)))
    labelled = {view.index: mask for view, mask in zip(training, masks, strict=True)}
    with atomic_directory(scene.clusters_dir, sealed=True) as folder:
        for view in tqdm(views, desc="labels", unit="view"):
            labels = labelled.get(view.index)
            if labels is None:
                points = surface_points(scene, view, read_disparity(scene, view, scene.size)).reshape(-1, 3)
                labels = placed.numbers_of(np.ones(len(points), np.int64), points, view.time).reshape(scene.size)
            for name in ("raw", "merged"):
                write_image(folder / name / labels_name(view.index), (labels + 1).astype(np.uint8))
        for view in training:
            write_image(folder / "shadows" / labels_name(view.index), shadows[view.camera].astype(np.uint8))
        clusters.save(folder, {"method": "motion", "K": count + 1})
    summary = describe_masks(scene, masks, [view.camera for view in training])
    summary |= {
        "K": count + 1, "labels_after_merging": count + 1, "salient_labels": count, "training_views": len(training),
        "shadow_fraction": float(np.mean([(one > 0).mean() for one in shadows])),
        "moving_trajectories": found.moving_trajectories,
    }  # fmt: skip
    scene.write_summary("cluster", summary | verdict(summary))


def read_clip(scene: Scene) -> Clip:
    """The clip that grouping reads, from a scene. Raises StageError where priors are missing or corrupt."""
    frames = range(scene.n_frames)
    masks = [scene.motion_mask(i) for i in frames]
    depth = [scene.disparity(i)[0] for i in frames] if scene.depth_result().metric else None
    return Clip(scene.cameras, [scene.image(i) for i in frames], masks, depth, FlowCache(scene.flow))


def verdict(numbers: dict[str, Any]) -> dict[str, str]:
    """Verdict and message of the summary."""
    if not numbers["n_objects"]:
        return {
            "verdict": "poor",
            "message": "No object: the motion masks vote for nothing over time. See the motion stage.",
        }
    level, message = judge(numbers)
    return {"verdict": level, "message": f"Grouped by motion. {message}"}
