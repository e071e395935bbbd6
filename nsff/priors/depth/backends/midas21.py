"""MiDaS v2.1, the network of NSFF.

Source: Ranftl et al., Towards Robust Monocular Depth Estimation, 2020 (nsff.priors.depth.midas). The digits in the name
of its authors' file (github.com/isl-org/MiDaS, release v2_1) are the first of its sha256.
"""

from __future__ import annotations

from pathlib import Path

from nsff.config import DepthConfig
from nsff.priors.backends import WeightChoice
from nsff.priors.depth.estimator import Network
from nsff.priors.depth.network_backend import network_backend
from nsff.weights import File, Weight

WEIGHTS = (
    Weight(
        "midas-v21",
        (
            File(
                "midas_v21-f6b98070.pt",
                sha256_prefix="f6b98070",
                url="https://github.com/AlexeyAB/MiDaS/releases/download/midas_dpt/midas_v21-f6b98070.pt",
            ),
        ),
        "depth (MiDaS v2.1, as in NSFF)",
        "MIT",
        "https://github.com/isl-org/MiDaS",
        "Ranftl et al. Towards Robust Monocular Depth Estimation. TPAMI 2022.",
        about_mib=402.0,
    ),
)


def choose_weights(depth: DepthConfig) -> WeightChoice:
    """The file that the settings name, else the authors'."""
    return WeightChoice(WEIGHTS, depth.weights, "depth.weights")


def open_network(depth: DepthConfig, weights: Path | None) -> Network:
    """The network. Raises StageError where the file holds another."""
    from nsff.priors.depth.midas import MidasDepth
    from nsff.priors.depth.midas_network import load_midas

    assert weights is not None  # choose_weights always names some
    return MidasDepth(depth, load_midas(weights))


BACKEND = network_backend(
    "midas21",
    open_network,
    choose_weights,
    weights=WEIGHTS,
    packages=("torch",),
    auto=2,
    applies=lambda depth: depth.model is None,
)
