"""Generates schemas/config.schema.json and docs/configuration.md from the models.

``python -m nsff.config.document`` writes both; with ``--check`` it only says whether they are in step.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import json
import sys
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from nsff.config import overlays
from nsff.config.inputs import EvaluationConfig, GivenTracksConfig, InputConfig, SensorDepthConfig
from nsff.config.model import ModelConfig
from nsff.config.presets import PRESETS
from nsff.config.project import SceneConfig, StagesConfig, schema
from nsff.config.reproduce import ReproduceConfig
from nsff.files.io import write_text

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = Path("schemas/config.schema.json")
REFERENCE = Path("docs/configuration.md")

_HEAD = """\
# Configuration

Generated from the models in `nsff/config/` by `make schema`; do not edit. The same as a JSON schema, for editors:
`schemas/config.schema.json` (`# yaml-language-server: $schema=schemas/config.schema.json` as the first line of a file).

`config.yaml` says what to run: scenes and science. Cores, memory and GPUs belong to `profiles/`.

    preset: fast                   # of all scenes: demo, fast, gaussians, nsff, saff, planes, demo_planes
    train:                         # a section here holds for all scenes
      steps: 8000
    scenes:
      walk:                        # results/walk/
        input:
          path: videos/walk.mp4    # relative to where snakemake runs
        preset: saff               # of this scene alone
        decompose:                 # a section here holds for this scene alone
          max_clusters: 12

A scene's sections are laid over each other; later wins: defaults, preset, overlays, top level, the scene's own.
Mappings merge key by key, lists and values replace. Mistakes stop the run before any job. `snakemake --config` and a
script's `--set section.key=value` lay single settings over the file.
"""


def reference() -> str:
    """The text of docs/configuration.md."""
    parts = [_HEAD, "## Scene\n", _table(SceneConfig, ["preset", "overlays", "input", "checkpoint", "evaluation"])]
    parts += [
        "## input\n",
        _section(InputConfig),
        "## input.depth\n",
        _section(SensorDepthConfig),
        "## input.tracks\n",
        _section(GivenTracksConfig),
        "## evaluation\n",
        "A list; each entry has:\n",
        _section(EvaluationConfig),
    ]
    parts += ["## reproduce\n", "At the top level only.\n", _section(ReproduceConfig)]
    for name, field in StagesConfig.model_fields.items():
        model = field.annotation
        assert isinstance(model, type)
        assert issubclass(model, BaseModel)
        parts += [f"## {name}\n", _section(model)]
        if model is ModelConfig:
            parts += _model_options()
    parts += ["## Presets\n", "What each sets; the rest are defaults.\n"]
    for name, content in PRESETS.items():
        text = yaml.safe_dump(content, sort_keys=False, default_flow_style=None, width=110)
        parts += [f"### {name}\n", "".join(f"    {line}\n" for line in text.splitlines())]
    parts += ["## Overlays\n", f"{_flat(inspect.getdoc(overlays) or '')}\n"]
    for name, content in overlays.OVERLAYS.items():
        text = f"`{json.dumps(content)}`" if content else ""
        parts += [f"- `{name}`: {overlays.MEANINGS[name]}. {text}".rstrip()]
    return "\n".join(parts).rstrip() + "\n"


def _model_options() -> list[str]:
    """Sections of the options of the kinds of models that have some."""
    # By name: kinds of models lie in a room below this one.
    registry = importlib.import_module("nsff.models.registry")
    found = {
        kind: registry.options_class(kind) for kind, package in registry.kinds().items() if package.startswith("nsff.")
    }
    return [
        part
        for kind, options in found.items()
        if options.model_fields
        for part in (f"### model.options of {kind}\n", _section(options))
    ]


def schema_text() -> str:
    """The text of schemas/config.schema.json."""
    return json.dumps(schema(), indent=1, ensure_ascii=False) + "\n"


def generated() -> dict[Path, str]:
    """Every generated file, relative to the repository, with its content."""
    return {SCHEMA: schema_text(), REFERENCE: reference()}


def _section(model: type[BaseModel]) -> str:
    return f"{_flat(inspect.getdoc(model) or '')}\n\n{_table(model, list(model.model_fields))}"


def _table(model: type[BaseModel], names: list[str]) -> str:
    lines = ["| key | type | default | meaning |", "|---|---|---|---|"]
    for name in names:
        field = model.model_fields[name]
        cells = [f"`{name}`", _type(field), _default(field), _flat(field.description or "")]
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def _type(field: FieldInfo) -> str:
    bounds = [
        f"{sign} {getattr(limit, name)}" for limit in field.metadata for name, sign in _BOUNDS if hasattr(limit, name)
    ]
    return ", ".join([_type_name(field.annotation), *bounds])


_BOUNDS = (("gt", ">"), ("ge", "≥"), ("lt", "<"), ("le", "≤"), ("min_length", "length ≥"))


def _type_name(annotation: Any) -> str:
    """A type in the words of a person who writes YAML."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type_name(arguments[0])
    if origin is Literal:
        return " or ".join(f"`{value}`" for value in arguments)
    if origin in (Union, UnionType):
        return " or ".join("null" if part is NoneType else _type_name(part) for part in arguments)
    if origin is list:
        return (
            f"list of {_type_name(arguments[0])}s"
            if get_origin(arguments[0]) is None
            else f"list of {_type_name(arguments[0])}"
        )
    if origin is tuple:
        return f"{len(arguments)} numbers"
    if origin is dict or (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
        return "mapping"
    return {int: "whole number", float: "number", bool: "true or false", str: "text"}[annotation]


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True, validated_data={})
    return f"`{json.dumps(value)}`"


def _flat(text: str) -> str:
    return " ".join(text.split())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if a file is out of step")
    arguments = parser.parse_args()
    stale = [path for path, text in generated().items() if not _same(ROOT / path, text)]
    for path in stale:
        print(f"{path}: {'out of step with nsff/config; run make schema' if arguments.check else 'written'}")
        if not arguments.check:
            write_text(ROOT / path, generated()[path])
    return int(arguments.check and bool(stale))


def _same(path: Path, text: str) -> bool:
    return path.exists() and path.read_text(encoding="utf-8") == text


if __name__ == "__main__":
    sys.exit(main())
