"""The settings of a stage as its script is told them: from a preset, files, sections and single keys."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo

from nsff.config import SceneConfig, merge, resolve_scene
from nsff.config.changes import with_changes
from nsff.config.depends import keys_of
from nsff.config.project import StagesConfig, checked_project, user_layer
from nsff.config.renamed import with_present_names
from nsff.config.strict_yaml import parse_yaml, read_yaml
from nsff.errors import ConfigError


def stage_settings(
    scene: Path,
    config: Path | None = None,
    options: Sequence[str] = (),
    changes: Sequence[str] = (),
    preset: str | None = None,
) -> SceneConfig:
    """The settings of the scene in folder ``scene``; of two that set one key, the later one counts.

    Args:
        scene: the scene's folder; its name is the scene's name in ``config``.
        config: a file like config.yaml.
        options: sections, each as JSON or YAML text that begins with a brace, or as the path of such a file.
        changes: single settings, ``SECTION.KEY=VALUE``.
        preset: what fills all other keys, in place of the preset of ``config`` (fast without one).

    Raises ConfigError where something of it cannot be used, or where nothing names the scene's source: neither
    ``input.path`` nor the manifest of an ingested scene.
    """
    name, base = scene.resolve().name, "fast"
    own: dict[str, Any] = {}
    sections: dict[str, Any] = {}
    overlays: list[str] = []
    if config:
        project = with_present_names(_sections(read_yaml(config), config))
        checked_project(project)
        sections = {key: project[key] for key in StagesConfig.model_fields if key in project}
        base, scenes = project.get("preset", base), project.get("scenes") or {}
        overlays = project.get("overlays", overlays)
        if name not in scenes:
            raise ConfigError(config, f"has no scene {name}", f"it has: {', '.join(map(str, scenes))}")
        own = scenes[name] or {}
    for text in options:
        own = merge(own, user_layer(_options(text)))
    own = with_changes(own, changes)
    if preset:
        own["preset"] = preset
    if "path" not in (own.get("input") or {}):
        own = merge(own, {"input": {"path": _source(scene)}})
    return resolve_scene(name, own, base, sections, overlays)


def _source(scene: Path) -> str:
    """The source of an ingested scene, as its manifest names it."""
    try:
        return str(json.loads((scene / "manifest.json").read_text(encoding="utf-8"))["source"]["path"])
    except (OSError, ValueError, KeyError, TypeError):
        raise ConfigError(
            "input.path", "is not given", "say --set input.path=VIDEO_OR_FOLDER or --config FILE"
        ) from None


def _options(text: str) -> dict[str, Any]:
    if text.lstrip().startswith("{"):
        try:
            return _sections(parse_yaml(text, "--options"), "--options")
        except ConfigError as error:
            problem = error.problem.replace("is not YAML", "is neither JSON nor YAML", 1)
            raise ConfigError("--options", problem, error.remedy) from None
    try:
        return _sections(read_yaml(text), text)
    except ConfigError as error:
        if Path(text).is_file():
            raise
        raise ConfigError("--options", f"{text}: {error.problem}", "give JSON or an existing file") from None


def _sections(content: Any, subject: object) -> dict[str, Any]:
    if not isinstance(content, dict):
        raise ConfigError(subject, f"holds {type(content).__name__}, not sections", "see config.yaml in the repository")
    return content


def described_settings(stage: str) -> str:
    """Help on the settings that a stage reads: each key with its default (before presets) and its meaning."""
    lines = ["Settings that this stage depends on (defaults before presets; docs/configuration.md has all):"]
    for key in keys_of(stage):
        section, _, name = key.partition(".")
        model = SceneConfig.model_fields[section].annotation
        fields = getattr(model, "model_fields", {})
        if not fields:
            lines.append(f"  {section}: {SceneConfig.model_fields[section].description}")
        for field in [name] if name else fields:
            lines += _described(f"{section}.{field}", fields[field])
    return "\n".join(lines)


def _described(key: str, field: FieldInfo) -> list[str]:
    default = "required" if field.is_required() else json.dumps(field.get_default(call_default_factory=True))
    text = " ".join((field.description or "").split())
    return [f"  {key} ({default})", textwrap.fill(text, 110, initial_indent="      ", subsequent_indent="      ")]
