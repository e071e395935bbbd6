"""The targets of a scene, which can be asked for by name: what each holds, and which stages make it.

A target is a path below ``results/{scene}/``. The names serve ``nsff targets``, ``nsff run --target`` and the messages
for targets that do not exist; what is made and how is the rules' affair (rules/*.smk).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from nsff.config import SceneConfig, load_config
from nsff.config.base import nearest
from nsff.errors import InputError
from nsff.workflow.progress import stages_of


@dataclass(frozen=True)
class Target:
    """A file or folder of a scene, what is in it, and the stage that makes it."""

    name: str
    about: str
    stage: str


_OF_STAGES: dict[str, tuple[tuple[str, str], ...]] = {
    "ingest": (("frames", "the frames that are taken"), ("manifest.json", "size, times and source of the frames")),
    "flow": (("raw_flow", "optical flow of the ingested frames"),),
    "coarse_masks": (("coarse_masks", "what moves, before cameras are known"),),
    "sfm": (("sfm", "structure from motion: COLMAP's sparse model"),),
    "cameras": (
        ("cameras.json", "cameras of all frames (OpenCV axes, world to camera)"),
        ("poses_bounds.npy", "the cameras as LLFF has them"),
        ("images", "canonical frames: undistorted, of one size"),
        ("flow", "optical flow of the canonical frames"),
    ),
    "motion": (("motion_masks", "masks of what moves"),),
    "depth": (("depth", "disparity of every frame"),),
    "features": (("features", "semantic features and saliency"),),
    "train": (("model", "the trained scene"),),
    "maps": (("maps", "colour, depth, saliency and features of every view"),),
    "points": (("surface_points", "points near surfaces, to be clustered"),),
    "cluster": (("clusters", "what moves together (or clusters of features): raw labels"),),
    "postprocess": (("masks", "object masks, cleaned and split into instances"),),
    "crf": (("masks_crf", "object masks, refined along edges"),),
    "extract": (("extracted", "objects alone, and point clouds"),),
    "page": (("scene.html", "the scene to fly through, in any browser"),),
    "score": (("scores.csv", "scores"), ("score_pictures", "the pictures that were scored")),
    "report": (("report.html", "the report: every stage with pictures, numbers and a verdict"),),
}
_BEFORE_TRAINING = ("ingest", "flow", "coarse_masks", "sfm", "cameras", "motion", "depth", "features")
_CHAIN = {
    "maps": (*_BEFORE_TRAINING, "train"),
    "points": (*_BEFORE_TRAINING, "train", "maps"),
    "cluster": (*_BEFORE_TRAINING, "train", "maps", "points"),
    "postprocess": (*_BEFORE_TRAINING, "train", "maps", "points", "cluster"),
    "crf": (*_BEFORE_TRAINING, "train", "maps", "points", "cluster", "postprocess"),
    "extract": (*_BEFORE_TRAINING, "train", "maps", "points", "cluster"),
}
"""Stages that come before one; those that are not listed need all that stand before them."""


def targets_of(settings: SceneConfig) -> list[Target]:
    """The targets of a scene, in the order in which they are made.

    >>> from nsff.config import resolve_scene
    >>> [t.name for t in targets_of(resolve_scene("clip", {"input": {"path": "clip.mp4"}}, "nsff", {}))][-2:]
    ['score_pictures', 'report.html']
    """
    found = []
    for stage in stages_of(settings):
        if stage.startswith("render_"):
            path = stage.removeprefix("render_")
            found.append(Target(f"renders/{path}.mp4", f"the video along path {path}", stage))
        else:
            found += [Target(name, about, stage) for name, about in _OF_STAGES.get(stage, ())]
    if settings.has_objects and not settings.extract.enabled:
        found += [
            Target(name, f"{about} (made only when asked for)", "extract") for name, about in _OF_STAGES["extract"]
        ]
    return found


def stages_for(settings: SceneConfig, names: Sequence[str]) -> list[str]:
    """The stages that make the targets ``names``, those before them included, in the order of the pipeline."""
    stages = stages_of(settings)
    stages = stages if "extract" in stages else [*stages[:-2], "extract", *stages[-2:]]
    made_by = {target.name: target.stage for target in targets_of(settings)}
    wanted: set[str] = set()
    for stage in (made_by[name] for name in names):
        own = stages[: stages.index(stage)] if stage in ("score", "report") else _before(stage, stages)
        wanted |= {stage, *own}
    if "extract" in wanted and not settings.extract.enabled and "extract" not in {made_by[name] for name in names}:
        wanted.discard("extract")
    return [stage for stage in stages if stage in wanted]


def _before(stage: str, stages: Sequence[str]) -> tuple[str, ...]:
    if stage.startswith("render_"):
        return (*_BEFORE_TRAINING, "train")
    if stage in _CHAIN:
        return _CHAIN[stage]
    return tuple(stages[: stages.index(stage)])


def checked_targets(settings: SceneConfig, scene: str, names: Iterable[str]) -> list[str]:
    """The names of targets as they are below the scene's folder; ``results/NAME/`` before one, and a suffix after it,
    may be left out or not.

    Raises InputError for one that does not exist, with the nearest and all that do.
    """
    known = [target.name for target in targets_of(settings)]
    found = []
    for name in names:
        short = name.removeprefix(f"results/{scene}/").rstrip("/")
        plain = [target for target in known if target.rsplit(".", 1)[0] == short]
        if short not in known and len(plain) == 1:
            short = plain[0]
        if short not in known:
            hint = nearest(short, known)
            raise InputError(
                f"target {name}",
                f"scene {scene} has none of this name",
                f"{hint} There are: {', '.join(known) or 'none'}".strip(),
            )
        found.append(short)
    return found


def scene_in_folder(folder: Path, name: str, configfile: str | None = None) -> tuple[SceneConfig, str]:
    """The settings of a scene, and the file they stand in: ``configfile``, else NAME.yaml, else config.yaml.

    Raises InputError for a scene that none of them has, with those there are.
    """
    known: dict[str, str] = {}
    for file in [configfile] if configfile else [f"{name}.yaml", "config.yaml"]:
        if not configfile and not (folder / file).is_file():
            continue
        scenes = load_config(folder / file, folder)
        if name in scenes:
            return scenes[name], file
        known |= dict.fromkeys(scenes, file)
    if not known and not configfile:
        raise InputError(
            folder.absolute(),
            "has no config.yaml",
            f"go to the folder of {name}, or make one: nsff run VIDEO --name {name}",
        )
    raise unknown_scene(name, known, configfile or "config.yaml")


def unknown_scene(name: str, scenes: Iterable[str], where: str | Path) -> InputError:
    """The error for a scene that a configuration does not have."""
    known = list(scenes)
    return InputError(
        f"scene {name}",
        f"{where} has none of this name",
        f"{nearest(name, known)} There are: {', '.join(known) or 'none'}".strip(),
    )


def unknown_target(text: str, scenes: dict[str, SceneConfig]) -> str:
    """One sentence about a target that no rule makes: the nearest, and those there are."""
    parts = Path(text).parts
    if len(parts) >= 3 and parts[0] == "results" and parts[1] in scenes:
        known = [target.name for target in targets_of(scenes[parts[1]])]
        hint = nearest("/".join(parts[2:]), known)
        return f"There is no target {text}. {_begin(hint)}Scene {parts[1]} has: {', '.join(known)}."
    if len(parts) >= 3 and parts[0] == "results":
        hint = _begin(nearest(parts[1], scenes))
        return f"There is no target {text}: the configuration has no scene {parts[1]}. {hint}There are: " + (
            ", ".join(scenes) + "."
        )
    whole = [f"results/{name}/report.html" for name in scenes] + ["results/index.html", "results/scores.csv"]
    hint = nearest(text, whole)
    return f"There is no target {text}. {_begin(hint)}What there is: nsff targets NAME, for scenes {', '.join(scenes)}."


def _begin(hint: str) -> str:
    return f"{hint[:1].upper()}{hint[1:]} " if hint else ""
