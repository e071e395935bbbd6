"""Sections of features, training, and what the trained scene renders: maps and videos."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from nsff.errors import StageError
from nsff.export.times import frame_rate
from nsff.files.io import map_npy, read_image, read_json, read_mask
from nsff.files.reading import read_table, reading
from nsff.layout import MapKind, map_name
from nsff.report.charts import Series, line_chart
from nsff.report.content import Absent, Drawing, Drawings, Part, Section, Strip, Video, Videos, facts
from nsff.report.gather import Material, Parts, spread
from nsff.report.movies import MOST_FRAME_RATE, embed_video, make_video
from nsff.report.pictures import colour_key, colour_map, colour_range, feature_picture, feature_range
from nsff.report.stages import not_asked
from nsff.report.verdicts import plain_number
from nsff.scene import Scene

PATH_WORDS = {
    "spacetime": ("Camera and time move", "Views that were never filmed, in slow motion."),
    "time": ("Time moves, the camera stands still", "Is the background still, and the mover whole?"),
    "view": ("The camera moves, time stands still", "Is the background whole, and are outlines clean?"),
}
"""The videos in the order of the page, with what to look at."""


def features_section(material: Material) -> Section:
    scene, parts = material.scene, Parts()
    bounds = np.zeros((2, 3))

    def measure() -> list[Part]:
        nonlocal bounds
        bounds = feature_range(scene.features()[0][material.frames])
        return []

    if scene.features_dir.exists():
        parts.add("Range of the features", measure)
    parts.strip(
        material,
        "Features",
        lambda i: feature_picture(scene.features()[0][i], bounds),
        "first three components of the features as red, green and blue",
        "features",
        scene.features_dir,
        "The first three principal components as red, green and blue: what has one colour can become one object.",
    )
    parts.strip(
        material,
        "Saliency",
        lambda i: colour_map(np.asarray(scene.features()[1][i], np.float32), 0, 1, "viridis"),
        "saliency as colours, yellow stands out",
        "features",
        scene.features_dir,
        "Yellow stands out, violet does not.",
    )
    return Section("features", "Features and saliency", material.of("features"), "", parts.parts)


def training_section(material: Material) -> Section:
    scene, parts = material.scene, Parts()
    reason = material.why_no("train", scene.model_dir)
    if reason:
        parts.parts.append(Absent("Curves of the training", reason))
    else:
        parts.add("Curves of the training", lambda: _curves(scene))
    return Section("training", "Training", material.of("train"), "", parts.parts)


def read_history(scene: Scene) -> dict[str, Series]:
    """The logged values by name; raises StageError where history.csv is not one."""
    path = scene.history_path
    if not path.exists():
        raise FileNotFoundError(path)
    with reading(path, "delete model/ and run again", message="not readable as a history"):
        table = read_table(path, dtype={"step": float, "name": str, "value": float})
        grouped = {str(name): rows for name, rows in table.groupby("name", sort=False)}
        return {name: Series(name, rows["step"].tolist(), rows["value"].tolist()) for name, rows in grouped.items()}


def _curves(scene: Scene) -> list[Part]:
    history = read_history(scene)
    parts: list[Part] = []
    if "psnr" in history:
        chart = line_chart("PSNR of training rays", [history["psnr"]], "step", "dB", (960, 240))
        parts.append(
            Drawing("PSNR of training rays", chart, "On the rays of each batch: noisy, and higher than held-out.")
        )
    else:
        parts.append(Absent("PSNR of training rays", "history.csv has no psnr"))
    losses = [series for name, series in history.items() if name.startswith("loss/")]
    drawings = []
    for series in losses:
        name = series.name.removeprefix("loss/").replace("_", " ")
        logarithmic = all(value > 0 for value in series.y)
        chart = line_chart(f"Loss {name}", [series], "step", "", (300, 150), logarithmic)
        if chart:
            drawings.append(Drawing(name, chart))
    if drawings:
        note = (
            "Unweighted, each on its own scale (logarithmic where all values are positive); total is the weighted sum."
        )
        parts.append(Drawings("Losses", drawings, note))
    others = [s for s in history.values() if s.name != "psnr" and s not in losses and s.y]
    if others:
        pairs = [(s.name.replace("_", " "), f"{plain_number(s.y[0])} → {plain_number(s.y[-1])}") for s in others]
        parts.append(facts("Also logged: first and last value", pairs, folded=True))
    return parts


def videos_section(material: Material) -> Section:
    scene, config, parts = material.scene, material.config, Parts()
    videos: list[Video] = []
    for path, (title, note) in PATH_WORDS.items():
        file, reason = scene.video_path(path), not_asked(f"render_{path}", config)
        if not file.exists():
            why = reason or f"renders/{path}.mp4 is not there: the stage render_{path} has not run"
            parts.parts.append(Absent(f"Video: {title.lower()}", why))
            continue
        try:
            videos.append(embed_video(file, title, note, config.report.embed_videos, scene.root))
        except StageError as error:
            parts.parts.append(Absent(f"Video: {title.lower()}", f"{path}.mp4: {error.problem}"))
    absent, parts.parts = parts.parts, []
    if videos:
        parts.parts.append(Videos("Videos", videos[:1], large=True))
        parts.parts += [Videos("Videos", videos[1:])] if videos[1:] else []
    if scene.maps_dir.exists():
        parts.add("Input beside its rendering", lambda: _beside_input(scene))
    parts.parts += absent
    stages = [f"render_{path}" for path in PATH_WORDS]
    return Section("videos", "Rendered videos", material.of(*stages), "", parts.parts)


def _beside_input(scene: Scene) -> list[Part]:
    """Every frame of the clip beside what the scene shows to the same camera at the same time."""
    views = training_view_numbers(scene)
    if not all(scene.image_path(i).exists() and scene.map_path(i, "rgb").exists() for i in views):
        return []

    def pair(i: int) -> np.ndarray:
        image, rendered = scene.image(i), read_image(scene.map_path(i, "rgb"))
        height, width = rendered.shape[:2]
        return np.concatenate([cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), rendered], axis=1)

    rate = min(MOST_FRAME_RATE, frame_rate(scene))
    title = "Input beside its rendering"
    note = "The clip on the left; on the right what the scene shows to the same camera at the same time."
    return [Videos(title, [make_video(map(pair, views), rate, title, note)], large=True)]


def maps_section(material: Material) -> Section:
    scene, parts = material.scene, Parts()
    folder = scene.maps_dir
    low, high = 0.0, 1.0
    bounds = np.zeros((2, 3))

    def shown() -> list[int]:
        return spread(training_view_numbers(scene), material.config.report.frames)

    def row(title: str, kind: MapKind, what: str, picture: Callable[[int], np.ndarray], note: str = "") -> None:
        """A row of maps; one that the model has no head for is named as absent."""
        if folder.exists() and not any(folder.glob(map_name("*", kind))):
            heads = {"features": "features", "sal": "saliency"}
            off = kind in heads and not getattr(material.config.field, heads[kind])
            why = f", since field.{heads[kind]} is false" if off else ""
            parts.parts.append(Absent(title, f"maps has no {map_name('', kind)[1:]}{why}"))
            return
        parts.strip(material, title, picture, what, "maps", folder, note, frames=shown)

    def disparity(i: int) -> np.ndarray:
        values = read_mask(scene.map_path(i, "depth"))
        return values.astype(np.float32) / np.iinfo(values.dtype).max

    def features(i: int) -> np.ndarray:
        return map_npy(scene.map_path(i, "features"), "delete maps/ and run again")

    def measure() -> list[Part]:
        nonlocal low, high, bounds
        low, high = colour_range(np.concatenate([disparity(i).ravel() for i in shown()]))
        if scene.map_path(shown()[0], "features").exists():
            source = scene.features()[0][material.frames] if scene.features_dir.exists() else None
            bounds = feature_range(source if source is not None else np.stack([features(i) for i in shown()]))
        words = f"far {low:.2f} to near {high:.2f} (1: the nearest of all maps)"
        return [Strip("Key: inverse depth", [colour_key(low, high, "turbo", "blue, far, to red, near", words)])]

    top = 8.0

    def error(i: int) -> np.ndarray:
        """Mean absolute difference from the input frame, grey levels of 255 (H,W)."""
        rendered = read_image(scene.map_path(i, "rgb"))
        image = cv2.resize(scene.image(i), rendered.shape[1::-1], interpolation=cv2.INTER_AREA)
        return np.abs(image.astype(np.float32) - rendered).mean(axis=2)

    def measure_errors() -> list[Part]:
        nonlocal top
        top = max(top, float(np.percentile(np.stack([error(i) for i in shown()]), 99)))
        words = f"0 to {top:.0f} grey levels of 255"
        return [Strip("Key: error", [colour_key(0, top, "viridis", "violet, none, to yellow, large", words)])]

    row("Colour", "rgb", "rendered colour", lambda i: read_image(scene.map_path(i, "rgb")))
    if folder.exists() and scene.images_dir.exists():
        parts.add("Range of the error", measure_errors)
        row(
            "Error against the input frames",
            "rgb",
            "mean absolute error, violet is none, yellow is large",
            lambda i: colour_map(error(i), 0, top, "viridis"),
            "Of views that were trained on; held-out views are in the section on scores.",
        )
    if folder.exists():
        parts.add("Ranges of the maps", measure)
    row(
        "Inverse depth",
        "depth",
        "rendered inverse depth, red near, blue far",
        lambda i: colour_map(disparity(i), low, high),
    )
    row(
        "Weight of the dynamic field",
        "blend",
        "weight of the dynamic field, white is dynamic",
        lambda i: colour_map(read_mask(scene.map_path(i, "blend")) / 255, 0, 1, "gray"),
        "White is explained by the dynamic field, black by the static one.",
    )
    row(
        "Features",
        "features",
        "rendered features, first three components as red, green and blue",
        lambda i: feature_picture(features(i), bounds),
        "In the colours of the section on features, so that both can be compared.",
    )
    row(
        "Saliency",
        "sal",
        "rendered saliency, yellow stands out",
        lambda i: colour_map(read_mask(scene.map_path(i, "sal")) / 255, 0, 1, "viridis"),
    )
    return Section("maps", "Maps of the training views", material.of("maps"), "", parts.parts)


def training_view_numbers(scene: Scene) -> list[int]:
    """Indices of the training views in maps/views.json; raises StageError where it is not a list of views."""
    path = scene.views_path
    with reading(path, "delete maps/ and run again", message="is not a list of views"):
        return [int(view["index"]) for view in read_json(path) if view["split"] == "training"]
