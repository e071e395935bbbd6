"""Objects taken out of the scene in 3-D, with alpha, and point clouds (SAFF's extract_2D and its PLY files).

Every sample of every ray gets the label of its own feature; what is not of the object becomes transparent, and the rest
is rendered. So an object is seen where others hide it in the picture. Notation as in nsff.decompose.samples.
See docs/methods.md#object-extraction.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor
from tqdm import tqdm

from nsff.config import ExtractConfig
from nsff.decompose.clusters import Clusters, objects_of
from nsff.decompose.colours import colour_labels
from nsff.decompose.instances import Instances
from nsff.decompose.samples import SpaceSamples, near_surfaces, space_samples
from nsff.decompose.view_points import describe_points
from nsff.decompose.views import View, read_labelled, training_views
from nsff.files.io import atomic_directory, write_image, write_json
from nsff.files.ply import write_ply
from nsff.layout import CloudKind, cloud_name, extracted_name, map_name
from nsff.models.ray_fields.encodings import time_code
from nsff.models.ray_fields.model import RayFields
from nsff.models.rays import Rays
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
    cameras, objects = scene.cameras, range(1, _count(clusters, things) + 1)
    nearest = 1 / max(float(cameras.near_far[:, 0].min()) * 0.5, 1e-6)
    alphas: dict[int, list[float]] = {n: [] for n in objects}
    seen: list[float] = []
    with atomic_directory(scene.extracted_dir) as folder:
        for view in tqdm(views, desc="objects", unit="view"):
            pictures = extract_view(renderer, scene, view, clusters, extract.hidden, things)
            seen += [pictures["seen"]]
            for n, rgba in pictures["rgba"].items():
                write_image(folder / extracted_name(view.index, n), (rgba * 255).round().astype(np.uint8))
                if n:
                    alphas[n].append(float(rgba[..., 3].mean()))
            disparity = np.where(pictures["depth"] > 0, 1 / np.maximum(pictures["depth"], 1e-6), 0) / nearest
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
        message += " behind other things, perhaps where no view ever looked: extract.hidden: false leaves it out."
    summary = {
        "views": len(views),
        "alpha": shown,
        "seen_fraction": seen_fraction,
        "verdict": verdict,
        "message": message,
    }
    scene.write_summary("extract", summary)
    return summary


@torch.no_grad()
def extract_view(
    renderer: Renderer,
    scene: Scene,
    view: View,
    clusters: Clusters,
    hidden: bool = True,
    things: Instances | None = None,
) -> dict[str, Any]:
    """``rgba``: by object number (0: all together) pictures (H,W,4) in [0,1]; ``depth`` (H,W) of all, 0 where empty;
    ``seen``: how much of what is taken out the picture shows, 0 to 1."""
    cameras, (height, width) = scene.cameras, scene.size
    rays = renderer.frame_rays(
        cameras.intrinsics[view.camera], cameras.world_to_camera[view.camera], height, width, float(view.time)
    )
    count = _count(clusters, things)
    rgba = {n: np.zeros((height * width, 4), np.float32) for n in range(count + 1)}
    depth = np.zeros(height * width, np.float32)
    light = np.zeros(2)
    step = max(1, renderer.chunk // 4)
    for start in range(0, len(rays) if count else 0, step):
        part = rays[slice(start, start + step)]
        found = space_samples(renderer.model, part)
        numbers = torch.from_numpy(sample_objects(renderer.model, found, clusters, things)).to(renderer.device)
        at = slice(start, start + len(part))
        through = found.transmittance
        for n in range(count + 1):
            kept = found.kept(numbers == n if n else numbers > 0)
            T = kept.transmittance if hidden else through
            rgba[n][at] = straight_rgba(kept, T).cpu().numpy()
            if n == 0:
                depth[at] = _depth(renderer.model, kept, T, part).cpu().numpy()
                light += [float((t * kept.opacity).sum()) for t in (through, kept.transmittance)]
    shape = (height, width)
    pictures = {n: value.reshape(*shape, 4) for n, value in rgba.items()}
    return {"rgba": pictures, "depth": depth.reshape(shape), "seen": float(light[0] / max(light[1], 1e-8))}


def _count(clusters: Clusters, things: Instances | None) -> int:
    return len(clusters.salient) if things is None else things.total


def sample_objects(
    model: RayFields, found: SpaceSamples, clusters: Clusters, things: Instances | None = None
) -> Int64[np.ndarray, "R K"]:
    """The object number of every sample of one view, by its own feature (and place and time, where the clusters have
    these); with ``things``, by where it is as well."""
    samples = found.evaluation.samples
    parts = [torch.nn.functional.normalize(found.features(model), dim=-1)]
    if clusters.has_position:
        parts.append(torch.nn.functional.normalize(samples.positions, dim=-1))
    if clusters.has_time:
        parts.append(torch.sign(time_code(samples.time, model.n_frames))[..., None])
    values = torch.cat(parts, dim=-1)
    _, merged = clusters.labels(values.flatten(0, 1).cpu().numpy())
    objects = objects_of(merged, clusters.salient)
    if things is not None:
        world = model.space.to_world(samples.positions).flatten(0, 1).cpu().numpy()
        objects = things.numbers_of(objects, world, float(samples.time.flatten()[0]))
    return objects.reshape(values.shape[:2])


def straight_rgba(kept: SpaceSamples, T: Float[Tensor, "R K"]) -> Float[Tensor, "R 4"]:
    """Colour, not multiplied by alpha, and alpha: the light T o that the kept samples stop, in [0, 1].

    With the kept samples' own T that is 1 - prod (1 - o); the published code takes the last sample's opacity for it.
    """
    alpha = (T * kept.opacity).sum(1)
    # Blended weights may add up to more than alpha (1 + 1/4 for two opaque samples with v = 1/2): colours are a mean
    # over the weights.
    weight = (T * (kept.a_static + kept.a_dynamic)).sum(1)
    colour = kept.sum("rgb", T).sum(1) / weight.clamp(min=1e-8)[:, None]
    return torch.cat([colour, alpha[:, None]], dim=1).clamp(0, 1)


def _depth(model: RayFields, kept: SpaceSamples, T: Float[Tensor, "R K"], rays: Rays) -> Float[Tensor, "R"]:
    weights = T * (kept.a_static + kept.a_dynamic)
    total = weights.sum(1)
    s = (weights * kept.evaluation.samples.s).sum(1) / total.clamp(min=1e-8)
    return model.depth(rays, s.clamp(0, 0.9995)) * (total > 0.05)


def write_clouds(
    renderer: Renderer,
    scene: Scene,
    view: View,
    clusters: Clusters,
    extract: ExtractConfig,
    folder: Path,
    things: Instances | None = None,
) -> None:
    """points/{time}_colour.ply, _saliency.ply and _clusters.ply below ``folder``: the samples near surfaces of one
    training view."""
    points = near_surfaces(renderer, scene, view, extract.point_opacity)
    # What is infinitely far has no place in a point cloud.
    distance = np.linalg.norm(points.points - scene.cameras.centres[view.camera], axis=1)
    points = points[np.flatnonzero(distance < extract.far * scene.cameras.near_far[view.camera, 1])]
    values = describe_points(points, view, scene.n_frames, clusters.has_position, clusters.has_time)
    _, merged = clusters.labels(values)
    objects = objects_of(merged, clusters.salient)
    if things is not None:
        objects = things.numbers_of(objects, points.points, view.time)
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
