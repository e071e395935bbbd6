"""Motion masks: pixels whose flow no static world explains. True (255) moves.

`run_motion` knows the cameras (NSFF's run_flows_video.py, with switches for what goes beyond it);
`run_coarse_masks` comes before them and fits two-view geometry to each pair (nsff.priors.motion.coarse).

Things that usually move, such as people, are added where the weights of a detector of instances are found
(nsff.priors.motion.instances).

The distance e of a frame's pixels, in pixels, is taken over several frames before and after: the median over the
intervals of one side, then the geometric mean (or maximum) of both sides. It becomes evidence e^2 / (e^2 + threshold^2)
in [0, 1), is fitted to image edges by a colour-guided filter, and cut at 1/2. Evidence is gathered along the tracks of
flow, which adds what moves at other times and takes away what one frame alone says
(nsff.priors.motion.track_evidence); parts that end without a jump of flow are errors of the cameras
(nsff.priors.motion.rims); holes of the same colours are added (nsff.priors.motion.hole_filling).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np
from jaxtyping import Bool, Float, Float32
from tqdm import tqdm

from nsff.cameras import Cameras
from nsff.config import MotionConfig
from nsff.files.io import atomic_directory, write_image
from nsff.geometry.epipolar import has_parallax, infinity_homography, pixel_centres, segment_distance, segment_nearest
from nsff.geometry.two_view import fundamental, homography_distance, line_distance
from nsff.imaging.flow_sampling import FlowAndMask
from nsff.imaging.medians import nan_median
from nsff.imaging.morphology import morphology
from nsff.layout import frame_name
from nsff.priors.flow.advice import advised
from nsff.priors.motion.coarse import run_coarse_masks
from nsff.priors.motion.coverage import summarise_coverage
from nsff.priors.motion.flow_error import flow_error
from nsff.priors.motion.given import given_masks, has_given_masks
from nsff.priors.motion.hole_filling import fill_holes
from nsff.priors.motion.instances import Instances, open_instances
from nsff.priors.motion.mask_signs import FINAL, judged_by_signs, mask_signs, sure_by_evidence
from nsff.priors.motion.picture_evidence import told_by_picture
from nsff.priors.motion.rims import without_smooth_parts
from nsff.priors.motion.sides import Distances, combine_sides
from nsff.priors.motion.track_evidence import LEAST_TRUST, Evidence, moving_by_tracks
from nsff.scene import Scene
from nsff.tracking.chaining import FlowCache, chain_flows

__all__ = ["run_coarse_masks", "run_motion"]

SIGNIFICANT = 1.0
"""Errors of flow that a distance has to exceed, where no network made the flow."""


def run_motion(scene: Scene, motion: MotionConfig, instances: Instances | None = None) -> None:
    """Writes motion_masks/ (canonical size) as a whole and summaries/motion.json. Reads cameras, images/ and flow/;
    where instances are added, also frames/ and pixel_map.npz. Masks that came with the source (given/motion_masks/)
    take the place of all that, unless motion.given is false.

    ``instances`` takes the place of what the settings ask for (for tests). Raises StageError where motion.instances is
    on and weights are missing.
    """
    if motion.given and has_given_masks(scene):
        masks = list(given_masks(scene))
        _write(scene, masks)
        summary = summarise_coverage(
            [float(mask.mean()) for mask in masks], motion, "The masks that came with the source cover"
        )
        scene.write_summary("motion", {"source": "given", **summary})
        return
    cameras = scene.cameras
    link = FlowCache(scene.flow, keep=4 * max(*motion.intervals, motion.temporal_propagation) + 8)
    network = ""
    if instances is None:
        instances, network = open_instances(scene, motion)
    evidence = Evidence()
    doubted = motion.picture_evidence and scene.flow_result().without_network
    for i in tqdm(range(scene.n_frames), desc="motion", unit="frame"):
        distance = combine_sides(frame_distances(cameras, link, i, motion), motion.combine)
        told = picture_evidence(scene, cameras, link, i, motion) if motion.picture_evidence else None
        error = flow_error(scene.image, link, i, scene.n_frames) if doubted else None
        evidence.append(*evidence_of(distance, motion, told, error))
    moves, resting, dropped = moving_by_tracks(
        evidence, scene.image, link, motion.temporal_propagation, motion.refine_radius, motion.opening_radius
    )
    if motion.temporal_propagation:
        moves = without_smooth_parts(moves, link)
    whole, added, kept, still = [], [], 0, 0
    for i, mask in enumerate(moves):
        found = instances(i) if instances is not None else []
        moving = [thing for thing in found if mask[thing].mean() >= motion.instance_moving]
        kept, still = kept + len(moving), still + len(found) - len(moving)
        whole.append(np.logical_or.reduce([mask, *moving]))
        added.append(float((whole[i] & ~mask).mean()))
    full = fill_holes(whole, scene.image, motion.hole_filling_radius)
    gaps = _added(full, whole)
    grown = [morphology(mask, cv2.MORPH_DILATE, motion.dilation_radius) for mask in full]
    _write(scene, grown)
    summary = summarise_coverage([float(mask.mean()) for mask in grown], motion, "Motion masks cover")
    signs = mask_signs(full, link, lambda i: sure_by_evidence(*evidence.of_frame(i)))
    summary = judged_by_signs(summary, signs, FINAL)
    summary |= {"resting_fraction": resting, "dropped_fraction": dropped, "filled_fraction": gaps}
    if resting > 0.001:
        summary["message"] = f"{summary['message']} {resting:.1%} move at other times, and rest or seem to in between."
    if dropped > 0.001:
        summary["message"] = f"{summary['message']} {dropped:.1%} seemed to move in one frame alone, and were left out."
    if gaps > 0.001:
        summary["message"] = f"{summary['message']} {gaps:.1%} are gaps between them that have their colours."
    turning = turning_share(cameras, motion)
    if turning > 0.5:
        summary["message"] = (
            f"{summary['message']} The camera turns without moving in {turning:.0%} of the pairs of frames."
        )
    if instances is not None:
        summary |= {"instances_kept": kept, "instances_still": still, "instances_added_fraction": float(np.mean(added))}
        message = f" {kept} instances that the detector found were added ({np.mean(added):.1%} of the pixels)"
        message += f", {still} that stand still were not." if still else "."
        summary["message"] = f"{summary['message']}{message}"
    summary = {"instances": network or "given", "turning_pairs_fraction": turning, **summary}
    scene.write_summary("motion", advised(scene, summary))


def _write(scene: Scene, masks: Sequence[Bool[np.ndarray, "H W"]]) -> None:
    """Writes motion_masks/ as a whole."""
    with atomic_directory(scene.motion_dir, sealed=True) as folder:
        for i, mask in enumerate(masks):
            write_image(folder / frame_name(i), mask.astype(np.uint8) * 255)


def _added(after: Sequence[np.ndarray], before: Sequence[np.ndarray]) -> float:
    """Share of all pixels that are on the masks ``after`` and not on those ``before``."""
    return float(np.mean([(new & ~old).mean() for new, old in zip(after, before, strict=True)]))


def turning_share(cameras: Cameras, motion: MotionConfig) -> float:
    """Fraction of the pairs of neighbouring frames without parallax: only the rotation explains their flow."""
    pairs = range(len(cameras) - 1)
    nearest = cameras.near_far[:, 0] * motion.near_margin
    return float(np.mean([not has_parallax(cameras, i, i + 1, float(nearest[i])) for i in pairs])) if pairs else 0.0


def frame_distances(
    cameras: Cameras, link: Callable[[int, int], FlowAndMask], i: int, motion: MotionConfig
) -> list[Distances]:
    """For each side of frame i (past, future; a missing one is left out): the median distance over the intervals."""
    x = pixel_centres(cameras.height, cameras.width)
    nearest = float(cameras.near_far[i, 0]) * motion.near_margin
    sides = []
    for direction in (-1, 1):
        ends = [i + direction * k for k in sorted(set(motion.intervals)) if 0 <= i + direction * k < len(cameras)]
        if not ends:
            continue
        layers = []
        for j, (flow, mask) in chain_flows(link, i, ends).items():
            distance = pair_distance(cameras, i, j, x, x + flow, nearest, motion.depth_cue)
            layers.append(np.where(mask, distance, np.nan).astype(np.float32))
        sides.append(nan_median(layers))
    return sides


def pair_distance(
    cameras: Cameras,
    i: int,
    j: int,
    x: Float[np.ndarray, "H W 2"],
    x_other: Float[np.ndarray, "H W 2"],
    nearest: float,
    depth_cue: bool,
) -> Float[np.ndarray, "H W"]:
    """Pixels between flow end points in view j and where a static world allows them (see MotionConfig.depth_cue)."""
    if depth_cue:
        return segment_distance(cameras, i, j, x, x_other, nearest)
    if not has_parallax(cameras, i, j, nearest):
        # Without a baseline there are no epipolar lines; the camera's rotation alone must explain the flow.
        return homography_distance(infinity_homography(cameras, i, j), x, x_other)
    return line_distance(fundamental(cameras, i, j), x, x_other)


def picture_evidence(
    scene: Scene, cameras: Cameras, link: Callable[[int, int], FlowAndMask], i: int, motion: MotionConfig
) -> Float32[np.ndarray, "H W"]:
    """How well frame i and its neighbours tell motion from stillness, 0 to 1: the better of both neighbours."""
    x = pixel_centres(cameras.height, cameras.width)
    nearest = float(cameras.near_far[i, 0]) * motion.near_margin
    told = [np.zeros((cameras.height, cameras.width), np.float32)]
    for j in (i - 1, i + 1):
        if 0 <= j < len(cameras):
            there = x + link(i, j)[0]
            still = segment_nearest(cameras, i, j, x, there, nearest)
            told.append(told_by_picture(scene.image(i), scene.image(j), there, still))
    return np.maximum.reduce(told)


def evidence_of(
    distance: Distances,
    motion: MotionConfig,
    told: Float32[np.ndarray, "H W"] | None = None,
    error: Float32[np.ndarray, "H W"] | None = None,
) -> tuple[Float32[np.ndarray, "H W"], Float32[np.ndarray, "H W"]]:
    """Evidence of one frame that its pixels move, and how far it can be trusted; both 0 to 1.

    ``told``, 0 to 1, says how well the pictures tell motion from stillness; None: wherever there is flow. Pixels
    without flow, and those whose motion the pictures do not confirm, count little. Where flow may be wrong by ``error``
    pixels, SIGNIFICANT times that counts beside the threshold.
    """
    known = np.isfinite(distance)
    squared = np.where(known, distance, 0.0) ** 2
    unsure = motion.epipolar_threshold**2 + (0.0 if error is None else (SIGNIFICANT * error) ** 2)
    moves = (squared / (squared + unsure)).astype(np.float32)
    trust = np.where(known, 1.0, LEAST_TRUST).astype(np.float32)
    if told is not None:
        trust = np.where(moves > 0.5, np.clip(told, LEAST_TRUST, trust), trust)
    return moves, trust
