"""Which settings each stage depends on: those that change its results, and those that it reads all the same.

The workflow makes a stage's results again where a key of CHANGES has another value, and only then. Keys of EXECUTION
say where and how the work is done, what is written beside the results, or when to stop: the stage is told them, and a
new value leaves its results as they are. A key is ``section.name``; a single name is a section as a whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from nsff.config.base import StageConfig
from nsff.config.inputs import InputConfig
from nsff.config.model import TrainConfig
from nsff.config.outputs import DecomposeConfig, PageConfig
from nsff.config.priors import FeaturesConfig, MotionConfig, SfmConfig


def _but(section: str, model: type[StageConfig], *without: str) -> tuple[str, ...]:
    """The keys of a section without some, so that a key that is added to it counts until somebody says otherwise."""
    return tuple(f"{section}.{name}" for name in model.model_fields if name not in without)


def _of(section: str, *names: str) -> tuple[str, ...]:
    return tuple(f"{section}.{name}" for name in names)


_GPU = ("train.device", "train.memory_gb")
_TRAINING = (
    "device", "memory_gb", "cuda_graphs", "checkpoint_every", "log_every", "preview_every", "tensorboard", "keep_state",
)  # fmt: skip
_COARSE = ("coarse_threshold", "coarse_dilation_radius", "seed")
_POINTS = ("seed", "point_interval", "point_opacity")
_CLEANING = ("cleaning", "morphology_iterations", "closing_area", "min_component", "scale_with_height")
_VIDEO = ("frames", "frame_rate", "target", "maps", "pictures", "render_factor", "interpolation", "without", "size")
# The same order: it is that of what Snakemake has recorded.
_ANY_VIDEO = tuple(name for name in _VIDEO if name not in ("frames", "target"))

CHANGES: dict[str, tuple[str, ...]] = {
    "ingest": _but("input", InputConfig, "max_frames"),
    "flow": ("flow", "canonical.resize_height"),
    "coarse_masks": _of("motion", *_COARSE, "opening_radius", "coverage_warning"),
    "sfm": _but("sfm", SfmConfig, "turning", "still"),
    "cameras": ("canonical",),
    "motion": _but("motion", MotionConfig, *_COARSE),
    "depth": ("depth",),
    "features": _but("features", FeaturesConfig, "batch"),
    "train": ("preset", "checkpoint", "model", "field", "sampling", "losses", *_but("train", TrainConfig, *_TRAINING)),
    "render_view": _of("render", *_VIDEO, "amplitude"),
    "render_time": _of("render", *_VIDEO, "start", "end"),
    "render_spacetime": _of("render", *_VIDEO, "amplitude", "start", "end", "follow"),
    "render_keyframes": _of("render", *_ANY_VIDEO, "path_file"),
    "maps": ("render.canonical_views",),
    "points": _of("decompose", *_POINTS),
    # point_opacity alone is the points' own: the seed draws points and starts k-means.
    "cluster": _but("decompose", DecomposeConfig, "point_interval", "point_opacity", *_CLEANING, "split_instances"),
    "postprocess": _of("decompose", "method", *_CLEANING, "split_instances"),
    "crf": ("crf",),
    "extract": _of("extract", "occluded", "clouds", "point_opacity", "far"),
    "page": ("field.features", "field.saliency", *_but("page", PageConfig, "enabled")),
    "score": ("evaluation", "score", "field.features", "field.saliency", "train.hold_out"),
    # And all others: the page shows every setting as it is (nsff/workflow/scene_plan.py).
    "report": ("report",),
}
"""By stage, and by path where videos depend on different keys: all that changes its results, other files aside."""

EXECUTION: dict[str, tuple[str, ...]] = {
    "ingest": ("input.max_frames",),
    "flow": _GPU,
    # A clip that was refused has no results that another value would change.
    "sfm": ("sfm.turning", "sfm.still"),
    "motion": _GPU,
    "depth": _GPU,
    # Whether the stage is needed at all, which it asks where it asks for weights.
    "features": ("features.batch", "field.features", *_GPU),
    "train": (*_of("train", *_TRAINING), "render.chunk"),
    "render_view": ("render.chunk", "preset", *_GPU),
    "render_time": ("render.chunk", "preset", *_GPU),
    "render_spacetime": ("render.chunk", "preset", *_GPU),
    "render_keyframes": ("render.chunk", "preset", *_GPU),
    "maps": ("render.chunk", *_GPU),
    "points": _GPU,
    "cluster": ("decompose.point_opacity",),
    "extract": _GPU,
    "page": _GPU,
    # score.oracle cleans and refines as the masks were: what changes these makes other masks, which are scored anew.
    # Protocol refit: another model is trained anew, and scored then.
    "score": ("render.chunk", *_GPU, "crf", *_of("decompose", *_CLEANING), "model"),
}
"""By stage, all that it reads beside that."""


def keys_of(stage: str) -> tuple[str, ...]:
    """All keys that a stage reads; ``render`` stands for the videos of all paths."""
    stages = [name for name in CHANGES if name == stage or (name.startswith(f"{stage}_") and stage == "render")]
    return tuple(dict.fromkeys(key for name in stages for key in (*CHANGES[name], *EXECUTION.get(name, ()))))


def chosen(whole: Mapping[str, Any], keys: Iterable[str]) -> dict[str, Any]:
    """The named sections and single keys of resolved settings (``SceneConfig.model_dump``), as sections again."""
    result: dict[str, Any] = {}
    for key in keys:
        section, _, name = key.partition(".")
        if name:
            result.setdefault(section, {})[name] = whole[section][name]
        else:
            result[section] = whole[section]
    return result
