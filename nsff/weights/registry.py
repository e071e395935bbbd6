"""The sets of weights that serve no prior: those of LPIPS.

Each backend of a prior lists its own (nsff.priors.backends); ``nsff.priors.registries.known_weights`` has all of them.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping

from nsff.errors import WeightsError
from nsff.weights.entry import TORCHVISION_PAGE, File, Weight

_LPIPS = "Zhang et al. The Unreasonable Effectiveness of Deep Features as a Perceptual Metric. CVPR 2018."

_ENTRIES = [
    Weight(
        "alexnet-features",
        (
            File(
                "alexnet_features.pth",
                tensors_sha256="dad556f11d2a50ed4dc90e8eebf7ef8d3494e51dc5dda06d7972984533778242",
                tensors_prefix="features.",
                url="https://download.pytorch.org/models/alexnet-owt-7be5be79.pth",
            ),
        ),
        "score.lpips",
        "BSD-3-Clause",
        TORCHVISION_PAGE,
        f"Krizhevsky. One weird trick for parallelizing convolutional neural networks. 2014; {_LPIPS}",
        note="torchvision's whole AlexNet (233 MiB) under this name, or its convolutions alone (9 MiB)",
        about_mib=233.1,
    ),
    Weight(
        "lpips-alexnet",
        (
            File(
                "alexnet_lpips_lin.pth",
                tensors_sha256="f00b902361a5bd565e7378369168e9650bd8b5bdd66f46cd14c7266429c9f4f2",
                url="https://raw.githubusercontent.com/richzhang/PerceptualSimilarity/master/lpips/weights/v0.1/alex.pth",
            ),
        ),
        "score.lpips",
        "BSD-2-Clause",
        "https://github.com/richzhang/PerceptualSimilarity",
        _LPIPS,
        note="comes with the package lpips too",
        about_mib=0.01,
    ),
]

WEIGHTS: dict[str, Weight] = {weight.name: weight for weight in _ENTRIES}


def weight_named(name: str, among: Mapping[str, Weight] = WEIGHTS) -> Weight:
    """The set of that name. Raises WeightsError with the nearest name."""
    if name not in among:
        near = difflib.get_close_matches(name, among, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]}? " if near else ""
        raise WeightsError(name, "no weights of that name", f"{hint}there are: {', '.join(among)}")
    return among[name]
