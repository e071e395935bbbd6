"""a model of the MiDaS and DPT family or of Depth Anything, in the format of transformers (depth.model).

Sources: Ranftl et al., Vision Transformers for Dense Prediction, 2021; Yang et al., Depth Anything V2, 2024
(nsff.priors.depth.transformers_depth).
"""

from __future__ import annotations

from pathlib import Path

from nsff.config import DepthConfig
from nsff.priors.depth.estimator import Network
from nsff.priors.depth.model_folders import choose_folder
from nsff.priors.depth.network_backend import network_backend


def open_network(depth: DepthConfig, weights: Path | None) -> Network:
    """The model of the folder. Raises ConfigError or StageError where there is none that can be used."""
    from nsff.priors.depth.transformers_depth import TransformersDepth

    return TransformersDepth(depth)


BACKEND = network_backend(
    "transformers",
    open_network,
    choose_folder,
    packages=("torch", "transformers"),
    auto=1,
    applies=lambda depth: depth.model is not None,
)
