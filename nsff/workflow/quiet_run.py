"""One scene through the workflow in a child process, told in few lines: one for each stage as it ends.

The workflow runs in a session of its own, so that a signal reaches it and its jobs through this process alone: they
are asked to stop as Ctrl-C would, training saves its state, and the same command goes on from there. What Snakemake
prints goes to ``results/{scene}/logs/run.log``. Progress is read from the scene's files (nsff.workflow.progress).
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import IO, Any

from nsff.errors import StageError
from nsff.workflow.bundle import bundled
from nsff.workflow.costs import Costs, duration
from nsff.workflow.folder_runs import explain_locks, processes_in, runs_of_folder
from nsff.workflow.progress import SceneProgress, StageProgress, failures, read_progress
from nsff.workflow.summaries import seconds_of, summary_of

POLL = 0.5
PATIENCE = 60.0
"""Seconds in which jobs may save their state after they were asked to stop; then they are ended."""
STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
TAIL_LINES = 12
CORRECTION = (0.2, 5.0)
"""Bounds of the factor by which times of stages that have ended correct those that are left."""
ENOUGH = 5.0
"""Seconds that stages must have taken before they correct anything."""


@dataclass
class Teller:
    """Prints lines, and below them, on a terminal, one that is drawn again and again."""

    stream: IO[str] = field(default_factory=lambda: sys.stdout)
    live: bool = False
    _drawn: bool = False

    def line(self, text: str) -> None:
        self._clear()
        print(text, file=self.stream, flush=True)

    def below(self, text: str) -> None:
        if self.live:
            print(f"\r\x1b[K{text[: _columns() - 1]}", end="", file=self.stream, flush=True)
            self._drawn = True

    def _clear(self) -> None:
        if self._drawn:
            print("\r\x1b[K", end="", file=self.stream, flush=True)
            self._drawn = False


def _columns() -> int:
    try:
        return os.get_terminal_size().columns
    except OSError:
        return 80


def workflow_folder(folder: Path) -> Path:
    """The folder with the Snakefile: ``folder`` itself where the workflow is laid out there, else the package's."""
    return folder if (folder / "Snakefile").is_file() and (folder / "rules").is_dir() else bundled()


def command(folder: Path, config: Path, targets: Sequence[str], cores: int, extra: Sequence[str] = ()) -> list[str]:
    """The command line of Snakemake. Targets come first, since several options take many values."""
    place = workflow_folder(folder)
    snakefile = [] if place.resolve() == folder.resolve() else ["--snakefile", str(place / "Snakefile")]
    return [
        sys.executable, "-m", "snakemake", *targets, *snakefile, "--configfile", str(config), "--cores", str(cores),
        "--quiet", "rules", "progress", *extra,
    ]  # fmt: skip


def free_folder(folder: Path) -> list[str]:
    """Frees a folder of the locks of runs that are proven dead; returns a line for each.

    Raises StageError, which says what to do, where somebody may still be at work.
    """
    runs = runs_of_folder(folder)
    if not runs.locked():
        return []
    if any(run.state != "dead" for run in runs.others()) or not runs.others():
        raise StageError(folder, "another run may be at work here", explain_locks(runs))
    if left := processes_in(folder, "/scripts/"):
        named = ", ".join(f"{pid} ({name})" for pid, name in left)
        raise StageError(
            folder, f"jobs of a killed run are still at work: {named}",
            f"wait for them, or end them: kill {' '.join(str(pid) for pid, _ in left)}",
        )  # fmt: skip
    return [f"freed the folder of the locks of {run}, which is dead" for run in runs.remove_locks()]


class QuietRun:
    """A run of the workflow for the ``stages`` of one scene, whose ends are told one line each."""

    def __init__(self, folder: Path, scene: str, stages: Sequence[str], expected: Costs, teller: Teller) -> None:
        """``expected``: for the time that is left."""
        self.folder, self.scene, self.stages = folder, scene, list(stages)
        self.expected, self.teller = expected, teller
        self.log = folder / "results" / scene / "logs" / "run.log"
        self.ended: dict[str, float] = {}
        """Seconds that stages took, by name, of those that ended in this run."""
        self.stopped = 0
        """The signal that ended the run."""
        self._process: subprocess.Popen[bytes] | None = None
        self._signals = 0

    def __call__(self, arguments: Sequence[str]) -> int:
        """Runs ``arguments`` (see ``command``) and returns their exit status."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        before = self._read()
        there = [stage.name for stage in before.stages if stage.state == "done"]
        if there and len(there) < len(self.stages):
            self.teller.line(f"{len(there)} of {len(self.stages)} stages are there already: {', '.join(there)}")
        self._begun = time.time()
        with self.log.open("w", encoding="utf-8") as log:
            log.write(" ".join(arguments) + "\n")
            log.flush()
            previous = {number: signal.signal(number, self._on_signal) for number in STOPPING}
            try:
                self._process = subprocess.Popen(
                    arguments, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                    start_new_session=True,
                )  # fmt: skip
                status = self._watch(self._process)
            finally:
                for number, handler in previous.items():
                    signal.signal(number, handler)
        self._tell(self._read())
        self.teller._clear()
        return status

    def _watch(self, process: subprocess.Popen[bytes]) -> int:
        since = 0.0
        while (status := process.poll()) is None:
            time.sleep(POLL)
            if self.stopped:
                since = since or time.monotonic()
                if time.monotonic() - since > PATIENCE:
                    _signal_group(process, signal.SIGKILL)
                continue
            progress = self._read()
            self._tell(progress)
            self._draw(progress)
        return status

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._signals += 1
        self.stopped = self.stopped or number
        if self._process is None:
            return
        if self._signals == 1:
            self.teller.line("stopping: what runs is asked to save its state (once more: end it at once) ...")
            _signal_group(self._process, signal.SIGINT)
        else:
            _signal_group(self._process, signal.SIGKILL if self._signals > 2 else signal.SIGTERM)

    def _read(self) -> SceneProgress:
        return read_progress({self.scene: self.stages}, self.folder)[0]

    # --- what is told ------------------------------------------------------------------------------------------------
    def _tell(self, progress: SceneProgress) -> None:
        """A line for each stage that has ended since the run began."""
        for stage in progress.stages:
            if stage.name in self.ended or stage.state != "done" or not self._made_now(stage.name):
                continue
            taken = seconds_of(progress.folder, stage.name)
            self.ended[stage.name] = taken or 0.0
            left = self.left(progress)
            text = f"{stage.name:16} {stage.verdict or 'done':9} {'' if taken is None else duration(taken):>8}"
            self.teller.line(text + (f"    about {duration(left)} left" if left else ""))

    def _made_now(self, stage: str) -> bool:
        name = "report.html" if stage == "report" else f"summaries/{stage}.json"
        try:
            # A second of grace: file systems round times.
            return (self.folder / "results" / self.scene / name).stat().st_mtime >= self._begun - 1
        except OSError:
            return False

    def _draw(self, progress: SceneProgress) -> None:
        running = [stage for stage in progress.stages if stage.state == "running"]
        named = ", ".join(s.name + (f" {s.percent} %" if s.percent is not None else "") for s in running)
        left = self.left(progress)
        self.teller.below(f"{named or 'starting'} ..." + (f" about {duration(left)} left" if left else ""))

    def left(self, progress: SceneProgress) -> float:
        """Seconds of work that are left: by the bars of what runs, else by the model, corrected by what has ended."""
        known = [(seconds, self.expected.seconds.get(name, 0.0)) for name, seconds in self.ended.items()]
        taken, thought = sum(pair[0] for pair in known), sum(pair[1] for pair in known)
        low, high = CORRECTION
        factor = min(max(taken / thought, low), high) if thought > 0 and taken >= ENOUGH else 1.0
        return sum(self._left_of(stage, factor) for stage in progress.stages if stage.state != "done")

    def _left_of(self, stage: StageProgress, factor: float) -> float:
        if stage.state == "running" and stage.percent is not None and stage.seconds_left is not None:
            return stage.seconds_left
        return self.expected.counted(stage.name, self.expected.seconds.get(stage.name, 0.0) * factor)

    # --- at the end --------------------------------------------------------------------------------------------------
    def complaints(self) -> list[str]:
        """A line for each stage whose verdict is not good: what was found, and what to do."""
        folder = self.folder / "results" / self.scene
        found = [(stage, summary_of(folder, stage)) for stage in self.stages]
        return [
            f"{stage} is {about['verdict']}: {about.get('message') or about.get('words') or ''}".rstrip()
            for stage, about in found
            if about.get("verdict") in ("doubtful", "poor")
        ]

    def failures(self) -> list[str]:
        """A line for each stage that failed; else the end of the log of Snakemake itself."""
        told = [line for line in failures([self._read()])]
        return told or [f"the end of {self.log}:", *_tail(self.log)]


def _signal_group(process: subprocess.Popen[Any], number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def _tail(log: Path) -> list[str]:
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[1:]
    except OSError:
        return []
    return [f"  {line}" for line in lines if line.strip()][-TAIL_LINES:]


def ask(question: str) -> bool:
    """Asks on the terminal; yes where Enter alone is pressed."""
    try:
        return input(f"{question} [Y/n] ").strip().lower() in ("", "y", "yes")
    except EOFError:
        return False
