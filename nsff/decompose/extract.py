"""Objects taken out of the scene in 3-D, with alpha, and point clouds (SAFF's extract_2D and its PLY files).

Every point of the model gets the label of its own feature; what is not of the object becomes transparent, and the rest
is rendered. So an object is seen where others hide it in the picture.
See docs/methods.md#object-extraction.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64
from tqdm import tqdm

from nsff.config import ExtractConfig
from nsff.decompose.clusters import Clusters, objects_of
from nsff.decompose.colours import colour_labels
from nsff.decompose.instances import Instances, PlacedObjects
from nsff.decompose.surfaces import near_surfaces
from nsff.decompose.view_points import ViewPoints, describe_points
from nsff.decompose.views import View, read_labelled, training_views
from nsff.files.io import atomic_directory, write_image, write_json
from nsff.files.ply import write_ply
from nsff.layout import CloudKind, cloud_name, extracted_name, map_name
from nsff.models.base import Parts, Points
from nsff.rendering.renderer import Renderer
from nsff.scene import Scene


def run_extract(scene: Scene, extract: ExtractConfig) -> dict[str, Any]:
    """Writes extracted/: {i}_rgba.png, {i}_depth.png (all objects), object_{n}/{i}.png (each alone), points/*.ply.

    Colours are straight, not multiplied by alpha; depth is disparity in 16 bits on the scale of scale.json. Returns the
    summary. Raises StageError for damaged clusters or a damaged model.
    """
    clusters = Clusters.load(scene)
    renderer = Renderer.load(scene.model_dir)
    views = read_labelled(scene, scene.merged_labels_dir)
    things = Instances.load(scene)
    cameras, objects = scene.cameras, range(1, object_count(clusters, things) + 1)
    nearest = 1 / max(float(cameras.near_far[:, 0].min()) * 0.5, 1e-6)
    alphas: dict[int, list[float]] = {n: [] for n in objects}
    seen: list[float] = []
    with atomic_directory(scene.extracted_dir) as folder:
        for view in tqdm(views, desc="objects", unit="view"):
            parts = extract_view(renderer, scene, view, clusters, extract.occluded, things)
            seen.append(parts.seen)
            for n, rgba in parts.rgba.items():
                write_image(folder / extracted_name(view.index, n), (rgba * 255).round().astype(np.uint8))
                if n:
                    alphas[n].append(float(rgba[..., 3].mean()))
            disparity = np.where(parts.depth > 0, 1 / np.maximum(parts.depth, 1e-6), 0) / nearest
            write_image(
                folder / map_name(view.index, "depth"), (disparity.clip(0, 1) * 65535).round().astype(np.uint16)
            )
        training = training_views(views)
        for i in np.unique(np.linspace(0, len(training) - 1, extract.clouds).round().astype(int)):
            write_clouds(renderer, scene, training[i], clusters, extract, folder, things)
        write_json(folder / scene.extracted_scale_path.name, {"disparity_of_65535": nearest})
    shown = {str(n): float(np.mean(values)) for n, values in alphas.items()}
    message = f"{len(views)} views; {len(shown)} objects taken out of the scene"
    message += f" ({', '.join(f'{n}: {value:.1%}' for n, value in shown.items())} of the picture)." if shown else "."
    verdict, seen_fraction = "good", float(np.mean(seen))
    if not shown or max(shown.values()) < 1e-4:
        verdict, message = (
            "poor",
            message + " Nothing is seen of them: no cluster is salient, or features in space differ",
        )
        message += " from those of the rendered pictures. See the clusters."
    elif seen_fraction < 0.5:
        verdict, message = (
            "doubtful",
            message + f" Only {seen_fraction:.0%} of that is seen in the pictures; the rest lies",
        )
        message += " behind other things, perhaps where no view ever looked: extract.occluded: false leaves it out."
    summary = {
        "views": len(views),
        "alpha": shown,
        "seen_fraction": seen_fraction,
        "verdict": verdict,
        "message": message,
    }
    scene.write_summary("extract", summary)
    return summary


def extract_view(
    renderer: Renderer,
    scene: Scene,
    view: View,
    clusters: Clusters,
    occluded: bool = True,
    things: Instances | None = None,
) -> Parts:
    """Objects of one view, each alone and all together (number 0).

    ``occluded``: as if nothing stood before them; otherwise what hides them in the picture still does.
    """
    cameras, time = scene.cameras, float(view.time)
    camera = renderer.camera(cameras.intrinsics[view.camera], cameras.world_to_camera[view.camera], *scene.size)
    numbering = lambda points: number_points(points, time, renderer.model.n_frames, clusters, things)  # noqa: E731
    return renderer.model.render_parts(
        camera, time, numbering, object_count(clusters, things), occluded, renderer.chunk
    )


def object_count(clusters: Clusters, things: Instances | None) -> int:
    """The number of objects: salient labels, or their instances."""
    return len(clusters.salient) if things is None else things.total


def number_points(
    points: Points, time: float, n_frames: int, clusters: Clusters, things: Instances | None = None
) -> Int64[np.ndarray, "P"]:
    """The object number of every point at a time, by its own feature (and place and time, where the clusters have
    these); with ``things``, by where it is as well. 0 belongs to no object."""
    if isinstance(things, PlacedObjects):
        placed = things.numbers_of(np.ones(len(points.positions), np.int64), points.positions.cpu().numpy(), time)
        # What the model holds for still is of no object, however near.
        return placed if points.moving is None else np.where(points.moving.cpu().numpy(), placed, 0)
    assert points.features is not None
    parts = [points.features]
    if clusters.has_position:
        parts.append(torch.nn.functional.normalize(points.normalised, dim=-1))
    if clusters.has_time:
        parts.append(torch.full_like(parts[0][:, :1], float(np.sign(2 * time / n_frames - 1))))
    _, merged = clusters.labels(torch.cat(parts, dim=-1).cpu().numpy())
    objects = objects_of(merged, clusters.salient)
    if things is not None:
        objects = things.numbers_of(objects, points.positions.cpu().numpy(), time)
    return objects


def numbered_cloud(
    renderer: Renderer,
    scene: Scene,
    view: View,
    clusters: Clusters,
    extract: ExtractConfig,
    things: Instances | None = None,
) -> tuple[ViewPoints, Int64[np.ndarray, "P"], Int64[np.ndarray, "P"]]:
    """The points near surfaces that a training view sees, their merged labels and the numbers of their objects."""
    points = near_surfaces(renderer, scene, view, extract.point_opacity)
    # What is infinitely far has no place in a point cloud.
    distance = np.linalg.norm(points.points - scene.cameras.centres[view.camera], axis=1)
    points = points[np.flatnonzero(distance < extract.far * scene.cameras.near_far[view.camera, 1])]
    if isinstance(things, PlacedObjects):
        placed = things.numbers_of(np.ones(len(points), np.int64), points.points, view.time)
        return points, placed, placed
    values = describe_points(points, view, scene.n_frames, clusters.has_position, clusters.has_time)
    _, merged = clusters.labels(values)
    objects = objects_of(merged, clusters.salient)
    if things is not None:
        objects = things.numbers_of(objects, points.points, view.time)
    return points, merged, objects


def write_clouds(
    renderer: Renderer,
    scene: Scene,
    view: View,
    clusters: Clusters,
    extract: ExtractConfig,
    folder: Path,
    things: Instances | None = None,
) -> None:
    """points/{time}_colour.ply, _saliency.ply and _clusters.ply below ``folder``: the points near surfaces that
    one training view sees."""
    points, merged, objects = numbered_cloud(renderer, scene, view, clusters, extract, things)
    grey = np.repeat((points.saliency.clip(0, 1) * 255).round().astype(np.uint8)[:, None], 3, axis=1)
    colours: Sequence[tuple[CloudKind, np.ndarray]] = (
        ("colour", (points.rgb.clip(0, 1) * 255).round().astype(np.uint8)),
        ("saliency", grey),
        ("clusters", colour_labels(merged[None] + 1)[0]),
    )
    for name, colour in colours:
        write_ply(
            folder / cloud_name(view.camera, name), points.points, colour,
            saliency=points.saliency.astype(np.float32), cluster=merged.astype(np.int32),
            object=objects.astype(np.int32),
        )  # fmt: skip
