"""Explains what a training minimises: every loss term with its weight, its schedule and its source; with --step what
they are at that step, without it when they change.

The settings are those of a preset, or of a scene of a configuration file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

HELP = "explain the loss terms of a preset or a scene, and their schedules"
EXAMPLES = (
    "explain losses --preset saff --step 40000",
    "explain losses --config config.yaml --scene holiday --frames 60",
)


def run(
    what: Annotated[Literal["losses"], Parameter(help="losses: the terms of the training's objective")],
    /,
    *,
    preset: Annotated[str | None, Parameter(help="settings of this preset (default: fast)")] = None,
    config: Annotated[Path | None, Parameter(help="settings of a scene of this file instead")] = None,
    scene: Annotated[str | None, Parameter(help="the scene in that file (default: the only one)")] = None,
    changes: Annotated[
        list[str] | None, Parameter(name="--set", help="a setting over the preset's, SECTION.KEY=VALUE; repeatable")
    ] = None,
    step: Annotated[int | None, Parameter(help="what the terms are at this step (the first is 0)")] = None,
    frames: Annotated[int | None, Parameter(help="frames of the clip, where settings go by them")] = None,
) -> None:
    """Explains the losses."""
    from nsff.errors import ConfigError
    from nsff.models.registry import model_class
    from nsff.training.schedule import for_frames

    settings = _settings(preset, config, scene, changes or [])
    if frames is not None:
        if frames < 1:
            raise ConfigError(f"--frames {frames}", "is not a number of frames", "give the clip's, 1 or more")
        settings = for_frames(settings, frames)
    if step is not None and not 0 <= step < settings.train.steps:
        raise ConfigError(
            f"--step {step}",
            f"is no step of a training of {settings.train.steps} steps",
            f"give one from 0 to {settings.train.steps - 1}",
        )
    print(f"preset {settings.preset}" + (f", {frames} frames" if frames is not None else ""))
    print(model_class(settings.model.kind).explain_losses(settings, frames, step))
    if frames is None and (settings.train.steps_for_frames or settings.losses.decay_by_frames):
        print("\nSteps go by the number of frames in this preset: --frames says how many the clip has.")


def _settings(preset: str | None, config: Path | None, scene: str | None, changes: list[str]) -> Any:
    from nsff.config import load_config, resolve_scene
    from nsff.config.changes import with_changes
    from nsff.errors import ConfigError

    if config is None:
        if scene:
            raise ConfigError(f"--scene {scene}", "is a scene of no file", "name its file with --config")
        own = with_changes({"input": {"path": "clip"}}, changes)
        return resolve_scene("clip", own, preset or "fast", {})
    if preset or changes:
        raise ConfigError("--config", "has settings of its own", "leave out --preset and --set, or --config")
    scenes = load_config(config, config.parent)
    if scene is None and len(scenes) == 1:
        return next(iter(scenes.values()))
    if scene not in scenes:
        raise ConfigError(
            f"--scene {scene or ''}".rstrip(),
            f"names none of the scenes of {config}",
            f"give one of: {', '.join(scenes)}",
        )
    return scenes[scene]
