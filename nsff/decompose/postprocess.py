"""Object masks from merged clusters: salient labels, cleaned by morphology, and split into instances where that is
asked for (nsff.decompose.instance_splitting).

Notation. Labels (H,W) are integers, 0 background, 1, 2, … objects. Sizes and areas are made for 288 rows and scale
with the height. The morphology here acts on each object's mask, not on label numbers: grey morphology would let high
numbers win over low ones. SAFF's own, on numbers, is in nsff.decompose.published_cleaning.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import cv2
import numpy as np
from jaxtyping import Bool, Int64, Integer, UInt8
from scipy.ndimage import binary_propagation
from skimage.morphology import remove_small_holes, remove_small_objects
from tqdm import tqdm

from nsff.config import DecomposeConfig
from nsff.decompose.clusters import method_of, objects_of, salient_labels
from nsff.decompose.instances import find_instances, label_instances
from nsff.decompose.published_cleaning import SQUARE_3X3, clean_as_published
from nsff.decompose.stability import describe_masks, judge
from nsff.decompose.views import TRAINING, View, read_labelled, write_mask_folder, write_preview
from nsff.files.io import atomic_directory, read_mask
from nsff.imaging.scale import REFERENCE_ROWS
from nsff.layout import worse
from nsff.scene import Scene

GENTLE_SHARE = 0.03
"""Gentle cleaning removes nothing larger than this share of an object's usual area."""
CROSS_3X3 = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))


def run_postprocess(scene: Scene, decompose: DecomposeConfig) -> None:
    """Writes masks/ ({i}.png labels, colour/{i}.png, preview.png, and things.npz where a label has several
    instances) of all views, and the summary over the training views."""
    if method_of(scene) == "motion":
        _keep_masks(scene)
        return
    salient = salient_labels(scene)
    views = read_labelled(scene, scene.merged_labels_dir)
    iterations, closing = scaled_sizes(decompose, scene.size[0])
    before = [read_objects(scene, view, salient) for view in views]
    training = [i for i, view in enumerate(views) if view.split == TRAINING]
    cleaned = cleaner(decompose, before, salient)
    masks = [cleaned(labels).astype(np.uint8) for labels in tqdm(before, desc="masks", unit="view")]
    changed = float(np.mean([(masks[i] != before[i]).mean() for i in training]))
    instances = None
    if decompose.split_instances:
        seen = [views[i] for i in training], [masks[i] for i in training]
        instances, numbered = find_instances(scene, *seen, len(salient))
        shown = dict(zip(training, numbered, strict=True))
        masks = [
            shown[i] if i in shown else label_instances(scene, view, mask, instances)
            for i, (view, mask) in enumerate(zip(views, masks, strict=True))
        ]
    several = instances if instances is not None and instances.split_labels else None
    with atomic_directory(scene.masks_dir, sealed=True) as folder:
        for view, mask in zip(views, masks, strict=True):
            write_mask_folder(folder, view, mask)
        if several is not None:
            several.save(folder)
        write_preview(scene, folder, [views[i] for i in training])
    before, masks = [before[i] for i in training], [masks[i] for i in training]
    numbers = describe_masks(scene, masks, [views[i].camera for i in training])
    kept = np.mean([(m > 0).sum() / max((b > 0).sum(), 1) for m, b in zip(masks, before, strict=True)])
    empty = sum(not m.any() for m in masks)
    level, message = judge(numbers)
    if several is not None:
        message += (
            f" {len(several.split_labels)} of {len(salient)} labels were split into instances: {several.total} objects."
        )
    if salient and not numbers["n_objects"]:
        message += " The clusters had objects, but none survived the cleaning: lower decompose.min_component."
    elif empty > len(masks) // 4:
        level = worse(level, "doubtful")
        message += f" {empty} of {len(masks)} views show no object."
    numbers |= {
        "iterations": iterations, "closing_area": closing, "foreground_kept": float(kept),
        "pixels_changed": changed, "empty_views": empty, "things": None if instances is None else instances.counts,
    }  # fmt: skip
    scene.write_summary("postprocess", numbers | {"verdict": level, "message": message})


def _keep_masks(scene: Scene) -> None:
    """Objects by motion are what they are at full resolution: masks/ are their labels, with their points in space."""
    from nsff.decompose.motion_groups.placed import place_objects

    salient = salient_labels(scene)
    views = read_labelled(scene, scene.merged_labels_dir)
    masks = [read_objects(scene, view, salient) for view in views]
    training = [i for i, view in enumerate(views) if view.split == TRAINING]
    own, seen = [views[i] for i in training], [masks[i] for i in training]
    with atomic_directory(scene.masks_dir, sealed=True) as folder:
        for view, mask in zip(views, masks, strict=True):
            write_mask_folder(folder, view, mask)
        place_objects(scene, own, seen, len(salient)).save(folder)
        write_preview(scene, folder, own)
    numbers = describe_masks(scene, seen, [view.camera for view in own])
    level, message = judge(numbers)
    numbers |= {"pixels_changed": 0.0, "empty_views": sum(not mask.any() for mask in seen)}
    scene.write_summary("postprocess", numbers | {"verdict": level, "message": message})


def read_objects(scene: Scene, view: View, salient: Sequence[int]) -> UInt8[np.ndarray, "H W"]:
    """Object numbers of a view before cleaning."""
    merged = read_mask(scene.cluster_labels_path(view.index, "merged"), scene.size).astype(np.int64) - 1
    return objects_of(merged, salient).astype(np.uint8)


def cleaner(
    decompose: DecomposeConfig, masks: Sequence[Integer[np.ndarray, "H W"]], clusters: Sequence[int]
) -> Callable[[Integer[np.ndarray, "H W"]], Integer[np.ndarray, "H W"]]:
    """The configured cleaning of a view's labels. ``masks`` are the labels of all views, ``clusters`` the clusters'
    labels by object, in ascending order."""
    if decompose.cleaning == "none" or not len(masks):
        return lambda labels: labels
    iterations, closing = scaled_sizes(decompose, masks[0].shape[0])
    if decompose.cleaning == "published":
        return lambda labels: clean_as_published(labels, clusters, iterations, closing, decompose.min_component)
    limits = object_limits(masks, closing, decompose.min_component, decompose.cleaning)
    return lambda labels: clean(labels, iterations, limits, decompose.cleaning == "gentle")


def scaled_sizes(decompose: DecomposeConfig, height: int) -> tuple[int, float]:
    """Iterations and closing area (pixels) at a height; published cleaning has the same at all.

    n erosions with 3×3 remove what is narrower than 2n+1 pixels at 288 rows. At other heights n is the largest that
    removes nothing that would be kept there: n' = floor(((2n+1)·height/288 - 1)/2), 1 at 180 rows for the published 3.
    """
    if not decompose.scale_with_height or decompose.cleaning == "published":
        return decompose.morphology_iterations, decompose.closing_area
    scale = height / REFERENCE_ROWS
    width = (2 * decompose.morphology_iterations + 1) * scale
    return max(0, int((width - 1) / 2 + 1e-9)), decompose.closing_area * scale**2


def clean(
    labels: Integer[np.ndarray, "H W"],
    iterations: int,
    limits: Mapping[int, tuple[float, float]],
    restore: bool,
) -> Int64[np.ndarray, "H W"]:
    """Cleaned labels: per object erosion, opening, dilation, then closing of small holes; then small components are
    dropped.

    ``limits`` as from ``object_limits``; ``restore`` brings back what is connected to the survivors of the opening.
    Holes become part of an object only where no other object is.
    """
    labels = np.asarray(labels, np.int64)
    result = np.zeros_like(labels)
    objects = [int(k) for k in np.unique(labels) if k > 0]
    for k in objects:
        opened = open_mask(labels == k, iterations)
        result[reconstruct(opened, labels == k) if restore else opened] = k
    for k in objects:
        # After all have been opened, so that a hole keeps the other objects inside it.
        filled = close_holes(result == k, limits[k][0])
        result[filled & (result == 0)] = k
    for k in objects:
        result[small_components(result == k, limits[k][1])] = 0
    return result


def open_mask(mask: Bool[np.ndarray, "H W"], iterations: int) -> Bool[np.ndarray, "H W"]:
    """Erosion 3×3 ×n, opening with a cross, dilation 3×3 ×n; the identity for n = 0. Never grows the mask.

    Outside the frame counts as object while eroding: what the border cuts is not thin there.
    """
    if iterations == 0:
        return mask
    eroded = erode(mask.astype(np.uint8), SQUARE_3X3, iterations)
    opened = dilate(erode(eroded, CROSS_3X3, 1), CROSS_3X3, 1)
    grown = dilate(opened, SQUARE_3X3, iterations)
    return (grown > 0) & mask


def erode(mask: UInt8[np.ndarray, "H W"], element: np.ndarray, iterations: int) -> UInt8[np.ndarray, "H W"]:
    return cv2.erode(mask, element, iterations=iterations, borderType=cv2.BORDER_CONSTANT, borderValue=1)


def dilate(mask: UInt8[np.ndarray, "H W"], element: np.ndarray, iterations: int) -> UInt8[np.ndarray, "H W"]:
    return cv2.dilate(mask, element, iterations=iterations, borderType=cv2.BORDER_CONSTANT, borderValue=0)


def close_holes(mask: Bool[np.ndarray, "H W"], area: float) -> Bool[np.ndarray, "H W"]:
    """Area closing (4-connected): parts of the complement with fewer than ``area`` pixels are filled."""
    return remove_small_holes(mask, max_size=math.ceil(area) - 1, connectivity=1)


def reconstruct(seed: Bool[np.ndarray, "H W"], mask: Bool[np.ndarray, "H W"]) -> Bool[np.ndarray, "H W"]:
    """The 8-connected components of the mask that the seed touches (opening by reconstruction)."""
    return binary_propagation(seed & mask, SQUARE_3X3, mask)


def small_components(mask: Bool[np.ndarray, "H W"], area: float) -> Bool[np.ndarray, "H W"]:
    """Pixels of the 8-connected components with at most ``area`` pixels."""
    return mask & ~remove_small_objects(mask, max_size=math.floor(area), connectivity=2)


def object_limits(
    masks: Sequence[Integer[np.ndarray, "H W"]], closing_area: float, min_component: float, cleaning: str
) -> dict[int, tuple[float, float]]:
    """By object, in pixels: the area that a hole must reach to stay open, the area that a component must exceed to
    stay.

    With gentle cleaning both are bounded by a share (3 %) of the object's median area over the views that show it:
    SAFF's 1 % of the image is half of an object that fills 2 %, and its holes fill the gap under an arm.
    """
    limits = {}
    for k in sorted({int(k) for labels in masks for k in np.unique(labels)} - {0}):
        usual = float(np.median([n for labels in masks if (n := np.count_nonzero(labels == k))]))
        bound = GENTLE_SHARE * usual if cleaning == "gentle" else np.inf
        limits[k] = (min(closing_area, bound), min(min_component * masks[0].size, bound))
    return limits
