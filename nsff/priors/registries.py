"""The registries of all priors, asked by the workflow before any job and by the stages themselves, so that both choose
alike.

With ``auto`` weights that nothing on this machine meets leave a backend without weights; weights that were asked for by
name are an error.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from nsff.config import FeaturesConfig, SceneConfig
from nsff.priors.backends import Registry
from nsff.priors.depth.registry import DEPTH
from nsff.priors.features.registry import FEATURES
from nsff.priors.flow.registry import FLOW, for_far_pairs
from nsff.priors.motion.registry import INSTANCES
from nsff.weights import WEIGHTS, Weight

REGISTRIES: dict[str, Registry[Any, Any]] = {
    "flow": FLOW,
    "motion": INSTANCES,
    "depth": DEPTH,
    "features": FEATURES,
}
"""The registries by the name of the rule whose stage uses them."""


def _features(scene: SceneConfig) -> FeaturesConfig | None:
    """None where the stage does not run: a released checkpoint needs no features to train on."""
    wanted = scene.field.features and (scene.checkpoint is None or scene.decompose.source == "images")
    return scene.features if wanted else None


SECTIONS: dict[str, Callable[[SceneConfig], Any]] = {
    "flow": lambda scene: for_far_pairs(scene.flow) if scene.flow.far else scene.flow,
    "motion": lambda scene: scene.motion,
    "depth": lambda scene: scene.depth,
    "features": _features,
}
"""The settings of each stage, None where it does not run."""


def weight_files(stage: str, scene: SceneConfig) -> list[Path]:
    """The weights that the stage will load, empty where it needs none. Errors as nsff.priors.backends.Need.resolve.

    Whether flow or depth comes with the source, and takes precedence under ``auto``, is known after ingest only, so
    that weights may be named that are not loaded in the end.
    """
    section = SECTIONS[stage](scene) if stage in SECTIONS else None
    chosen = None if section is None else REGISTRIES[stage].choose(section)
    return [chosen[1]] if chosen is not None and chosen[1] is not None else []


RECOMMENDED = ("raft-things", "maskrcnn", "midas-v21", "dino-vits8")
"""The sets of weights that NSFF and SAFF were published with, one for each prior: 675 MiB, all of open licences."""


def known_weights() -> dict[str, Weight]:
    """All sets of weights by name: those of the priors' backends, and those that scores need."""
    backends = [backend for registry in REGISTRIES.values() for backend in registry.backends.values()]
    return {weight.name: weight for backend in backends for weight in backend.weights} | WEIGHTS
