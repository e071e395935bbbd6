"""Scenes that a command is given: results folders, by path or by the scene's name."""

from __future__ import annotations

from pathlib import Path


def results_folder(given: Path) -> Path:
    """A results folder, named by its path or by its scene's name. Raises InputError with the scenes there are."""
    from nsff.workflow.target_names import unknown_scene

    given = given.expanduser()
    if given.is_dir():
        return given
    results = given.parent if len(given.parts) > 1 else Path("results")
    if not (results / given.name).is_dir():
        there = sorted(path.parent.name for path in results.glob("*/manifest.json"))
        raise unknown_scene(given.name, there, results)
    return results / given.name
