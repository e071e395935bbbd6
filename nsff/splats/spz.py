"""Gaussians as an SPZ file, Niantic's compressed layout (version 3), which viewers of splats open: a quarter of a PLY.

gzip of a header and of one array after the other, little endian: positions as 24-bit fixed point numbers, opacities,
colours, logarithms of scales, and rotations without their largest component. Axes are x right, y up, z backwards: the
world here, turned by half a turn about x. The layout is described at https://github.com/nianticlabs/spz.
"""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from nsff.files.io import atomic_path
from nsff.splats.ply import C0
from nsff.splats.scene import SplatSet

MAGIC, VERSION = 0x5053474E, 3
MOST_BITS = 16
"""Bits of a position behind the point, at most: fewer where the scene reaches further than 127 units."""
COLOUR = 0.15
"""The constant spherical harmonic's coefficient counts as ±1/2 at ±1/2 / COLOUR."""
MAGNITUDE = 511
"""Levels of a component of a rotation between 0 and √½."""


def write_splats_spz(path: Path, splats: SplatSet) -> None:
    """Writes ``splats``; object numbers and feature colours have no place in such a file.

    Positions are off by at most 2⁻¹⁷ units (in a scene that reaches no further than 127), scales by 3.2 %, opacities
    and colours by half of 1/255 and of 1/135, rotations by 0.2 degrees.
    """
    means = splats.means.astype(np.float64) * (1, -1, -1)
    reach = float(np.abs(means).max(initial=1e-3))
    bits = int(np.clip(np.floor(np.log2((2**23 - 1) / reach)), 0, MOST_BITS))
    header = struct.pack("<IIIBBBB", MAGIC, VERSION, len(splats), 0, bits, 0, 0)
    fixed = np.round(means * 2.0**bits).clip(-(2**23), 2**23 - 1).astype("<i4")
    parts = [
        np.ascontiguousarray(fixed).view(np.uint8).reshape(-1, 4)[:, :3],
        _bytes(255 * splats.opacities),
        _bytes(255 * (COLOUR * (splats.colours - 0.5) / C0 + 0.5)),
        _bytes(16 * (np.log(splats.scales) + 10)),
        packed_rotations(splats.quaternions),
    ]
    content = header + b"".join(np.ascontiguousarray(part).tobytes() for part in parts)
    with atomic_path(path) as temporary:
        temporary.write_bytes(gzip.compress(content, 6, mtime=0))


def packed_rotations(quaternions: Float[np.ndarray, "S 4"]) -> UInt8[np.ndarray, "S 4"]:
    """Rotations w, x, y, z as 32 bits, the world's axes turned: which component (of x, y, z, w) is the largest, and of
    the three others, in this order, the sign (against the largest one's) and the size."""
    turned = quaternions[:, [1, 2, 3, 0]] * (1, -1, -1, 1)
    turned = turned / np.linalg.norm(turned, axis=1, keepdims=True)
    largest = np.abs(turned).argmax(axis=1)
    turned = turned * np.where(np.take_along_axis(turned, largest[:, None], 1) < 0, -1, 1)
    others = np.argsort(np.where(np.arange(4) == largest[:, None], 4, np.arange(4)), axis=1)[:, :3]
    rest = np.take_along_axis(turned, others, 1)
    size = np.round(MAGNITUDE * np.abs(rest) / np.sqrt(0.5)).clip(0, MAGNITUDE).astype(np.uint32)
    fields = (rest < 0).astype(np.uint32) << 9 | size
    packed = largest.astype(np.uint32)
    for field in fields.T:
        packed = packed << 10 | field
    return packed.astype("<u4").view(np.uint8).reshape(-1, 4)


def _bytes(values: Float[np.ndarray, "..."]) -> UInt8[np.ndarray, "..."]:
    return np.round(values).clip(0, 255).astype(np.uint8)
