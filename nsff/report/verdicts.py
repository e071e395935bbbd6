"""Verdicts of the stages as the pages show them: level, words, the numbers behind, and what to look at.

Levels are ``good``, ``doubtful`` and ``poor`` (what a stage says of itself), ``unknown`` (it ran but said none),
``missing`` (it should have run) and ``off`` (the settings leave it out).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from nsff.config import SceneConfig
from nsff.errors import StageError
from nsff.report.stages import STAGES, TITLES, Stage, as_configured, not_asked
from nsff.scene import Scene

JUDGED = ("good", "doubtful", "poor")
SYMBOLS = {"good": "✓", "doubtful": "!", "poor": "✕", "unknown": "?", "missing": "?", "off": "–"}
LEVEL_WORDS = {
    "good": "good",
    "doubtful": "doubtful",
    "poor": "poor",
    "unknown": "no verdict",
    "missing": "not run",
    "off": "left out",
}

FRACTIONS = ("fraction", "coverage", "overlap", "kept", "changed", "confidence", "explained_variance", "foreground")
UNITS = {
    "seconds": "s",
    "duration": "s",
    "frame_rate": "frames/s",
    "psnr": "dB",
    "mean_magnitude": "px",
    "reprojection_error": "px",
    "focal": "px",
    "epipolar_residual": "px",
    "largest_shift": "px",
    "triangulation_angle": "degrees",
    "degrees": "degrees",
}


@dataclass(frozen=True)
class Verdict:
    """``numbers`` are (name, value) texts from the summary. ``first`` names earlier stages to look at before this,
    ``settled_by`` the later ones that found good what this one doubts."""

    stage: Stage
    level: str
    message: str
    numbers: Sequence[tuple[str, str]] = ()
    first: Sequence[str] = ()
    settled_by: Sequence[str] = ()

    @property
    def symbol(self) -> str:
        return SYMBOLS[self.level]

    @property
    def word(self) -> str:
        return LEVEL_WORDS[self.level]

    @property
    def troubled(self) -> bool:
        return self.level in ("doubtful", "poor", "missing", "unknown") and not self.settled_by


def read_verdicts(scene: Scene, config: SceneConfig | None) -> list[Verdict]:
    """One verdict for each stage, in the order of the pipeline. A damaged summary is a verdict, not an error."""
    verdicts: list[Verdict] = []
    bad: set[str] = set()
    for stage in (as_configured(stage, config) for stage in STAGES):
        level, message, summary = _read(scene, stage, config)
        first = [name for name in _earlier(stage.name) if name in bad]
        verdicts.append(Verdict(stage, level, message, number_texts(summary), [TITLES[name] for name in first]))
        if level in ("doubtful", "poor", "missing"):
            bad.add(stage.name)
    verdicts = [_as_true_as(verdict, verdicts) for verdict in verdicts]
    return _without_settled_causes(_with_settled(verdicts))


def _with_settled(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """The verdicts with the later stages that settle a doubt, where there is one: all of those that said anything call
    their results good, or are settled themselves. Nothing settles what is poor."""
    found: dict[str, Verdict] = {}
    for verdict in reversed(verdicts):
        judges = [found[name] for name in verdict.stage.settled_by if name in found and found[name].level in JUDGED]
        settled = verdict.level == "doubtful" and judges and all(not one.troubled for one in judges)
        by = [one.stage.title for one in judges] if settled else []
        found[verdict.stage.name] = replace(verdict, settled_by=by)
    return [found[verdict.stage.name] for verdict in verdicts]


def _without_settled_causes(verdicts: Sequence[Verdict]) -> list[Verdict]:
    settled = {verdict.stage.title for verdict in verdicts if verdict.settled_by}
    return [replace(one, first=[title for title in one.first if title not in settled]) for one in verdicts]


def _as_true_as(verdict: Verdict, verdicts: Sequence[Verdict]) -> Verdict:
    """The verdict of a video, which knows whether it is steady alone, no better than what is known of the scene: the
    score, or without one the training. Others stay as they are."""
    if not verdict.stage.name.startswith("render_") or verdict.level != "good":
        return verdict
    known = {one.stage.name: one for one in verdicts if one.level in JUDGED}
    judge = known.get("score") or known.get("train")
    if judge is None or judge.level == "good":
        return verdict
    message = (
        f"{verdict.message} It is steady, but no truer than the scene: see the {TITLES[judge.stage.name]} stage, "
        f"which is {judge.level}."
    )
    return replace(verdict, level=judge.level, message=message)


def _read(scene: Scene, stage: Stage, config: SceneConfig | None) -> tuple[str, str, Mapping[str, Any]]:
    reason = not_asked(stage.name, config)
    if reason:
        return "off", f"Not run: {reason}.", {}
    try:
        summary = scene.summary(stage.name)
    except StageError as error:
        return "unknown", f"Its summary cannot be read: {error.problem}.", {}
    if summary is None:
        if config is None and stage.name.startswith(("features", "cluster", "postprocess", "crf", "render_", "page")):
            return "off", "Not run.", {}
        return "missing", f"No summary: the stage has not run, or ended with an error (logs/{stage.name}.log).", {}
    if not isinstance(summary, Mapping):
        return "unknown", "Its summary holds no mapping.", {}
    if stage.name == "score" and not summary.get("protocols", True):
        return "off", "There is no truth to score against (key evaluation).", {}
    message = str(summary.get("message") or summary.get("words") or "The stage said nothing about itself.")
    level = summary.get("verdict")
    return (level if level in JUDGED else "unknown"), message, summary


def _earlier(name: str) -> list[str]:
    """All stages that a stage builds on, in the order of the pipeline."""
    direct = {stage.name: stage.builds_on for stage in STAGES}
    found: set[str] = set()
    todo = list(direct[name])
    while todo:
        stage = todo.pop()
        if stage not in found:
            found.add(stage)
            todo += direct[stage]
    return [stage.name for stage in STAGES if stage.name in found]


def troubles(verdicts: Iterable[Verdict]) -> list[Verdict]:
    """The verdicts for the box at the top of the page, in the order of the pipeline."""
    return [verdict for verdict in verdicts if verdict.troubled]


def outcome(verdicts: Sequence[Verdict]) -> str:
    """The result in a sentence, by the score or, without one, the training; and where to begin, if it is not good."""
    known = {one.stage.name: one for one in verdicts if one.level in JUDGED}
    judge = known.get("score") or known.get("train")
    bad = sorted(troubles(verdicts), key=lambda one: one.level != "poor")
    if judge is None:
        return f"There is no result yet: {bad[0].stage.title} is the first to look at." if bad else ""
    if judge.level == "good":
        words = ", and no stage is in doubt"
        if any(one.settled_by for one in verdicts):
            words = "; what was in doubt on the way was found good later"
        if bad:
            words = f", but look at {bad[0].stage.title}, which is {bad[0].word}"
        return f"The result is good by the {judge.stage.title.lower()}{words}."
    begin = bad[0] if bad else judge
    return f"The result is {judge.level} by the {judge.stage.title.lower()}: begin with {begin.stage.title}."


def number_texts(summary: Mapping[str, Any], prefix: str = "", parent: str = "") -> list[tuple[str, str]]:
    """Names and values of a summary as texts: scalars as they are, lists of numbers by range and mean.

    ``parent`` is the key above in nested summaries: in {"area_fractions": {"1": 0.1}} it tells what 0.1 is.
    """
    texts: list[tuple[str, str]] = []
    for key, value in summary.items():
        if key in ("verdict", "message", "words"):
            continue
        name = f"{prefix}{_name(key)}"
        if isinstance(value, Mapping):
            texts += number_texts(value, f"{name}: ", str(key)) if value else [(name, "none")]
        elif isinstance(value, (list, tuple)):
            texts.append((name, _list_text(key, value)))
        else:
            texts.append((name, value_text(f"{parent} {key}".strip(), value)))
    return texts


def _name(key: object) -> str:
    return str(key).replace("_", " ")


def _list_text(key: str, values: Sequence[Any]) -> str:
    if not values:
        return "none"
    plain = [v for v in values if isinstance(v, (int, float)) and not isinstance(v, bool)]
    if len(plain) == len(values) and len(values) > 6:
        low, high, mean = (value_text(key, f(plain)) for f in (min, max, lambda v: sum(v) / len(v)))
        return f"{low} to {high}, mean {mean} ({len(values)} values)"
    if all(isinstance(v, (str, int, float, bool)) for v in values):
        return ", ".join(value_text(key, v) for v in values)
    return f"{len(values)} entries"


def value_text(key: str, value: Any) -> str:
    """A number with its unit where the key tells one; fractions as percentages."""
    if value is None:
        return "not known"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (int, float)):
        if isinstance(value, float) and not math.isfinite(value):
            return str(value)
        if isinstance(value, float) and 0 <= value <= 1 and any(word in key for word in FRACTIONS):
            return f"{100 * value:.1f} %"
        unit = next(
            (unit for word, unit in UNITS.items() if key.split()[-1:] == [word] or key.endswith(f"_{word}")), ""
        )
        return f"{plain_number(value)} {unit}".rstrip()
    return str(value)


def plain_number(value: float) -> str:
    """Four significant digits; whole numbers in groups of three."""
    if isinstance(value, int) or (float(value).is_integer() and abs(value) < 1e15):
        return f"{int(value):,}".replace(",", "\u2009")
    return f"{value:.4g}"
