"""Which learned backend a stage uses, and the files of its weights: asked by the workflow before any job, and by the
stage itself, so that both choose alike.

A need names the sets of the registry that serve, best first. A file that the settings name comes before them. With
backend ``auto`` a need that nothing on this machine meets leaves the classical backend; one that was asked for by name
is an error. A new learned backend is a function here and its line in NEEDS.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from nsff.config import DepthConfig, FeaturesConfig, FlowConfig, MotionConfig, SceneConfig
from nsff.errors import WeightsError
from nsff.weights import WEIGHTS, find, locate
from nsff.weights.check import check_sizes
from nsff.weights.search import remedy

RAFT_ORDER = (
    "raft-things", "raft-sintel", "raft-large-skht", "raft-large-things", "raft-small", "raft-small-things",
)  # fmt: skip
"""flow.raft_model auto: NSFF's own first, then large networks, then small ones."""


@dataclass(frozen=True)
class Need:
    """Weights that a stage would load.

    ``candidates`` are names in the registry, best first. ``file`` is what the settings name under the key ``file_key``;
    None: search. ``asked_by`` is the key that asks for the backend; ``required``: it does so by name. ``instead`` says
    which setting does without.
    """

    candidates: tuple[str, ...]
    file: str | None
    file_key: str
    asked_by: str
    required: bool
    instead: str

    def resolve(self) -> Path | None:
        """The file or folder; None where the classical backend has to do.

        Raises WeightsError where the file that the settings name is missing, the backend is required and nothing is
        found, or a file is shorter or longer than published.
        """
        if self.file is not None:
            path = Path(self.file).expanduser()
            if not path.exists():
                raise WeightsError(self.file_key, f"no such file: {path}", "name an existing file, or null")
            return path
        for name in self.candidates:
            found = locate(name)
            if found is not None:
                check_sizes(WEIGHTS[name], found)
                return found
        if not self.required:
            return None
        first, *others = (WEIGHTS[name] for name in self.candidates)
        raise WeightsError(
            first.location,
            f"weights {first.name}, which {self.asked_by} asks for, are not found"
            + (f", nor are {', '.join(weight.name for weight in others)}" if others else ""),
            f"{remedy(first)}; or name a file in {self.file_key}; or set {self.instead}",
        )


def flow_need(flow: FlowConfig) -> Need | None:
    """RAFT's, where it may be used."""
    if flow.backend not in ("auto", "raft"):
        return None
    candidates = RAFT_ORDER if flow.raft_model == "auto" else (flow.raft_model,)
    return Need(
        candidates, flow.weights, "flow.weights", "flow.backend", flow.backend == "raft", "flow.backend: dis"
    )  # fmt: skip


def features_need(features: FeaturesConfig) -> Need | None:
    """DINO's or VGG's, where they may be used."""
    if features.backend == "classical":
        return None
    vgg = ("vgg16-features", "vgg16")
    return Need(
        vgg if features.backend == "vgg" else (features.dino_model.replace("_", "-"),),
        features.weights,
        "features.weights",
        "features.backend",
        features.backend != "auto",
        "features.backend: classical",
    )


def motion_need(motion: MotionConfig) -> Need | None:
    """Mask R-CNN's, where instances may be used."""
    if motion.instances == "off":
        return None
    return Need(
        ("maskrcnn",),
        motion.instance_weights,
        "motion.instance_weights",
        "motion.instances",
        motion.instances == "on",
        "motion.instances: off",
    )


def depth_need(depth: DepthConfig) -> Need | None:
    """MiDaS's, or the folder of a model of transformers, where they may be used.

    A repository in transformers' own cache has no file here: the stage asks that cache for the pinned commit.
    """
    if depth.backend in ("given", "classical") or (depth.backend == "auto" and "learned" not in depth.auto_order):
        return None
    if depth.backend == "transformers" or (depth.backend == "auto" and depth.model is not None):
        folder = model_path(depth)
        if folder is None:
            return None
        return Need((), str(folder), "depth.model", "depth.backend", True, "depth.backend: classical")
    required = depth.backend == "midas21"
    return Need(
        ("midas-v21",), depth.weights, "depth.weights", "depth.backend", required, "depth.backend: classical"
    )  # fmt: skip


def model_path(depth: DepthConfig) -> Path | None:
    """The folder of ``depth.model``: a path, or a folder among the weights; None for a repository's name."""
    if depth.model is None:
        return None
    path = Path(depth.model).expanduser()
    return path if path.is_dir() else find(depth.model)


def _has_features(scene: SceneConfig) -> bool:
    """Whether the stage runs at all: a released checkpoint needs no features to train on."""
    return scene.field.features and (scene.checkpoint is None or scene.decompose.source == "images")


NEEDS: dict[str, Callable[[SceneConfig], Need | None]] = {
    "flow": lambda scene: flow_need(scene.flow),
    "motion": lambda scene: motion_need(scene.motion),
    "depth": lambda scene: depth_need(scene.depth),
    "features": lambda scene: features_need(scene.features) if _has_features(scene) else None,
}
"""By the name of the rule."""


def weight_files(stage: str, scene: SceneConfig) -> list[Path]:
    """The weights that the stage will load, empty where it needs none or is classical. Errors as Need.resolve.

    Flow that comes with the source takes precedence under ``auto``; whether there is any is known after ingest only, so
    that weights may be named that are not loaded in the end.
    """
    need = NEEDS[stage](scene) if stage in NEEDS else None
    path = need.resolve() if need is not None else None
    return [] if path is None else [path]
