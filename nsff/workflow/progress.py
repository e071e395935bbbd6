"""How far scenes are: the state of each stage, its verdict, and an estimate of the time that is left.

All of it is read from files: a stage is done when its summary lies there, it runs when it is marked as begun by a run
that is alive, and it failed when it left a log and neither. Estimates are of work, stage after stage: what a progress
bar in the log says, else what the same stage took in this folder's scenes, by the number of frames.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Literal

from nsff.config import SceneConfig
from nsff.layout import VERDICTS
from nsff.workflow.folder_runs import runs_of_folder, start_time
from nsff.workflow.summaries import seconds_of, summary_of

State = Literal["done", "running", "failed", "stopped", "waiting"]
ERROR = re.compile(r"error: |[\w.]*(Error|Exception|Interrupt)\b")
REMEDY = "what to do: "
BAR = re.compile(r"(\d+)%\|[^|]*\|.*?<(?:(\d+):)?(\d+):(\d\d)")
"""A progress bar of tqdm: percent, and hours, minutes and seconds that are left."""
TAIL = 8192
NOT_BY_FRAMES = ("train",)
"""Stages whose time does not grow with the number of frames: the settings say how many steps training has."""


@dataclass(frozen=True)
class StageProgress:
    """One stage of a scene. ``percent`` and ``seconds_left`` (of its work) are None where they are not known; ``error``
    is the last error in its log.
    """

    name: str
    state: State
    verdict: str | None = None
    percent: int | None = None
    seconds_left: float | None = None
    error: str = ""


@dataclass(frozen=True)
class SceneProgress:
    """One scene: its stages, in the order of the pipeline."""

    folder: Path
    stages: tuple[StageProgress, ...]

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def state(self) -> State:
        """Done when all stages are; else the first of failed, running and stopped that a stage is in; else waiting."""
        states = {stage.state for stage in self.stages}
        order: tuple[State, ...] = ("failed", "running", "stopped")
        return next((state for state in order if state in states), "done" if states <= {"done"} else "waiting")

    @property
    def current(self) -> StageProgress:
        """The stage that decides the scene's state; of a waiting scene the first stage that is not done."""
        wanted = "waiting" if self.state == "waiting" else self.state
        found = [stage for stage in self.stages if stage.state == wanted]
        return found[-1] if wanted == "done" else found[0]

    @property
    def worst(self) -> StageProgress | None:
        """The first stage with the worst verdict; None as long as no stage has one."""
        judged = [stage for stage in self.stages if stage.verdict in VERDICTS]
        return max(judged, key=lambda stage: VERDICTS.index(str(stage.verdict)), default=None)

    @property
    def remaining(self) -> tuple[float, bool]:
        """Seconds of work that are left, and whether they cover all stages: the time of some may not be known."""
        known = [stage.seconds_left for stage in self.stages if stage.state != "done"]
        return sum(value for value in known if value is not None), None not in known

    def log(self, stage: StageProgress) -> Path:
        return self.folder / "logs" / f"{stage.name}.log"


def stages_of(settings: SceneConfig) -> list[str]:
    """The stages that a scene's settings ask for, in the order of the pipeline, by the names of their summaries.

    >>> from nsff.config import resolve_scene
    >>> stages_of(resolve_scene("clip", {"input": {"path": "clip.mp4"}}, "fast", {}))[:3]
    ['ingest', 'flow', 'coarse_masks']
    """
    stages = ["ingest", "flow", "coarse_masks", "sfm", "cameras", "motion", "depth"]
    stages += ["features"] if settings.field.features else []
    stages += ["train", *(f"render_{path}" for path in dict.fromkeys(settings.render.paths)), "maps"]
    if settings.has_objects:
        stages += ["points"] if settings.decompose.source == "points" else []
        stages += ["cluster", "postprocess", "crf"]
        stages += ["extract"] if settings.extract.enabled else []
    stages += ["page"] if settings.page.enabled else []
    return [*stages, "score", "report"]


@dataclass
class Durations:
    """How long stages took in scenes that are done: pairs (seconds, frames) by stage."""

    taken: dict[str, list[tuple[float, int]]] = field(default_factory=dict)

    def add(self, folder: Path, stages: Iterable[str], frames: int) -> None:
        """Adds the times of a scene, from the benchmark files that it has."""
        for stage in stages:
            if (seconds := seconds_of(folder, stage)) is not None:
                self.taken.setdefault(stage, []).append((seconds, frames))

    def expected(self, stage: str, frames: int) -> float | None:
        """Seconds that a stage will take on a clip of ``frames`` frames (0: not known yet).

        None where no scene has been through the stage.
        """
        taken = self.taken.get(stage)
        if not taken:
            return None
        if stage in NOT_BY_FRAMES or not frames or not all(count for _, count in taken):
            return median(seconds for seconds, _ in taken)
        return median(seconds / count for seconds, count in taken) * frames


def read_progress(scenes: Mapping[str, list[str]], folder: Path = Path()) -> list[SceneProgress]:
    """The progress of every scene.

    Args:
        scenes: names of the stages (``stages_of``) by the scene's name.
        folder: the folder in which the workflow is started.
    """
    runs = runs_of_folder(folder)
    alive = any(run.state != "dead" for run in runs.others())
    durations = Durations()
    frames = {name: _frames(folder / "results" / name) for name in scenes}
    for name, stages in scenes.items():
        durations.add(folder / "results" / name, stages, frames[name])
    return [
        SceneProgress(
            folder / "results" / name,
            tuple(_read_stage(folder, name, stage, alive, durations, frames[name]) for stage in stages),
        )
        for name, stages in scenes.items()
    ]


def _read_stage(folder: Path, scene: str, stage: str, alive: bool, durations: Durations, frames: int) -> StageProgress:
    target = Path("results", scene, "report.html" if stage == "report" else f"summaries/{stage}.json")
    log = folder / "results" / scene / "logs" / f"{stage}.log"
    expected = durations.expected(stage, frames)
    since = start_time(folder, target)
    if since is not None:
        if not alive:
            return StageProgress(stage, "stopped", None, None, expected)
        percent, left = _bar(log)
        if left is None and expected is not None:
            left = max(0.0, expected - (time.time() - since))
        return StageProgress(stage, "running", None, percent, left)
    if (folder / target).exists():
        return StageProgress(stage, "done", None if stage == "report" else _verdict(folder / "results" / scene, stage))
    if log.exists():
        return StageProgress(stage, "failed", None, None, expected, last_error(log))
    return StageProgress(stage, "waiting", None, None, expected)


def _verdict(scene: Path, stage: str) -> str | None:
    summary = summary_of(scene, stage)
    if stage == "score" and not summary.get("protocols", True):
        return None  # there was nothing to score
    verdict = summary.get("verdict")
    return verdict if verdict in VERDICTS else None


def _frames(scene: Path) -> int:
    try:
        return int(json.loads((scene / "manifest.json").read_bytes())["n_frames"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return 0


def _tail(log: Path) -> str:
    try:
        with log.open("rb") as stream:
            stream.seek(max(0, os.fstat(stream.fileno()).st_size - TAIL))
            return stream.read().decode(errors="replace")
    except OSError:
        return ""


def last_error(log: Path) -> str:
    """The last error in a log, or its last line where it has none; empty for an empty log."""
    lines = _lines(log)
    errors = [line for line in lines if ERROR.match(line)]
    return next(iter([*errors[::-1], *lines[::-1]]), "")


def last_remedy(log: Path) -> str:
    """The advice that the last error in a log gives; empty where it says nothing."""
    lines = _lines(log)
    after = next((i for i in range(len(lines) - 1, -1, -1) if ERROR.match(lines[i])), len(lines))
    return next((line.removeprefix(REMEDY) for line in lines[after:] if line.startswith(REMEDY)), "")


def _lines(log: Path) -> list[str]:
    return [line.strip() for line in re.split(r"[\r\n]+", _tail(log)) if line.strip()]


def _bar(log: Path) -> tuple[int | None, float | None]:
    """Percent done and seconds left from now, by the last progress bar in a log."""
    bars = BAR.findall(_tail(log).replace("\r", "\n"))
    if not bars:
        return None, None
    percent, hours, minutes, seconds = (int(value or 0) for value in bars[-1])
    try:
        age = time.time() - log.stat().st_mtime
    except OSError:
        age = 0.0
    return percent, max(0.0, 3600 * hours + 60 * minutes + seconds - max(age, 0.0))


# --- as text ---------------------------------------------------------------------------------------------------------
def failures(scenes: Iterable[SceneProgress]) -> list[str]:
    """For every failed stage scene, stage, error and log, and on a second line what to do, where the log says it."""
    found = []
    for scene in scenes:
        for stage in scene.stages:
            if stage.state == "failed":
                log = scene.log(stage)
                text = f"{scene.name}: {stage.name} failed: {stage.error or 'its log says nothing'} ({log})"
                remedy = last_remedy(Path(log))
                found.append(text + (f"\n  {REMEDY}{remedy}" if remedy else ""))
    return found


def summary_text(scenes: list[SceneProgress]) -> str:
    """A text that says how many scenes are complete, which failed in which stage, and how to go on."""
    done = [scene for scene in scenes if scene.state == "done"]
    failed = [scene for scene in scenes if scene.state == "failed"]
    text = f"{len(done)} of {len(scenes)} {'scene is' if len(scenes) == 1 else 'scenes are'} complete"
    if not failed:
        return f"{text}."
    parts = [f"{text}, {len(failed)} failed:", *(f"  {line}" for line in failures(failed))]
    parts.append("To go on: mend what the error names (or take the scene out of the configuration), and give the same")
    parts.append(
        f"command again: what is done is kept. One scene alone: snakemake --cores all {failed[0].folder}/report.html"
    )
    return "\n".join(parts)
