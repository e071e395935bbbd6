"""Explains what a training minimises: every loss term with its weight, its schedule and its source; with --step what
they are at that step, without it when they change.

The settings are those of a preset, or of a scene of a configuration file.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

HELP = "explain the loss terms of a preset or a scene, and their schedules"
EXAMPLES = (
    "explain losses --preset saff --step 40000",
    "explain losses --config config.yaml --scene holiday --frames 60",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", choices=["losses"], help="losses: the terms of the training's objective")
    parser.add_argument("--preset", metavar="NAME", help="settings of this preset (default: fast)")
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings of a scene of this file instead")
    parser.add_argument("--scene", metavar="NAME", help="the scene in FILE (default: the only one)")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting over the preset's")
    parser.add_argument("--step", type=int, metavar="N", help="what the terms are at this step (the first is 0)")
    parser.add_argument("--frames", type=int, metavar="N", help="frames of the clip, where settings go by them")


def run(arguments: argparse.Namespace) -> None:
    from nsff.errors import ConfigError
    from nsff.models.ray_fields.explain import explained
    from nsff.models.ray_fields.gradient_accumulation import steps_between
    from nsff.models.ray_fields.terms.setup import Setup
    from nsff.training.schedule import for_frames

    config, frames = _settings(arguments), arguments.frames
    if frames is not None:
        if frames < 1:
            raise ConfigError(f"--frames {frames}", "is not a number of frames", "give the clip's, 1 or more")
        config = for_frames(config, frames)
    if arguments.step is not None and not 0 <= arguments.step < config.train.steps:
        raise ConfigError(
            f"--step {arguments.step}",
            f"is no step of a training of {config.train.steps} steps",
            f"give one from 0 to {config.train.steps - 1}",
        )
    every = 1 if frames is None else steps_between(config.train, frames)
    print(f"preset {config.preset}" + (f", {frames} frames" if frames is not None else ""))
    print(explained(Setup.of_config(config, every), arguments.step))
    if frames is None and (config.train.steps_for_frames or config.losses.decay_by_frames):
        print("\nSteps go by the number of frames in this preset: --frames says how many the clip has.")


def _settings(arguments: argparse.Namespace) -> Any:
    from nsff.config import load_config, resolve_scene
    from nsff.config.changes import with_changes
    from nsff.errors import ConfigError

    if arguments.config is None:
        if arguments.scene:
            raise ConfigError(f"--scene {arguments.scene}", "is a scene of no file", "name its file with --config")
        own = with_changes({"input": {"path": "clip"}}, arguments.set)
        return resolve_scene("clip", own, arguments.preset or "fast", {})
    if arguments.preset or arguments.set:
        raise ConfigError("--config", "has settings of its own", "leave out --preset and --set, or --config")
    scenes = load_config(arguments.config, arguments.config.parent)
    if arguments.scene is None and len(scenes) == 1:
        return next(iter(scenes.values()))
    if arguments.scene not in scenes:
        raise ConfigError(
            f"--scene {arguments.scene or ''}".rstrip(),
            f"names none of the scenes of {arguments.config}",
            f"give one of: {', '.join(scenes)}",
        )
    return scenes[arguments.scene]
