"""The table of a reproduced protocol: our scores of all its scenes beside the published numbers.

Published numbers lie in published_numbers.csv, each with its source; a number without one is not there. Ours stand in
two rows: as the published evaluation code measures (metrics *_reference), which is what may be compared, and standard.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from nsff.config.reproduce import nvidia_scene
from nsff.files.io import atomic_path, write_text
from nsff.metrics.protocols import get_protocol
from nsff.metrics.table import MEAN, collect_scores
from nsff.scene import Scene

COLUMNS = ("protocol", "method", "region", "scene", "metric", "value", "source")
DECIMALS = {"psnr": 2}
HIGHER = {"psnr": "PSNR, dB (higher is better)", "ssim": "SSIM (higher is better)", "lpips": "LPIPS (lower is better)",
          "ari": "ARI", "fg_ari": "foreground ARI", "jaccard": "Jaccard"}  # fmt: skip
BEST = ("raw", "aligned", "crf", "clusters", "oracle_crf", "nsff_blend", "copy")
"""Variants of ours that the table shows, where they are there."""


def published_numbers(protocol: str) -> pd.DataFrame:
    """Rows protocol, method, scene, metric, value, source of a protocol; scenes by nvidia_scene's names, or mean."""
    table = pd.read_csv(Path(__file__).with_name("published_numbers.csv"))
    return table[table["protocol"] == protocol].reset_index(drop=True)


def our_numbers(paths: Sequence[Path], protocol: str) -> pd.DataFrame:
    """COLUMNS of our scores.csv files: metric keeps _reference; the source says how each scene was trained."""
    rows = collect_scores(paths)
    rows = rows[(rows["protocol"] == protocol) & rows["split"].isin(["full", *_regions(protocol)])]
    rows = rows[~rows["metric"].str.startswith("count")]
    how = {path.parent.name: Scene(path.parent).train_result().origin for path in paths}
    return pd.DataFrame({
        "protocol": rows["protocol"],
        "method": "this project, " + rows["variant"],
        "region": rows["split"],
        "scene": rows["scene"],
        "metric": rows["metric"],
        "value": rows["value"],
        "source": rows["scene"].map(how),
    })  # fmt: skip


def _regions(protocol: str) -> list[str]:
    return [get_protocol(protocol).region] if get_protocol(protocol).dynamic else []


def compare(paths: Sequence[Path], protocol: str) -> pd.DataFrame:
    """COLUMNS: ours and the published numbers of the same scenes, with means over exactly these scenes.

    A published mean without scenes behind it is kept only where all scenes that it runs over were found.
    """
    ours = our_numbers(paths, protocol)
    known = published_numbers(protocol).assign(region="full")
    names = {scene: nvidia_scene(scene) or scene for scene in dict.fromkeys(ours["scene"])}
    back = {name: scene for scene, name in names.items()}
    everything = set(known["scene"]) - {MEAN}
    complete = bool(everything) and everything <= set(names.values())
    single = known[known["scene"].isin(list(back))]
    single = single.assign(scene=single["scene"].map(back))
    with_scenes = set(known[known["scene"] != MEAN]["method"])
    bare = known[(known["scene"] == MEAN) & ~known["method"].isin(with_scenes)]
    parts = [ours, _means(ours, len(names)), single, _means(single, len(names))]
    parts += [bare] if complete and len(names) == len(everything) else []
    return pd.concat([part[list(COLUMNS)] for part in parts if len(part)], ignore_index=True)


def _means(rows: pd.DataFrame, n_scenes: int) -> pd.DataFrame:
    """Means over scenes where all scenes have the value."""
    if rows.empty:
        return rows
    keys = ["protocol", "method", "region", "metric"]
    grouped = rows.groupby(keys, sort=False)
    found = grouped["value"].agg(["mean", "size"]).reset_index()
    found = found[found["size"] == n_scenes]
    sources = grouped["source"].agg(lambda values: "; ".join(dict.fromkeys(map(str, values)))).reset_index()
    return found.merge(sources, on=keys).rename(columns={"mean": "value"}).assign(scene=MEAN)


def readable(table: pd.DataFrame, protocol: str) -> str:
    """The comparison as Markdown: one table for each metric and region, a line a method, a column a scene."""
    own = get_protocol(protocol)
    scenes = [scene for scene in dict.fromkeys(table["scene"]) if scene != MEAN]
    lines = [f"# {protocol}: {own.title}", ""]
    lines += [f"Scenes found: {', '.join(scenes)} ({len(scenes)}). Test views: {own.test}.", ""]
    if own.frames:
        lines += [f"The published data have {own.frames} frames a scene; the published mean: {own.published_mean}.", ""]
    published = table[~table["method"].str.startswith("this project")]
    if published.empty:
        lines += ["No published number of this protocol is at hand that could be put beside these.", ""]
    for region in dict.fromkeys(table["region"]):
        rows = table[table["region"] == region]
        for metric, title in HIGHER.items():
            found = _lines(rows, metric, scenes, own.reference.code)
            if found:
                head = ["method", *scenes, MEAN]
                lines += [f"## {title}" + ("" if region == "full" else f", {region} only"), ""]
                lines += [" | ".join(["", *head, ""]).strip(), "|" + "---|" * len(head), *found, ""]
    sources = published.drop_duplicates(["method"])[["method", "source"]]
    if len(sources):
        lines += ["Sources: " + "; ".join(f"{m}: {s}" for m, s in sources.itertuples(index=False)) + ".", ""]
    trained = table[(table["scene"] != MEAN) & table["method"].str.startswith("this project")]
    how = trained.drop_duplicates(["scene"])[["scene", "source"]]
    lines += ["This project: " + "; ".join(f"{s}: {h}" for s, h in how.itertuples(index=False)) + ".", ""]
    return "\n".join(lines)


def _lines(rows: pd.DataFrame, metric: str, scenes: Sequence[str], code: str) -> list[str]:
    """Lines of one metric: our variants, as the reference measures and standard; the published ones by their mean."""
    result = []
    ours = [f"this project, {variant}" for variant in BEST]
    for method in (name for name in ours if name in set(rows["method"])):
        for name, kind in ((f"{metric}_reference", f"as {code}"), (metric, "standard")):
            result += _line(rows, method, name, scenes, f"**{method}**, {kind}", metric)
    published = rows[(rows["metric"] == metric) & ~rows["method"].str.startswith("this project")]
    order = published[published["scene"] == MEAN].sort_values("value", ascending=metric == "lpips")["method"]
    for method in dict.fromkeys([*order, *published["method"]]):
        result += _line(rows, method, metric, scenes, method, metric)
    return result


def _line(rows: pd.DataFrame, method: str, metric: str, scenes: Sequence[str], title: str, unit: str) -> list[str]:
    found = rows[(rows["method"] == method) & (rows["metric"] == metric)].set_index("scene")["value"]
    if found.empty:
        return []
    digits = DECIMALS.get(unit, 3)
    cells = [f"{found[s]:.{digits}f}" if s in found and np.isfinite(found[s]) else "" for s in (*scenes, MEAN)]
    return ["| " + " | ".join([title, *cells]) + " |"]


def write_comparison(paths: Sequence[Path], protocol: str, csv: Path, markdown: Path) -> None:
    """Writes both forms; raises StageError where a scores.csv is missing or damaged."""
    table = compare(paths, protocol)
    with atomic_path(csv) as temporary:
        table.to_csv(temporary, index=False)
    write_text(markdown, readable(table, protocol))
