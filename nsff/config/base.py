"""The base of all configuration models, and errors that name key, value, what is allowed, and the nearest key."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from os.path import expanduser
from typing import Annotated, Any, Self, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError, model_validator
from pydantic.fields import FieldInfo

from nsff.config.old_names import old_name_hint
from nsff.errors import ConfigError


def _named(path: str) -> str:
    if not path.strip():
        raise ValueError("an empty path would be the folder that you are in; write . for that")
    return expanduser(path)


UserPath = Annotated[str, AfterValidator(_named)]
"""A path that the user writes; ~ stands for the home folder, as in a shell."""


LARGEST = 1e15
"""The largest number that a setting may have."""


class StageConfig(BaseModel):
    """One section of the configuration. Unknown keys are errors; values are checked on construction."""

    model_config = ConfigDict(
        extra="forbid", validate_default=True, use_attribute_docstrings=True, frozen=True, allow_inf_nan=False
    )

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        """No number is infinite, or so large that nothing can be meant by it."""
        for name in type(self).model_fields:
            value = getattr(self, name)
            for number in value if isinstance(value, (list, tuple)) else (value,):
                if isinstance(number, (int, float)) and not abs(number) <= LARGEST:
                    raise ValueError(f"{name} is {_short(number)}, beyond every sensible number ({LARGEST:.0e})")
        return self


def nearest(key: str, allowed: Iterable[str]) -> str:
    """A hint naming the allowed word that looks most like ``key``, or an empty string."""
    match = difflib.get_close_matches(key[:100], list(allowed), n=1, cutoff=0.5)
    return f"did you mean '{match[0]}'?" if match else ""


def explain(error: ValidationError, model: type[BaseModel], where: str) -> ConfigError:
    """Turns pydantic's complaints into a ConfigError: key, value, what is allowed, nearest valid key.

    ``where`` is the key of ``model`` itself in the file. Unknown keys come first: a misspelt key is often why another
    is missing. Further mistakes are named without their details.
    """
    found = sorted(error.errors(), key=lambda entry: entry["type"] != "extra_forbidden")
    key, problem, remedy = _explain_one(found[0], model, where)
    others = [_explain_one(entry, model, where)[0] for entry in found[1:]]
    if others:
        remedy = f"{remedy}\n  also wrong: {', '.join(dict.fromkeys(others))}"
    return ConfigError(key, problem, remedy)


def _explain_one(entry: Any, model: type[BaseModel], where: str) -> tuple[str, str, str]:
    location = [str(part) for part in entry["loc"]]
    key = ".".join([where, *location] if where else location) or "the configuration"
    value = _short(entry.get("input"))
    if entry["type"] == "extra_forbidden":
        section = model_at(model, location[:-1])
        allowed = sorted(section.model_fields) if section else []
        hint = old_name_hint(location[-1]) or nearest(location[-1], allowed)
        remedy = f"{hint} allowed: {', '.join(allowed)}".strip()
        return key, f"unknown key (value {value})", remedy
    if entry["type"] == "missing":
        return key, "is missing", _describe(model, location)
    if entry["type"] == "value_error":
        # Raised by our own checks between fields: the message says it all, the value would be a whole section.
        return key, str(entry["ctx"]["error"]), _describe(model, location)
    if entry["type"] in ("model_type", "dict_type"):
        return key, f"holds no mapping (value {value})", _describe(model, location)
    problem = entry["msg"][:1].lower() + entry["msg"][1:]
    hint = ""
    if entry["type"] == "literal_error" and isinstance(entry.get("input"), str):
        hint = nearest(entry["input"], re.findall(r"'([^']*)'", entry["ctx"]["expected"]))
    return key, f"{problem} (value {value})", f"{hint} {_describe(model, location)}".strip()


def model_at(model: type[BaseModel], location: Sequence[str]) -> type[BaseModel] | None:
    """The model that the keys in ``location`` lead to from ``model``, through lists and dictionaries, or None."""
    current: type[BaseModel] | None = model
    for part in location:
        if current is None:
            return None
        field = current.model_fields.get(part)
        # Positions in lists and keys of dictionaries are no fields; the list's model is current already.
        current = current if field is None else _model_of(field.annotation)
    return current


def _model_of(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for found in map(_model_of, get_args(annotation)) if found is not None), None)


def _describe(model: type[BaseModel], location: Sequence[str]) -> str:
    """The documentation of the innermost field on the way, with its default where that is a plain value."""
    field: FieldInfo | None = None
    name = ""
    for depth, part in enumerate(location):
        section = model_at(model, location[:depth])
        if section is not None and part in section.model_fields:
            field, name = section.model_fields[part], part
    if field is None:
        return ""
    plain = not field.is_required() and isinstance(field.default, (int, float, str, bool, tuple, list, type(None)))
    default = f" (default {field.default!r})" if plain else ""
    return f"{name}: {field.description or ''}{default}"


def _short(value: Any) -> str:
    try:
        text = repr(value)
    except ValueError:  # Python prints no numbers of more than 4300 digits
        return "a number of thousands of digits"
    return text if len(text) <= 80 else f"{text[:77]}..."
