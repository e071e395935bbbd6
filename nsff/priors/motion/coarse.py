"""Coarse motion masks, before any camera is known: two-view geometry fitted to the flow of each pair.

A fundamental matrix is fitted by MAGSAC to a grid of consistent flow; pixels far from their epipolar line move. Where a
homography explains nearly all flow (a plane, a far scene, a camera that only turns), the fundamental matrix is not
determined and the homography's residual is used: it also sees what moves along epipolar lines.
For structure from motion a mask should rather be too large, but never cover nearly everything.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from jaxtyping import Bool, Float32, Float64
from tqdm import tqdm

from nsff.config import MotionConfig
from nsff.files.io import atomic_directory, write_image
from nsff.geometry.epipolar import pixel_centres
from nsff.geometry.two_view import homography_distance, line_distance
from nsff.imaging.flow_sampling import FlowAndMask
from nsff.imaging.morphology import morphology
from nsff.imaging.scale import REFERENCE_ROWS
from nsff.layout import frame_name
from nsff.priors.motion.coverage import summarise_coverage
from nsff.scene import Scene
from nsff.tracking.chaining import FlowCache, chain_flows

GRID_POINTS = 4000
LEAST_POINTS = 50
"""Fewer consistent pixels say nothing about a pair."""
HOMOGRAPHY_SHARE = 0.9
"""A homography that fits this share of the flow is preferred: the fundamental matrix is then poorly determined."""
FIT_SHARE = 0.35
"""Fits that explain less of the flow than this say nothing about motion."""


def run_coarse_masks(scene: Scene, motion: MotionConfig) -> None:
    """Writes coarse_masks/ (size of the ingested frames) as a whole and summaries/coarse_masks.json. Reads raw_flow/.

    A frame whose mask would cover more than motion.coverage_warning's upper bound gets an empty one, and so does a
    frame whose flow fits no two-view geometry; the summary counts them.
    """
    link = FlowCache(scene.raw_flow)
    height, width = scene.frame(0).shape[:2]
    coverage, kinds, dropped = [], [], 0
    with atomic_directory(scene.coarse_masks_dir, sealed=True) as folder:
        for i in tqdm(range(scene.n_frames), desc="coarse masks", unit="frame"):
            mask, found = coarse_mask(link, i, scene.n_frames, motion)
            kinds += found
            if mask.mean() > motion.coverage_warning[1] or set(found) == {"none"}:
                mask, dropped = np.zeros_like(mask), dropped + 1
            coverage.append(float(mask.mean()))
            full = cv2.resize(mask.astype(np.uint8) * 255, (width, height), interpolation=cv2.INTER_NEAREST)
            write_image(folder / frame_name(i), full)
    summary = summarise_coverage(coverage, motion, "Coarse masks cover")
    if dropped:
        summary["verdict"] = "doubtful" if dropped <= scene.n_frames // 4 else "poor"
        summary["message"] = (
            f"{summary['message']} {dropped} of {scene.n_frames} frames have none, because their flow fits no camera "
            "motion: very fast motion, cuts or bare surfaces are likely."
        )
    shares = {kind: kinds.count(kind) / max(len(kinds), 1) for kind in ("fundamental", "homography", "none")}
    scene.write_summary("coarse_masks", {**summary, "empty_frames": dropped, "models": shares})


def coarse_mask(
    link: Callable[[int, int], FlowAndMask], i: int, n_frames: int, motion: MotionConfig
) -> tuple[Bool[np.ndarray, "H W"], list[str]]:
    """The mask of frame i at the size of the flow, and the kind of model each pair took.

    Distances are the maximum over intervals 1 and 2 of both sides: over two frames slow things show, while over one
    the fundamental matrix is less likely to explain away what moves when there is little parallax.
    """
    layers, kinds = [], []
    for direction in (-1, 1):
        ends = [i + direction * k for k in (1, 2) if 0 <= i + direction * k < n_frames]
        if not ends:
            continue
        for flow, mask in chain_flows(link, i, ends).values():
            distance, kind = fitted_distance(flow, mask, motion.coarse_threshold, motion.seed)
            layers.append(np.where(mask & (kind != "none"), distance, np.nan).astype(np.float32))
            kinds.append(kind)
    # fmax passes over NaN; where all are NaN the comparison is false.
    moving = np.fmax.reduce(layers) > motion.coarse_threshold
    rows = moving.shape[0] / REFERENCE_ROWS
    moving = morphology(moving, cv2.MORPH_OPEN, motion.opening_radius)
    return morphology(moving, cv2.MORPH_DILATE, round(motion.coarse_dilation_radius * max(1.0, rows))), kinds


def fitted_distance(
    flow: Float32[np.ndarray, "H W 2"], mask: Bool[np.ndarray, "H W"], threshold: float, seed: int
) -> tuple[Float64[np.ndarray, "H W"], str]:
    """Distance of every pixel's flow, in pixels, to the two-view geometry of a pair, and which kind was fitted.

    The kind is `homography`, `fundamental`, or `none` (then all distances are 0). Source: MAGSAC++ (Barath et al. 2020)
    as in OpenCV, seeded.
    """
    height, width = mask.shape
    x = pixel_centres(height, width)
    nothing = np.zeros((height, width)), "none"
    first, second = _grid(flow, mask)
    if len(first) < LEAST_POINTS:
        return nothing
    H = dominant_homography(flow, mask, threshold, seed)
    if H is not None:
        share = float((homography_distance(H, first, second) < threshold).mean())
        if share >= HOMOGRAPHY_SHARE:
            return homography_distance(H, x, x + flow), "homography"
    # USAC normalises by itself; a tight threshold keeps slow movers from being taken as inliers.
    parameters = _usac(threshold / 2, seed)
    F = _model(cv2.findFundamentalMat, first, second, parameters)
    if F is None or float((line_distance(F, first, second) < threshold).mean()) < FIT_SHARE:
        return nothing
    return line_distance(F, x, x + flow), "fundamental"


def dominant_homography(
    flow: Float32[np.ndarray, "H W 2"], mask: Bool[np.ndarray, "H W"], threshold: float, seed: int
) -> Float64[np.ndarray, "3 3"] | None:
    """The homography that takes most pixels along their flow to within ``threshold`` / 2 pixels (MAGSAC, seeded).

    None where too little flow is consistent, or none is found.
    """
    first, second = _grid(flow, mask)
    if len(first) < LEAST_POINTS:
        return None
    return _model(cv2.findHomography, first, second, _usac(threshold / 2, seed))


def _grid(
    flow: Float32[np.ndarray, "H W 2"], mask: Bool[np.ndarray, "H W"]
) -> tuple[Float64[np.ndarray, "P 2"], Float64[np.ndarray, "P 2"]]:
    """About GRID_POINTS pixels with consistent flow, and the positions to which it takes them."""
    height, width = mask.shape
    step = max(1, int(np.sqrt(height * width / GRID_POINTS)))
    chosen = np.zeros_like(mask)
    chosen[step // 2 :: step, step // 2 :: step] = True
    chosen &= mask
    x = pixel_centres(height, width)
    return x[chosen], (x + flow)[chosen]


def _model(
    fit: Callable[..., tuple[np.ndarray | None, np.ndarray]],
    first: np.ndarray,
    second: np.ndarray,
    parameters: cv2.UsacParams,
) -> Float64[np.ndarray, "3 3"] | None:
    """The fitted 3x3 matrix, or None where there is none."""
    try:
        model, _ = fit(first, second, parameters)
    except cv2.error:  # raised, instead of returning nothing, when no sample gives a model
        return None
    return model if model is not None and model.shape == (3, 3) and np.isfinite(model).all() else None


def _usac(threshold: float, seed: int) -> cv2.UsacParams:
    parameters = cv2.UsacParams()
    parameters.threshold = threshold
    parameters.confidence = 0.9999
    parameters.maxIterations = 5000
    parameters.randomGeneratorState = seed
    parameters.score = cv2.SCORE_METHOD_MAGSAC
    parameters.sampler = cv2.SAMPLING_UNIFORM
    parameters.loMethod = cv2.LOCAL_OPTIM_SIGMA
    return parameters
