"""Tables of scores: per view, averaged per scene (long form), and gathered over scenes.

A record is one value of one view. A row of scores.csv is an average: columns ``scene, protocol, variant, split,
metric, value``. Split is the region, ``full`` or ``dynamic``, over all views of the protocol; where a protocol has
several splits of views, also ``{split}/full`` and ``{split}/dynamic``. Metric ``count`` says how many views the
average holds.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from nsff.errors import StageError
from nsff.files.io import write_csv
from nsff.files.reading import read_table, reading
from nsff.metrics.protocols import Protocol

COLUMNS = ("scene", "protocol", "variant", "split", "metric", "value")
PER_VIEW_COLUMNS = ("protocol", "variant", "view", "split", "time", "region", "metric", "value")
MEAN = "mean"
"""Takes the place of a scene's name in rows of means over scenes."""
MAIN_METRICS = ("psnr", "jaccard")
"""Metrics whose numbers of views the column ``count`` shows."""


@dataclass(frozen=True)
class Record:
    protocol: str
    variant: str
    view: int
    split: str
    time: float
    region: str
    metric: str
    value: float


@dataclass(frozen=True)
class Row:
    scene: str
    protocol: str
    variant: str
    split: str
    metric: str
    value: float


def average(records: Sequence[Record], protocol: Protocol, scene: str) -> list[Row]:
    """Rows of one protocol: over images, or images → split → mean of the splits, as the protocol says. NaN values are
    left out; an average of nothing gives no row."""
    rows: list[Row] = []
    mine = [record for record in records if record.protocol == protocol.name]
    for variant in _unique(record.variant for record in mine):
        for region in _unique(record.region for record in mine if record.variant == variant):
            group = [record for record in mine if (record.variant, record.region) == (variant, region)]
            splits = _unique(record.split for record in group)
            for metric in _unique(record.metric for record in group):
                values = {
                    split: [
                        r.value for r in group if r.split == split and r.metric == metric and not math.isnan(r.value)
                    ]
                    for split in splits
                }
                values = {split: found for split, found in values.items() if found}
                if not values:
                    continue
                means = {split: sum(found) / len(found) for split, found in values.items()}
                everything = [value for found in values.values() for value in found]
                overall = (
                    sum(means.values()) / len(means)
                    if protocol.average == "splits"
                    else sum(everything) / len(everything)
                )
                entries = [(region, overall, len(everything))]
                if len(splits) > 1:
                    entries += [(f"{split}/{region}", means[split], len(values[split])) for split in values]
                for name, mean, count in entries:
                    rows.append(Row(scene, protocol.name, variant, name, metric, mean))
                    if metric in MAIN_METRICS:
                        rows.append(Row(scene, protocol.name, variant, name, _count_name(metric), float(count)))
    return rows


def _count_name(metric: str) -> str:
    """``count`` for pictures; masks are counted apart, since saff scores both."""
    return "count" if metric == "psnr" else "count_masks"


def is_count(metric: str) -> bool:
    """Whether a metric is a number of views."""
    return metric in ("count", "count_masks")


def mean_over_scenes(rows: Sequence[Row]) -> list[Row]:
    """Rows of the scene ``mean``: every scene counts alike. Numbers of views are added up. What not all scenes have
    gets no row."""
    scenes = _unique(row.scene for row in rows)
    values: dict[tuple[str, str, str, str], list[float]] = {}
    for row in rows:
        values.setdefault((row.protocol, row.variant, row.split, row.metric), []).append(row.value)
    return [
        Row(MEAN, *key, sum(found) if is_count(key[-1]) else sum(found) / len(found))
        for key, found in values.items()
        if len(found) == len(scenes)
    ]


def write_scores(path: Path, rows: Iterable[Row]) -> None:
    """Writes scores.csv whole; no rows leave the header alone."""
    write_csv(path, COLUMNS, [{name: getattr(row, name) for name in COLUMNS} for row in rows])


def write_records(path: Path, records: Iterable[Record]) -> None:
    write_csv(
        path, PER_VIEW_COLUMNS, [{name: getattr(record, name) for name in PER_VIEW_COLUMNS} for record in records]
    )


def write_scene_records(path: Path, records: Mapping[str, Sequence[Record]]) -> None:
    """The records of several scenes, with a column ``scene`` before the others."""
    rows = [
        {"scene": scene} | {name: getattr(record, name) for name in PER_VIEW_COLUMNS}
        for scene, own in records.items()
        for record in own
    ]
    write_csv(path, ("scene", *PER_VIEW_COLUMNS), rows)


def collect_scores(paths: Iterable[Path]) -> pd.DataFrame:
    """All rows of several scores.csv, in order, with the columns above; raises StageError naming a file that is not
    one."""
    frames = []
    for path in paths:
        with reading(path, missing="run the score stage", message="not readable as scores"):
            frame = read_table(path, dtype={name: str for name in COLUMNS[:-1]})
        if list(frame.columns) != list(COLUMNS):
            raise StageError(path, f"has columns {', '.join(map(str, frame.columns))}", "delete it and run again")
        with reading(path, message="not readable as scores"):
            frames.append(frame.astype({"value": float}))
    filled = [frame for frame in frames if len(frame)]
    if not filled:
        return pd.DataFrame({name: pd.Series(dtype=float if name == "value" else str) for name in COLUMNS})
    return pd.concat(filled, ignore_index=True)


def wide(rows: pd.DataFrame) -> pd.DataFrame:
    """For reading: one line per scene, protocol, variant and split, one column per metric."""
    keys = list(COLUMNS[:4])
    table = rows.pivot_table(index=keys, columns="metric", values="value", sort=False)
    table.columns.name = None
    return table.reset_index()


def _unique(values: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(values))
