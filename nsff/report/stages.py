"""The stages in the order of the pipeline: their titles, where the page shows them, and what usually goes wrong there.

Keys of the configuration stand in backquotes as ``section.key``; a test checks that they exist.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from nsff.config import SceneConfig


@dataclass(frozen=True)
class Stage:
    """``name`` is that of summaries/{name}.json and of the rule's log; ``section`` the anchor on the page.
    ``settled_by`` are later stages: where they call their results good, a doubt of this one came to nothing."""

    name: str
    title: str
    section: str
    cause: str
    remedy: str
    builds_on: tuple[str, ...] = ()
    settled_by: tuple[str, ...] = ()


STAGES = (
    Stage(
        "ingest",
        "Input",
        "input",
        "The source has blurred, repeated or very dark frames, changes of exposure, or hardly moves between frames.",
        "Take another part of the clip (`input.start`, `input.end`) or fewer frames (`input.skip`, `input.stride`).",
        settled_by=("score",),
    ),
    Stage(
        "flow",
        "Optical flow",
        "flow",
        "Motion between frames is large, or surfaces have no texture; what is uncovered never has consistent flow.",
        "Take frames closer together (`input.stride`), or use more rows (`canonical.resize_height`, `flow.enlarge`).",
        ("ingest",),
        settled_by=("score",),
    ),
    Stage(
        "coarse_masks",
        "Coarse motion masks",
        "masks",
        "Flow is poor, or what moves fills most of the picture, so that the background is taken for the mover.",
        "Look at the flow first; then raise `motion.coarse_threshold` if masks are too large, or lower it.",
        ("flow",),
        settled_by=("sfm", "cameras"),
    ),
    Stage(
        "sfm",
        "Structure from motion",
        "cameras",
        "The camera turns without moving, the scene lacks texture, movers are not masked, or the focal length is badly "
        "determined.",
        "Film with the camera moving sideways; set `sfm.focal` if the focal length is known; look at the coarse masks.",
        ("ingest", "coarse_masks"),
        settled_by=("score",),
    ),
    Stage(
        "cameras",
        "Cameras and canonical frames",
        "cameras",
        "The model has few points, or a lens distortion that cannot be undone without losing much of the picture.",
        "See structure from motion; `canonical.resize_height` sets the size of everything later.",
        ("sfm", "flow"),
        settled_by=("score",),
    ),
    Stage(
        "motion",
        "Motion masks",
        "masks",
        "Cameras are slightly off, so that still things seem to move, or a thing moves along its epipolar line.",
        "See the cameras; raise `motion.epipolar_threshold` if still things are in the masks, or lower it.",
        ("flow", "cameras"),
        settled_by=("score",),
    ),
    Stage(
        "depth",
        "Depth",
        "depth",
        "The camera moves too little for triangulation, poses and flow disagree, or a network misreads the scene.",
        "Let frames further apart be used (`depth.max_interval`), take another `depth.backend`, or bring depth of your "
        "own (`input.depth`).",
        ("flow", "cameras", "motion"),
        settled_by=("score",),
    ),
    Stage(
        "features",
        "Features and saliency",
        "features",
        "Nothing in the picture stands out by its motion, or the motion masks are empty.",
        "See the motion masks; `features.motion_weight` sets how much motion tells objects apart.",
        ("motion",),
        settled_by=("crf",),
    ),
    Stage(
        "train",
        "Training",
        "training",
        "Too few steps, cameras that do not fit, or motion masks that miss what moves.",
        "Raise `train.steps`, or take preset fast or one of the published ones on a GPU; see cameras and motion masks.",
        ("cameras", "motion", "depth", "features"),
        settled_by=("score",),
    ),
    Stage(
        "render_view",
        "Video, moving camera",
        "videos",
        "The camera goes where no frame saw the scene.",
        "Lower `render.amplitude`, or start from another frame (`render.target`).",
        ("train",),
    ),
    Stage(
        "render_time",
        "Video, moving time",
        "videos",
        "Scene flow between frames is wrong, which shows as jumps or doubled outlines.",
        "Train longer (`train.steps`); see flow and motion masks.",
        ("train",),
    ),
    Stage(
        "render_spacetime",
        "Video, both moving",
        "videos",
        "The causes of the other two videos.",
        "Lower `render.amplitude`, train longer (`train.steps`).",
        ("train",),
    ),
    Stage(
        "render_keyframes",
        "Video, along key frames",
        "videos",
        "The path leads where no frame saw the scene.",
        "Save another path from the scene's page (`render.path_file`), nearer to the clip's own.",
        ("train",),
    ),
    Stage(
        "maps",
        "Maps of each view",
        "maps",
        "The dynamic field explains what is still (cameras off), or nothing at all (motion masks empty).",
        "See cameras and motion masks; `losses.w_dynamic_mask` ties the dynamic field to the masks.",
        ("train",),
    ),
    Stage(
        "cluster",
        "Clusters",
        "objects",
        "Saliency is low everywhere, or features of object and background are alike.",
        "See the saliency maps; lower `decompose.saliency_threshold` or `decompose.vote_fraction`.",
        ("maps",),
        settled_by=("crf",),
    ),
    Stage(
        "postprocess",
        "Object masks",
        "objects",
        "Objects are thinner or smaller than what the cleaning removes.",
        "Lower `decompose.min_component` or `decompose.morphology_iterations`.",
        ("cluster",),
        settled_by=("crf",),
    ),
    Stage(
        "crf",
        "Object masks after the CRF",
        "objects",
        "Object and background have the same colour and depth, so that the CRF moves the outline away.",
        "Compare masks before and after; lower `crf.rgb_weight` or `crf.depth_weight`.",
        ("postprocess",),
    ),
    Stage(
        "page",
        "Scene to fly through",
        "page",
        "The model has few surfaces, or the clip is long and its frames are large.",
        "See training first; lower `page.picture_width` where the file is too large.",
        ("train",),
    ),
    Stage(
        "score",
        "Scores",
        "scores",
        "What held-out views show is what the stages above left to them, cameras and training first.",
        "Begin with the first stage of this page that is not good.",
        ("train", "crf"),
    ),
)

BY_MOTION: dict[str, dict[str, Any]] = {
    "cluster": {
        "title": "Objects by motion",
        "cause": "Motion masks miss what moves, or hold what rests; or what is behind a thing is seen too rarely.",
        "remedy": "See the motion masks first (`motion.epipolar_threshold`, `motion.picture_evidence`); what crosses "
        "more of the picture is told apart better (`input.stride`). Set `decompose.method` to clusters for features.",
        "builds_on": ("motion", "depth", "maps"),
    },
    "postprocess": {
        "cause": "What the objects by motion were: with this method masks are not cleaned.",
        "remedy": "See the stage before; outlines are moved by the CRF (`crf.rgb_weight`).",
    },
}
"""Other words for stages where objects are found by what moves together (decompose.method: motion)."""


def as_configured(stage: Stage, config: SceneConfig | None) -> Stage:
    """The stage with what is said of it under these settings."""
    said = BY_MOTION.get(stage.name, {}) if config is not None and config.decompose.by_motion else {}
    return replace(stage, **said)


TITLES = {stage.name: stage.title for stage in STAGES}


def not_asked(stage: str, config: SceneConfig | None) -> str | None:
    """Why a stage is no part of this scene's run by its settings, or None where it is one."""
    if config is None:
        return None
    if stage == "page" and not config.page.enabled:
        return "page.enabled is false"
    if stage in ("features", "cluster", "postprocess", "crf") and not config.field.features:
        return "field.features is false, so there is nothing to cluster"
    if stage in ("cluster", "postprocess", "crf") and not config.has_objects:
        return "field.saliency is false, so that no cluster could be told from another"
    if stage.startswith("render_") and stage.removeprefix("render_") not in config.render.paths:
        return "render.paths does not name it"
    return None
