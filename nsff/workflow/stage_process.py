"""The process of one stage: its log, its exit status, and errors without a traceback."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from nsff.errors import NsffError, StageError
from nsff.files.temporary import remove_leftovers
from nsff.machine.isolation import in_child
from nsff.machine.launch import launched


def run_isolated(work: Callable[[], Any], scene: Path) -> None:
    """Does ``work`` in a child process, as a library of the stage may end its process (nsff.machine.isolation), and
    exits with the child's status. Temporary files of the child are removed.
    """
    try:
        sys.exit(in_child(lambda: _status(work, scene), scene))
    finally:
        remove_leftovers(scene)


def run_and_exit(work: Callable[[], Any], log: Path | None, scene: Path | None = None) -> None:
    """Does ``work``, copies what is printed to ``log``, and exits: 0 done, 1 an error, 130 interrupted, or with the
    status that ``work`` exits with. Known errors are printed without a traceback.

    With the environment variable NSFF_QUIET, which the workflow sets where Snakemake is told to be quiet about rules,
    output goes to ``log`` alone, and one line says how the stage ended.
    """
    quiet = log is not None and bool(os.environ.get("NSFF_QUIET"))
    with copied_output(log, shown=not quiet):
        status = _status(work, scene)
    if quiet and log is not None:
        print(_outcome(log, status, scene), flush=True)
    sys.exit(status)


def _outcome(log: Path, status: int, scene: Path | None) -> str:
    """One line about a stage that has ended: its verdict, or the last error in its log."""
    from nsff.files.io import read_json
    from nsff.workflow.progress import last_error

    where = f"{scene.name}: {log.stem}" if scene else log.stem
    if status:
        return f"{where} failed: {last_error(log)} ({log})"
    try:
        return (
            f"{where}: {read_json(scene / 'summaries' / f'{log.stem}.json')['verdict']}" if scene else f"{where}: done"
        )
    except (NsffError, KeyError):
        return f"{where}: done"


def _status(work: Callable[[], Any], scene: Path | None) -> int:
    """Does ``work`` and returns the exit status, after errors were printed."""
    try:
        work()
        return 0
    except NsffError as error:
        if not launched().leader:
            # Mostly all processes meet the same error: the first one tells it, and torchrun ends this one meanwhile.
            time.sleep(10)
        print(f"error: {error}", file=sys.stderr)
        if isinstance(error, StageError) and (folder := _folder_of(error.subject, scene)):
            print(f"  under Snakemake: delete the whole folder {folder} and run again", file=sys.stderr)
        return 1
    except SystemExit as stop:
        if isinstance(stop.code, str):
            print(stop.code, file=sys.stderr)
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BaseException:
        traceback.print_exc()
        return 1


def _folder_of(subject: str, scene: Path | None) -> Path | None:
    """The output folder that a damaged file lies in. Snakemake makes such a folder again only as a whole."""
    try:
        parts = Path(subject).resolve().relative_to(scene.resolve()).parts if scene else ()
    except ValueError:
        return None
    return scene / parts[0] if scene and len(parts) > 1 else None


@contextlib.contextmanager
def copied_output(log: Path | None, shown: bool = True) -> Iterator[None]:
    """A context in which what this process prints, native libraries included, is copied to ``log``.

    Unless ``shown``, it goes there alone. Without a log nothing changes.
    """
    if log is None:
        yield
        return
    log.parent.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("TQDM_MININTERVAL", "5")  # in a log, every redrawn bar is a line

    def ignore_signals() -> None:
        # Signals are for the stage, which may have its state to save and something to say meanwhile.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)

    copy = subprocess.Popen(
        ["tee", str(log)],
        stdin=subprocess.PIPE,
        stdout=None if shown else subprocess.DEVNULL,
        preexec_fn=ignore_signals,
    )
    assert copy.stdin is not None
    sys.stdout.flush()
    sys.stderr.flush()
    before = [os.dup(1), os.dup(2)]
    os.dup2(copy.stdin.fileno(), 1)
    os.dup2(copy.stdin.fileno(), 2)
    copy.stdin.close()
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(line_buffering=True)
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os.dup2(before[0], 1)
        os.dup2(before[1], 2)
        with contextlib.suppress(subprocess.TimeoutExpired):
            copy.wait(timeout=10)
