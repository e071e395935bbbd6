"""Scoring object masks: before cleaning (clusters), after it (processed), after the CRF (crf), and baselines beside
them.

Baselines: ``motion`` (the pipeline's motion masks: what moves, without objects; training views only) and
``nsff_blend`` (SAFF's evaluation of NSFF: the fifth of the pixels with the highest blending weight, per image).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Integer
from tqdm import tqdm

from nsff.config import SceneConfig
from nsff.decompose.clusters import salient_labels
from nsff.decompose.colours import overlay
from nsff.decompose.crf import clusters_of_objects
from nsff.decompose.postprocess import read_objects
from nsff.decompose.views import View, read_labelled, read_rgb
from nsff.errors import InputError
from nsff.files.io import read_mask
from nsff.layout import sheet_name
from nsff.metrics.measure import mask_scores
from nsff.metrics.oracle import oracle_choice, oracle_sources
from nsff.metrics.pictures import SheetRow, mask_sheet, spread_over
from nsff.metrics.protocols import Protocol
from nsff.metrics.segmentation import merge_like_saff
from nsff.metrics.table import Record
from nsff.metrics.targets import Target
from nsff.scene import Scene

BLEND_QUANTILE = 0.8


@dataclass
class MaskResult:
    records: list[Record] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    objects: int = 0
    """True objects in the view that has most of them."""


def score_masks(
    scene: Scene, protocol: Protocol, targets: list[Target], folder: Path, config: SceneConfig | None = None
) -> MaskResult:
    """Scores all masks of all targets; writes sheet_{protocol}_masks.png into ``folder``. With score.oracle also those
    of an oracle (nsff.metrics.oracle). Raises InputError where no target has both a true and a made mask."""
    result = MaskResult()
    views = {view.index: view for view in read_labelled(scene, scene.merged_labels_dir)}
    sources = _sources(scene)
    own = clusters_of_objects(scene)
    clusters = {"clusters": salient_labels(scene), "processed": own, "crf": own}
    if config is not None and config.score.oracle:
        oracle = oracle_sources(scene, config, list(views.values()), targets)
        sources |= oracle
        clusters |= dict.fromkeys(oracle, oracle_choice(scene, list(views.values()), targets))
    scored = [target for target in targets if target.index in views]
    if len(scored) < len(targets):
        missing = sorted({target.split for target in targets if target.index not in views})
        result.notes.append(
            f"{protocol.name}: no masks of {', '.join(missing)} were made; set render.canonical_views to saff for them."
        )
    shown = {scored[i].index for i in spread_over(len(scored))}
    rows: list[SheetRow] = []
    mistakes: list[np.ndarray] = []
    for target in tqdm(scored, desc=f"score {protocol.name} masks", unit="view"):
        truth = target.labels()
        if truth is None:
            continue
        result.objects = max(result.objects, int(np.count_nonzero(np.unique(truth))))
        view, published = views[target.index], target.reference_masks()
        best: np.ndarray | None = None
        for variant, read in sources.items():
            labels = read(view)
            if labels is None:
                continue
            merged = merge_like_saff(labels, clusters.get(variant))
            result.records += [
                Record(protocol.name, variant, target.index, target.split, target.time, "full", metric, value)
                for metric, value in mask_scores(labels, truth, protocol.reference, published, merged).items()
            ]
            if variant == "crf":
                best = labels
        if target.index in shown and best is not None:
            picture = read_rgb(scene, view, truth.shape)
            rows.append(
                SheetRow(
                    f"view {view.index}, time {view.time:g}", overlay(_numbered(truth), picture), overlay(best, picture)
                )
            )
            mistakes.append(np.where((truth != 0) & (best == 0), 1, np.where((truth == 0) & (best != 0), 2, 0)))
    if not result.records:
        raise InputError(
            scene.root, f"protocol {protocol.name}: no view has a true mask and one of ours", "check evaluation.truth"
        )
    if rows:
        mask_sheet(
            folder / sheet_name(protocol.name, masks=True), f"{scene.name}, protocol {protocol.name}", rows, mistakes
        )
    return result


def _sources(scene: Scene) -> dict[str, Callable[[View], Integer[np.ndarray, "H W"] | None]]:
    """By variant: labels of a view at canonical size, None where that variant has none for it."""
    salient = salient_labels(scene)

    def motion(view: View) -> Bool[np.ndarray, "H W"] | None:
        return scene.motion_mask(view.camera).astype(np.int64) if view.split == "training" else None

    def blend(view: View) -> Integer[np.ndarray, "H W"] | None:
        weights = read_mask(scene.map_path(view.index, "blend"), scene.size)
        return (weights >= np.quantile(weights, BLEND_QUANTILE)).astype(np.int64)

    return {
        "clusters": lambda view: read_objects(scene, view, salient).astype(np.int64),
        "processed": lambda view: read_mask(scene.mask_path(view.index), scene.size).astype(np.int64),
        "crf": lambda view: read_mask(scene.mask_crf_path(view.index), scene.size).astype(np.int64),
        "motion": motion,
        "nsff_blend": blend,
    }


def _numbered(labels: Integer[np.ndarray, "H W"]) -> Integer[np.ndarray, "H W"]:
    """Labels as 0, 1, 2, …: truth files use 100, 200, … or 255, or colours."""
    values, places = np.unique(labels, return_inverse=True)
    offset = 0 if values[0] == 0 else 1
    return places.reshape(labels.shape) + offset
