"""Scores as the pages show them: tables of variants by metrics, and the few numbers that stand for a scene.

All numbers are those of scores.csv; nothing is averaged here.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import pandas as pd

from nsff.metrics.table import collect_scores
from nsff.report.content import Cell, Table
from nsff.scene import Scene

IMAGE_METRICS = ("psnr", "ssim", "lpips")
MASK_METRICS = ("ari", "fg_ari", "jaccard")
DECIMALS = {"psnr": 2, "ssim": 4, "lpips": 4, "ari": 4, "fg_ari": 4, "jaccard": 4}
TITLES = {
    "psnr": "PSNR, dB ↑",
    "ssim": "SSIM ↑",
    "lpips": "LPIPS ↓",
    "ari": "ARI ↑",
    "fg_ari": "fg-ARI ↑",
    "jaccard": "Jaccard ↑",
}
REGIONS = {"full": "whole picture", "dynamic": "moving parts only", "covisible": "what training frames see"}
IMAGE_CHOICE = ("aligned", "raw", "prediction")
MASK_CHOICE = ("crf", "processed", "clusters", "prediction")
VARIANTS = {
    "raw": "ours, cameras as estimated or given",
    "aligned": "ours, each held-out camera refined on its picture",
    "static": "the static field alone",
    "copy": "baseline: the training frame nearest in time",
    "copy_camera": "baseline: the training frame of the nearest camera",
    "trained": "refit: the scene's own model, which was trained on these frames",
    "plane": "refit baseline: the frame before, brought over by one homography",
    "flow": "refit: the frame before, brought over by flow",
    "clusters": "ours, salient clusters",
    "processed": "ours, after cleaning",
    "crf": "ours, after the CRF",
    "motion": "baseline: the motion masks alone",
    "nsff_blend": "baseline: the fifth of each picture with the highest dynamic weight (as SAFF evaluates NSFF)",
    "prediction": "a folder of results",
}


@dataclass(frozen=True)
class MainScore:
    """The few numbers of one protocol that stand for a scene; NaN does not occur, what is not scored is absent."""

    protocol: str
    variant: str
    full: dict[str, float]
    dynamic: dict[str, float]


def read_scores(scene: Scene) -> pd.DataFrame:
    """The rows of scores.csv. Raises StageError where it is missing or damaged."""
    return collect_scores([scene.scores_path])


def single_object(scene: Scene) -> list[str]:
    """The protocols whose truth has one object at most in a view, by the summary of the scores."""
    protocols = (scene.summary("score") or {}).get("protocols") or {}
    return [name for name, numbers in protocols.items() if numbers.get("true_objects") == 1]


def main_scores(table: pd.DataFrame) -> list[MainScore]:
    """For each protocol its best image variant and its last mask variant."""
    found = []
    for protocol in dict.fromkeys(table["protocol"]):
        rows = table[table["protocol"] == protocol]
        for choice, metrics in ((IMAGE_CHOICE, IMAGE_METRICS), (MASK_CHOICE, MASK_METRICS)):
            values = rows[rows["metric"].isin(metrics)]
            variant = next((v for v in choice if v in set(values["variant"])), None)
            if variant is None:
                continue
            own = values[values["variant"] == variant]
            found.append(MainScore(protocol, variant, *(_values(own, region) for region in ("full", "dynamic"))))
    return found


def _values(rows: pd.DataFrame, region: str) -> dict[str, float]:
    chosen = rows[rows["split"] == region]
    return {str(metric): float(value) for metric, value in zip(chosen["metric"], chosen["value"], strict=True)}


def number(metric: str, value: float) -> str:
    return f"{value:.{DECIMALS.get(metric.removesuffix('_reference'), 3)}f}"


def score_tables(table: pd.DataFrame, single: Collection[str] = ()) -> list[Table]:
    """For each protocol: pictures, masks, and the published codes' own versions of the metrics (folded).

    ``single`` are the protocols whose truth has one object at most in a view. fg-ARI tells objects from each other, and
    is left out there.
    """
    tables = []
    for protocol in dict.fromkeys(table["protocol"]):
        rows = table[table["protocol"] == protocol]
        if protocol in single:
            rows = rows[~rows["metric"].isin(("fg_ari", "fg_ari_reference"))]
        tables += [
            _pivot(rows, IMAGE_METRICS, f"{protocol}: rendered pictures", "count"),
            _pivot(rows, MASK_METRICS, f"{protocol}: object masks", "count_masks"),
        ]
        for metrics, title in ((IMAGE_METRICS, "pictures"), (MASK_METRICS, "masks")):
            names = [f"{metric}_reference" for metric in metrics]
            tables.append(
                _pivot(
                    rows,
                    names,
                    f"{protocol}: {title} by the published evaluation code's own ways",
                    None,
                    "Reproduces that code's quirks, to be put beside its tables and nothing else (docs/protocols.md).",
                    folded=True,
                )
            )
    return [table for table in tables if table is not None]


def _pivot(
    rows: pd.DataFrame,
    metrics: Sequence[str],
    title: str,
    count: str | None,
    note: str = "",
    folded: bool = False,
) -> Table | None:
    """Variant by metric, the regions side by side; None where no metric was taken. Where a protocol has several
    splits of views each has its own row below the mean."""
    values = {
        (variant, *_split(split), metric): value
        for variant, split, metric, value in zip(
            rows["variant"], rows["split"], rows["metric"], rows["value"], strict=True
        )
    }
    regions = {region: [m for m in metrics if any(k[2] == region and k[3] == m for k in values)] for region in REGIONS}
    regions = {region: found for region, found in regions.items() if found}
    lines = list(dict.fromkeys(key[:2] for key in values if key[3] in metrics))
    if not lines:
        return None
    best = next((v for v in (*IMAGE_CHOICE, *MASK_CHOICE) if any(line[0] == v for line in lines)), None)
    body = []
    for variant, part in lines:
        views = values.get((variant, part, "full", count)) if count else None
        name = f"{variant}: views of split {part}" if part else variant
        line = [Cell(name, variant == best), Cell("" if part else VARIANTS.get(variant, ""))]
        if count:
            line.append(Cell("–" if views is None else f"{views:.0f}", number=True))
        for region, found in regions.items():
            for metric in found:
                value = values.get((variant, part, region, metric))
                text = "–" if value is None else number(metric, value)
                line.append(Cell(text, variant == best, True))
        body.append(line)
    head = ["variant", "what it is", *(["views"] if count else [])]
    groups = [("", len(head)), *((REGIONS[region], len(found)) for region, found in regions.items())]
    for found in regions.values():
        head += [TITLES.get(m.removesuffix("_reference"), m) for m in found]
    return Table(title, head, body, groups, note, folded)


def _split(split: str) -> tuple[str, str]:
    """(split of views or nothing, region) of a split column's value, such as full or nv_spatial/dynamic."""
    part, _, region = split.rpartition("/")
    return part, region
