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
from typing import TYPE_CHECKING, Any

from nsff.errors import ConfigError

if TYPE_CHECKING:  # the configuration asks this file for a kind's options while it is itself being imported
    from nsff.config.base import StageConfig

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
    """Packages by kind; of the same name come registered ones first, then folders of nsff/models, then entry points."""
    return {**_entry_points(), **_folders(), **_registered}


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
    # Entry points are looked through last: it takes the time of an import.
    package = _registered.get(kind) or _folders().get(kind) or _entry_points().get(kind)
    if package is None and "." in kind:
        if not _importable(kind):
            raise ConfigError(
                "model.kind", f"is {kind!r}, and there is no package {kind}", "see PYTHONPATH, or its name"
            )
        package = kind
    if package is None:
        from nsff.config.base import nearest

        raise ConfigError(
            "model.kind",
            f"is {kind!r}, which is no kind of model",
            f"{nearest(kind, kinds())} allowed: {', '.join(kinds())}".strip(),
        )
    return importlib.import_module(f"{package}.{module}")


def _importable(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except (ImportError, ValueError):
        return False
