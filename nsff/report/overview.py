"""The page over all scenes: a gallery of playing thumbnails, and a table that can be sorted by any column."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from nsff.errors import StageError
from nsff.files.io import write_text
from nsff.report.content import Picture, Video
from nsff.report.movies import thumbnail
from nsff.report.page import environment, headline
from nsff.report.pictures import embed
from nsff.report.scoring import DECIMALS, TITLES, MainScore, main_scores, number, read_scores, single_object
from nsff.report.verdicts import LEVEL_WORDS, SYMBOLS, Verdict, read_verdicts, troubles
from nsff.scene import Scene

THUMBNAIL = 320
"""Pixels across of a thumbnail."""
MOST_PLAYING = 60
"""Scenes whose thumbnails play; those of more would make the page too large."""
METRICS = ("psnr", "ssim", "lpips", "jaccard", "ari", "fg_ari")
SHOWN_PATHS = ("spacetime", "time", "view")


@dataclass(frozen=True)
class Line:
    """One scene. ``link`` leads to its report, ``fly`` to the scene itself, relative to the overview; empty where there
    is none."""

    name: str
    link: str
    fly: str
    headline: str
    picture: Picture | None
    video: Video | None
    verdicts: Sequence[Verdict]
    scores: Sequence[MainScore]
    why_no_scores: str

    @property
    def worst(self) -> str:
        """The level of the whole: that of the worst stage whose doubt no later one settled."""
        levels = {verdict.level for verdict in troubles(self.verdicts)}
        return next((level for level in ("poor", "doubtful", "missing", "unknown") if level in levels), "good")


@dataclass(frozen=True)
class Value:
    """A cell of the table: its text, and the number that it is sorted by (None: last)."""

    text: str
    value: float | None


def run_overview(scenes: Sequence[Path], out: Path) -> None:
    """Writes the overview of scene folders to ``out``. A scene with missing or damaged files still has its place."""
    folder = Path(out).parent
    lines = [read_line(Scene(Path(scene)), folder, i < MOST_PLAYING) for i, scene in enumerate(scenes)]
    columns = columns_of(lines)
    page = (
        environment()
        .get_template("overview.html.j2")
        .render(
            lines=lines,
            columns=[TITLES[metric] for metric in columns],
            rows=[(line, score, values_of(score, columns)) for line in lines for score in scores_or_none(line)],
            troubles={line.name: len(troubles(line.verdicts)) for line in lines},
            symbols=SYMBOLS,
            message=LEVEL_WORDS,
        )
    )
    write_text(Path(out), page)


def read_line(scene: Scene, folder: Path, playing: bool = True) -> Line:
    """The entry of one scene in the overview that is written to ``folder``."""
    verdicts = read_verdicts(scene, None)
    link, fly = (
        quote(os.path.relpath(path, folder)) if path.exists() else ""
        for path in (scene.report_path, scene.path("scene.html"))
    )
    scores: list[MainScore] = []
    why = ""
    try:
        scores = [_meaningful(scene, score) for score in main_scores(read_scores(scene))]
        if not scores:
            why = "no evaluation is configured"
    except StageError as error:
        why = f"scores.csv: {error.problem}"
    video = _playing(scene) if playing else None
    return Line(scene.name, link, fly, headline(scene, verdicts), _still(scene), video, verdicts, scores, why)


def _meaningful(scene: Scene, score: MainScore) -> MainScore:
    """Without fg-ARI where there is one true object to be told from others."""
    if score.protocol not in single_object(scene):
        return score
    full, dynamic = ({m: v for m, v in values.items() if m != "fg_ari"} for values in (score.full, score.dynamic))
    return MainScore(score.protocol, score.variant, full, dynamic)


def columns_of(lines: Sequence[Line]) -> list[str]:
    """The metrics of which any scene has a value."""
    scores = [score for line in lines for score in line.scores]
    return [metric for metric in METRICS if any(metric in score.full for score in scores)]


def scores_or_none(line: Line) -> list[MainScore | None]:
    """The scores of a scene, each a row of the table; None for the row of a scene without any."""
    return [*line.scores] or [None]


def values_of(score: MainScore | None, metrics: Sequence[str]) -> list[Value]:
    """The cells of a row: whole picture, and moving parts where they are scored; sorted by the former."""
    return [Value("", None) if score is None or m not in score.full else _value(score, m) for m in metrics]


def _value(score: MainScore, metric: str) -> Value:
    text = number(metric, score.full[metric])
    if metric in score.dynamic:
        text += f" / {number(metric, score.dynamic[metric])}"
    return Value(text, round(score.full[metric], DECIMALS[metric]))


def _playing(scene: Scene) -> Video | None:
    """A small copy of the first video that there is, or None."""
    for path in SHOWN_PATHS:
        if scene.video_path(path).exists():
            try:
                return thumbnail(scene.video_path(path), f"{scene.name}, rendered", THUMBNAIL)
            except StageError:
                return None
    return None


def _still(scene: Scene) -> Picture | None:
    """The middle frame, or None where there is none."""
    try:
        middle = scene.n_frames // 2
        return embed(scene.frame(middle), f"Frame {middle} of {scene.name}", width=THUMBNAIL)
    except (StageError, KeyError, ValueError, TypeError):
        return None
