"""Why a job runs, in fewer words than Snakemake's: of settings that changed the keys, not both sets in full."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

_TEXT = r"(?:'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\")"
"""A text as Python's ``repr`` writes it."""
_TEXTS = re.compile(_TEXT)
_CHANGE = re.compile(
    r"Union of exclusive params before and now across all output:"
    rf" before: ((?:{_TEXT}|[^'\"])*?) now: ((?:{_TEXT}|[^'\";])*)"
)
"""Snakemake's sentence about parameters: all that only the last run had, and all that only this one has."""
_ABSENT = object()


def shorter_reason(reason: str) -> str:
    """Snakemake's reason for a job, in which settings that changed are told by their keys.

    Of ``before: '{"train": {"steps": 9}}',1 now: '{"train": {"steps": 99}}',2`` is left
    ``train.steps: 9 -> 99; before: 1 now: 2``. A reason without settings is returned as it is.
    """
    found = _CHANGE.search(reason)
    if found is None:
        return reason
    (old, old_rest), (new, new_rest) = (_parted(text) for text in found.groups())
    if old is None or new is None:
        return reason
    changes = [f"{key}: {_shown(was)} -> {_shown(now)}" for key, was, now in differences(old, new)]
    told = ", ".join(changes)
    if old_rest or new_rest:
        told += f"; before: {old_rest or 'none'} now: {new_rest or 'none'}"
    return reason[: found.start()] + told + reason[found.end() :]


def differences(old: Mapping[str, Any], new: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Keys whose values differ, as ``section.key``, each with both values."""
    for key in dict.fromkeys([*old, *new]):
        was, now = old.get(key, _ABSENT), new.get(key, _ABSENT)
        if isinstance(was, Mapping) and isinstance(now, Mapping):
            yield from differences(was, now, f"{above}{key}.")
        elif was != now:
            yield f"{above}{key}", was, now


def _parted(text: str) -> tuple[dict[str, Any] | None, str]:
    """The settings in a list of parameters, None without any, and what else is in the list."""
    settings = None
    for match in _TEXTS.finditer(text):
        value = ast.literal_eval(match[0])
        if value.startswith("{"):
            try:
                settings = json.loads(value)
            except ValueError:
                continue
            text = text[: match.start()] + text[match.end() :]
            break
    return settings, text.strip(" ,").replace(",,", ",")


def _shown(value: Any) -> str:
    text = "not set" if value is _ABSENT else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."
