"""activations of VGG16 at several depths, with motion as saliency.

``auto`` does not choose it: on the demo clip its features tell the moving person apart no better than the classical
ones (docs/differences.md). Source: Simonyan, Zisserman, Very Deep Convolutional Networks for Large-Scale Image
Recognition, ICLR 2015 (nsff.priors.features.vgg).
"""

from __future__ import annotations

from pathlib import Path

from nsff.config import FeaturesConfig
from nsff.priors.backends import WeightChoice
from nsff.priors.features.describer import FeatureBackend, SceneDescriber
from nsff.weights import TORCHVISION_PAGE, File, Weight, torchvision_file

USED_BY = "features.backend: vgg"
CITATION = "Simonyan, Zisserman. Very Deep Convolutional Networks for Large-Scale Image Recognition. ICLR 2015."
WEIGHTS = (
    Weight(
        "vgg16-features",
        (
            File(
                "vgg16_features.pth",
                tensors_sha256="461dbd04e503516e496eecc969d40548b096ba63f8a5f4eb0a15941f8aadc796",
                tensors_prefix="features.",
            ),
        ),
        USED_BY,
        "BSD-3-Clause",
        TORCHVISION_PAGE,
        CITATION,
        note="is the convolutions of vgg16 alone, saved by torch from its keys features.*; vgg16 serves as well",
        about_mib=56.1,
    ),
    torchvision_file("vgg16", "vgg16-397923af.pth", 527.8, USED_BY, CITATION),
)


def choose_weights(features: FeaturesConfig) -> WeightChoice:
    """The file that the settings name, else the convolutions of VGG16, else all of it."""
    return WeightChoice(WEIGHTS, features.weights, "features.weights")


def open_vgg(features: FeaturesConfig, weights: Path | None) -> SceneDescriber:
    """VGG16. Raises StageError where the file holds another network."""
    from nsff.priors.features.vgg import VggFeatures, open_network

    assert weights is not None  # choose_weights always names some
    network = open_network(weights)
    return lambda scene: VggFeatures(scene, features, network)


BACKEND = FeatureBackend("vgg", open_vgg, choose_weights, WEIGHTS, ("torch", "torchvision"))
