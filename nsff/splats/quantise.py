"""Numbers of Gaussians as small integers, and the order in which neighbours follow each other. NumPy alone.

Notation. W places of S Gaussians, (W,3,S); Gaussian i is of chunk i // CHUNK, of K. Every function here has its
inverse beside it, and its docstring says how far that may be off.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Float64, Int8, Int64, UInt8, UInt16

CHUNK = 64
"""Gaussians that share an origin and a step of their positions."""
PRECISION = 0.05
"""Steps of positions are no finer than this share of a chunk's Gaussians (see ``to_grid``)."""
LEVELS = {np.dtype(kind): int(np.iinfo(kind).max) for kind in (np.uint8, np.uint16)}
LARGEST_RANGE = 16.0
"""Natural logarithms of scales and spans: smaller ones than exp(−16) of the largest are raised to that."""
_MORTON_BITS = 20


@dataclass(frozen=True)
class Grid:
    """Positions as integers: (W,3,S) = origin of the chunk + step of the chunk × the integer."""

    origin: Float32[np.ndarray, "K 3"]
    step: Float32[np.ndarray, "K"]
    values: UInt16[np.ndarray, "W 3 S"]

    def positions(self) -> Float32[np.ndarray, "W 3 S"]:
        """The positions again, within half a step."""
        chunk = np.arange(self.values.shape[2]) // CHUNK
        return (self.origin.T[:, chunk] + self.step[chunk] * self.values).astype(np.float32)


def to_grid(positions: Float32[np.ndarray, "W 3 S"], scales: Float32[np.ndarray, "S 3"]) -> Grid:
    """Positions in the boxes of their chunks, which hold all W places.

    The step is the longest side of the box divided by 65,535, or PRECISION × the tenth percentile of the chunk's middle
    scales, whichever is more: where it is the second, integers are small, and so is the file. Positions are off by half
    a step at most.
    """
    W, _, S = positions.shape
    K = -(-S // CHUNK)
    origin, step = np.zeros((K, 3), np.float32), np.ones(K, np.float32)
    values = np.zeros((W, 3, S), np.uint16)
    middle = np.sort(scales, axis=1)[:, 1]
    for k in range(K):
        part = slice(k * CHUNK, (k + 1) * CHUNK)
        own = positions[:, :, part].astype(np.float64)
        origin[k] = own.min(axis=(0, 2))
        own -= origin[k].astype(np.float64)[:, None]
        finest = max(float(own.max()) / LEVELS[np.dtype(np.uint16)], PRECISION * float(np.percentile(middle[part], 10)))
        step[k] = np.nextafter(np.float32(finest), np.float32(np.inf))
        values[:, :, part] = (own / step[k]).round().clip(0, LEVELS[np.dtype(np.uint16)])
    return Grid(origin, step, values)


def residuals(values: UInt16[np.ndarray, "W ..."]) -> UInt16[np.ndarray, "W ..."]:
    """The first entry; then each minus the one that would follow if the last step were taken again, modulo 65,536.

    >>> residuals(np.array([100, 103, 106, 110], np.uint16)).tolist()
    [100, 3, 0, 1]
    """
    steps = np.diff(values, axis=0)
    return np.concatenate([values[:1], steps[:1], np.diff(steps, axis=0)])


def from_residuals(values: UInt16[np.ndarray, "W ..."]) -> UInt16[np.ndarray, "W ..."]:
    """The exact inverse of ``residuals``."""
    steps = np.cumsum(values[1:], axis=0, dtype=np.uint16)
    return np.cumsum(np.concatenate([values[:1], steps]), axis=0, dtype=np.uint16)


def halves(values: UInt16[np.ndarray, "..."]) -> tuple[UInt8[np.ndarray, "..."], UInt8[np.ndarray, "..."]]:
    """Low and high bytes: apart from each other they are packed more tightly."""
    return (values & 255).astype(np.uint8), (values >> 8).astype(np.uint8)


def joined(low: UInt8[np.ndarray, "..."], high: UInt8[np.ndarray, "..."]) -> UInt16[np.ndarray, "..."]:
    """The inverse of ``halves``."""
    return low.astype(np.uint16) | high.astype(np.uint16) << 8


@dataclass(frozen=True)
class Range:
    """Numbers as low + step × an integer from 0 on."""

    low: float
    step: float

    @staticmethod
    def of(values: Float64[np.ndarray, "..."], levels: int) -> Range:
        """From the smallest to the largest value in ``levels`` steps."""
        if not values.size:
            return Range(0.0, 0.0)
        low, high = float(values.min()), float(values.max())
        return Range(low, (high - low) / levels)

    def integers(self, values: Float[np.ndarray, "..."]) -> Float64[np.ndarray, "..."]:
        """Nearest integers, as floats."""
        return np.round((values - self.low) / (self.step or 1.0))

    def numbers(self, integers: np.ndarray) -> Float64[np.ndarray, "..."]:
        """The numbers again, within half a step."""
        return self.low + self.step * integers.astype(np.float64)


def to_range(
    values: Float[np.ndarray, "..."], kind: type[np.uint8] | type[np.uint16]
) -> tuple[Range, UInt8[np.ndarray, "..."] | UInt16[np.ndarray, "..."]]:
    """Numbers as integers of ``kind``, and the range that leads back."""
    wide = np.asarray(values, np.float64)
    scale = Range.of(wide, LEVELS[np.dtype(kind)])
    return scale, scale.integers(wide).astype(kind)


def logarithms(values: Float32[np.ndarray, "..."]) -> Float64[np.ndarray, "..."]:
    """Natural logarithms of positive numbers, raised to that of the largest − LARGEST_RANGE."""
    found = np.log(np.asarray(values, np.float64))
    return np.maximum(found, found.max() - LARGEST_RANGE) if found.size else found


def to_bytes(values: Float32[np.ndarray, "..."]) -> UInt8[np.ndarray, "..."]:
    """Numbers in [0, 1] as 0 to 255; off by 1/510 at most."""
    return (values * 255).round().astype(np.uint8)


def to_rotations(quaternions: Float32[np.ndarray, "S 4"]) -> Int8[np.ndarray, "4 S"]:
    """Quaternions of length 1 and w ≥ 0, times 127; off by 1/254 at most in each number, a degree in the rotation."""
    unit = quaternions / np.linalg.norm(quaternions, axis=1, keepdims=True)
    unit = np.where(unit[:, :1] < 0, -unit, unit)
    return (unit.T * 127).round().astype(np.int8)


def morton_order(points: Float32[np.ndarray, "S 3"]) -> Int64[np.ndarray, "S"]:
    """The order of points along a Z-curve (Morton 1966) through their box: neighbours in space come close together."""
    if not len(points):
        return np.zeros(0, np.int64)
    low, high = points.min(axis=0).astype(np.float64), points.max(axis=0).astype(np.float64)
    cells = ((points - low) / max(float((high - low).max()), 1e-30) * (2**_MORTON_BITS - 1)).astype(np.uint64)
    code = np.zeros(len(points), np.uint64)
    for bit in range(_MORTON_BITS):
        for axis in range(3):
            code |= ((cells[:, axis] >> np.uint64(bit)) & np.uint64(1)) << np.uint64(3 * bit + axis)
    return np.argsort(code, kind="stable")
