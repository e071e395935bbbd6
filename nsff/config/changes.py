"""Single settings as people type them: SECTION.KEY=VALUE."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from nsff.config.project import merge, user_layer
from nsff.config.renamed import with_present_names
from nsff.config.strict_yaml import parse_yaml
from nsff.errors import ConfigError


def with_changes(own: Mapping[str, Any], changes: Iterable[str]) -> dict[str, Any]:
    """Sections with settings like ``train.steps=99`` laid over them; values are YAML. Raises ConfigError."""
    result: dict[str, Any] = {}
    for change in changes:
        key, equals, text = change.partition("=")
        section, _, field = key.partition(".")
        if not equals:
            raise ConfigError("--set", f"not understood: {change!r}", "write SECTION.KEY=VALUE")
        value = parse_yaml(text, f"--set {key}")
        result = merge(result, {section: {field: value} if field else value})
    return merge(with_present_names(own), user_layer(result))
