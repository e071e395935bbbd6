"""Reading the rendered maps of the views that are decomposed.

Notation. A view is one entry of maps/views.json: index, split, camera (a frame index) and time. Features (h,w,C)
float16, saliency (H,W) in [0,1]; rgb (H,W,3) uint8; depth (H,W) uint8, a picture of the disparity or of NDC.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float16, Float32, Integer, UInt8

from nsff.decompose.colours import colour_labels, overlay
from nsff.errors import StageError
from nsff.files.io import map_npy, read_image, read_json, read_mask, read_npy, write_image
from nsff.files.reading import reading
from nsff.layout import labels_name
from nsff.paths import NEAR_PLANE
from nsff.scene import Scene

TRAINING = "training"


@dataclass(frozen=True)
class View:
    index: int
    split: str
    camera: int
    time: float


def read_views(scene: Scene) -> list[View]:
    """Views in the order of the file; raises StageError where it is not usable or has no training view."""
    path = scene.views_path
    content = read_json(path)
    with reading(path, "delete maps/ and run again", message="is not a list of views"):
        views = [View(int(v["index"]), str(v["split"]), int(v["camera"]), float(v["time"])) for v in content]
    if not any(view.split == TRAINING for view in views):
        raise StageError(
            path, f"has no view of split '{TRAINING}', which alone defines the clusters", "delete maps/ and run again"
        )
    return views


def training_views(views: Sequence[View]) -> list[View]:
    return [view for view in views if view.split == TRAINING]


def read_labelled(scene: Scene, folder: Path) -> list[View]:
    """The views with {i}.png in a folder of labels: all, or, where it has none of the others, the training views alone
    (decompose.source: images)."""
    views = read_views(scene)
    others = [view for view in views if view.split != TRAINING]
    return views if any((folder / labels_name(view.index)).exists() for view in others) else training_views(views)


def read_features(scene: Scene, view: View) -> Float16[np.ndarray, "h w C"]:
    """Memory-mapped features of a view; raises StageError when missing, of a wrong shape or not finite."""
    path = scene.map_path(view.index, "features")
    again = "delete maps/ and run again"
    features = map_npy(
        path, again, "train with field.features: true and a model.kind that has them, then run the maps stage"
    )
    if features.dtype.kind != "f":
        raise StageError(path, f"has numbers of type {features.dtype}, not floats", again)
    if features.ndim != 3 or not np.isfinite(features).all():
        raise StageError(path, f"has shape {features.shape} or values that are not finite", again)
    return features


def read_saliency(scene: Scene, view: View) -> Float32[np.ndarray, "H W"]:
    """Saliency in [0,1] from {i}_sal.png, 8 or 16 bit."""
    path = scene.map_path(view.index, "sal")
    if not path.exists():
        raise StageError(path, "missing", "train with field.saliency: true, then run the maps stage")
    return _unit(read_mask(path))


def read_motion(scene: Scene, view: View) -> Float32[np.ndarray, "H W"]:
    """Motion in [0,1] from {i}_motion.npy (pixels to the next and the last frame): each scaled to its range in the
    view, then the larger (SAFF's cluster_2D_flow)."""
    path = scene.map_path(view.index, "motion")
    again = "delete maps/ and run again"
    with reading(path, again):
        motion = read_npy(path, again, "train with a dynamic field, then run the maps stage again").astype(np.float32)
    if motion.ndim != 3 or motion.shape[2] != 2 or not np.isfinite(motion).all():
        raise StageError(path, f"has shape {motion.shape} or values that are not finite", again)
    low, high = motion.min(axis=(0, 1)), motion.max(axis=(0, 1))
    return ((motion - low) / np.maximum(high - low, 1e-8)).max(axis=2)


def read_rgb(scene: Scene, view: View, size: tuple[int, int] | None = None) -> UInt8[np.ndarray, "H W 3"]:
    return read_image(scene.map_path(view.index, "rgb"), size)


def read_depth(
    scene: Scene, view: View, size: tuple[int, int] | None = None, guide: str = "disparity"
) -> UInt8[np.ndarray, "H W"]:
    """A view's depth as a grey picture. ``disparity``: {i}_depth.png; ``ndc``: {i}_ndc.png, SAFF's depth pictures, or,
    where the scene's space is not NDC and the maps have none, 255 (1 - 0.9 near/z) from {i}_depth.png.

    Raises StageError where a file is missing or has another size.
    """
    path = scene.map_path(view.index, "ndc")
    if guide == "ndc" and path.exists():
        return read_mask(path, size)
    grey = 255 * _unit(read_mask(scene.map_path(view.index, "depth"), size))
    if guide == "ndc":
        near = float(np.percentile(scene.cameras.near_far[:, 0], 5))
        grey = 255 - NEAR_PLANE * near * disparity_scale(scene) * grey
    return np.rint(grey).clip(0, 255).astype(np.uint8)


def disparity_scale(scene: Scene) -> float:
    """The disparity 1/z that white stands for in {i}_depth.png; raises StageError where there is none."""
    path = scene.map_scale_path
    with reading(path, "delete maps/ and run again", message="has no scale"):
        scale = float(read_json(path)["disparity_of_65535"])
        if not 0 < scale < np.inf:
            raise ValueError(f"{scale} is none")
        return scale


def _unit(values: np.ndarray) -> Float32[np.ndarray, "H W"]:
    return values.astype(np.float32) / np.iinfo(values.dtype).max


def write_mask_folder(folder: Path, view: View, labels: Integer[np.ndarray, "H W"]) -> None:
    """Writes {i}.png (integer labels, 8 bit) and its coloured copy colour/{i}.png."""
    if labels.max(initial=0) > 255:
        raise StageError(folder, f"label {labels.max()} does not fit 8 bits", "use fewer decompose.max_clusters")
    write_image(folder / labels_name(view.index), labels.astype(np.uint8))
    write_image(folder / "colour" / labels_name(view.index), colour_labels(labels))


def write_preview(scene: Scene, folder: Path, views: Sequence[View], n: int = 6) -> None:
    """preview.png: up to n training views spread over the clip with their objects tinted, three in a row."""
    chosen = [views[i] for i in np.unique(np.linspace(0, len(views) - 1, n).round().astype(int))]
    tiles = []
    for view in chosen:
        labels = read_mask(folder / labels_name(view.index))
        tiles.append(overlay(labels, read_rgb(scene, view, labels.shape)))
    columns = min(3, len(tiles))
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % columns)
    rows = [np.concatenate(tiles[i : i + columns], axis=1) for i in range(0, len(tiles), columns)]
    write_image(folder / "preview.png", np.concatenate(rows, axis=0))
