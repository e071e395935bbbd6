"""The section ``reproduce``: all scenes of a protocol found in a folder, with the published settings.

Each found scene becomes a scene of the configuration: preset, overlays of the protocol and of the scene, truth, and the
released checkpoint where there is one. Sections at the top level of the file still hold for them all.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from nsff.config.base import StageConfig, UserPath
from nsff.config.overlays import NSFF_SCENES, OVERLAYS
from nsff.config.presets import PresetName
from nsff.errors import ConfigError

RIG_CAMERAS = 12
"""Cameras of NVIDIA's rig: source frame t is filmed by camera t mod 12."""


class ReproduceConfig(StageConfig):
    """The scenes of a protocol that lie in a folder (`snakemake reproduce`)."""

    protocol: Literal["nsff24", "dynnerf12", "saff", "dycheck", "iphone", "views", "masks"]
    """The protocol (docs/protocols.md); a folder inside ``folder`` is a scene where it has that protocol's layout."""
    folder: UserPath
    """Holds one folder a scene, or is one itself; relative to the working directory or absolute."""
    preset: PresetName | None = None
    """Preset of the scenes; null: saff for protocols of masks, else nsff."""
    overlays: list[str] = Field(default_factory=list)
    """Further overlays of all of them, after the protocol's and the scene's own."""
    checkpoints: UserPath | None = None
    """Folder with {scene}/*.tar as released (the last by number counts); null: checkpoints/ in ``folder`` or beside it.
    Scenes that have one are not trained."""
    use_checkpoints: bool = True
    """false: train, whatever checkpoints there are."""


def find_scenes(config: ReproduceConfig, root: Path) -> dict[str, dict[str, Any]]:
    """The scenes by name, each with its own settings; raises ConfigError where the folder has none.

    ``root`` is where relative paths start; paths in the settings stay as they were given.
    """
    folder = root / config.folder
    if not folder.is_dir():
        raise ConfigError("reproduce.folder", f"no such folder: {config.folder}", f"paths are relative to {root}")
    wrong = [name for name in config.overlays if name not in OVERLAYS]
    if wrong:
        raise ConfigError("reproduce.overlays", f"unknown overlay {wrong[0]!r}", f"allowed: {', '.join(OVERLAYS)}")
    fits = LAYOUTS[config.protocol]
    candidates = [folder, *sorted(path for path in folder.iterdir() if path.is_dir() and path.name[0] != ".")]
    # A folder of scenes may look like a scene of the simplest layouts, so what lies inside comes first.
    found = [path for path in candidates[1:] if fits(path)] or [path for path in candidates[:1] if fits(path)]
    if not found:
        raise ConfigError(
            "reproduce.folder",
            f"{config.folder} has no scene in the layout of protocol {config.protocol}",
            "docs/protocols.md, section Truth layouts, says what a scene's folder has to hold",
        )
    preset = config.preset or ("saff" if config.protocol in ("saff", "dycheck", "masks") else "nsff")
    scenes: dict[str, dict[str, Any]] = {}
    for path in found:
        name = re.sub(r"[^\w-]", "_", path.resolve().name)
        given = Path(config.folder) / path.relative_to(folder)
        checkpoint = _checkpoint(config, root, folder, path.name) if config.use_checkpoints else None
        overlays = [f"on_{config.protocol}"] if f"on_{config.protocol}" in OVERLAYS else []
        own = NSFF_SCENES.get(nvidia_scene(path.name) or "")
        if preset == "nsff" and own and checkpoint is None:
            overlays.append(own)
        scenes[name] = {
            "preset": preset,
            "overlays": [*overlays, *config.overlays],
            "input": {"path": str(given)},
            "evaluation": [{"protocol": config.protocol, "truth": str(given)}],
        }
        if checkpoint is not None:
            scenes[name]["checkpoint"] = checkpoint
    return scenes


def nvidia_scene(name: str) -> str | None:
    """The scene of NVIDIA's data that a folder's name stands for: balloon1-2, Balloon1 and balloon1 are one."""
    plain = re.sub(r"[^a-z0-9]", "", re.sub(r"[-_]2$", "", name.lower()))
    plain = {"truck2": "truck", "skating2": "skating", "dynamicface2": "dynamicface"}.get(plain, plain)
    return plain if plain in NVIDIA else None


def same_scene(one: str, other: str) -> bool:
    """Whether two folders' names are one scene's: but for capitals, or as NVIDIA's scenes are spelt."""
    return one.lower() == other.lower() or (nvidia_scene(one) is not None and nvidia_scene(one) == nvidia_scene(other))


NVIDIA = ("jumping", "skating", "truck", "umbrella", "balloon1", "balloon2", "playground", "dynamicface")


def _checkpoint(config: ReproduceConfig, root: Path, folder: Path, scene: str) -> str | None:
    """The last released checkpoint of a scene, by number, or None."""
    if config.checkpoints is not None:
        if not (root / config.checkpoints).is_dir():
            raise ConfigError("reproduce.checkpoints", f"no such folder: {config.checkpoints}", "or leave it out")
        places = [Path(config.checkpoints)]
    else:
        places = [Path(config.folder) / "checkpoints", Path(config.folder).parent / "checkpoints"]
    for place in places:
        parent = root / place
        own = [path for path in parent.iterdir() if path.is_dir()] if parent.is_dir() else []
        # Releases spell scenes with and without capitals.
        for path in sorted(own, key=lambda path: path.name != scene):
            if same_scene(path.name, scene):
                files = sorted(path.glob("*.tar"), key=lambda file: (len(file.stem), file.stem))
                if files:
                    return str(place / path.name / files[-1].name)
    return None


def _nsff(path: Path) -> bool:
    return (path / "mv_images").is_dir() or (path / "dense" / "mv_images").is_dir()


def _saff(path: Path) -> bool:
    return _nsff(path) and gt_masks(path) is not None


def gt_masks(scene: Path) -> Path | None:
    """SAFF's masks of a scene: gt_masks/ in it, or gt_masks/{scene} beside it or above, in any spelling of the name."""
    for place, inside in ((scene / "gt_masks", False), (scene.parent / "gt_masks", True),
                          (scene.parent.parent / "gt_masks", True)):  # fmt: skip
        if place.is_dir() and not inside and any(place.glob("training_*.png")):
            return place
        if place.is_dir() and inside:
            for own in sorted(place.iterdir()):
                if same_scene(own.name, scene.resolve().name) and any(own.glob("training_*.png")):
                    return own
    return None


def _dynnerf(path: Path) -> bool:
    return (path / "images").is_dir() and any(any(place.glob("v000_t*.png")) for place in (path, path / "gt"))


LAYOUTS: dict[str, Callable[[Path], bool]] = {
    "nsff24": _nsff,
    "saff": _saff,
    "dynnerf12": _dynnerf,
    "dycheck": lambda path: (path / "colmap_masks").is_dir() and (path / "dense" / "images").is_dir(),
    "iphone": lambda path: (path / "dataset.json").exists() and (path / "camera").is_dir(),
    "views": lambda path: (
        (path / "truth" / "cameras.json").exists() or ((path / "cameras.json").exists() and (path / "heldout").is_dir())
    ),
    "masks": lambda path: any((path / place).is_dir() for place in ("labels", "masks", "truth/labels")),
}
"""How a scene of each protocol is recognised."""
