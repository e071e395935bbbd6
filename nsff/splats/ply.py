"""Gaussians as a PLY file in the layout of 3D Gaussian Splatting (Kerbl et al. 2023), which viewers and editors open.

Binary, little endian, float32, one vertex a Gaussian: x, y, z; nx, ny, nz, all 0; f_dc_0 to 2, the colour as the
coefficient of the constant spherical harmonic, (colour − 0.5) / C0; opacity as a logit; scale_0 to 2 as natural
logarithms of standard deviations; rot_0 to 3, a unit quaternion w, x, y, z. World axes are OpenCV's (y down).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from nsff.files.io import atomic_path
from nsff.splats.scene import SplatSet

C0 = 0.5 / np.sqrt(np.pi)
"""The constant spherical harmonic."""
LARGEST_LOGIT = 12.0
"""Opacities of 0 and 1 have no finite logit: theirs are −12 and 12, opacities of 6e-6 and 1 − 6e-6."""
PROPERTIES = (
    "x", "y", "z", "nx", "ny", "nz", "f_dc_0", "f_dc_1", "f_dc_2", "opacity",
    "scale_0", "scale_1", "scale_2", "rot_0", "rot_1", "rot_2", "rot_3",
)  # fmt: skip


def write_splats_ply(path: Path, splats: SplatSet) -> None:
    """Writes ``splats``; object numbers and feature colours have no place in such a file."""
    with np.errstate(divide="ignore"):
        logits = np.log(splats.opacities) - np.log1p(-splats.opacities)
    columns = [
        splats.means,
        np.zeros_like(splats.means),
        (splats.colours - 0.5) / C0,
        logits.clip(-LARGEST_LOGIT, LARGEST_LOGIT)[:, None],
        np.log(splats.scales),
        splats.quaternions / np.linalg.norm(splats.quaternions, axis=1, keepdims=True),
    ]
    header = ["ply", "format binary_little_endian 1.0", f"element vertex {len(splats)}"]
    header += [f"property float {name}" for name in PROPERTIES]
    table = np.concatenate(columns, axis=1).astype("<f4")
    with atomic_path(path) as temporary:
        temporary.write_bytes("\n".join([*header, "end_header\n"]).encode("ascii") + table.tobytes())
