"""Another allowed value for every key of the configuration, made from its type, for the truth table.

A scene is told all its settings, so that a change is that of one key alone. Where the models ask several keys to fit
together, SETTINGS says what both scenes have beside it.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from nsff.config.base import StageConfig

FILES = ("clip.mp4", "other.mp4", "other.pth", "path.json", "other.json")
FOLDERS = ("depth", "other", "model")
"""What a project needs for the paths below."""

SETTINGS: dict[str, dict[str, Any]] = {
    "field.features": {"field": {"saliency": False}},
    "checkpoint": {"field": {"kind": "mlp", "composition": "blending"}},
    "model.options": {"model": {"kind": "tests.models.toy_points"}},
    "input.depth.": {"input": {"depth": {"path": "depth"}}},
    "input.tracks.": {"input": {"tracks": {"path": "path.json"}}},
    "evaluation": {"evaluation": [{"protocol": "views", "truth": "depth"}]},
    "train.hold_out": {"train": {"hold_out": 4}},
    # Without weights auto is what the other value says, and nothing changes.
    "features.backend": {"features": {"weights": "other.pth"}},
    "motion.instances": {"motion": {"instance_weights": "other.pth"}},
}
"""By key, or by how keys begin."""

OTHER: dict[str, Any] = {
    "checkpoint": "other.pth",
    "render.path_file": "other.json",
    "input.path": "other.mp4",
    "input.depth": {"path": "depth", "kind": "depth", "scale": None},
    "input.tracks": {"path": "path.json", "size": None},
    "input.truth_priors": "other",
    "input.end": 9,
    "evaluation.protocol": "masks",
    # Learned backends ask for weights that are not on every machine.
    "flow.backend": "given",
    "flow.far": [2],
    "flow.weights": "other.pth",
    "depth.backend": "classical",
    "depth.weights": "other.pth",
    "depth.model": "model",
    "features.backend": "vgg",
    "features.weights": "other.pth",
    "motion.instances": "off",
    "motion.instance_weights": "other.pth",
    "depth.align_median": 7,
    "overlays": ["on_saff"],
    "model.kind": "tests.models.toy_points",
    "model.options": {"count": 50},
}
"""Where the type does not say enough."""


def walk(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Every key below a model. One that holds a mapping which may be left out counts itself too."""
    for name, field in model.model_fields.items():
        inner = _model_of(field.annotation)
        if inner is None or (prefix and NoneType in get_args(field.annotation)):
            yield f"{prefix}{name}", field
        if inner is not None:
            yield from walk(inner, f"{prefix}{name}.")


def _model_of(annotation: Any) -> type[StageConfig] | None:
    if isinstance(annotation, type) and issubclass(annotation, StageConfig):
        return annotation
    return next((found for found in map(_model_of, get_args(annotation)) if found is not None), None)


def settings_for(key: str) -> dict[str, Any]:
    """What a scene needs for the key to be changed."""
    return next((own for name, own in SETTINGS.items() if key == name or key.startswith(name)), {})


def other_value(key: str, field: FieldInfo, value: Any) -> Any:
    """An allowed value of the key that is not ``value``."""
    return OTHER[key] if key in OTHER else _other(field.annotation, field.metadata, value)


def has_one_value(field: FieldInfo) -> bool:
    """Whether a key has a single allowed value so far: the names of files in a folder that has one."""
    return get_origin(field.annotation) is Literal and len(get_args(field.annotation)) == 1


def _other(annotation: Any, metadata: list[Any], value: Any) -> Any:
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _other(parts[0], list(parts[1:]), value)
    if origin is Literal:
        return next(part for part in parts if part != value)
    if origin in (Union, UnionType):
        return _other(next(part for part in parts if part is not NoneType), metadata, value)
    if origin is list:
        return value[:-1] if len(value) > 1 else [*value, _other(parts[0], [], value[0] if value else None)]
    if origin is tuple:
        return [part * 0.9 for part in value] if value else [1.0] * len(parts)
    if annotation is bool:
        return not value
    if annotation is str:
        return "other" if metadata else "0" * 40
    least = max((limit.ge for limit in metadata if hasattr(limit, "ge")), default=0)
    if annotation is int:
        return int(value or least) + 1
    return 0.9 * value if value and 0.9 * value >= least else least + 0.5


def with_value(settings: dict[str, Any], key: str, value: Any) -> dict[str, Any]:
    """Settings with one key changed; of a list of mappings that of the first."""
    name, _, rest = key.partition(".")
    if not rest:
        return settings | {name: value}
    inner = settings[name]
    if isinstance(inner, list):
        return settings | {name: [with_value(inner[0], rest, value), *inner[1:]]}
    return settings | {name: with_value(inner, rest, value)}


def at(settings: Any, key: str) -> Any:
    """The value under a key, as ``with_value`` finds it."""
    for name in key.split("."):
        settings = settings[0] if isinstance(settings, list) else settings
        settings = settings[name]
    return settings
