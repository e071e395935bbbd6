"""The files of the workflow, which a wheel brings along in nsff/workflow/bundled/, and laying them out in a folder.

In a checkout they are those of the repository itself.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from nsff.errors import InputError, StageError
from nsff.files.io import atomic_directory, atomic_path

FIXED = ("Snakefile", "rules", "scripts", "envs", "schemas", "docs/captions", "docs/configuration.md")
"""Files that belong to one version of nsff: an update replaces them."""
OWN = ("config.yaml", "profiles", "demo")
"""Files that the user edits, or may do without: an update leaves them."""
LEFT_OUT = ("__pycache__", "benchmarks")


def bundled() -> Path:
    """The folder that holds the files. Raises StageError where there is none."""
    for folder in (Path(__file__).with_name("bundled"), Path(__file__).resolve().parents[2]):
        if all((folder / name).exists() for name in (*FIXED, *OWN)):
            return folder
    raise StageError(Path(__file__).parent, "the files of the workflow are not there", "install nsff again")


def lay_out(folder: Path, update: bool = False) -> list[str]:
    """Copies the workflow into ``folder``; returns the names of what was written, relative to it.

    Nothing is overwritten, but with ``update`` the files that belong to a version of nsff are replaced, and those that
    a user edits are kept. Raises InputError where ``folder`` has some of them already, or, with ``update``, none.
    """
    source = bundled()
    if folder.resolve() == source.resolve():
        raise InputError(folder, "is the workflow's own folder", "name another one")
    there = [name for name in (*FIXED, *OWN) if (folder / name).exists()]
    if there and not update:
        raise InputError(folder, f"has {', '.join(there)} already", "name another folder, or say --update")
    if update and not (folder / "Snakefile").exists():
        raise InputError(folder, "has no workflow to update", "leave out --update")
    names = [*FIXED, *(name for name in OWN if name not in there)]
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        if (source / name).is_dir():
            with atomic_directory(folder / name) as temporary:
                shutil.copytree(source / name, temporary, ignore=shutil.ignore_patterns(*LEFT_OUT), dirs_exist_ok=True)
        else:
            with atomic_path(folder / name) as temporary:
                shutil.copyfile(source / name, temporary)
    return names
