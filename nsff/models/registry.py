"""Kinds of scene models, found by name.

A kind is a package with two files: ``options.py``, whose ``Options`` (nsff.config.StageConfig) checks model.options of
the configuration and imports nothing heavy, and ``scene_model.py``, whose ``Model`` is the SceneModel. Found are all
folders of nsff/models that have them; the entry points of group ``nsff.models`` of installed packages (name: the kind,
value: the package); and what was told to ``register``. A name with a dot is a package that Python can import.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from nsff.config.base import StageConfig, nearest
from nsff.errors import ConfigError

USUAL = "ray_fields"
"""The kind of models whose files do not say theirs."""
GROUP = "nsff.models"

_registered: dict[str, str] = {}


def register(kind: str, package: str) -> None:
    """Adds a kind for this process: its name and the dotted name of its package.

    >>> register("toy_points", "toy_points")
    """
    _registered[kind] = package


def kinds() -> dict[str, str]:
    """Packages by kind; where names are the same, registered ones come before entry points, and these before ours."""
    return {**_folders(), **_entry_points(), **_registered}


@functools.cache
def _folders() -> dict[str, str]:
    here = Path(__file__).parent
    return {path.parent.name: f"nsff.models.{path.parent.name}" for path in sorted(here.glob("*/scene_model.py"))}


@functools.cache
def _entry_points() -> dict[str, str]:
    return {point.name: point.value for point in entry_points(group=GROUP)}


def options_class(kind: str) -> type[StageConfig]:
    """The class that checks model.options. Raises ConfigError for a kind that is not there."""
    return _of(kind, "options").Options


def model_class(kind: str) -> Any:
    """The SceneModel of a kind. Raises ConfigError for a kind that is not there."""
    return _of(kind, "scene_model").Model


def _of(kind: str, module: str) -> Any:
    found = kinds()
    if "." in kind and kind not in found:
        if not _importable(kind):
            raise ConfigError(
                "model.kind", f"is {kind!r}, and there is no package {kind}", "see PYTHONPATH, or its name"
            )
        return importlib.import_module(f"{kind}.{module}")
    if kind not in found:
        raise ConfigError(
            "model.kind",
            f"is {kind!r}, which is no kind of model",
            f"{nearest(kind, found)} allowed: {', '.join(found)}".strip(),
        )
    return importlib.import_module(f"{found[kind]}.{module}")


def _importable(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except (ImportError, ValueError):
        return False
