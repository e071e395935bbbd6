"""A clustering as it is stored and applied: centroids, merge map, salient labels, and a second stage where it has one.

Notation. Raw labels are 0..K-1 of the first stage and K..K+F-1 of the second, which divides what is salient in the
first once more; ``merge`` (K+F,) leads each to the label that stands for its group. Descriptors (P,D) have their
features first; the last ``extra`` channels (position, time) are compared but not merged by.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, Int64

from nsff.decompose.kmeans import assign
from nsff.errors import StageError
from nsff.files.io import atomic_path, read_json, read_npy, write_json
from nsff.files.reading import reading
from nsff.scene import Scene


@dataclass(frozen=True)
class Clusters:
    """Centroids (K,D) and fine ones (F,D); ``salient`` are merged labels, object n is the n-th of them."""

    centroids: Float32[np.ndarray, "K D"]
    merge: Int64[np.ndarray, "K+F"]
    salient: list[int] = field(default_factory=list)
    fine: Float32[np.ndarray, "F D"] | None = None
    divided: list[int] = field(default_factory=list)
    """Merged labels of the first stage that the second divides."""
    extra: int = 0

    @property
    def has_position(self) -> bool:
        return self.extra >= 3

    @property
    def has_time(self) -> bool:
        return self.extra in (1, 4)

    def labels(self, descriptors: Float32[np.ndarray, "P D"]) -> tuple[Int64[np.ndarray, P], Int64[np.ndarray, P]]:
        """Raw and merged labels of descriptors."""
        raw = assign(descriptors, self.centroids)[0]
        if self.fine is not None:
            again = np.isin(self.merge[raw], self.divided)
            raw[again] = len(self.centroids) + assign(descriptors[again], self.fine)[0]
        return raw, self.merge[raw]

    def save(self, folder: Path, more: dict[str, Any]) -> None:
        """Writes clusters.json (with ``more``), centroids.npy and, with a second stage, fine_centroids.npy."""
        for name, values in (("centroids", self.centroids), ("fine_centroids", self.fine)):
            if values is not None:
                with atomic_path(folder / f"{name}.npy") as temporary:
                    np.save(temporary, values, allow_pickle=False)
        own = {"merge_map": self.merge, "salient": self.salient, "divided": self.divided, "extra": self.extra}
        write_json(folder / "clusters.json", own | more)

    @staticmethod
    def load(scene: Scene) -> Clusters:
        """Reads clusters/; raises StageError naming the file that is missing or no clustering."""
        path = scene.clusters_path
        content = read_json(path)
        with reading(path, "delete clusters/ and run again", message="is no clustering"):
            arrays = [_centroids(scene.centroids_path)]
            fine = scene.fine_centroids_path
            arrays += [_centroids(fine)] if fine.exists() else []
            merge = np.array(content["merge_map"], np.int64)
            if len(merge) != sum(map(len, arrays)):
                raise ValueError(f"{len(merge)} labels for {sum(map(len, arrays))} centroids")
            lists = [[int(label) for label in content[key]] for key in ("salient", "divided")]
            return Clusters(arrays[0], merge, lists[0], arrays[1] if len(arrays) > 1 else None, lists[1],
                            int(content["extra"]))  # fmt: skip


def _centroids(path: Path) -> Float32[np.ndarray, "K D"]:
    values = read_npy(path, "delete clusters/ and run again")
    if values.ndim != 2 or values.dtype.kind != "f" or not np.isfinite(values).all():
        problem = f"has shape {values.shape}, type {values.dtype}, or values that are not finite"
        raise StageError(path, problem, "delete clusters/ and run again")
    return values.astype(np.float32)


def salient_labels(scene: Scene) -> list[int]:
    """The salient labels of clusters.json; raises StageError where it names none (not even an empty list)."""
    path = scene.clusters_path
    with reading(path, "delete clusters/ and run again", message="names no salient labels"):
        return [int(label) for label in read_json(path)["salient"]]


def method_of(scene: Scene) -> str:
    """How the objects in clusters/ were found: ``clusters`` of features, or by ``motion``."""
    path = scene.clusters_path
    with reading(path, "delete clusters/ and run again", message="is no clustering"):
        return str(read_json(path).get("method", "clusters")) if path.exists() else "clusters"


def objects_of(merged: Int64[np.ndarray, "H W"], salient: Sequence[int]) -> Int64[np.ndarray, "H W"]:
    """Object numbers of merged labels (0-based): 0 for labels that are not salient, else 1, 2, … in the order of
    labels."""
    result = np.zeros(merged.shape, np.int64)
    for number, label in enumerate(sorted(salient), start=1):
        result[merged == label] = number
    return result
