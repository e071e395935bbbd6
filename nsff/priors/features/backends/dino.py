"""keys of a vision transformer, the network of SAFF, with its attention as saliency.

The networks are those of nsff.priors.features.dino_variants. No hash is published for the files of DINO and DINOv2.
"""

from __future__ import annotations

from pathlib import Path

from nsff.config import FeaturesConfig
from nsff.priors.backends import WeightChoice
from nsff.priors.features.describer import FeatureBackend, SceneDescriber
from nsff.priors.features.dino_variants import VARIANTS


def choose_weights(features: FeaturesConfig) -> WeightChoice:
    """The file that the settings name, else the authors' of features.dino_model."""
    return WeightChoice((VARIANTS[features.dino_model].weights,), features.weights, "features.weights")


def open_dino(features: FeaturesConfig, weights: Path | None) -> SceneDescriber:
    """The configured network. Raises StageError where the file holds another."""
    from nsff.priors.features.dino import DinoFeatures, open_network

    assert weights is not None  # choose_weights always names some
    network = open_network(features, weights)
    return lambda scene: DinoFeatures(scene, features, network)


BACKEND = FeatureBackend(
    "dino",
    open_dino,
    choose_weights,
    tuple(variant.weights for variant in VARIANTS.values()),
    ("torch", "timm"),
    auto=1,
    attention=True,
)
