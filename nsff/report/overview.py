"""The page over all scenes: a line for each with thumbnail, verdicts, main scores and a link to its own page."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from nsff.errors import StageError
from nsff.files.io import write_text
from nsff.report.content import Picture
from nsff.report.page import environment, headline
from nsff.report.pictures import embed
from nsff.report.scoring import MainScore, main_scores, number, read_scores
from nsff.report.verdicts import LEVEL_WORDS, SYMBOLS, Verdict, read_verdicts, troubles
from nsff.scene import Scene

THUMBNAIL = 240
METRICS = ("psnr", "ssim", "lpips", "jaccard", "fg_ari")


@dataclass(frozen=True)
class Line:
    """One scene. ``link`` is relative to the overview; empty where the scene has no page."""

    name: str
    link: str
    headline: str
    picture: Picture | None
    verdicts: Sequence[Verdict]
    scores: Sequence[tuple[MainScore, Sequence[tuple[str, str]]]]
    why_no_scores: str

    @property
    def worst(self) -> str:
        """The level of the whole: that of the worst stage."""
        levels = {verdict.level for verdict in self.verdicts}
        return next((level for level in ("poor", "doubtful", "missing", "unknown") if level in levels), "good")


def run_overview(scenes: Sequence[Path], out: Path) -> None:
    """Writes the overview of scene folders to ``out``. A scene with missing or damaged files still has its line."""
    lines = [read_line(Scene(Path(folder)), Path(out).parent) for folder in scenes]
    page = (
        environment()
        .get_template("overview.html.j2")
        .render(
            lines=lines,
            troubles={line.name: len(troubles(line.verdicts)) for line in lines},
            symbols=SYMBOLS,
            message=LEVEL_WORDS,
        )
    )
    write_text(Path(out), page)


def read_line(scene: Scene, folder: Path) -> Line:
    """The entry of one scene in the overview that is written to ``folder``."""
    verdicts = read_verdicts(scene, None)
    link = quote(os.path.relpath(scene.report_path, folder)) if scene.report_path.exists() else ""
    scores: list[tuple[MainScore, Sequence[tuple[str, str]]]] = []
    why = ""
    try:
        scores = [(score, _texts(score)) for score in main_scores(read_scores(scene))]
        if not scores:
            why = "no evaluation is configured"
    except StageError as error:
        why = f"scores.csv: {error.problem}"
    return Line(scene.name, link, headline(scene, verdicts), _thumbnail(scene), verdicts, scores, why)


def _texts(score: MainScore) -> list[tuple[str, str]]:
    """Metric and values, whole picture and moving parts side by side."""
    texts = []
    for metric in METRICS:
        if metric in score.full:
            text = number(metric, score.full[metric])
            if metric in score.dynamic:
                text += f" / {number(metric, score.dynamic[metric])}"
            texts.append((metric, text))
    return texts


def _thumbnail(scene: Scene) -> Picture | None:
    """The middle frame, or None where there is none."""
    try:
        middle = scene.n_frames // 2
        return embed(scene.frame(middle), f"Frame {middle} of {scene.name}", width=THUMBNAIL)
    except (StageError, KeyError, ValueError, TypeError):
        return None
