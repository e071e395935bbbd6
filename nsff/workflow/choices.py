"""The configuration of a single clip: name, preset and settings that suit the clip and the machine, as a YAML file."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from nsff.config import SceneConfig, load_config
from nsff.config.presets import PRESETS
from nsff.config.project import RESERVED
from nsff.config.strict_yaml import read_yaml
from nsff.errors import ConfigError
from nsff.files.io import write_text
from nsff.machine.overview import Machine
from nsff.workflow.clip import ClipLook

MOST_FRAMES = {"cpu": 48, "gpu": 120}
"""Frames that are taken of a clip unless more are asked for. Stages were tried with up to 200."""
LEAST_GPU = 4.0
"""Gigabytes of a GPU's memory for which preset fast is chosen (it takes 2.7 at 24 frames of 480x270, 4.5 at 120)."""
WIDE = 16 / 9
ROUNDED = 4
"""Heights are multiples of this."""


@dataclass(frozen=True)
class Asked:
    """The options of the command line; None leaves the choice."""

    preset: str | None = None
    name: str | None = None
    height: int | None = None
    frames: int | None = None
    start: str | None = None
    end: str | None = None

    @property
    def given(self) -> list[str]:
        """The options that say something about settings."""
        return [key for key in ("preset", "height", "frames", "start", "end") if getattr(self, key) is not None]


@dataclass(frozen=True)
class Choice:
    """The content of the configuration file, and why it is so, in sentences."""

    content: dict[str, Any]
    reasons: list[str] = field(default_factory=list)


def scene_name(path: Path) -> str:
    """A scene's name from the name of its video or folder.

    >>> scene_name(Path("videos/My holiday (2).MP4")), scene_name(Path("frames/"))
    ('My_holiday_2', 'frames')
    """
    resolved = path.expanduser().resolve()
    stem = resolved.name if resolved.is_dir() else resolved.stem
    name = re.sub(r"[^\w-]+", "_", stem).strip("_")[:100] or "scene"
    return f"{name}_scene" if name in RESERVED else name


def preset_for(machine: Machine, asked: Asked) -> tuple[str, str]:
    """The preset, and the sentence that says why."""
    gpu = max((gpu.memory for gpu in machine.gpus), default=0.0)
    if asked.preset:
        return asked.preset, f"preset {asked.preset}, as asked for"
    if machine.gpus and (gpu >= LEAST_GPU or not gpu):  # some report no memory
        if gaussians_work():
            return "gaussians", "preset gaussians, since there is a GPU and gsplat is built for it"
        return "fast", "preset fast, since there is a GPU (sharper, once nsff build-rasteriser has run: gaussians)"
    if machine.gpus:
        return "demo", f"preset demo, since the GPU has less than {LEAST_GPU:.0f} GB of memory"
    return "demo", "preset demo, since there is no GPU (with one: --preset fast, sharper and larger)"


def gaussians_work() -> bool:
    """Whether scenes of Gaussians can be drawn on the GPU of this machine."""
    from nsff.models.gaussians.rasterisers import gpu_problem

    return gpu_problem() is None


def most_frames(machine: Machine, asked: Asked) -> int:
    """The largest number of frames to take."""
    preset, _ = preset_for(machine, asked)
    return asked.frames or MOST_FRAMES["cpu" if preset == "demo" or not machine.gpus else "gpu"]


def choose(look: ClipLook, name: str, machine: Machine, asked: Asked, folder: Path) -> Choice:
    """Settings for a clip on a machine. ``folder`` is where the workflow is started: paths are relative to it."""
    preset, reason = preset_for(machine, asked)
    if preset not in PRESETS:
        raise ConfigError("--preset", f"unknown preset {preset!r}", f"allowed: {', '.join(PRESETS)}")
    taken: dict[str, Any] = {"path": relative(look.path, folder)}
    if look.start:
        taken["start"] = look.start
    if look.end is not None:
        taken["end"] = look.end
    if look.stride > 1:
        taken["stride"] = look.stride
    if look.skip:
        taken["skip"] = list(look.skip)
    if look.frames > 500:
        taken["max_frames"] = look.frames
    reasons = [reason, *_frames_reason(look)]
    scene: dict[str, Any] = {"input": taken}
    usual = PRESETS[preset].get("canonical", {}).get("resize_height", 288)
    height = asked.height or _height(usual, look.size)
    if height != usual:
        scene["canonical"] = {"resize_height": height}
        if not asked.height:
            reasons.append(f"{height} rows instead of {usual}, since the picture is upright")
    return Choice({"preset": preset, "scenes": {name: scene}}, reasons)


def _frames_reason(look: ClipLook) -> list[str]:
    """Why these frames."""
    if look.whole:
        return []
    found = [f"every {_ordinal(look.stride)} frame"] if look.stride > 1 else []
    if look.start or look.end is not None:
        end = look.end if look.end is not None else look.count
        found.append(f"source frames {look.start} to {end - 1 if end else 'the last'}")
    text = f"{look.frames} frames: {' of '.join(found)}"
    bare = look.bare + len(look.skip)
    if bare:
        text += f", without {bare} that show{'s' * (bare == 1)} nothing"
    if len(look.shots) > 1:
        listed = ", ".join(f"{first} to {end - 1}" for first, end in look.shots[:4])
        text += f", the longest of {len(look.shots)} shots (source frames {listed}{', ...' * (len(look.shots) > 4)})"
    return [f"{text}; others with --start, --end and --frames"]


def _ordinal(number: int) -> str:
    return f"{number}{'th' if 10 <= number % 100 <= 20 else {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th')}"


def _height(usual: int, size: tuple[int, int]) -> int:
    """Rows of the canonical frames: the preset's, more for upright pictures, so that they have as many pixels."""
    height, width = size
    if width >= height:
        return usual
    rows = usual * (WIDE * height / width) ** 0.5
    return min(height, ROUNDED * round(rows / ROUNDED))


def relative(path: Path, folder: Path) -> str:
    """A path as the configuration names it: relative where it lies below ``folder``."""
    absolute = path.expanduser().resolve()
    try:
        return str(absolute.relative_to(folder.resolve()))
    except ValueError:
        return str(absolute)


def config_text(choice: Choice, command: str) -> str:
    """The configuration file: its settings, with the reasons as comments."""
    lines = [f"# Written by: {command}", *(f"#   {reason}" for reason in choice.reasons)]
    lines += ["# Edit it at will: the next run follows it. Every key: docs/configuration.md of nsff.", ""]
    return "\n".join(lines) + yaml.safe_dump(choice.content, sort_keys=False, allow_unicode=True)


def write_config(path: Path, choice: Choice, command: str) -> bool:
    """Writes the configuration, unless the file is there and says the same, whatever else it says; whether it was
    written.

    Raises ConfigError where the file says something else: it is never overwritten.
    """
    if path.exists():
        differing = _differences(read_yaml(path), choice.content)
        if differing:
            raise ConfigError(
                path,
                f"is there and says otherwise: {', '.join(differing[:4])}",
                "edit the file and leave these options out, name another scene (--name), or remove the file",
            )
        return False
    write_text(path, config_text(choice, command))
    return True


def _differences(there: Any, wanted: Mapping[str, Any]) -> list[str]:
    """Settings that are wanted and that the file has otherwise, or not; others in the file are the user's own."""
    one, other = _flat(there), _flat(wanted)
    return [f"{key} is {one.get(key)}, not {other[key]}" for key in other if one.get(key) != other[key]]


def _flat(values: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(values, Mapping):
        return {prefix or "content": values}
    return {
        key: value
        for name, part in values.items()
        for key, value in _flat(part, f"{prefix}.{name}".lstrip(".")).items()
    }


def existing_config(path: Path, name: str, video: Path, folder: Path) -> SceneConfig | None:
    """The scene's settings by a configuration that an earlier run wrote; None without one.

    Raises ConfigError where the file has no such scene, or one of another clip.
    """
    if not path.exists():
        return None
    scenes = load_config(path, folder)
    if name not in scenes:
        raise ConfigError(path, f"has no scene {name}", "choose another name with --name")
    if not same_file(folder / scenes[name].input.path, video):
        raise ConfigError(path, f"is about {scenes[name].input.path}", "choose another name with --name")
    return scenes[name]


def same_file(one: Path, other: Path) -> bool:
    """Whether two paths lead to one file or folder."""
    try:
        return os.path.samefile(one.expanduser(), other.expanduser())
    except OSError:
        return False
