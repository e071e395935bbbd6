"""Disparity of every canonical frame, behind one registry of backends.

Notation. Disparity (H,W) is 1/z along the optical axis; the classical backend gives it in 1/scene units (`metric`
true), given disparity keeps its own scale. Confidence (H,W) is in [0,1]: low where a value was filled in.

classical: static pixels are triangulated along flow (triangulation), moving components stand on the floor (grounding),
and the rest is interpolated along the image (densify). A new model is one file and one line in BACKENDS.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import Bool, Float32
from tqdm import tqdm

from nsff.cameras.points import SparsePoints
from nsff.config import DepthConfig
from nsff.errors import StageError
from nsff.io import atomic_directory, read_npz, write_npz
from nsff.priors.chaining import FlowCache, chain_flows
from nsff.priors.densify import densify
from nsff.priors.grounding import Contact, components, ground_contact, link_objects, smooth_contacts
from nsff.priors.masks import morphology
from nsff.priors.motion_saliency import REFERENCE_ROWS
from nsff.priors.triangulation import Triangulation, triangulate
from nsff.scene import Scene

GROUNDED_CONFIDENCE = 0.3
"""Of moving pixels that take the depth of the floor they stand on."""
GROUNDED_WEIGHT = 0.01
"""Of the same pixels in the interpolation: enough to fill their own rim, too little to flood the static one."""


def run_depth(scene: Scene, depth: DepthConfig) -> None:
    """Writes depth/ as a whole and summaries/depth.json.

    Reads cameras.json, points.npz, images/, flow/ and motion_masks/ (classical) or given/depth/ (given, and auto where
    that exists). Raises StageError naming the file that is missing or corrupt.
    """
    backend = depth.backend
    if backend == "auto":
        backend = "given" if (scene.given_dir / "depth").is_dir() else "classical"
    with atomic_directory(scene.depth_dir) as folder:
        numbers = BACKENDS[backend](scene, depth, folder)
    scene.write_summary("depth", {"backend": backend, **numbers})


def given_depth(scene: Scene, depth: DepthConfig, folder: Path) -> dict[str, Any]:
    """Copies given/depth/%05d.npz (disparity, and confidence if there), resized to the canonical size."""
    height, width = scene.size
    for i in tqdm(range(scene.n_frames), desc="given depth", unit="frame"):
        path = scene.given_dir / "depth" / f"{i:05d}.npz"
        disparity = read_npz(path, ["disparity"])["disparity"].astype(np.float32)
        if disparity.ndim != 2 or not np.isfinite(disparity).all():
            raise StageError(
                path, f"disparity has shape {disparity.shape} or values that are not finite", "replace the file"
            )
        area = cv2.INTER_AREA if disparity.shape[0] > height else cv2.INTER_LINEAR
        resized = cv2.resize(disparity, (width, height), interpolation=area)
        trust = _given_confidence(path, disparity.shape)
        _write(folder, i, resized, cv2.resize(trust, (width, height), interpolation=area))
    metric, words = _given_scale(scene, folder)
    return {"metric": metric, "verdict": "good", "words": f"Disparity came with the source. {words}"}


def _given_confidence(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    """Confidence beside a given disparity; 1 everywhere where there is none."""
    with np.load(path, allow_pickle=False) as arrays:
        if "confidence" not in arrays:
            return np.ones(shape, np.float32)
    confidence = read_npz(path, ["confidence"])["confidence"].astype(np.float32)
    if confidence.shape != shape or not np.isfinite(confidence).all():
        raise StageError(path, f"confidence has shape {confidence.shape}, disparity {shape}", "run ingest again")
    return confidence.clip(0, 1)


def classical_depth(scene: Scene, depth: DepthConfig, folder: Path) -> dict[str, Any]:
    """Triangulation, ground contact and edge-aware interpolation of all frames."""
    cameras, n = scene.cameras, scene.n_frames
    link = FlowCache(scene.flow, keep=4 * depth.max_interval + 8)
    masks = scene.motion_masks()
    measured: list[Triangulation] = []
    for i in tqdm(range(n), desc="triangulation", unit="frame"):
        targets = [j for j in range(max(0, i - depth.max_interval), min(n, i + depth.max_interval + 1)) if j != i]
        flows = chain_flows(link, i, targets)
        around = {j: masks[j] for j in (i, *targets)}
        measured.append(triangulate(cameras, i, flows, around, _bounds(cameras.near_far[i]), depth.min_parallax))
    if not any(one.confidence.any() for one in measured):
        raise StageError(
            scene.flow_dir,
            "no pixel of any frame could be triangulated",
            "the camera hardly moves, or flow and cameras disagree: look at the cameras, or bring depth of your own",
        )
    labels = [components(mask) for mask in masks]
    contacts = [_contacts(labels[i], masks[i], measured[i], scene.image(i)) for i in range(n)]
    contacts = smooth_contacts(contacts, link_objects(labels, link))
    static_confidence, fallback = [], _typical(measured)
    for i in tqdm(range(n), desc="interpolation", unit="frame"):
        disparity, confidence = fill_frame(measured[i], scene.image(i), masks[i], labels[i], contacts[i], fallback)
        low, high = _bounds(cameras.near_far[i])
        _write(folder, i, np.clip(disparity, low, high), confidence)
        static_confidence.append(float(measured[i].confidence[~masks[i]].mean()) if (~masks[i]).any() else 0.0)
    return _verdict(scene, folder, measured, masks, float(np.mean(static_confidence)))


BACKENDS: dict[str, Callable[[Scene, DepthConfig, Path], dict[str, Any]]] = {
    "given": given_depth,
    "classical": classical_depth,
}


def fill_frame(
    measured: Triangulation,
    image: np.ndarray,
    moving: Bool[np.ndarray, "H W"],
    labels: np.ndarray,
    contacts: dict[int, Contact],
    fallback: float,
) -> tuple[Float32[np.ndarray, "H W"], Float32[np.ndarray, "H W"]]:
    """Disparity and confidence everywhere: what was measured, moving components on the floor, the rest interpolated."""
    rows = moving.shape[0] / REFERENCE_ROWS
    values = measured.inverse_depth.copy()
    weight = measured.confidence * smoothness(measured.inverse_depth)
    # Next to a mask flow is a mixture of both sides.
    weight[morphology(moving, cv2.MORPH_DILATE, max(1, round(3 * rows)))] *= 0.1
    weight[moving] = 0
    confidence = weight.copy()
    grounded = [(labels == part, contact) for part, contact in contacts.items() if contact.weight > 0]
    for region, contact in grounded:
        values[region] = contact.disparity
        weight[region] = GROUNDED_WEIGHT
        confidence[region] = GROUNDED_CONFIDENCE * contact.weight
    if not weight.any():
        return np.full(moving.shape, fallback, np.float32), np.zeros(moving.shape, np.float32)
    dense = densify(values, weight, image)
    for region, contact in grounded:
        dense[region] = contact.disparity
    return dense, np.clip(confidence, 0.02, 1.0).astype(np.float32)


def smoothness(
    disparity: Float32[np.ndarray, "H W"], radius: int = 2, tolerance: float = 0.06
) -> Float32[np.ndarray, "H W"]:
    """1 where the disparity hardly varies around a pixel, towards 0 at its steps, where flow mixes near and far.

    The variation is relative, over (2 radius + 1)^2 pixels; pixels without disparity (0) do not count.
    """
    window = np.ones((2 * radius + 1, 2 * radius + 1), np.uint8)
    high = cv2.dilate(disparity, window)
    low = cv2.erode(np.where(disparity > 0, disparity, np.float32(np.inf)), window)
    variation = np.maximum(high - np.minimum(low, high), 0) / np.maximum(disparity, 1e-9)
    return np.where(disparity > 0, np.exp(-((variation / tolerance) ** 2)) + 1e-4, 0).astype(np.float32)


def _contacts(
    labels: np.ndarray, moving: Bool[np.ndarray, "H W"], measured: Triangulation, image: np.ndarray
) -> dict[int, Contact]:
    weight = measured.confidence * smoothness(measured.inverse_depth)
    return {
        part: ground_contact(labels == part, moving, measured.inverse_depth, measured.confidence * (weight > 0.01))
        for part in range(1, int(labels.max()) + 1)
    }


def _bounds(near_far: np.ndarray) -> tuple[float, float]:
    """Least and largest plausible disparity; the cameras' bounds come from points that may miss some of the scene."""
    near, far = near_far
    return 0.5 / float(far), 2.0 / float(near)


def _typical(measured: list[Triangulation]) -> float:
    known = [one.inverse_depth[one.confidence > 0] for one in measured if one.confidence.any()]
    return float(np.median(np.concatenate([values[:: max(1, len(values) // 1000)] for values in known])))


def _write(folder: Path, i: int, disparity: np.ndarray, confidence: np.ndarray) -> None:
    write_npz(folder / f"{i:05d}.npz", disparity=disparity.astype(np.float32), confidence=confidence.astype(np.float16))


def point_ratios(scene: Scene, folder: Path) -> np.ndarray:
    """Disparity of the sparse points, as their frames' maps say it, over their true one; one value per observation.

    Empty without points. Observations outside the picture or behind the camera are left out.
    """
    points = SparsePoints.load(scene.points_path)
    if not len(points.track_point):
        return np.zeros(0)
    height, width = scene.size
    ratios = []
    for i in range(scene.n_frames):
        seen = points.track_point[points.track_frame == i]
        if not len(seen):
            continue
        (uv,), (z,) = scene.cameras[[i]].project(points.xyz[seen])
        column, row = np.floor(uv).astype(int).T
        ok = (z > 0) & (column >= 0) & (column < width) & (row >= 0) & (row < height)
        disparity = read_npz(folder / f"{i:05d}.npz", ["disparity"])["disparity"]
        ratios.append(disparity[row[ok], column[ok]] * z[ok])
    return np.concatenate(ratios) if ratios else np.zeros(0)


def _verdict(
    scene: Scene, folder: Path, measured: list[Triangulation], masks: np.ndarray, confidence: float
) -> dict[str, Any]:
    static = ~masks
    share = float(np.sum([(one.confidence > 0).sum() for one in measured]) / max(static.sum(), 1))
    ratios = point_ratios(scene, folder)
    # Relative error of depth: 1 / (d z) - 1.
    error = float(np.median(np.abs(1 / np.maximum(ratios, 1e-9) - 1))) if len(ratios) else None
    verdict = "good" if share > 0.7 and confidence > 0.4 and (error or 0) < 0.05 else "doubtful"
    if share < 0.3 or (error or 0) > 0.2:
        verdict = "poor"
    words = f"{share:.0%} of the static pixels were triangulated; {masks.mean():.1%} of all pixels move."
    if error is not None:
        words += f" Sparse points differ by {error:.1%} in depth (median)."
    if verdict != "good":
        words += " Little camera motion, poor flow, or cameras that disagree with the flow are likely."
    return {
        "metric": True,
        "triangulated_fraction": share,
        "mean_static_confidence": confidence,
        "points_depth_error": error,
        "moving_fraction": float(masks.mean()),
        "verdict": verdict,
        "words": words,
    }


def _given_scale(scene: Scene, folder: Path) -> tuple[bool, str]:
    """Given disparity counts as metric when sparse points confirm its scale within 10 %."""
    ratios = point_ratios(scene, folder)
    if not len(ratios):
        return False, "There are no points to test its scale against."
    ratio = float(np.median(ratios))
    metric = abs(ratio - 1) < 0.1 and float(np.median(np.abs(ratios / ratio - 1))) < 0.1
    return metric, f"Sparse points have {ratio:.3g} times its scale; it is {'' if metric else 'not '}in scene units."
