"""Scenes that a command is given: results folders, by path or by the scene's name."""

from __future__ import annotations

from pathlib import Path

MANIFEST = "manifest.json"


def results_folder(given: Path) -> Path:
    """A results folder, named by its path or by its scene's name. Raises InputError with the scenes there are.

    A name wins over a folder of the same name that holds no results, such as that of the clip.
    """
    from nsff.workflow.target_names import unknown_scene

    given = given.expanduser()
    if given.is_dir() and ((given / MANIFEST).is_file() or not (Path("results") / given / MANIFEST).is_file()):
        return given
    results = given.parent if len(given.parts) > 1 else Path("results")
    if not (results / given.name).is_dir():
        there = sorted(path.parent.name for path in results.glob(f"*/{MANIFEST}"))
        raise unknown_scene(given.name, there, results)
    return results / given.name
