"""RAFT, the network of NSFF, with torchvision's or the authors' weights.

Source: Teed, Deng, RAFT: Recurrent All-Pairs Field Transforms for Optical Flow, ECCV 2020 (nsff.priors.flow.raft).
Hashes of the authors' files are those of the members of their archive (raft-things as several projects that ship it
record it).
"""

from __future__ import annotations

from pathlib import Path

from nsff.config import FlowConfig
from nsff.priors.backends import WeightChoice
from nsff.priors.flow.estimator import FlowBackend, FlowEstimator
from nsff.weights import File, Weight, torchvision_file

USED_BY = "flow.backend: raft"
CITATION = "Teed, Deng. RAFT: Recurrent All-Pairs Field Transforms for Optical Flow. ECCV 2020."
ARCHIVE = "https://dl.dropboxusercontent.com/s/4j4z58wuv8o0mfz/models.zip"
PAGE = "https://github.com/princeton-vl/RAFT"


def _authors(name: str, sha256: str, size: int) -> Weight:
    """A checkpoint of the authors, a member of their archive."""
    file = File(f"{name}.pth", size, sha256, url=ARCHIVE, member=f"models/{name}.pth")
    note = "the archive holds five checkpoints, about 80 MB"
    return Weight(name, (file,), USED_BY, "BSD-3-Clause", PAGE, CITATION, note=note)


WEIGHTS = (
    _authors("raft-things", "fcfa4125d6418f4de95d84aec20a3c5f4e205101715a79f193243c186ac9a7e1", 21_108_000),
    _authors("raft-sintel", "90630d2e7d488a0d3ccb5e8194524850c4c05c732ea4ff99799822c7fa5c5cbf", 21_108_000),
    _authors("raft-small", "c7d41b9cc88442bb8aa911dbb33086dac55a226394b142937ff22d5578717332", 3_984_814),
    torchvision_file("raft-large-skht", "raft_large_C_T_SKHT_V2-ff5fadd5.pth", 20.1, USED_BY, CITATION),
    torchvision_file("raft-large-things", "raft_large_C_T_V2-1bb1363a.pth", 20.1, USED_BY, CITATION),
    torchvision_file("raft-small-things", "raft_small_C_T_V2-01064c6d.pth", 3.8, USED_BY, CITATION),
)
ORDER = ("raft-things", "raft-sintel", "raft-large-skht", "raft-large-things", "raft-small", "raft-small-things")
"""flow.raft_model auto: NSFF's own first, then large networks, then small ones."""


def choose_weights(flow: FlowConfig) -> WeightChoice:
    """The file that the settings name, else the sets of flow.raft_model."""
    named = {weight.name: weight for weight in WEIGHTS}
    names = ORDER if flow.raft_model == "auto" else (flow.raft_model,)
    return WeightChoice(tuple(named[name] for name in names), flow.weights, "flow.weights")


def open_raft(flow: FlowConfig, weights: Path | None) -> FlowEstimator:
    """The network that the file holds. Raises WeightsError where it holds another."""
    from nsff.priors.flow.raft import RaftFlow

    assert weights is not None  # choose_weights always names some
    return RaftFlow.from_file(weights, flow)


BACKEND = FlowBackend("raft", open_raft, choose_weights, WEIGHTS, ("torch", "torchvision"), auto=1, resized=True)
