"""Frees a folder that a killed run of the workflow left locked, where it can prove that this run is dead.

A run that is alive, that ran on another machine or in another container, or that left no record keeps its locks: you
are told what to look for. Nothing else is removed, and the next run goes on where the killed one was.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

HELP = "free a folder that a killed run left locked"
EXAMPLES = ("unlock", "unlock ~/scenes")


def run(folder: Annotated[Path, Parameter(help="where snakemake was started (default: here)")] = Path(), /) -> None:
    """Frees a folder."""
    from nsff.errors import InputError, StageError
    from nsff.workflow.folder_runs import processes_in, runs_of_folder

    folder = folder.expanduser()
    if not (folder / ".snakemake").is_dir():
        raise InputError(folder, "is no folder in which snakemake ran", "name the folder in which you started it")
    runs = runs_of_folder(folder)
    if not runs.locked():
        print(f"{folder}: not locked")
        return
    if left := processes_in(folder, "/scripts/"):
        raise StageError(
            folder,
            f"jobs of the killed run are still at work: {', '.join(f'{pid} ({name})' for pid, name in left)}",
            f"wait for them, or end them: kill {' '.join(str(pid) for pid, _ in left)}",
        )
    for ended in runs.remove_locks():
        print(f"{folder}: freed of the locks of {ended}, which is dead")
