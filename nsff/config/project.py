"""The whole configuration: scenes, presets, overlays, the JSON schema, and the checks done before any job starts.

A scene's sections are resolved in this order, later wins: defaults, preset, overlays, top-level section, the scene's
own section.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, model_validator

from nsff.config.base import StageConfig, UserPath, explain, nearest
from nsff.config.inputs import CanonicalConfig, EvaluationConfig, InputConfig
from nsff.config.model import FieldConfig, LossConfig, ModelConfig, SamplingConfig, TrainConfig
from nsff.config.outputs import (
    CrfConfig,
    DecomposeConfig,
    ExtractConfig,
    PageConfig,
    RenderConfig,
    ReportConfig,
    ScoreConfig,
)
from nsff.config.overlays import OVERLAYS
from nsff.config.presets import PRESETS, PresetName
from nsff.config.priors import DepthConfig, FeaturesConfig, FlowConfig, MotionConfig, SfmConfig
from nsff.config.renamed import with_present_names
from nsff.config.reproduce import ReproduceConfig, find_scenes
from nsff.config.strict_yaml import read_yaml
from nsff.errors import ConfigError, printable
from nsff.files.foreign import foreign
from nsff.files.reading import reason

OverlayName = Literal[
    "_0", "_0_nodep", "_0_norig", "_2", "_3", "_4", "_4_nodep", "_4_norig", "_5", "_6", "_7", "_old", "_nosal",
    "additive", "released_masks", "motion_vote", "points", "images",
    "nsff_balloon1", "nsff_balloon2", "nsff_playground", "nsff_dynamicface", "nsff_jumping",
    "on_dynnerf12", "on_saff", "on_dycheck", "on_iphone",
]  # fmt: skip
SCENE_NAME = re.compile(r"[\w-]{1,100}")
RESERVED = ("logs", "benchmarks")
"""Folders of results/ that belong to no scene."""


class StagesConfig(StageConfig):
    """The sections that a preset, the top level and a scene may each set."""

    canonical: CanonicalConfig = CanonicalConfig()
    """Undistortion and canonical size."""
    flow: FlowConfig = FlowConfig()
    """Optical flow."""
    motion: MotionConfig = MotionConfig()
    """Motion masks."""
    sfm: SfmConfig = SfmConfig()
    """Structure from motion."""
    depth: DepthConfig = DepthConfig()
    """Relative inverse depth."""
    features: FeaturesConfig = FeaturesConfig()
    """Semantic features and saliency."""
    model: ModelConfig = ModelConfig()
    """Kind of scene model."""
    field: FieldConfig = FieldConfig()
    """Static and dynamic field."""
    sampling: SamplingConfig = SamplingConfig()
    """Samples along rays."""
    losses: LossConfig = LossConfig()
    """Losses."""
    train: TrainConfig = TrainConfig()
    """Optimisation."""
    render: RenderConfig = RenderConfig()
    """Videos and maps."""
    decompose: DecomposeConfig = DecomposeConfig()
    """Clustering and morphology."""
    crf: CrfConfig = CrfConfig()
    """Dense CRF."""
    extract: ExtractConfig = ExtractConfig()
    """Objects alone, in 3-D."""
    page: PageConfig = PageConfig()
    """The scene's page, to fly through."""
    score: ScoreConfig = ScoreConfig()
    """Scoring."""
    report: ReportConfig = ReportConfig()
    """Report page."""


class SceneConfig(StagesConfig):
    """One scene, fully resolved."""

    input: InputConfig
    """The source of frames."""
    evaluation: list[EvaluationConfig] = Field(default_factory=list)
    """Evaluations to run after training."""
    preset: PresetName = "fast"
    """The preset that fills what is not set."""
    overlays: list[OverlayName] = Field(default_factory=list)
    """Named changes laid over the preset, in this order: ablations of the published systems, and variants."""
    checkpoint: UserPath | None = None
    """A checkpoint released by the authors of NSFF or SAFF (360000.tar): imported instead of training."""

    @model_validator(mode="after")
    def _combinations(self) -> SceneConfig:
        """Refuses combinations across sections; each message names the keys that exclude each other."""
        if self.field.static_only and self.field.dynamic_only:
            raise ValueError("field.static_only and field.dynamic_only exclude each other")
        if self.field.saliency and not self.field.features:
            raise ValueError("field.saliency needs field.features; set both, or neither")
        for name in self.render.maps:
            if not getattr(self.field, name):
                raise ValueError(f"render.maps: {name} needs field.{name}")
        if "keyframes" in self.render.paths and self.render.path_file is None:
            raise ValueError("render.paths: keyframes needs render.path_file, which the scene's page saves")
        if self.train.hold_out == 1:
            raise ValueError("train.hold_out: 1 leaves no frame to train on; 8 is usual, 0 holds none out")
        for key, (low, high) in (
            ("sfm.focal_range", self.sfm.focal_range),
            ("motion.coverage_warning", self.motion.coverage_warning),
        ):
            if low >= high:
                raise ValueError(f"{key}: [{low}, {high}] is empty; the lower bound comes first")
        protocols: list[str] = [evaluation.protocol for evaluation in self.evaluation]
        for protocol in protocols:
            if protocols.count(protocol) > 1:
                raise ValueError(f"evaluation names protocol {protocol} twice; a scene has one truth for each protocol")
        if "dycheck" in protocols and self.train.hold_out != 2:
            raise ValueError(
                "evaluation protocol dycheck needs train.hold_out: 2, so that odd frames are not trained on"
            )
        if "self" in protocols and self.train.hold_out < 2:
            raise ValueError("evaluation protocol self needs train.hold_out of at least 2 (8 is usual)")
        for evaluation in self.evaluation:
            if evaluation.protocol != "self" and evaluation.truth is None:
                raise ValueError(f"evaluation protocol {evaluation.protocol} needs truth")
            if evaluation.protocol == "masks" and not self.has_objects:
                raise ValueError("evaluation protocol masks needs field.features and field.saliency")
        if self.render.without not in ([], "moving") and not self.has_objects:
            raise ValueError(
                "render.without names objects, which need field.features and field.saliency; or set moving"
            )
        if self.checkpoint and (self.field.kind != "mlp" or self.field.composition != "blending"):
            raise ValueError("checkpoint needs the published networks: preset nsff or saff")
        return self

    @property
    def has_objects(self) -> bool:
        """Whether there is something to cluster and to vote on (SAFF refuses to cluster without a saliency head)."""
        return self.field.features and self.field.saliency


class ProjectConfig(StagesConfig):
    """The file config.yaml: scenes, a default preset, and sections that hold for all scenes."""

    preset: PresetName = "fast"
    """Default preset of all scenes: demo (CPU minutes), fast (a GPU), nsff, saff (the published models)."""
    overlays: list[OverlayName] = Field(default_factory=list)
    """Overlays of all scenes that name none of their own."""
    scenes: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Scenes by name; each has input, and may have preset, evaluation and any section."""
    reproduce: ReproduceConfig | None = None
    """Scenes of a protocol in a folder, beside those above; `snakemake reproduce` makes their table."""


def load_config(source: Path | Mapping[str, Any], root: Path | None = None) -> dict[str, SceneConfig]:
    """Reads and checks a configuration; returns the resolved scenes by name.

    ``source`` is a YAML file or its content; ``root`` is the folder that relative input and truth paths start from
    (default: the working directory). Raises ConfigError with key, value, what is allowed and the nearest key.
    """
    raw = _read(source) if isinstance(source, (str, Path)) else deepcopy(dict(source))
    raw = with_present_names(raw)
    if isinstance(raw.get("scenes"), Mapping):
        for name, own in raw["scenes"].items():
            if not isinstance(name, str):
                raise ConfigError(
                    f"scenes.{name}",
                    f"is read by YAML as {type(name).__name__}, not as a name",
                    f"write the name in quotes, as it is: '{name}':",
                )
            if not isinstance(own, Mapping):
                raise ConfigError(
                    f"scenes.{name}",
                    f"holds {own!r}, not settings",
                    f"write scenes: {{{name}: {{input: {{path: video.mp4}}}}}}",
                )
    project = checked_project(raw)
    project = project.model_copy(update={"scenes": project.scenes | _found(project, root or Path.cwd())})
    if not project.scenes:
        raise ConfigError("scenes", "is empty", "add at least one scene: scenes: {name: {input: {path: video.mp4}}}")
    sections = {key: raw[key] for key in StagesConfig.model_fields if key in raw}
    scenes = {}
    for name, own in project.scenes.items():
        if not SCENE_NAME.fullmatch(str(name)) or name in RESERVED:
            raise ConfigError(
                f"scenes.{name}",
                "is not usable as a scene's name",
                "use letters, digits, _ and -, at most 100, not logs or benchmarks",
            )
        scenes[str(name)] = resolve_scene(str(name), own, project.preset, sections, project.overlays)
    for name, scene in scenes.items():
        check_files(name, scene, root or Path.cwd())
    return scenes


def checked_project(raw: Mapping[str, Any]) -> ProjectConfig:
    """The content of a configuration file, its keys and values checked. Raises ConfigError."""
    try:
        return ProjectConfig.model_validate(raw)
    except ValidationError as error:
        raise explain(error, ProjectConfig, "") from None


def reproduced(source: Mapping[str, Any], root: Path | None = None) -> list[str]:
    """Names of the scenes that section ``reproduce`` of a checked configuration finds; none without one."""
    if not source.get("reproduce"):
        return []
    return list(find_scenes(ReproduceConfig.model_validate(source["reproduce"]), root or Path.cwd()))


def _found(project: ProjectConfig, root: Path) -> dict[str, dict[str, Any]]:
    if project.reproduce is None:
        return {}
    found = find_scenes(project.reproduce, root)
    twice = sorted(found.keys() & project.scenes.keys())
    if twice:
        raise ConfigError(
            f"scenes.{twice[0]}",
            f"is also found in {project.reproduce.folder} by reproduce",
            "rename it, or leave it out",
        )
    return found


def resolve_scene(
    name: str, own: Mapping[str, Any], preset: str, sections: Mapping[str, Any], overlays: Sequence[str] = ()
) -> SceneConfig:
    """Lays preset, overlays, top-level sections and the scene's own over each other; raises ConfigError naming the
    scene's key."""
    preset = own.get("preset", preset)
    if preset not in PRESETS:
        raise ConfigError(
            f"scenes.{name}.preset",
            f"unknown preset {preset!r}",
            f"{nearest(str(preset), PRESETS)} allowed: {', '.join(PRESETS)}",
        )
    merged: dict[str, Any] = PRESETS[preset]
    chosen = own.get("overlays", list(overlays))
    for overlay in chosen if isinstance(chosen, list) else ():
        if overlay not in OVERLAYS:
            raise ConfigError(
                f"scenes.{name}.overlays",
                f"unknown overlay {overlay!r}",
                f"{nearest(str(overlay), OVERLAYS)} allowed: {', '.join(OVERLAYS)}",
            )
        merged = merge(merged, OVERLAYS[overlay])
    merged = laid_over(laid_over(merged, user_layer(sections)), user_layer(own, f"scenes.{name}"))
    merged |= {"preset": preset, "overlays": chosen}
    try:
        return SceneConfig.model_validate(merged)
    except ValidationError as error:
        raise explain(error, SceneConfig, f"scenes.{name}") from None


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """A new dictionary: mappings merge key by key, everything else in ``over`` replaces."""
    result = deepcopy(dict(base))
    for key, value in over.items():
        below = result.get(key)
        result[key] = (
            merge(below, value) if isinstance(value, Mapping) and isinstance(below, Mapping) else deepcopy(value)
        )
    return result


def laid_over(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """``merge``, but that a scene model of another kind has none of the options of the one below.

    >>> below = {"model": {"kind": "gaussians", "options": {"reach": 3}}}
    >>> laid_over(below, {"model": {"kind": "ray_fields"}})
    {'model': {'kind': 'ray_fields'}}
    """
    below, model = base.get("model"), over.get("model")
    told = [part["kind"] for part in (below, model) if isinstance(part, Mapping) and "kind" in part]
    if isinstance(below, Mapping) and len(told) == 2 and told[0] != told[1]:
        base = {**base, "model": {key: value for key, value in below.items() if key != "options"}}
    return merge(base, over)


def user_layer(layer: Mapping[str, Any], where: str = "") -> dict[str, Any]:
    """A user's settings under their present names, in which a decay period counts as it is said, unless they say that
    it goes by the frames. ``where`` is their key in the file, for errors."""
    layer = with_present_names(layer, where)
    losses = layer.get("losses")
    if isinstance(losses, Mapping) and "decay_steps" in losses:
        return merge({"losses": {"decay_by_frames": False}}, layer)
    return dict(layer)


def check_files(name: str, scene: SceneConfig, root: Path) -> None:
    """Every path a scene names must exist; raises ConfigError."""
    named = [("input.path", scene.input.path), ("input.truth_priors", scene.input.truth_priors)]
    named += [("input.depth.path", scene.input.depth.path if scene.input.depth else None)]
    named += [("input.tracks.path", scene.input.tracks.path if scene.input.tracks else None)]
    named += [("checkpoint", scene.checkpoint), ("flow.weights", scene.flow.weights)]
    named += [("depth.weights", scene.depth.weights), ("features.weights", scene.features.weights)]
    named += [("motion.instance_weights", scene.motion.instance_weights)]
    named += [(f"evaluation.{i}.truth", e.truth) for i, e in enumerate(scene.evaluation)]
    for key, value in named:
        if value is not None:
            _check_path(f"scenes.{name}.{key}", value, root)


def _check_path(key: str, value: str, root: Path) -> None:
    try:
        kind = (root / value).stat().st_mode
    except (OSError, ValueError) as error:
        missing = isinstance(error, (FileNotFoundError, NotADirectoryError))
        problem = f"no such file or folder: {value}" if missing else f"no path of a file or folder ({reason(error)})"
        raise ConfigError(key, printable(problem, 400), f"paths are relative to {root}") from None
    if not stat.S_ISREG(kind) and not stat.S_ISDIR(kind):
        raise ConfigError(key, f"is a pipe or a device: {value}", "give a file or a folder")
    other = foreign(root / value)
    if other is not None and not other.empty:
        raise ConfigError(key, f"{value} is {other.what}", other.remedy)


def schema() -> dict[str, Any]:
    """The JSON schema of config.yaml, written to schemas/config.schema.json."""
    result = ProjectConfig.model_json_schema()
    scene = SceneConfig.model_json_schema()
    definitions = {**scene.pop("$defs"), **result.get("$defs", {})}
    definitions["Scene"] = {**scene, "required": ["input"]}
    # What a section does not say comes from the preset, so that no default is true for it.
    for name in StagesConfig.model_fields:
        for properties in (result["properties"], scene["properties"]):
            properties[name].pop("default", None)
    result["$defs"] = definitions
    result["properties"]["scenes"]["additionalProperties"] = {"$ref": "#/$defs/Scene"}
    return result


def _read(path: str | Path) -> dict[str, Any]:
    content = read_yaml(path)
    if not isinstance(content, dict):
        raise ConfigError(path, "holds no mapping", "see config.yaml in the repository")
    return content
