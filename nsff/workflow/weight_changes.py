"""Notes on results that a run will make again because other pretrained weights are found on the machine.

With ``auto`` the weights that are found decide the backend of a stage. The summary of a stage names the weights of its
results. A note says which key of the configuration keeps the results there are.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nsff.config import SceneConfig
from nsff.priors.registries import REGISTRIES, SECTIONS, weight_files


def without_weights(stage: str, scene: SceneConfig) -> dict[str, Any]:
    """The settings, by key, that name the backend which ``auto`` stands for while no weights are found for a stage.

    Empty where the scene's settings name a backend themselves.
    """
    return REGISTRIES[stage].without_weights(getattr(scene, stage)) if stage in REGISTRIES else {}


def weight_change_notes(scenes: Mapping[str, SceneConfig], results: Path) -> list[str]:
    """A line for each stage that will run again because its weights are others than those of its results."""
    found: dict[str, list[str]] = {}
    for name, scene in scenes.items():
        for stage in REGISTRIES:
            if text := _changed(stage, scene, results / name / "summaries" / f"{stage}.json"):
                found.setdefault(text, []).append(name)
    return [f"{_listed(names)}: {text}" for text, names in found.items()]


def _changed(stage: str, scene: SceneConfig, summary: Path) -> str:
    section = SECTIONS[stage](scene)
    needs = [] if section is None else REGISTRIES[stage].needs(section)
    named = any(need.required or need.choice.file is not None for need in needs)
    if not needs or named or not (made := _made_with(stage, summary)):
        return ""
    files, (word, name) = weight_files(stage, scene), made
    keys = without_weights(stage, scene)
    start, file_key = f"{stage} was made with {word}", needs[0].choice.key
    after = f" {stage} is made again, and with it what follows from it."
    if files and not name and keys:
        keep = " and ".join(f"{key}: {_yaml(value)}" for key, value in keys.items())
        return f"{start}, and {files[0].name} is on this machine now:{after} To keep what there is, set {keep}."
    if not files and name:
        return f"{start}, whose weights are no longer found:{after} To keep what there is, bring them back."
    if files and isinstance(name, str) and name != files[0].name:
        return (
            f"{start}, and {files[0].name} comes before it:{after} To keep what there is, take {files[0].name} out"
            f" of the folder of weights; {file_key}: (path of {name}) makes it once more, and holds from then on."
        )
    return ""


def _made_with(stage: str, summary: Path) -> tuple[str, str | bool] | None:
    """The backend or weights of a stage's results as text, and the name of the weights.

    The name is True for weights without one, and False where there were no weights. None where the summary does not
    say.
    """
    try:
        values = json.loads(summary.read_bytes())
        if stage == "flow":
            weights = values["weights"]
            return str(weights or values["backend"]), str(weights) if weights else False
        if stage == "motion":
            text = str(values["instances"])
            return (text, text) if text.endswith((".pth", ".pt")) else ("no instances", False)
        backend = str(values["backend"])
        known = REGISTRIES[stage].backends.get(backend)
        return backend, known is not None and known.learned
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def _yaml(value: Any) -> str:
    return f"[{', '.join(value)}]" if isinstance(value, list) else str(value)


def _listed(names: list[str]) -> str:
    return ", ".join(names) if len(names) <= 3 else f"{', '.join(names[:2])} and {len(names) - 2} more scenes"
