"""Principal components of many descriptors, gathered frame by frame in bounded memory.

Notation. x (P,D) are descriptors of unit length; the basis is the mean (D,) and C orthonormal rows (C,D), those of the
largest eigenvalues of the covariance. The sums of x and of x xᵀ are kept in float64, so that the result is that of all
descriptors at once (no approximation), in 8 D² bytes however many there are.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from nsff.errors import ConfigError
from nsff.files.io import read_npz, write_npz
from nsff.imaging.vectors import unit_length

ROWS = 32_768
"""Descriptors projected at a time."""


@dataclass(frozen=True)
class Basis:
    """A PCA basis as features/pca.npz stores it."""

    mean: Float32[np.ndarray, "D"]
    components: Float32[np.ndarray, "C D"]
    explained_variance_ratio: Float32[np.ndarray, "C"]

    @property
    def dimensions(self) -> int:
        return len(self.mean)

    def project(self, descriptors: Float32[np.ndarray, "h w D"]) -> Float32[np.ndarray, "h w C"]:
        """Unit length per pixel, then the coordinates in this basis; not scaled again (SAFF)."""
        pixels = descriptors.reshape(-1, descriptors.shape[-1])
        result = np.empty((len(pixels), len(self.components)), np.float32)
        for start in range(0, len(pixels), ROWS):
            result[start : start + ROWS] = (unit_length(pixels[start : start + ROWS]) - self.mean) @ self.components.T
        return result.reshape(*descriptors.shape[:-1], -1)

    def save(self, path: Path) -> None:
        write_npz(
            path,
            mean=self.mean,
            components=self.components,
            explained_variance_ratio=self.explained_variance_ratio,
        )

    @classmethod
    def load(cls, path: Path) -> Basis:
        """Raises StageError where the file is missing or corrupt."""
        return cls(**read_npz(path, ["mean", "components", "explained_variance_ratio"]))


class Moments:
    """Running count, sum and scatter of descriptors."""

    def __init__(self, dimensions: int) -> None:
        self.count = 0
        self.total = np.zeros(dimensions)
        self.scatter = np.zeros((dimensions, dimensions))

    def add(self, values: Float32[np.ndarray, "P D"]) -> None:
        values = values.astype(np.float64)
        self.count += len(values)
        self.total += values.sum(0)
        self.scatter += values.T @ values

    def basis(self, components: int) -> Basis:
        """The leading components, each with its largest entry positive. Raises ConfigError where there are too few
        descriptors for as many."""
        if self.count < components:
            raise ConfigError(
                "features.components",
                f"is {components}, but there are only {self.count} pixels",
                "use fewer components",
            )
        mean = self.total / self.count
        covariance = (self.scatter - self.count * np.outer(mean, mean)) / max(self.count - 1, 1)
        values, vectors = np.linalg.eigh(covariance)
        values, rows = np.maximum(values[::-1], 0), vectors.T[::-1][:components]
        rows = rows * np.sign(rows[np.arange(len(rows)), np.abs(rows).argmax(1)])[:, None]
        share = values[:components] / max(values.sum(), 1e-300)
        return Basis(mean.astype(np.float32), rows.astype(np.float32), share.astype(np.float32))
