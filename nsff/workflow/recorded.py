"""Settings as Snakemake records and compares them, spelled the same in every version of nsff.

A stage's results are made again where the recorded text differs. So a key that is added, or gets another name, must not
show in it as long as its value means what earlier versions did: it gets a line here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

ADDED: dict[str, Any] = {
    "decompose.clusterer": "kmeans",
    "model": {"kind": "ray_fields", "options": {}},
}
"""Keys (``section.key``, or a section) that later versions brought, with the value that earlier ones behaved as."""

RENAMED: dict[str, str] = {}
"""Keys (``section.key``) that have another name now, with the name within the section that is recorded."""


def recorded_text(settings: Mapping[str, Any]) -> str:
    """Sections of settings as the JSON text that is compared with that of an earlier run.

    >>> recorded_text({"decompose": {"clusterer": "kmeans", "elbow": 0.975}})
    '{"decompose": {"elbow": 0.975}}'
    """
    sections = {name: values for name, values in settings.items() if _shows(name, values)}
    return json.dumps({name: _recorded(name, values) for name, values in sections.items()}, ensure_ascii=False)


def _shows(key: str, value: Any) -> bool:
    return key not in ADDED or ADDED[key] != value


def _recorded(section: str, values: Any) -> Any:
    if not isinstance(values, Mapping):
        return values
    keys = {name: f"{section}.{name}" for name in values}
    return {RENAMED.get(keys[name], name): value for name, value in values.items() if _shows(keys[name], value)}
