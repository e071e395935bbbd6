"""Coarse motion masks, before any camera is known: what the background's two-view geometry does not explain.

The geometry of each pair of frames is a homography or a fundamental matrix (nsff.priors.motion.background); pixels far
from it move. It is computed in turns: what moved in the last turn, by the flow of several pairs and carried to nearby
frames, takes no part in the fits of the next. For structure from motion a mask should rather be too large, but never
cover nearly everything.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from jaxtyping import Bool, Float32
from tqdm import tqdm

from nsff.config import MotionConfig
from nsff.files.io import atomic_directory, write_image
from nsff.geometry.epipolar import pixel_centres
from nsff.imaging.flow_sampling import FlowAndMask
from nsff.imaging.morphology import morphology
from nsff.imaging.scale import REFERENCE_ROWS
from nsff.layout import frame_name, worse
from nsff.machine.threads import in_threads
from nsff.priors.flow.advice import advised
from nsff.priors.motion.background import background
from nsff.priors.motion.coverage import summarise_coverage
from nsff.priors.motion.mask_signs import COARSE, Sure, judged_by_signs, mask_signs
from nsff.priors.motion.sides import combine_sides
from nsff.scene import Scene
from nsff.tracking.chaining import FlowCache, chain_flows

TURNS = 2
"""Times that the geometry is fitted: the second time to what did not move in the first."""
INTERVALS = (1, 2)
"""Frames between those of a pair: over two, slow things show."""

SIGNIFICANT = 3.0
"""Standard deviations of the noise of what stands still beyond which a pixel moves, if that is above the threshold."""
SURELY = 3.0
"""Thresholds beyond which a pixel surely moves; within one it stands still."""
OPENING = 2
"""Least radius of the opening, pixels at 288 rows."""


def run_coarse_masks(scene: Scene, motion: MotionConfig) -> None:
    """Writes coarse_masks/ (size of the ingested frames) as a whole and summaries/coarse_masks.json. Reads raw_flow/.

    A frame whose mask would cover more than motion.coverage_warning's upper bound gets an empty one, and so does a
    frame whose flow fits no two-view geometry; the summary counts them.
    """
    link = FlowCache(scene.raw_flow)
    height, width = scene.frame(0).shape[:2]
    coverage, kinds, dropped, written, sure = [], [], 0, [], []
    found = coarse_masks(link, scene.n_frames, motion)
    with atomic_directory(scene.coarse_masks_dir, sealed=True) as folder:
        for i, (mask, of_pairs, told) in enumerate(found):
            kinds += of_pairs
            if mask.mean() > motion.coverage_warning[1] or set(of_pairs) == {"none"}:
                mask, dropped = np.zeros_like(mask), dropped + 1
                told = Sure(mask, mask)  # nothing, since the fit was wrong
            sure.append(told)
            coverage.append(float(mask.mean()))
            written.append(mask)
            full = cv2.resize(mask.astype(np.uint8) * 255, (width, height), interpolation=cv2.INTER_NEAREST)
            write_image(folder / frame_name(i), full)
    summary = summarise_coverage(coverage, motion, "Coarse masks cover")
    grown = growing_radius(motion, len(written[0]))
    summary = judged_by_signs(summary, mask_signs(written, link, sure.__getitem__, grown), COARSE)
    if dropped:
        level = "doubtful" if dropped <= scene.n_frames // 4 else "poor"
        summary["verdict"] = worse(summary["verdict"], level)
        summary["message"] = (
            f"{summary['message']} {dropped} of {scene.n_frames} frames have none, because their flow fits no camera "
            "motion: very fast motion, cuts or bare surfaces are likely."
        )
    shares = {kind: kinds.count(kind) / max(len(kinds), 1) for kind in ("fundamental", "homography", "none")}
    scene.write_summary("coarse_masks", advised(scene, {**summary, "empty_frames": dropped, "models": shares}))


def coarse_masks(
    link: Callable[[int, int], FlowAndMask], n_frames: int, motion: MotionConfig
) -> list[tuple[Bool[np.ndarray, "H W"], list[str], Sure]]:
    """The mask of each frame at the size of the flow, the kind of model each of its pairs took, and what is sure."""
    likely: list[Bool[np.ndarray, "H W"] | None] = [None] * n_frames
    found: list[tuple[Bool[np.ndarray, "H W"], list[str], Sure]] = []
    for turn in range(TURNS):
        title = f"coarse masks, turn {turn + 1} of {TURNS}"

        def mask(i: int, known: list[Bool[np.ndarray, "H W"] | None] = likely) -> tuple[np.ndarray, list[str], Sure]:
            return coarse_mask(link, i, n_frames, motion, known[i])

        found = list(tqdm(in_threads(mask, range(n_frames)), total=n_frames, desc=title, unit="frame"))
        # A mask that covers nearly everything says that the fit was wrong, not that all moves.
        likely = [~mask if mask.mean() <= motion.coverage_warning[1] else None for mask, *_ in found]
    return found


def coarse_mask(
    link: Callable[[int, int], FlowAndMask],
    i: int,
    n_frames: int,
    motion: MotionConfig,
    likely: Bool[np.ndarray, "H W"] | None = None,
) -> tuple[Bool[np.ndarray, "H W"], list[str], Sure]:
    """The mask of frame i at the size of the flow, the kind of model each pair took, and what is sure.

    Distances, in thresholds, are the largest over the intervals of a side; then the geometric mean of both sides
    counts, which spares what only one of them sees uncovered.
    """
    sides, kinds = [], []
    for direction in (-1, 1):
        ends = [i + direction * k for k in INTERVALS if 0 <= i + direction * k < n_frames]
        layers = []
        for flow, mask in chain_flows(link, i, ends).values():
            distance, kind = fitted_distance(flow, mask, motion.coarse_threshold, motion.seed, likely)
            layers.append(np.where(mask & (kind != "none"), distance, np.nan).astype(np.float32))
            kinds.append(kind)
        if layers:
            sides.append(np.fmax.reduce(layers))  # passes over NaN
    # Where all are NaN the comparisons are false.
    distance = combine_sides(sides, "mean") / motion.coarse_threshold
    rows = distance.shape[0] / REFERENCE_ROWS
    opening = max(motion.opening_radius, round(OPENING * rows))
    moving = morphology(distance > 1, cv2.MORPH_OPEN, opening)
    sure = Sure(morphology(distance > SURELY, cv2.MORPH_OPEN, opening), distance < 1)
    return morphology(moving, cv2.MORPH_DILATE, growing_radius(motion, len(moving))), kinds, sure


def growing_radius(motion: MotionConfig, rows: int) -> int:
    """Pixels by which coarse masks of so many rows are grown."""
    return round(motion.coarse_dilation_radius * max(1.0, rows / REFERENCE_ROWS))


def fitted_distance(
    flow: Float32[np.ndarray, "H W 2"],
    mask: Bool[np.ndarray, "H W"],
    threshold: float,
    seed: int,
    likely: Bool[np.ndarray, "H W"] | None = None,
) -> tuple[np.ndarray, str]:
    """Distance of every pixel's flow, in pixels, to the motion of the background, and the kind of that:
    `homography`, `fundamental`, or `none` (then all distances are 0).

    Where what stands still is known worse than a third of the threshold, distances shrink by as much.
    """
    x = pixel_centres(*mask.shape)
    geometry = background(flow, mask, threshold, seed, likely)
    uncertainty = max(1.0, SIGNIFICANT * geometry.noise / threshold)
    return geometry.distance(x, x + flow) / uncertainty, geometry.kind
