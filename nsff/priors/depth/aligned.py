"""Alignment of maps of relative disparity, which are rewritten, and the verdict on it.

A scale and, where it pays, a shift for each frame come first, then, with ``depth.align_local``, a smooth factor over
the picture (depth_correction), whose error is that of anchors held out of its fit.

Thresholds. The error is the median over all anchors of |depth / true depth - 1|. Up to 5 % the alignment is good, up
to 15 % doubtful, beyond that poor; up to 10 %, and with a fit of its own for half of the frames, the maps count as
metric, else they stay relative. Where scales and shifts leave more than 20 % no factor is tried: it would make up a
smooth map of its own. Confidence is 1 / (1 + (e / 0.05)^2) for a frame of error e, as for triangulated depth,
and half of that where things move: nothing tests what the network says there.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from nsff.config import DepthConfig
from nsff.files.io import write_npz
from nsff.layout import ALIGNMENT_NAME
from nsff.priors.depth.alignment import Alignment, Anchors, align, common_scale, depth_errors
from nsff.priors.depth.anchors import find_anchors
from nsff.priors.depth.correction import STEP_SCALED, STEP_SHIFTED, Correction, correct
from nsff.priors.depth.maps import plausible_bounds, read_map, write_map
from nsff.scene import Scene

GOOD, DOUBTFUL, METRIC, MENDABLE = 0.05, 0.15, 0.10, 0.20
TYPICAL_ERROR = 0.05
MOVING_TRUST = 0.5
SHOWN = 3000
"""Anchors kept for the report."""
"""Beside the maps: anchors for the report (`frame`, `inverse_depth`, `aligned`)."""


def align_maps(scene: Scene, depth: DepthConfig, folder: Path, subject: str, given: bool = False) -> dict[str, Any]:
    """Aligns the maps in ``folder`` and returns the numbers of the summary.

    ``subject`` begins the message. ``given`` maps that fit the anchors as they are (10 %) are left as they are, and are
    metric; their confidence is kept, and multiplied. Without ``depth.align``, or without anchors, maps stay relative.
    """
    if not depth.align:
        return _relative(subject, "is used as it comes (depth.align false), without unit.", "good")
    anchors = find_anchors(scene, depth, folder)
    if given and _fits_already(anchors):
        error = float(np.median(np.concatenate([depth_errors(one, 1.0, 0.0, 1e-12) for one in anchors])))
        message = f"{subject} is in scene units: depth differs from {_sources(anchors)} by {error:.1%} (median)."
        return {"metric": True, "aligned": False, "alignment_error": error, "verdict": "good", "message": message}
    floor = np.array([plausible_bounds(bounds)[0] for bounds in scene.cameras.near_far])
    alignment = align(anchors, floor, depth.align_min_points, depth.align_median, depth.align_sigma)
    if alignment is None:
        message = (
            "stays without unit: too few static points, and nothing could be triangulated along flow, to fit it to."
        )
        return _relative(subject, message, "good" if given else "doubtful")
    affine = alignment.error_after
    corrections: list[Correction | None] = [None] * scene.n_frames
    if depth.align_local and affine <= MENDABLE:
        alignment, corrections = _correct(anchors, alignment, floor, scene.size)
    metric = alignment.error_after <= METRIC and float(np.mean(alignment.fitted)) >= 0.5
    if metric:
        _rewrite(scene, folder, alignment, corrections, floor, given)
        _record(folder, anchors, alignment, corrections, floor)
    numbers = _numbers(subject, alignment, anchors, metric, affine if any(corrections) else None)
    return numbers | {"frames_corrected": sum(one is not None for one in corrections)}


def _aligned(one: Anchors, scale: float, shift: float, floor: float, correction: Correction | None) -> np.ndarray:
    """Aligned disparity of the anchors of a frame."""
    values = np.maximum(scale * one.disparity + shift, floor)
    return values if correction is None or one.at is None else values * correction(one.at, values)


def _correct(
    anchors: list[Anchors], alignment: Alignment, floor: np.ndarray, size: tuple[int, int]
) -> tuple[Alignment, list[Correction | None]]:
    """The local factor of every frame that it betters, and the alignment with the errors that it leaves."""
    corrections: list[Correction | None] = []
    error, every = alignment.error.copy(), []
    step = STEP_SHIFTED if alignment.shifted else STEP_SCALED
    for i, one in enumerate(anchors):
        values = _aligned(one, alignment.scale[i], alignment.shift[i], floor[i], None)
        errors = np.abs(one.inverse_depth / values - 1)
        found = correct(one.at, values, one.inverse_depth, one.weight, size, step) if one.at is not None else None
        if found is not None:
            errors = found[1]
            error[i] = np.median(errors)
        corrections.append(found[0] if found is not None else None)
        every.append(errors)
    return replace(alignment, error=error, error_after=float(np.median(np.concatenate(every)))), corrections


def _fits_already(anchors: list[Anchors]) -> bool:
    """Whether the maps are in scene units as they are: median ratio within 10 % of 1, and errors below 10 %."""
    count = sum(len(one) for one in anchors)
    if not count or abs(common_scale(anchors) - 1) > METRIC:
        return False
    errors = [depth_errors(one, common_scale(anchors), 0.0, 1e-12) for one in anchors]
    return float(np.median(np.concatenate(errors))) < METRIC


def _rewrite(
    scene: Scene,
    folder: Path,
    alignment: Alignment,
    corrections: list[Correction | None],
    floor: np.ndarray,
    given: bool,
) -> None:
    """Writes a d + b, not below the floor, times the local factor, and the confidence that the frame's error allows."""
    error = np.where(np.isfinite(alignment.error), alignment.error, alignment.error_after)
    # A frame without a fit of its own is no better than the worst of the others.
    error[~np.array(alignment.fitted)] = max(float(error.max()), TYPICAL_ERROR)
    for i in tqdm(range(scene.n_frames), desc="alignment", unit="frame"):
        disparity, confidence = read_map(folder, i)
        aligned = np.maximum(alignment.scale[i] * disparity + alignment.shift[i], floor[i])
        correction = corrections[i]
        if correction is not None:
            aligned = np.maximum(aligned * correction.whole(aligned), floor[i])
        trust = 1 / (1 + (error[i] / TYPICAL_ERROR) ** 2)
        trusted = np.full(disparity.shape, trust, np.float32) * (confidence if given else 1)
        trusted[scene.motion_mask(i)] *= MOVING_TRUST
        write_map(folder, i, aligned, trusted)


def _record(
    folder: Path, anchors: list[Anchors], alignment: Alignment, corrections: list[Correction | None], floor: np.ndarray
) -> None:
    frame = np.concatenate([np.full(len(one), i) for i, one in enumerate(anchors)])
    known = np.concatenate([one.inverse_depth for one in anchors])
    scale, shift = alignment.scale, alignment.shift
    aligned = np.concatenate(
        [_aligned(one, scale[i], shift[i], floor[i], corrections[i]) for i, one in enumerate(anchors)]
    )
    kept = np.unique(np.linspace(0, len(frame) - 1, min(SHOWN, len(frame))).round().astype(int))
    write_npz(
        folder / ALIGNMENT_NAME,
        frame=frame[kept].astype(np.int32),
        inverse_depth=known[kept].astype(np.float32),
        aligned=aligned[kept].astype(np.float32),
    )


def _sources(anchors: list[Anchors]) -> str:
    kinds = {one.source for one in anchors if len(one)}
    named = {"points": "the sparse points", "triangulation": "what is triangulated along flow"}
    return " and ".join(named[kind] for kind in ("points", "triangulation") if kind in kinds)


def _numbers(
    subject: str, alignment: Alignment, anchors: list[Anchors], metric: bool, affine: float | None
) -> dict[str, Any]:
    """``affine`` is the error that scales and shifts alone leave, where a local factor betters it."""
    error, fitted = alignment.error_after, alignment.fitted
    verdict = "good" if error <= GOOD else "doubtful" if error <= DOUBTFUL else "poor"
    if verdict == "good" and not metric:
        verdict = "doubtful"
    shift = " and a shift" if alignment.shifted else ""
    factor = ", and a factor that changes over the picture," if affine is not None else ""
    bring = "bring" if shift or factor else "brings"
    message = f"{subject} {'has' if metric else 'would have'} a scale{shift} for each frame{factor} that {bring} it to "
    message += f"{_sources(anchors)} within {error:.1%} in depth (median); "
    if affine is not None:
        message += f"without the factor {affine:.1%} are left; "
    message += f"one scale for all frames, without a shift, leaves {alignment.error_before:.1%}."
    alone = len(fitted) - sum(fitted)
    if alone:
        message += f" {alone} of {len(fitted)} frames take after their neighbours in time."
    if not metric:
        message += " That is too far off, so it stays as it came, without unit."
    if verdict != "good":
        message += (
            " Wrong cameras, large moving things outside the motion masks, or a scene the network misreads are likely."
        )
    return {
        "metric": metric,
        "aligned": metric,
        "alignment_error_before": alignment.error_before,
        "alignment_error": error,
        "alignment_error_affine": affine if affine is not None else error,
        "anchors": sum(len(one) for one in anchors),
        "frames_fitted_to_points": sum(1 for k, one in enumerate(anchors) if fitted[k] and one.source == "points"),
        "frames_fitted_to_triangulation": sum(
            1 for k, one in enumerate(anchors) if fitted[k] and one.source == "triangulation"
        ),
        "frames_interpolated": alone,
        "scale": alignment.scale.tolist(),
        "shift": alignment.shift.tolist(),
        "frame_error": [float(e) if np.isfinite(e) else None for e in alignment.error],
        "verdict": verdict,
        "message": message,
    }


def _relative(subject: str, message: str, verdict: str) -> dict[str, Any]:
    return {"metric": False, "aligned": False, "verdict": verdict, "message": f"{subject} {message}"}
