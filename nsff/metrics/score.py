"""The score stage: every evaluation of a scene, the only reader of truth, and the score without truth. Writes
scores.csv, score_pictures/ and the summary.

Nothing here changes the scene: refined cameras are used for their score and thrown away.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from nsff.config import SceneConfig
from nsff.config.inputs import EvaluationConfig
from nsff.datasets.truth_registry import open_truth
from nsff.files.io import atomic_directory
from nsff.metrics.images import score_images
from nsff.metrics.lpips import Lpips, load_lpips, why_absent
from nsff.metrics.masks import score_masks
from nsff.metrics.protocols import REFIT, Protocol, get_protocol
from nsff.metrics.refit import left_out_every, score_refit
from nsff.metrics.table import Record, Row, average, write_records, write_scores
from nsff.metrics.targets import Targets, frame_numbers, self_targets, truth_targets
from nsff.metrics.verdicts import describe
from nsff.scene import Scene


def run_score(scene: Scene, config: SceneConfig, renderer: Any = None) -> dict[str, Any]:
    """Scores a scene by protocol refit and all its configured evaluations; returns the summary. Without any the table
    holds its header only.

    ``renderer`` replaces the scene's own (nsff.rendering.renderer.Renderer). Raises InputError where truth is missing
    or does not fit, StageError for damaged intermediate files.
    """
    records: list[Record] = []
    rows: list[Row] = []
    numbers: dict[str, Any] = {"protocols": {}}
    notes: list[str] = []
    lpips: Lpips | None = None
    with atomic_directory(scene.score_pictures_dir) as folder:
        if config.score.refit_steps and left_out_every(scene.n_frames):
            renderer = renderer or _renderer(scene, config)
            refitted, numbers["protocols"][REFIT.name] = score_refit(scene, config, renderer, folder)
            records += refitted.records
            rows += average(refitted.records, REFIT, scene.name)
        for evaluation in config.evaluation:
            protocol = get_protocol(evaluation.protocol)
            if protocol.images and renderer is None:
                renderer = _renderer(scene, config)
            if protocol.images and lpips is None and config.score.lpips:
                lpips = load_lpips(device=renderer.device)
                if lpips is None and why_absent() not in notes:
                    notes.append(why_absent())
            found, own, said = _evaluate(scene, config, evaluation, protocol, renderer, folder, lpips)
            records += found
            rows += average(found, protocol, scene.name)
            numbers["protocols"][protocol.name] = own
            notes += said
        write_records(folder / scene.scores_per_view_path.name, records)
    write_scores(scene.scores_path, rows)
    level, message = describe(rows, numbers["protocols"], config)
    summary = numbers | {"notes": notes, "verdict": level, "message": " ".join([message, *notes])}
    scene.write_summary("score", summary)
    return summary


def _renderer(scene: Scene, config: SceneConfig) -> Any:
    from nsff.rendering.renderer import Renderer

    return Renderer.load(scene.model_dir, device=config.train.device, chunk=config.render.chunk)


def _evaluate(
    scene: Scene,
    config: SceneConfig,
    evaluation: EvaluationConfig,
    protocol: Protocol,
    renderer: Any,
    folder: Path,
    lpips: Lpips | None,
) -> tuple[list[Record], dict[str, Any], list[str]]:
    """Records, numbers for the summary and notes of one evaluation."""
    notes: list[str] = []
    masks_given = False
    if evaluation.truth is None:
        targets = self_targets(scene, config)
    else:
        truth = open_truth(protocol.name, Path(evaluation.truth), frame_numbers(scene))
        notes += truth.notes
        targets = truth_targets(scene, config, protocol, truth)
        masks_given = any(view.mask_path is not None for view in truth.views)
    numbers = _numbers(targets)
    records: list[Record] = []
    if protocol.images:
        images = score_images(scene, config, protocol, targets.views, renderer, folder, lpips)
        records += images.records
        notes += images.notes
        if images.refinements:
            numbers["refined_views"] = len(images.refinements)
            numbers["refined_rotation_degrees"] = float(np.mean([r.rotation for r in images.refinements]))
            numbers["refined_translation"] = float(np.mean([r.translation for r in images.refinements]))
            numbers["refined_loss_ratio"] = float(
                np.mean([r.loss_after / max(r.loss_before, 1e-9) for r in images.refinements])
            )
    if protocol.masks and not masks_given:
        notes.append(f"{protocol.name}: {evaluation.truth} has no masks: none are scored.")
    elif protocol.masks and config.has_objects:
        masks = score_masks(scene, protocol, targets.views, folder, config)
        records += masks.records
        notes += masks.notes
        numbers["true_objects"] = masks.objects
    elif protocol.masks:
        off = "saliency" if config.field.features else "features"
        notes.append(f"{protocol.name}: no masks are scored, since field.{off} is false.")
    return records, numbers, notes


def _numbers(targets: Targets) -> dict[str, Any]:
    numbers: dict[str, Any] = {"views": len(targets.views)}
    if targets.similarity is not None:
        numbers["similarity_scale"] = targets.similarity.scale
    if targets.pose_errors is not None:
        numbers |= {
            "camera_position_error": targets.pose_errors.position_rmse,
            "camera_rotation_error_degrees": targets.pose_errors.rotation_mean,
            "camera_focal_error": targets.pose_errors.focal,
        }
    return numbers
