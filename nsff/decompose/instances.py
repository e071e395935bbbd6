"""Labels of several instances (nsff.decompose.instance_splitting): their numbers in every view, and in space.

Notation. Labels number the objects of the clusters from 1, 0 elsewhere. Instances are numbered from 1: those of label
1, the largest first, then those of label 2. Views are rendered; a training view shows frame i from camera i.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int64, Integer
from scipy.spatial import cKDTree

from nsff.decompose.clusters import method_of
from nsff.decompose.instance_splitting import split_label
from nsff.decompose.view_surfaces import read_disparity, surface_points
from nsff.decompose.views import View
from nsff.errors import StageError
from nsff.files.io import read_npz, write_npz
from nsff.imaging.flow_sampling import FlowAndMask
from nsff.layout import INSTANCES_NAME
from nsff.scene import Scene
from nsff.tracking.chaining import FlowCache, chain_flow

KEPT_POINTS = 2000
"""Points of a label that are kept for each training view: by them other views are labelled."""
PER_VIEW_ARRAYS = ("points", "labels", "numbers")
"""Lists of ``Instances`` with one array for each training view, which the file holds concatenated."""


@dataclass(frozen=True)
class Instances:
    """The number of instances of each label, and points of the labels with several, for each training view."""

    counts: list[int]
    """The number of instances, by label from 1."""
    times: Float[np.ndarray, "V"]
    points: list[Float[np.ndarray, "P 3"]]
    """In the world."""
    labels: list[Int64[np.ndarray, "P"]]
    numbers: list[Int64[np.ndarray, "P"]]

    @property
    def total(self) -> int:
        return sum(self.counts)

    @property
    def split_labels(self) -> list[int]:
        """Labels that were split into several instances."""
        return [k for k, count in enumerate(self.counts, start=1) if count > 1]

    @property
    def first(self) -> Int64[np.ndarray, "K+1"]:
        """The number of each label's largest instance, by label; 0 for 0."""
        return np.concatenate([[0], 1 + np.cumsum([0, *self.counts])[:-1]]).astype(np.int64)

    def numbers_of(
        self, labels: Integer[np.ndarray, "M"], points: Float[np.ndarray, "M 3"], time: float
    ) -> Int64[np.ndarray, "M"]:
        """The instance of every point in the world whose label is known: that of the nearest stored point with the same
        label, in the training view nearest in time that has any."""
        result = self.first[labels]
        for k in self.split_labels:
            at = np.flatnonzero(labels == k)
            views = [v for v, own in enumerate(self.labels) if (own == k).any()]
            if not len(at) or not views:
                continue
            view = min(views, key=lambda v: abs(self.times[v] - time))
            own = self.labels[view] == k
            result[at] = self.numbers[view][own][cKDTree(self.points[view][own]).query(points[at])[1]]
        return result

    def save(self, folder: Path) -> None:
        """Writes things.npz."""
        arrays = {name: np.concatenate(getattr(self, name)) for name in PER_VIEW_ARRAYS}
        sizes = np.array([len(points) for points in self.points])
        write_npz(folder / INSTANCES_NAME, counts=np.array(self.counts), times=self.times, sizes=sizes, **arrays)

    @staticmethod
    def load(scene: Scene) -> Instances | None:
        """From masks/; None where every label is one instance. Raises StageError for a damaged file."""
        path = scene.instances_path
        if not path.exists():
            return None
        content = read_npz(path, ("counts", "times", "sizes", *PER_VIEW_ARRAYS))
        sizes = content["sizes"]
        if any(array.dtype.kind not in "iuf" or not np.isfinite(array).all() for array in content.values()):
            raise StageError(path, "has numbers that are not finite, or none", "delete masks/ and run again")
        if sizes.ndim != 1 or sizes.dtype.kind not in "iu" or sizes.min(initial=0) < 0:
            raise StageError(path, "has sizes that are none", "delete masks/ and run again")
        if len(sizes) != len(content["times"]) or {int(sizes.sum())} != {len(content[n]) for n in PER_VIEW_ARRAYS}:
            raise StageError(path, "has lists of different lengths", "delete masks/ and run again")
        lists = {name: np.split(content[name], np.cumsum(sizes)[:-1]) for name in PER_VIEW_ARRAYS}
        counts, times = [int(n) for n in content["counts"]], content["times"]
        if method_of(scene) == "motion":
            return PlacedObjects(counts, times, **lists)
        return Instances(counts, times, **lists)


class PlacedObjects(Instances):
    """Points of objects and of the background, for each training view (nsff.decompose.motion_groups.placed)."""

    @property
    def total(self) -> int:
        return self.counts[0]

    @property
    def split_labels(self) -> list[int]:
        """All points are told apart by their place."""
        return [1]

    def numbers_of(
        self, labels: Integer[np.ndarray, "M"], points: Float[np.ndarray, "M 3"], time: float
    ) -> Int64[np.ndarray, "M"]:
        """The object of every point in the world at a time, 0 for none: that of the nearest stored point of the
        training view nearest in time. ``labels`` do not count."""
        if not len(points) or not len(self.times):
            return np.zeros(len(points), np.int64)
        view = int(np.abs(self.times - time).argmin())
        return self.numbers[view][cKDTree(self.points[view]).query(points)[1]].astype(np.int64)


def find_instances(
    scene: Scene, views: Sequence[View], masks: Sequence[Integer[np.ndarray, "H W"]], n_labels: int
) -> tuple[Instances, list[Int64[np.ndarray, "H W"]]]:
    """The instances of labels 1 to ``n_labels`` by the masks of the training views, and these masks with instances in
    place of labels. A label that no training view shows is one instance: other views may show it."""
    flows = FlowCache(scene.flow)

    def disparity(i: int) -> Float[np.ndarray, "H W"]:
        return read_disparity(scene, views[i], scene.size)

    def points(i: int) -> Float[np.ndarray, "H W 3"]:
        return surface_points(scene, views[i], disparity(i))

    def link(i: int, j: int) -> FlowAndMask:
        return chain_flow(flows, views[i].camera, views[j].camera)

    found = [split_label([mask == k for mask in masks], points, disparity, link) for k in range(1, n_labels + 1)]
    instances = Instances([count for count, _ in found], np.array([float(view.time) for view in views]), [], [], [])
    if not instances.split_labels:
        return instances, [instances.first[mask] for mask in masks]
    numbered, generator = [], np.random.default_rng(0)
    for i, mask in enumerate(masks):
        numbers = instances.first[mask]
        for k in instances.split_labels:
            numbers[mask == k] += found[k - 1][1][i][mask == k] - 1
        kept = [generator.permutation(np.flatnonzero(mask == k))[:KEPT_POINTS] for k in instances.split_labels]
        at = np.concatenate(kept)
        instances.points.append(points(i).reshape(-1, 3)[at].astype(np.float32))
        instances.labels.append(mask.ravel()[at].astype(np.int64))
        instances.numbers.append(numbers.ravel()[at])
        numbered.append(numbers)
    return instances, numbered


def label_instances(
    scene: Scene, view: View, mask: Integer[np.ndarray, "H W"], instances: Instances
) -> Int64[np.ndarray, "H W"]:
    """The mask of a view with instances in place of labels."""
    if not np.isin(mask, instances.split_labels).any():
        return instances.first[mask]
    points = surface_points(scene, view, read_disparity(scene, view, scene.size)).reshape(-1, 3)
    result, inside = np.zeros(mask.shape, np.int64), mask > 0
    result[inside] = instances.numbers_of(mask[inside], points[inside.ravel()], view.time)
    return result
