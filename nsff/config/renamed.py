"""Settings by the names that they had in earlier versions: still understood, and named in a note."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nsff.errors import ConfigError

RENAMED = {
    "motion.memory": "motion.temporal_propagation",
    "motion.fill_radius": "motion.hole_filling_radius",
    "losses.w_hidden": "losses.w_occluded",
    "losses.hidden_margin": "losses.occluded_margin",
    "decompose.part_things": "decompose.split_instances",
    "extract.hidden": "extract.occluded",
}
"""Present name by earlier name."""


def with_present_names(layer: Mapping[str, Any], where: str = "") -> dict[str, Any]:
    """The same settings under their present names; scenes of a whole configuration too.

    ``where`` is the key of ``layer`` in the file, for errors. Raises ConfigError where a setting is given under both
    names. What is no mapping is left as it is, for the checks that follow.

    >>> with_present_names({"motion": {"memory": 4}})
    {'motion': {'temporal_propagation': 4}}
    """
    for old, new in RENAMED.items():
        if _has(layer, old) and _has(layer, new):
            full = ".".join(filter(None, [where, old]))
            raise ConfigError(full, f"is the earlier name of {new}, which is given as well", "keep one of them")
    result = _with_names(layer, RENAMED)
    if isinstance(result.get("scenes"), Mapping):
        result["scenes"] = {
            name: with_present_names(own, f"scenes.{name}") if isinstance(own, Mapping) else own
            for name, own in result["scenes"].items()
        }
    return result


def with_earlier_names(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The inverse: settings as earlier versions named them, to compare with what those have recorded."""
    return _with_names(settings, {new: old for old, new in RENAMED.items()})


def notes_on_names(configuration: Mapping[str, Any]) -> list[str]:
    """One sentence for each setting that a configuration gives under its earlier name."""
    scenes = configuration.get("scenes")
    layers = [configuration, *(scenes.values() if isinstance(scenes, Mapping) else ())]
    used = [old for old in RENAMED if any(_has(layer, old) for layer in layers)]
    return [f"{old} is now called {RENAMED[old]}; both names work." for old in used]


def _has(layer: Any, name: str) -> bool:
    """Whether settings give ``section.key``; what is no mapping gives nothing."""
    section, key = name.split(".")
    values = layer.get(section) if isinstance(layer, Mapping) else None
    return isinstance(values, Mapping) and key in values


def _with_names(settings: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """Settings in which every ``section.key`` among ``names`` has its other name, in the same place."""
    result = dict(settings)
    for old, new in names.items():
        if _has(result, old):
            section, key = old.split(".")
            result[section] = {
                (new.split(".")[1] if name == key else name): value for name, value in result[section].items()
            }
    return result
