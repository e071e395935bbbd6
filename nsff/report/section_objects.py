"""The section of objects: frames, clusters, masks before and after the CRF, one below the other."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Integer, UInt8

from nsff.decompose.colours import N_COLOURS, PALETTE, colour_labels, overlay
from nsff.export.times import frame_rate
from nsff.files.io import read_image, read_mask
from nsff.layout import labels_name
from nsff.report.charts import Series, line_chart
from nsff.report.content import Absent, Cell, Drawing, Fold, Part, Section, Table, Videos
from nsff.report.gather import Material, Parts, spread
from nsff.report.movies import MOST_FRAME_RATE, make_video
from nsff.report.section_model import training_view_numbers
from nsff.report.verdicts import value_text
from nsff.scene import Scene


def objects_section(material: Material) -> Section:
    scene, parts = material.scene, Parts()
    by_motion = material.config.decompose.by_motion

    def shown() -> list[int]:
        if scene.maps_dir.exists():
            return spread(training_view_numbers(scene), material.config.report.frames)
        return material.frames

    def under(i: int) -> np.ndarray:
        """The picture that masks are drawn on: the frame itself where it is there, else its render."""
        if scene.image_path(i).exists():
            return scene.image(i)
        return read_image(scene.map_path(i, "rgb"))

    def masked(folder: Path) -> Callable[[int], np.ndarray]:
        def picture(i: int) -> np.ndarray:
            image = under(i)
            shadow = scene.shadow_path(i)
            cast = read_mask(shadow, image.shape[:2]) if shadow.exists() else None
            return outlined(read_mask(folder / labels_name(i), image.shape[:2]), image, cast)

        return picture

    def clusters(i: int) -> np.ndarray:
        return colour_labels(read_mask(scene.cluster_labels_path(i, "merged")))

    parts.add("Objects over time", lambda: _movie(scene, masked))
    parts.add("Objects in numbers", lambda: _numbers(scene))
    results, parts = parts, Parts()
    if scene.masks_dir.exists() or scene.masks_crf_dir.exists():
        parts.strip(material, "Frames", under, "frame", "postprocess", scene.masks_dir, frames=shown)
    parts.strip(
        material,
        "Objects by motion" if by_motion else "Clusters after merging",
        clusters,
        "what moves together" if by_motion else "clusters of the rendered features, each in its colour",
        "cluster",
        scene.clusters_dir,
        "" if by_motion else "Salient ones become objects; the others are background.",
        frames=shown,
    )
    rows = (
        (
            "Objects before the CRF",
            "object masks before the CRF, tinted over the frame",
            "postprocess",
            scene.masks_dir,
        ),
        ("Objects after the CRF", "object masks after the CRF, tinted over the frame", "crf", scene.masks_crf_dir),
    )
    for title, what, stage, folder in rows:
        parts.strip(material, title, masked(folder), what, stage, folder, frames=shown)
    parts.add("Choice of the number of clusters", lambda: _elbow(scene))
    title = "Objects, frame by frame" if by_motion else "From clusters to objects, frame by frame"
    shown_parts = [*results.parts, *_folded(title, parts.parts)]
    intro = "An object has one number and one colour in every view."
    if by_motion:
        intro += " Its shadow, a layer of its own, is tinted less and has no outline."
    return Section("objects", "Objects", material.of("cluster", "postprocess", "crf"), intro, shown_parts)


def _folded(title: str, parts: list[Part]) -> list[Part]:
    """Parts that are there, folded; absent ones stay in sight."""
    absent: list[Part] = [part for part in parts if isinstance(part, Absent)]
    there = [part for part in parts if not isinstance(part, Absent)]
    return [*([Fold(title, there)] if there else []), *absent]


def outlined(
    labels: Integer[np.ndarray, "H W"],
    image: UInt8[np.ndarray, "H W 3"],
    shadow: Integer[np.ndarray, "H W"] | None = None,
) -> UInt8[np.ndarray, "H W 3"]:
    """Objects tinted in their colours, with a white outline: a tint alone is lost on things of the same colour.

    ``shadow``: numbers of the objects whose shadow is cast there, tinted less and without an outline.
    """
    if shadow is not None:
        image = overlay(np.where(labels > 0, 0, shadow), image, 0.35)
    picture = overlay(labels, image, 0.6)
    edge = cv2.dilate(labels.astype(np.uint8), np.ones((3, 3), np.uint8)) != labels
    picture[edge & (labels == 0)] = 255
    return picture


def _movie(scene: Scene, masked: Callable[[Path], Callable[[int], np.ndarray]]) -> list[Part]:
    """All training views one after another, masks before and after the CRF side by side: flicker shows only here."""
    if not (scene.masks_dir.exists() and scene.masks_crf_dir.exists() and scene.maps_dir.exists()):
        return []
    before, after = masked(scene.masks_dir), masked(scene.masks_crf_dir)
    views = training_view_numbers(scene)
    frames = (np.concatenate([before(i), after(i)], axis=1) for i in views)
    rate = min(MOST_FRAME_RATE, frame_rate(scene))
    note = "Before the CRF on the left, after it on the right. Do the masks flicker, and is each object whole?"
    return [Videos("Objects over time", [make_video(frames, rate, "Object masks over time", note)], large=True)]


def _numbers(scene: Scene) -> list[Part]:
    """Each object after the last stage that has a summary."""
    for stage in ("crf", "postprocess", "cluster"):
        summary = scene.summary(stage) or {}
        areas = summary.get("area_fractions")
        if not isinstance(areas, dict):
            continue
        views, jitter = summary.get("views_with_object") or {}, summary.get("area_jitter") or {}
        rows = [
            [
                Cell(f"object {k}", colour=label_colour(int(k))),
                Cell(value_text("area_fraction", float(area)), number=True),
                Cell(str(views.get(k, "")), number=True),
                Cell(value_text("fraction", float(jitter.get(k, 0.0))), number=True),
            ]
            for k, area in areas.items()
        ]
        head = ("object", "part of the picture", "views with it", "change of area between frames")
        return [Table("Objects in numbers", head, rows)] if rows else [Absent("Objects", "no object was found")]
    return []


def label_colour(label: int) -> str:
    """The colour of a label as #rrggbb."""
    r, g, b = PALETTE[(label - 1) % N_COLOURS].tolist()
    return f"#{r:02x}{g:02x}{b:02x}"


def _elbow(scene: Scene) -> list[Part]:
    objectives = (scene.summary("cluster") or {}).get("objectives")
    if not isinstance(objectives, list) or len(objectives) < 2:
        return []
    counts = range(1, len(objectives) + 1)
    chart = line_chart(
        "Objective of k-means", [Series("objective", counts, objectives)], "clusters", "objective", (640, 180)
    )
    note = "Clusters are added until another one hardly lowers the objective (decompose.elbow)."
    return [Drawing("Choice of the number of clusters", chart, note)]
