"""The base of all configuration models, and error messages that name key, value, what is allowed, and the nearest key."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from nsff.errors import ConfigError


class StageConfig(BaseModel):
    """One section of the configuration. Unknown keys are errors; values are checked on construction."""

    model_config = ConfigDict(extra="forbid", validate_default=True, use_attribute_docstrings=True, frozen=True)


def nearest(key: str, allowed: Iterable[str]) -> str:
    """A hint naming the allowed key that looks most like ``key``, or an empty string."""
    match = difflib.get_close_matches(key, list(allowed), n=1, cutoff=0.5)
    return f"did you mean '{match[0]}'?" if match else ""


def explain(error: ValidationError, model: type[BaseModel], where: str) -> ConfigError:
    """Turns pydantic's first complaint into a ConfigError: key, value, what is allowed, nearest valid key."""
    first = error.errors()[0]
    location = [str(part) for part in first["loc"]]
    key = ".".join([where, *location]) if where else ".".join(location)
    value = first.get("input")
    if first["type"] == "extra_forbidden":
        allowed = sorted(_fields_at(model, location[:-1]))
        hint = nearest(location[-1], allowed)
        return ConfigError(key, f"unknown key (value {value!r})", f"{hint} allowed: {', '.join(allowed)}".strip())
    return ConfigError(key, f"{first['msg']} (value {value!r})", _describe(model, location))


def _fields_at(model: type[BaseModel], location: list[str]) -> list[str]:
    current: Any = model
    for part in location:
        field = getattr(current, "model_fields", {}).get(part)
        if field is None:
            continue
        current = field.annotation
    return list(getattr(current, "model_fields", {}))


def _describe(model: type[BaseModel], location: list[str]) -> str:
    current: Any = model
    for part in location:
        field = getattr(current, "model_fields", {}).get(part)
        if field is None:
            break
        if part == location[-1] or not hasattr(field.annotation, "model_fields"):
            default = "" if field.is_required() else f" (default {field.default!r})"
            return f"{part}: {field.description or ''}{default}"
        current = field.annotation
    return ""
