"""The section of scores: tables, contact sheets of held-out views, every single view."""

from __future__ import annotations

import pandas as pd

from nsff.errors import StageError
from nsff.files.io import read_image
from nsff.files.reading import read_table, reading
from nsff.metrics.table import PER_VIEW_COLUMNS
from nsff.report.content import Absent, Cell, Part, Section, Strip, Table
from nsff.report.gather import Material, Parts
from nsff.report.pictures import embed
from nsff.report.scoring import (
    IMAGE_CHOICE,
    IMAGE_METRICS,
    MASK_CHOICE,
    MASK_METRICS,
    REGIONS,
    TITLES,
    number,
    read_scores,
    score_tables,
    single_object,
)
from nsff.scene import Scene

SHEET_WIDTH = 1100


def scores_section(material: Material) -> Section:
    scene, parts = material.scene, Parts()
    if not (material.config.evaluation or _any_rows(scene)):
        why = "no evaluation is configured (key evaluation), and there is no score without truth (score.refit_steps)"
        parts.parts.append(Absent("Scores", why))
    else:
        parts.add("Scores", lambda: _tables(scene))
        parts.add("Contact sheets", lambda: _sheets(scene))
        parts.add("Scores of every view", lambda: _per_view(scene))
    intro = (
        "A score means something only together with its protocol (docs/protocols.md). Bold is ours; the baselines need "
        "no model, and a model that does not beat them has learned nothing."
    )
    return Section("scores", "Scores", material.of("score"), intro, parts.parts)


def _any_rows(scene: Scene) -> bool:
    """Whether there are scores, or a table that cannot be read, which is then shown as that."""
    try:
        return len(read_scores(scene)) > 0
    except StageError:
        return True


def _tables(scene: Scene) -> list[Part]:
    table = read_scores(scene)
    if not len(table):
        return [Absent("Scores", "scores.csv has no rows")]
    tables: list[Part] = list(score_tables(table, single_object(scene)))
    # Protocol refit compares pictures that are too small for LPIPS.
    pictures = set(table[table["protocol"] != "refit"]["metric"])
    if "psnr" in pictures and "lpips" not in pictures:
        notes = (scene.summary("score") or {}).get("notes") or []
        why = next((str(n) for n in notes if "LPIPS" in str(n)), "it was not taken (score.lpips, docs/protocols.md)")
        tables.append(Absent("LPIPS", why))
    return tables


def _sheets(scene: Scene) -> list[Part]:
    folder = scene.score_pictures_dir
    sheets = sorted(folder.glob("sheet_*.png"))
    if not sheets:
        return [Absent("Contact sheets", "score_pictures has none: the stage score has not run, or scored no view")]
    parts: list[Part] = []
    for path in sheets:
        name = path.stem.removeprefix("sheet_")
        masks = name.endswith("_masks")
        columns = "truth, ours, what is missed or false" if masks else "truth, render, error"
        title = f"{name.removesuffix('_masks')}: {'masks' if masks else 'pictures'} of up to six views"
        picture = embed(read_image(path), f"Contact sheet of {title}; columns: {columns}", "", SHEET_WIDTH, 88)
        parts.append(Strip(title, [picture], f"Columns: {columns}. All views: score_pictures/.", wide=True))
    return parts


def _per_view(scene: Scene) -> list[Part]:
    path = scene.scores_per_view_path
    if not path.exists():
        raise FileNotFoundError(path)
    with reading(path, "delete score_pictures/ and run again", message="not readable as scores"):
        texts = {name: str for name in PER_VIEW_COLUMNS if name not in ("view", "time", "value")}
        table = read_table(path, dtype=texts)
    if set(PER_VIEW_COLUMNS) - set(table.columns):
        raise StageError(
            path, f"has columns {', '.join(map(str, table.columns))}", "delete score_pictures/ and run again"
        )
    parts: list[Part] = []
    single = single_object(scene)
    for protocol in dict.fromkeys(table["protocol"]):
        for choice, metrics in ((IMAGE_CHOICE, IMAGE_METRICS), (MASK_CHOICE, MASK_METRICS)):
            rows = table[(table["protocol"] == protocol) & table["metric"].isin(metrics)]
            if protocol in single:
                rows = rows[rows["metric"] != "fg_ari"]
            variant = next((v for v in choice if v in set(rows["variant"])), None)
            if variant is not None:
                parts.append(_view_table(rows[rows["variant"] == variant], protocol, variant, metrics))
    return parts


def _view_table(rows: pd.DataFrame, protocol: str, variant: str, metrics: tuple[str, ...]) -> Table:
    pairs = [(r, m) for r in REGIONS for m in metrics if ((rows["region"] == r) & (rows["metric"] == m)).any()]
    body = []
    for (view, split, time), group in rows.groupby(["view", "split", "time"], sort=False):
        values = {
            (region, metric): value
            for region, metric, value in zip(group["region"], group["metric"], group["value"], strict=True)
        }
        line = [Cell(str(view), number=True), Cell(str(split)), Cell(f"{time:g}", number=True)]
        line += [
            Cell("–" if pd.isna(values.get(p, float("nan"))) else number(p[1], values[p]), number=True) for p in pairs
        ]
        body.append(line)
    groups = [("", 3), *((REGIONS[r], sum(p[0] == r for p in pairs)) for r in REGIONS if any(p[0] == r for p in pairs))]
    head = ["view", "split", "time", *(TITLES[m] for _, m in pairs)]
    return Table(f"{protocol}: every view, {variant}", head, body, groups, folded=True)
