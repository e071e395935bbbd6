"""The registry of clusterers: what finds groups among descriptors.

A clusterer is one file in ``nsff/decompose/clusterers/`` with a function ``cluster`` (see ``Clusterer``). Its name
without ``.py`` is the value of ``decompose.clusterer``, and the first line of its docstring describes it in
docs/configuration.md. Nothing is registered elsewhere. Labels by the nearest centroid, merging, the vote and everything
after them are the same for all clusterers.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Protocol

import numpy as np
from jaxtyping import Float32

from nsff.config import DecomposeConfig

Centroids = Float32[np.ndarray, "K D"]


class Clusterer(Protocol):
    """The function ``cluster`` of a file in ``nsff/decompose/clusterers/``."""

    def __call__(
        self,
        descriptors: Float32[np.ndarray, "P D"],
        judge: Callable[[Centroids], float],
        decompose: DecomposeConfig,
        title: str = "",
        /,
    ) -> tuple[Centroids, list[float]]:
        """Centroids of a subset of the descriptors, and the objectives that led to them.

        ``descriptors`` have unit features first, then what ``use_position`` and ``use_time`` append. ``judge`` gives
        the mean squared distance of all descriptors, not only of the subset, to their nearest centroid. At most
        ``decompose.max_clusters`` centroids may be returned, and at most P. ``title`` is for a progress bar. The
        objectives are numbers for the summary, at least one. Anything random takes ``decompose.seed``.
        """


def open_clusterer(decompose: DecomposeConfig) -> Clusterer:
    """The clusterer that the settings name.

    Example::

        centroids, objectives = open_clusterer(decompose)(descriptors, judge, decompose, "clusters")
    """
    module = importlib.import_module(f"nsff.decompose.clusterers.{decompose.clusterer}")
    cluster: Clusterer = module.cluster
    return cluster
