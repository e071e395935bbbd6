"""Point clouds as PLY files (Turk 1994), binary, little endian: opened by MeshLab, CloudCompare, Blender.

Notation. Points (P,3) in world axes and scene units, float32; colours (P,3) uint8 as red, green, blue; any number of
further values per point, float32 or integers, as properties of their own name.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from nsff.files.io import atomic_path

_TYPES = {"f": ("<f4", "float"), "u": ("u1", "uchar"), "i": ("<i4", "int")}


def write_ply(
    path: Path, points: Float[np.ndarray, "P 3"], colours: UInt8[np.ndarray, "P 3"], **values: np.ndarray
) -> None:
    """Writes a point cloud; ``values`` are (P,) each. Raises ValueError where lengths differ."""
    columns = {axis: points[:, i].astype(np.float32) for i, axis in enumerate("xyz")}
    columns |= {name: colours[:, i].astype(np.uint8) for i, name in enumerate(("red", "green", "blue"))}
    columns |= values
    if any(value.shape != (len(points),) for value in columns.values()):
        raise ValueError(f"columns of lengths {[len(value) for value in columns.values()]}")
    kinds = {name: _TYPES["u" if value.dtype == np.uint8 else value.dtype.kind] for name, value in columns.items()}
    table = np.zeros(len(points), [(name, kinds[name][0]) for name in columns])
    for name, value in columns.items():
        table[name] = value
    header = ["ply", "format binary_little_endian 1.0", f"element vertex {len(points)}"]
    header += [f"property {kind} {name}" for name, (_, kind) in kinds.items()]
    with atomic_path(path) as temporary:
        temporary.write_bytes("\n".join([*header, "end_header\n"]).encode("ascii") + table.tobytes())
