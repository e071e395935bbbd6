"""An oracle's choice of clusters: what lies on the first frame's true foreground is an object (SAFF, oracle_vote.py).

It says how good the clusters are when the vote is left out; it knows truth, so it stands beside the masks and never
becomes any. Notation: labels (H,W) are merged clusters, counted from 0; masks hold objects 1, 2, …, 0 is background.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, lru_cache

import numpy as np
from jaxtyping import Bool, Int64, Integer

from nsff.config import SceneConfig
from nsff.decompose.clusters import objects_of
from nsff.decompose.crf import choose_backend, refine
from nsff.decompose.postprocess import cleaner
from nsff.decompose.views import View, read_depth, read_rgb
from nsff.files.io import read_mask
from nsff.metrics.targets import Target
from nsff.scene import Scene

THRESHOLD = 0.3
Read = Callable[[View], Integer[np.ndarray, "H W"]]


def chosen_labels(
    labels: Integer[np.ndarray, "H W"], foreground: Bool[np.ndarray, "H W"], threshold: float = THRESHOLD
) -> list[int]:
    """The labels of which at least the fraction ``threshold`` lies on the foreground."""
    return [int(k) for k in np.unique(labels) if foreground[labels == k].mean() >= threshold]


def oracle_choice(scene: Scene, views: Sequence[View], targets: Sequence[Target]) -> list[int] | None:
    """The clusters that are objects in the first training view with a true mask, which is all that the oracle sees;
    None where there is no such view."""
    by_index = {view.index: view for view in views}
    first = next(
        (
            (by_index[target.index], truth)
            for target in sorted(targets, key=lambda target: target.index)
            if target.split == "training" and target.index in by_index and (truth := target.labels()) is not None
        ),
        None,
    )
    return None if first is None else chosen_labels(_merged(scene, first[0]), first[1] != 0)


def oracle_sources(
    scene: Scene, config: SceneConfig, views: Sequence[View], targets: Sequence[Target]
) -> dict[str, Read]:
    """Readers of masks by variant: oracle, oracle_processed (cleaned) and oracle_crf; none without a choice, which
    holds for all views."""
    chosen = oracle_choice(scene, views, targets)
    if chosen is None:
        return {}
    decompose, crf = config.decompose, config.crf

    @cache
    def raw(view: View) -> Int64[np.ndarray, "H W"]:
        return objects_of(_merged(scene, view), chosen).astype(np.uint8)

    @lru_cache(maxsize=1)
    def cleaned() -> Callable[[Integer[np.ndarray, "H W"]], Integer[np.ndarray, "H W"]]:
        return cleaner(decompose, [raw(v) for v in views], chosen)

    @lru_cache(maxsize=2)
    def processed(view: View) -> Int64[np.ndarray, "H W"]:
        return cleaned()(raw(view)).astype(np.int64)

    def refined(view: View) -> Int64[np.ndarray, "H W"]:
        rgb, depth = read_rgb(scene, view, scene.size), read_depth(scene, view, scene.size, crf.depth_guide)
        return refine(processed(view), rgb, depth, crf, choose_backend(crf), chosen)

    return {"oracle": raw, "oracle_processed": processed, "oracle_crf": refined}


def _merged(scene: Scene, view: View) -> Int64[np.ndarray, "H W"]:
    path = scene.cluster_labels_path(view.index, "merged")
    return read_mask(path, scene.size).astype(np.int64) - 1
