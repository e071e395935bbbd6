"""Scoring rendered pictures: our variants (raw, aligned) and the baselines beside them, view by view.

Variants: ``raw`` (the camera as known), ``aligned`` (after refinement, where cameras were estimated), ``static`` (the
static component alone, same camera as our best variant), ``copy`` and ``copy_camera`` (a training frame shown as it is;
not for training views, which it would match by definition).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from tqdm import tqdm

from nsff.config import SceneConfig
from nsff.files.io import write_image
from nsff.layout import map_name, sheet_name
from nsff.metrics.alignment import Refinement, refine_camera
from nsff.metrics.baselines import TRAINING, TrainingFrames, centre_of
from nsff.metrics.canonical_truth import resize_image
from nsff.metrics.lpips import Lpips
from nsff.metrics.measure import image_scores, to_8bit
from nsff.metrics.pictures import SheetRow, image_sheet, spread_over
from nsff.metrics.protocols import Protocol, held_out_frames
from nsff.metrics.table import Record
from nsff.metrics.targets import Target
from nsff.scene import Scene


@dataclass
class ImageResult:
    records: list[Record] = field(default_factory=list)
    refinements: list[Refinement] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def score_images(
    scene: Scene,
    config: SceneConfig,
    protocol: Protocol,
    targets: list[Target],
    renderer: Any,
    folder: Path,
    lpips: Lpips | None,
) -> ImageResult:
    """Renders and scores all targets; writes {i}_rgb.png (our best variant) and {i}_static_rgb.png into
    folder/{protocol}/, and sheet_{protocol}.png into ``folder``."""
    result = ImageResult()
    refine = (
        protocol.refined and "aligned" in config.score.variants and config.score.refine_steps > 0
        and not scene.ingest_result.given.cameras
    )  # fmt: skip
    copies = TrainingFrames.of_scene(scene, held_out_frames(scene.n_frames, config.train.hold_out))
    shown = set(spread_over(len(targets)))
    rows: list[SheetRow] = []
    without_truth = 0
    for number, target in enumerate(tqdm(targets, desc=f"score {protocol.name}", unit="view")):
        truth = target.image()
        if truth is None:
            without_truth += 1
            continue
        pictures, refinement = _pictures(scene, config, target, truth, renderer, refine, copies)
        if refinement:
            result.refinements.append(refinement)
        best = pictures["aligned" if refine else "raw"]
        write_image(folder / protocol.name / map_name(target.index, "rgb"), best)
        if "static" in pictures:
            write_image(folder / protocol.name / f"{target.index}_static_rgb.png", pictures["static"])
        if "raw" not in config.score.variants and refine:
            del pictures["raw"]
        regions: dict[str, np.ndarray | None] = {"full": None}
        published: dict[str, np.ndarray | None] = {}
        if protocol.dynamic is not None and (dynamic := target.dynamic()) is not None:
            regions[protocol.region] = dynamic
            if protocol.reference.masked and (other := target.reference_dynamic()) is not None:
                published[protocol.region] = other
        reference_truth = target.reference_image()
        for variant, picture in pictures.items():
            by_region = image_scores(picture, truth, regions, protocol.reference, lpips, reference_truth, published)
            for region, scores in by_region.items():
                result.records += [
                    Record(protocol.name, variant, target.index, target.split, target.time, region, metric, value)
                    for metric, value in scores.items()
                ]
        if number in shown:
            value = image_scores(best, truth, {"full": None}, protocol.reference)["full"]["psnr"]
            rows.append(SheetRow(f"view {target.index}, time {target.time:g}\n{value:.2f} dB", truth, best))
    if without_truth:
        result.notes.append(
            f"{without_truth} of {len(targets)} views of {protocol.name} have no true colours: no psnr, ssim, lpips."
        )
    if rows:
        image_sheet(
            folder / sheet_name(protocol.name),
            f"{scene.name}, protocol {protocol.name}, {'aligned' if refine else 'raw'}",
            rows,
        )
    return result


def _pictures(
    scene: Scene,
    config: SceneConfig,
    target: Target,
    truth: UInt8[np.ndarray, "H W 3"],
    renderer: Any,
    refine: bool,
    copies: TrainingFrames,
) -> tuple[dict[str, UInt8[np.ndarray, "H W 3"]], Refinement | None]:
    """8-bit pictures by variant, in the order of the table."""
    pose = target.starts[0]
    outputs = ("rgb", "static_rgb")
    height, width = target.size
    render = renderer.render(target.intrinsics, pose, height, width, target.time, outputs)
    pictures = {"raw": to_8bit(render["rgb"])}
    refinement = None
    if refine:
        if target.refinable:
            near = float(scene.cameras.near_far[:, 0].min())
            refinement = refine_camera(
                renderer, target.intrinsics, target.starts, truth, target.time, near, config.score, target.index
            )
            pose = refinement.world_to_camera
            render = renderer.render(target.intrinsics, pose, height, width, target.time, outputs)
        pictures["aligned"] = to_8bit(render["rgb"])
    if "static_rgb" in render:
        pictures["static"] = to_8bit(render["static_rgb"])
    if target.split != TRAINING:
        for name, picture in copies.pictures(target.time, centre_of(pose)).items():
            pictures[name] = resize_image(picture, target.size)
    return pictures, refinement
