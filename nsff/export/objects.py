"""Every object alone: pictures and films with soft alpha, its points over time, and its track with speeds.

Notation. N frames, each from its own camera. Alpha in [0, 1] is how much of a pixel's light comes from the object, so
that it is a matte: where something stands before the object, or the object ends, it falls off. Area is the sum of alpha
in pixels, the centroid in the picture its mean position (u right, v down, pixel centres at +0.5). The centroid in the
world is the mean of the object's visible surface; lengths are scene units, times seconds.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Float64, UInt8
from tqdm import tqdm

from nsff.config import ExtractConfig
from nsff.decompose.clusters import Clusters
from nsff.decompose.extract import extract_view, numbered_cloud, object_count
from nsff.decompose.instances import Instances
from nsff.decompose.view_surfaces import unproject
from nsff.decompose.views import View, read_labelled, training_views
from nsff.errors import StageError
from nsff.export.films import write_film
from nsff.export.times import frame_rate, frame_times
from nsff.files.io import atomic_directory, write_csv, write_image, write_json
from nsff.files.ply import write_ply
from nsff.layout import frame_name
from nsff.rendering.renderer import Renderer
from nsff.scene import Scene

LEAST_AREA = 4.0
"""Pixels; with less an object counts as not seen in a frame."""
OUTLYING = 3.0
"""Surface points whose depth is further from the median than this many (scaled) median deviations do not count: at an
object's edge, depths lie between it and what is behind."""
COLUMNS = ("frame", "seconds", "u", "v", "x", "y", "z", "speed", "area")


def export_objects(scene: Scene, folder: Path, whole: bool = False, clouds: bool = True) -> dict[str, Any]:
    """Writes ``folder`` (replaced as a whole), for each object n:

    - object_n/rgba/00000.png …, object_n/rgba.webm (VP9 with alpha), object_n/rgba.mov (ProRes 4444)
    - object_n/track.csv: a line a frame, empty where the object is not seen
    - object_n/clouds/00000.ply …: its points near surfaces, with ``clouds``

    and objects.json, which is returned. ``whole``: films show the object as if nothing stood before it; tracks and
    clouds are always of what is seen. Raises StageError where a scene has no objects, or is damaged.
    """
    renderer, clusters, things = Renderer.load(scene.model_dir), Clusters.load(scene), Instances.load(scene)
    count = object_count(clusters, things)
    if not count:
        raise StageError(scene.clusters_path, "names no object", "look at the report's section on objects")
    views, rate = training_views(read_labelled(scene, scene.merged_labels_dir)), frame_rate(scene)
    seen: dict[int, list[Sighting]] = {n: [] for n in range(1, count + 1)}
    with atomic_directory(folder) as temporary:
        for view in tqdm(views, desc="objects", unit="frame"):
            parts = extract_view(renderer, scene, view, clusters, False, things)
            shown = extract_view(renderer, scene, view, clusters, True, things) if whole else parts
            for n, sightings in seen.items():
                sightings.append(Sighting.of(scene, view, parts.rgba[n][..., 3], parts.depth))
                rgba = (shown.rgba[n] * 255).round().astype(np.uint8)
                write_image(temporary / f"object_{n}" / "rgba" / frame_name(view.camera), rgba)
            if clouds:
                _write_clouds(renderer, scene, view, clusters, things, temporary)
        about = {}
        for n, sightings in seen.items():
            own = temporary / f"object_{n}"
            frames = [_read_rgba(own / "rgba" / frame_name(view.camera)) for view in views]
            for kind in ("webm", "mov"):
                write_film(own / "rgba", frames, rate, kind)
            rows = track(views, sightings, frame_times(scene))
            write_csv(own / "track.csv", COLUMNS, rows)
            about[str(n)] = _about(rows)
        content = {"scene": scene.name, "frame_rate": rate, "lengths": "scene units", "objects": about}
        write_json(temporary / "objects.json", content)
    return content


class Sighting:
    """An object in one frame: area, centroid in the picture (2,) and in the world (3,), NaN where it is not seen."""

    def __init__(self, area: float, pixel: Float64[np.ndarray, "2"], point: Float64[np.ndarray, "3"]) -> None:
        self.area, self.pixel, self.point = area, pixel, point

    @staticmethod
    def of(scene: Scene, view: View, alpha: Float[np.ndarray, "H W"], depth: Float[np.ndarray, "H W"]) -> Sighting:
        """From the object's alpha, and the depth of the objects that are seen there."""
        area, nowhere = float(alpha.sum()), np.full(3, np.nan)
        if area < LEAST_AREA:
            return Sighting(area, nowhere[:2], nowhere)
        v, u = (np.indices(alpha.shape) + 0.5).astype(np.float64)
        pixel = np.array([(alpha * u).sum(), (alpha * v).sum()]) / area
        inside = (alpha > 0.5) & (depth > 0)
        if not inside.any():
            return Sighting(area, pixel, nowhere)
        z = depth[inside]
        deviation = np.abs(z - np.median(z))
        near = deviation <= OUTLYING * 1.4826 * np.median(deviation) + 1e-9
        cameras = scene.cameras
        points = unproject(depth, cameras.intrinsics[view.camera], cameras.world_to_camera[view.camera])
        return Sighting(area, pixel, points[inside][near].mean(0))


def track(views: list[View], sightings: list[Sighting], times: Float[np.ndarray, " N"]) -> list[dict[str, Any]]:
    """The lines of a track, by COLUMNS. Speed is the length of the world centroid's derivative: central differences
    between frames that both show the object, one-sided at the ends of a stretch; nothing for a frame that stands alone.
    """
    points = np.array([sighting.point for sighting in sightings])
    seconds = np.array([times[view.camera] for view in views])
    speeds = speed(points, seconds)
    rows = []
    for i, (view, sighting) in enumerate(zip(views, sightings, strict=True)):
        values = [*sighting.pixel, *sighting.point, speeds[i]]
        rows.append(
            {"frame": view.camera, "seconds": f"{seconds[i]:.6g}", "area": f"{sighting.area:.2f}"}
            | {name: _text(value) for name, value in zip(COLUMNS[2:8], values, strict=True)}
        )
    return rows


def speed(points: Float[np.ndarray, "N 3"], seconds: Float[np.ndarray, " N"]) -> Float64[np.ndarray, " N"]:
    """Lengths of the derivative of points over time; NaN where points are, or have no neighbour.

    >>> speed(np.array([[0.0, 0, 0], [1, 0, 0], [2, 0, 0]]), np.array([0.0, 0.5, 1.0]))
    array([2., 2., 2.])
    """
    result = np.full(len(points), np.nan)
    there = np.isfinite(points).all(1)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], there, [False]])))
    for first, last in edges.reshape(-1, 2):
        if last - first > 1:
            velocity = np.gradient(points[first:last], seconds[first:last], axis=0)
            result[first:last] = np.linalg.norm(velocity, axis=1)
    return result


def _text(value: float) -> str:
    return f"{value:.6g}" if np.isfinite(value) else ""


def _about(rows: list[dict[str, Any]]) -> dict[str, Any]:
    seen = [row for row in rows if row["u"]]
    speeds = [float(row["speed"]) for row in rows if row["speed"]]
    return {
        "frames_seen": len(seen),
        "mean_area": float(np.mean([float(row["area"]) for row in rows])),
        "median_speed": float(np.median(speeds)) if speeds else None,
    }


def _write_clouds(
    renderer: Renderer, scene: Scene, view: View, clusters: Clusters, things: Instances | None, folder: Path
) -> None:
    points, _, objects = numbered_cloud(renderer, scene, view, clusters, ExtractConfig(), things)
    colours = (points.rgb.clip(0, 1) * 255).round().astype(np.uint8)
    for n in range(1, object_count(clusters, things) + 1):
        own = objects == n
        name = Path(frame_name(view.camera)).with_suffix(".ply")
        write_ply(folder / f"object_{n}" / "clouds" / name, points.points[own], colours[own])


def _read_rgba(path: Path) -> UInt8[np.ndarray, "H W 4"]:
    from PIL import Image

    return np.asarray(Image.open(path))
