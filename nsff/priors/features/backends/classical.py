"""dense colour, texture and gradient descriptors, without weights, with motion as saliency."""

from __future__ import annotations

from pathlib import Path

from nsff.config import FeaturesConfig
from nsff.priors.features.describer import FeatureBackend, SceneDescriber


def open_classical(features: FeaturesConfig, weights: Path | None) -> SceneDescriber:
    """The descriptors of nsff.priors.features.classical."""
    from nsff.priors.features.classical import ClassicalFeatures

    return lambda scene: ClassicalFeatures(scene, features)


BACKEND = FeatureBackend("classical", open_classical, explained=0.8)
