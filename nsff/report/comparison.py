"""Two scenes, or two versions of one, side by side: settings that differ, scores, seconds, verdicts, and pictures.

Both are results folders; A is the one that B is compared with. What only one of them has is shown for that one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from nsff.decompose.colours import overlay
from nsff.errors import InputError, StageError
from nsff.files.io import read_image, read_mask, write_text
from nsff.layout import VERDICTS
from nsff.report.content import Picture, Video
from nsff.report.gather import spread
from nsff.report.movies import embed_video
from nsff.report.pictures import colour_map, embed
from nsff.report.scoring import number, read_scores
from nsff.report.stages import STAGES
from nsff.scene import Scene

FRAMES = 4
"""Frames whose pictures are compared."""
WIDTH = 720
PATHS = {"spacetime": "camera and time move", "time": "time moves", "view": "the camera moves"}
BETTER = {"psnr": 1, "ssim": 1, "jaccard": 1, "ari": 1, "fg_ari": 1, "lpips": -1}
"""Metrics of the table, and whether more is better."""


@dataclass(frozen=True)
class Row:
    """A line of a table: what, A's and B's value, and how they differ. ``better`` is ``a``, ``b`` or empty."""

    name: str
    a: str
    b: str
    difference: str = ""
    better: str = ""


@dataclass(frozen=True)
class Pair:
    """The same picture of both."""

    title: str
    a: Picture
    b: Picture


@dataclass(frozen=True)
class Comparison:
    """All that two scenes are compared by."""

    a: str
    b: str
    settings: Sequence[Row] = ()
    scores: Sequence[Row] = ()
    seconds: Sequence[Row] = ()
    verdicts: Sequence[Row] = ()
    pairs: Sequence[Pair] = ()
    videos: Sequence[tuple[str, Video, Video]] = ()
    notes: Sequence[str] = field(default=())


def compare(a: Path, b: Path) -> Comparison:
    """Compares two results folders. Raises InputError where one holds no scene."""
    for folder in (a, b):
        if not (folder / "manifest.json").exists() and not (folder / "summaries").is_dir():
            raise InputError(folder, "holds no results of a scene", "name a folder such as results/NAME, or the NAME")
    notes: list[str] = []
    one, other = Scene(a), Scene(b)
    names = distinct_names(a, b)
    return Comparison(
        *names,
        settings_rows(a, b, notes),
        score_rows(one, other, notes),
        seconds_rows(a, b),
        verdict_rows(a, b),
        picture_pairs(one, other, notes),
        video_pairs(one, other, notes),
        notes,
    )


def distinct_names(a: Path, b: Path) -> tuple[str, str]:
    """The shortest ends of two paths that differ.

    >>> distinct_names(Path("x/results/demo"), Path("y/results/demo"))
    ('x/results/demo', 'y/results/demo')
    """
    one, other = a.absolute().parts, b.absolute().parts
    for count in range(1, max(len(one), len(other)) + 1):
        if one[-count:] != other[-count:]:
            return "/".join(one[-count:]), "/".join(other[-count:])
    return "A", "B"


def write_comparison(found: Comparison, out: Path) -> None:
    """Writes the page, one file without references outside itself."""
    from nsff.report.page import environment

    write_text(out, environment().get_template("comparison.html.j2").render(found=found))


# --- figures ---------------------------------------------------------------------------------------------------------
def settings_rows(a: Path, b: Path, notes: list[str]) -> list[Row]:
    """Settings of the stages that both were made with, where they differ; where the input lies does not count."""
    one, other = recorded_settings(a), recorded_settings(b)
    for folder, found in ((a, one), (b, other)):
        if not found:
            notes.append(f"{folder} has no settings/: it was made by an earlier version, or by hand")
    if not one or not other:
        return []
    keys = [key for key in one | other if one.get(key) != other.get(key)]
    return [Row(key, _plain(one.get(key)), _plain(other.get(key))) for key in sorted(keys)]


def recorded_settings(folder: Path) -> dict[str, Any]:
    """All settings of the stages of a scene by key, from settings/{stage}.json; empty where there are none."""
    found: dict[str, Any] = {}
    for path in sorted((folder / "settings").glob("*.json")):
        try:
            found |= _flat(json.loads(path.read_bytes()))
        except (ValueError, RecursionError):
            continue
    return found


def _flat(values: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(values, Mapping) or not values:
        return {prefix: values} if prefix else {}
    return {k: v for key, part in values.items() for k, v in _flat(part, f"{prefix}.{key}" if prefix else key).items()}


def _plain(value: Any) -> str:
    return "–" if value is None else str(value)


def score_rows(one: Scene, other: Scene, notes: list[str]) -> list[Row]:
    """Every score that either has, with the difference where both do."""
    a, b = _scores(one, notes), _scores(other, notes)
    rows = []
    for key in dict.fromkeys([*a, *b]):
        metric, first, second = key[3], a.get(key), b.get(key)
        one_text, other_text = ("–" if value is None else number(metric, value) for value in (first, second))
        difference, better = "", ""
        if first is not None and second is not None and one_text != other_text:
            gain = second - first
            difference = f"{gain:+.2f}" if metric == "psnr" else f"{gain:+.4f}"
            better = "b" if gain * BETTER[metric] > 0 else "a"
        rows.append(Row(f"{key[0]} {key[1]}, {key[2]}: {metric}", one_text, other_text, difference, better))
    return rows


def _scores(scene: Scene, notes: list[str]) -> dict[tuple[str, str, str, str], float]:
    """Values by protocol, variant, region and metric; baselines are left out."""
    try:
        table = read_scores(scene)
    except StageError as error:
        notes.append(f"{scene.root}: no scores ({error.problem})")
        return {}
    own = ("raw", "aligned", "clusters", "processed", "crf", "prediction")
    kept = table[table["metric"].isin(BETTER) & table["variant"].isin(own)]
    columns = (kept[name] for name in ("protocol", "variant", "split", "metric", "value"))
    return {(str(p), str(v), str(s), str(m)): float(x) for p, v, s, m, x in zip(*columns, strict=True)}


def seconds_rows(a: Path, b: Path) -> list[Row]:
    """Seconds of each stage, and of all together, by Snakemake's benchmark files."""
    one, other = _seconds(a), _seconds(b)
    rows = [
        Row(name, _time(one.get(name)), _time(other.get(name)), _ratio(one.get(name), other.get(name)))
        for name in _ordered([*one, *other])
    ]
    if one and other:
        first, second = sum(one.values()), sum(other.values())
        rows.append(Row("together", _time(first), _time(second), _ratio(first, second)))
    return rows


def _seconds(folder: Path) -> dict[str, float]:
    found = {}
    for path in (folder / "benchmarks").glob("*.tsv"):
        try:
            found[path.stem] = float(path.read_text().splitlines()[1].split("\t")[0])
        except (OSError, ValueError, IndexError):
            continue
    return found


def _ordered(names: Sequence[str]) -> list[str]:
    order = {stage.name: position for position, stage in enumerate(STAGES)}
    return sorted(dict.fromkeys(names), key=lambda name: (order.get(name, 99), name))


def _time(seconds: float | None) -> str:
    return "–" if seconds is None else f"{seconds:.1f} s"


def _ratio(a: float | None, b: float | None) -> str:
    return f"{b / a:.2f} times" if a and b is not None else ""


def verdict_rows(a: Path, b: Path) -> list[Row]:
    """Verdicts that differ."""
    one, other = _verdicts(a), _verdicts(b)
    rows = []
    for name in _ordered([*one, *other]):
        first, second = one.get(name, "–"), other.get(name, "–")
        if first != second:
            known = first in VERDICTS and second in VERDICTS
            better = ("b" if VERDICTS.index(second) < VERDICTS.index(first) else "a") if known else ""
            rows.append(Row(name, first, second, "", better))
    return rows


def _verdicts(folder: Path) -> dict[str, str]:
    found = {}
    for path in (folder / "summaries").glob("*.json"):
        try:
            found[path.stem] = str(json.loads(path.read_bytes())["verdict"])
        except (ValueError, KeyError, TypeError, RecursionError):
            continue
    return found


# --- pictures --------------------------------------------------------------------------------------------------------
def picture_pairs(one: Scene, other: Scene, notes: list[str]) -> list[Pair]:
    """Renderings, depth and object masks of the same frames of both."""
    try:
        frames = spread(range(min(one.n_frames, other.n_frames)), FRAMES)
    except StageError as error:
        notes.append(f"no pictures: {error.subject} {error.problem}")
        return []
    kinds = (("rendered colour", _colour), ("rendered inverse depth", _depth), ("objects", _objects))
    pairs = []
    for title, read in kinds:
        for i in frames:
            try:
                a, b = read(one, i), read(other, i)
            except (StageError, OSError):
                continue
            alt = f"{title}, frame {i}"
            pairs.append(Pair(alt, embed(a, f"A: {alt}", width=WIDTH), embed(b, f"B: {alt}", width=WIDTH)))
    if not pairs:
        notes.append("no pictures: both need maps/ (rendered views of the training cameras)")
    return pairs


def _colour(scene: Scene, i: int) -> np.ndarray:
    return read_image(scene.map_path(i, "rgb"))


def _depth(scene: Scene, i: int) -> np.ndarray:
    values = read_mask(scene.map_path(i, "depth"))
    return colour_map(values.astype(np.float32) / np.iinfo(values.dtype).max, 0, 1)


def _objects(scene: Scene, i: int) -> np.ndarray:
    image = scene.image(i)
    return overlay(read_mask(scene.mask_crf_path(i), image.shape[:2]), image, 0.6)


def video_pairs(one: Scene, other: Scene, notes: list[str]) -> list[tuple[str, Video, Video]]:
    """Videos along paths that both have."""
    found = []
    for path, title in PATHS.items():
        files = one.video_path(path), other.video_path(path)
        if not all(file.exists() for file in files):
            continue
        try:
            a, b = (embed_video(file, title, "", True, file.parent) for file in files)
        except StageError as error:
            notes.append(f"{error.subject}: {error.problem}")
            continue
        found.append((title, a, b))
    return found
