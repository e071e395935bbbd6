"""Results that other weights on this machine would make again: said before any job, with the keys that keep them.

Under ``auto`` a backend follows from what weights lie on the machine. What a stage was made with stands in its summary.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nsff.config import SceneConfig
from nsff.priors.learned import NEEDS, weight_files

LEARNED = {"depth": ("midas21", "transformers"), "features": ("dino", "vgg")}
"""Backends that summaries name where weights were loaded."""


def without_weights(stage: str, scene: SceneConfig) -> dict[str, Any]:
    """Settings, by key, that say outright what the scene's mean for a stage as long as no weights are found for it;
    none where they say so already, or name what they want."""
    if stage == "flow" and scene.flow.backend == "auto":
        return {"flow.backend": "given_or_dis"}
    if stage == "motion" and scene.motion.instances == "auto":
        return {"motion.instances": "off"}
    if stage == "features" and scene.features.backend == "auto":
        return {"features.backend": "classical"}
    depth = scene.depth
    if stage == "depth" and depth.backend == "auto" and depth.model is None and "learned" in depth.auto_order:
        order = [kind for kind in depth.auto_order if kind != "learned"]
        return {"depth.auto_order": order} if order else {}
    return {}


def replanned(scenes: Mapping[str, SceneConfig], results: Path) -> list[str]:
    """A line for each stage that other weights than it was made with make anew, and with it all that follows."""
    found: dict[str, list[str]] = {}
    for name, scene in scenes.items():
        for stage in NEEDS:
            if text := _changed(stage, scene, results / name / "summaries" / f"{stage}.json"):
                found.setdefault(text, []).append(name)
    return [f"{_listed(names)}: {text}" for text, names in found.items()]


def _changed(stage: str, scene: SceneConfig, summary: Path) -> str:
    need = NEEDS[stage](scene)
    if need is None or need.required or need.file is not None or not (made := _made_with(stage, summary)):
        return ""
    files, (word, name) = weight_files(stage, scene), made
    keys = without_weights(stage, scene)
    start = f"{stage} was made with {word}"
    after = f" {stage} is made again, and with it what follows from it."
    if files and not name and keys:
        keep = " and ".join(f"{key}: {_yaml(value)}" for key, value in keys.items())
        return f"{start}, and {files[0].name} is on this machine now:{after} To keep what there is, set {keep}."
    if not files and name:
        return f"{start}, whose weights are no longer found:{after} To keep what there is, bring them back."
    if files and isinstance(name, str) and name != files[0].name:
        return (
            f"{start}, and {files[0].name} comes before it:{after} To keep what there is, take {files[0].name} out"
            f" of the folder of weights; {need.file_key}: (path of {name}) makes it once more, and holds from then on."
        )
    return ""


def _made_with(stage: str, summary: Path) -> tuple[str, str | bool] | None:
    """In words what a stage was made with, and the name of its weights; True where it had some and names none, False
    where it had none. None where nobody knows."""
    try:
        values = json.loads(summary.read_bytes())
        if stage == "flow":
            weights = values["weights"]
            return str(weights or values["backend"]), str(weights) if weights else False
        if stage == "motion":
            text = str(values["instances"])
            return (text, text) if text.endswith((".pth", ".pt")) else ("no instances", False)
        backend = str(values["backend"])
        return backend, backend in LEARNED[stage]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def _yaml(value: Any) -> str:
    return f"[{', '.join(value)}]" if isinstance(value, list) else str(value)


def _listed(names: list[str]) -> str:
    return ", ".join(names) if len(names) <= 3 else f"{', '.join(names[:2])} and {len(names) - 2} more scenes"
