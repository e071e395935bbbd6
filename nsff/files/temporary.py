"""Temporary files and folders beside what they become, and how those that killed runs left behind are found again.

Names are ``.tmp-OWNER-...`` with OWNER as nsff.files.owners.Owner.token tells it, so that whoever comes next can prove
that nobody writes to them any more.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from nsff.files.owners import current, state_of_token

TEMPORARY_NAME = re.compile(r"\.tmp-(?:([0-9a-f]{12}-\d+--?\d+)-)?")
LEFTOVER_AGE = 7 * 24 * 3600
"""Seconds after which a temporary file counts as left behind where nothing can be proven: made on another host."""
LEFTOVER_DEPTH = 3
"""Levels of folders that are searched for leftovers: results/NAME/renders/time is the deepest that stages write to."""


def prefix() -> str:
    """The beginning of the name of every temporary file of this process."""
    return f".tmp-{current().token()}-"


@contextlib.contextmanager
def temporary_directory(parent: Path, what: str) -> Iterator[Path]:
    """Yields an empty folder in ``parent`` for a stage's work, removed at the end; ``what`` is part of its name."""
    parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f"{prefix()}{what}-", dir=parent, ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def remove_leftovers(root: Path) -> list[Path]:
    """Removes temporary files and folders below ``root`` whose process is dead; returns what it removed.

    What a process of another host, or an unknown one, made goes once nothing in it has changed for OLD seconds. Links
    are not followed, and what cannot be removed is left.
    """
    removed = []
    for path in _temporaries(root, LEFTOVER_DEPTH):
        match = TEMPORARY_NAME.match(path.name)
        state = state_of_token(match[1]) if match and match[1] else "unknown"
        if state == "dead" or (state == "unknown" and time.time() - _changed(path) > LEFTOVER_AGE):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                with contextlib.suppress(OSError):
                    path.unlink()
            removed.append(path)
    return [path for path in removed if not os.path.lexists(path)]


def _temporaries(folder: Path, depth: int) -> Iterator[Path]:
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError:
        return
    for entry in entries:
        if TEMPORARY_NAME.match(entry.name):
            yield Path(entry.path)
        elif depth > 1 and entry.is_dir(follow_symlinks=False):
            yield from _temporaries(Path(entry.path), depth - 1)


def _changed(path: Path) -> float:
    """The newest time of change of a file, or of anything in a folder."""
    times = [os.lstat(path).st_mtime]
    for parent, folders, files in os.walk(path):
        for name in (*folders, *files):
            with contextlib.suppress(OSError):
                times.append(os.lstat(os.path.join(parent, name)).st_mtime)
    return max(times)
