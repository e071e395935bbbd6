"""Records of the runs of the workflow in a folder, by which locks of a run that was killed are told from others.

Each run writes a file with its owner (host and process, nsff.files.owners), and removes it when it ends. A run that was
killed leaves its file behind; the file proves later that the locks in the folder belong to a dead process. A file lock
on ``guard`` keeps a run from starting while another one reads or removes records.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import json
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from nsff.errors import StageError
from nsff.files.io import write_json
from nsff.files.owners import Owner, State, current

LONGEST_NAME = 255
"""The longest name of a file, in bytes, that file systems allow."""


@dataclass(frozen=True)
class Run:
    """A recorded run; ``owner`` is None where its file is not readable."""

    path: Path
    owner: Owner | None
    since: str

    @property
    def state(self) -> State:
        return self.owner.state() if self.owner else "unknown"

    def __str__(self) -> str:
        return f"{self.owner}, since {self.since}" if self.owner else f"a run whose record {self.path} is not readable"


def runs_of_folder(folder: Path) -> FolderRuns:
    """The runs of the workflow that is started in ``folder``, with the locks of Snakemake there."""
    return FolderRuns(folder / ".snakemake" / "nsff-runs", folder / ".snakemake" / "locks")


def start_time(folder: Path, output: Path) -> float | None:
    """When the job began that makes ``output``, in seconds since 1970; None where no unfinished job does.

    ``output`` is relative to ``folder``, where the workflow is started. Snakemake marks outputs of unfinished jobs by
    a file named by the output in base 64, which is split over folders where it is too long for a name. A run that was
    killed leaves the mark behind.
    """
    name = base64.urlsafe_b64encode(str(output).encode()).decode()
    parts = [name[i : i + LONGEST_NAME - 1] for i in range(0, len(name), LONGEST_NAME - 1)]
    mark = Path(folder, ".snakemake", "incomplete", *(f"@{part}" for part in parts[:-1]), parts[-1])
    try:
        return mark.stat().st_mtime
    except OSError:
        return None


def explain_locks(runs: FolderRuns, own: Run | None = None) -> str:
    """A sentence or two about who locks a folder, and what to do about it. ``own`` is the run that asks."""
    others = runs.others(own)
    if alive := [run for run in others if run.state == "alive"]:
        return f"This folder is locked by {alive[0]}, which is alive. Wait for it, end it, or work in another folder."
    if unknown := [run for run in others if run.state == "unknown"]:
        return (
            f"This folder is locked, perhaps by {unknown[0]}, of which nothing can be proven from here. Look for it"
            " where it ran; once you know that it is dead: snakemake --unlock"
        )
    if others:
        return (
            f"This folder is locked by {others[-1]}, which is dead. Free it with: nsff unlock. Then run the same"
            " command again: what was done is kept, and training goes on where it was."
        )
    return "This folder is locked, and no record tells by whom. Once you know that no run is alive: snakemake --unlock"


class FolderRuns:
    """The recorded runs of a folder. Their files lie in ``records``, Snakemake's locks in ``locks``."""

    def __init__(self, records: Path, locks: Path) -> None:
        self.records, self.locks = records, locks

    def register(self) -> Run:
        """Records this process as a run. Records of dead runs are removed, unless there are locks that they explain."""
        self.records.mkdir(parents=True, exist_ok=True)
        with self._guard():
            if not self.locked():
                for run in self._read():
                    if run.state == "dead":
                        run.path.unlink(missing_ok=True)
            owner = current()
            run = Run(
                self.records / f"{owner.pid}-{uuid.uuid4().hex[:8]}.json", owner, time.strftime("%Y-%m-%d %H:%M:%S")
            )
            write_json(run.path, {"owner": owner.to_dict(), "since": run.since})
        return run

    def leave(self, run: Run) -> None:
        """Removes the record of a run that ends."""
        with contextlib.suppress(OSError):
            run.path.unlink()

    def others(self, run: Run | None = None) -> list[Run]:
        """All recorded runs except ``run``."""
        return [other for other in self._read() if run is None or other.path != run.path]

    def locked(self) -> bool:
        """Whether the folder is locked."""
        return self.locks.is_dir() and any(self.locks.iterdir())

    def remove_locks(self) -> list[Run]:
        """Removes the locks, and the records of the dead runs that held them, which are returned.

        Raises StageError, and removes nothing, unless every recorded run is proven dead and at least one is recorded.
        """
        if not self.locked():
            return []
        self.records.mkdir(parents=True, exist_ok=True)
        with self._guard():
            runs = self._read()
            for run in runs:
                if run.state == "alive":
                    raise StageError(self.locks, f"{run} is alive", "wait for it, or end it")
                if run.state == "unknown":
                    raise StageError(
                        self.locks,
                        f"it cannot be proven from here that {run} is dead",
                        "look for it where it ran, or remove the locks by hand once you know that it is dead:"
                        " snakemake --unlock",
                    )
            if not runs:
                raise StageError(
                    self.locks,
                    "no record tells whose these locks are",
                    "remove them by hand once you know that no run is alive: snakemake --unlock",
                )
            for path in self.locks.iterdir():
                path.unlink(missing_ok=True)
            for run in runs:
                run.path.unlink(missing_ok=True)
        return runs

    def _read(self) -> list[Run]:
        found = []
        for path in sorted(self.records.glob("*.json")):
            try:
                values = json.loads(path.read_text(encoding="utf-8"))
            except FileNotFoundError:  # it ended meanwhile
                continue
            except (OSError, ValueError):
                values = None
            values = values if isinstance(values, dict) else {}
            found.append(Run(path, Owner.from_dict(values.get("owner")), str(values.get("since", "an unknown time"))))
        return found

    @contextlib.contextmanager
    def _guard(self) -> Iterator[None]:
        with (self.records / "guard").open("a") as handle:
            with contextlib.suppress(OSError):  # a file system without locks
                fcntl.flock(handle, fcntl.LOCK_EX)
            yield


def processes_in(folder: Path, part: str) -> list[tuple[int, str]]:
    """Processes that work in ``folder`` and run a Python file with ``part`` in its path: number and name of the file.

    Empty where the system does not tell (no /proc). Processes of other users are not seen.
    """
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            here = process.joinpath("cwd").resolve() == folder.resolve()
            words = process.joinpath("cmdline").read_bytes().decode(errors="replace").split("\0") if here else []
        except OSError:  # it ended, or belongs to somebody else
            continue
        names = [word for word in words if word.endswith(".py") and part in f"/{word}"]
        if names:
            found.append((int(process.name), Path(names[0]).name))
    return sorted(found)
