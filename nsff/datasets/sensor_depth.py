"""A folder of depth maps of the user's own: of a depth sensor, of a renderer, of another program.

Notation. A stored number v means z = scale · v (kind depth) or 1/z = scale · v (kind disparity). 0, negative and not
finite values mean that nothing was measured: confidence 0, and the disparity of the nearest pixel that was. Disparity
is in 1/units of z, whatever these are: the depth stage brings it into the scene's.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float32
from scipy.ndimage import distance_transform_edt

from nsff.config.inputs import SensorDepthConfig
from nsff.datasets.base import Source
from nsff.datasets.listing import with_suffix
from nsff.datasets.pairing import GivenFiles
from nsff.datasets.priors import load_array
from nsff.errors import InputError
from nsff.files.arrays import names
from nsff.files.decoding import LARGEST_FILE, decode
from nsff.files.reading import read_bytes, reading

SUFFIXES = (".png", ".npy", ".npz")
MILLIMETRE = 0.001


class SensorDepth:
    """Depth maps of the frames of ``source``, paired with them by nsff.datasets.pairing."""

    has_depth = True

    def __init__(self, config: SensorDepthConfig, source: Source) -> None:
        self.config, self.folder = config, Path(config.path).expanduser()
        if not self.folder.is_dir():
            raise InputError(self.folder, "is no folder", "give the folder of the depth maps as input.depth.path")
        self.given = GivenFiles(self.folder, SUFFIXES, "depth map")
        if not self.given:
            raise InputError(self.folder, "has no depth maps", f"put one in for each frame ({', '.join(SUFFIXES)})")
        if source.frame_names() is None and source.about:
            self.given.check_count(*source.about)
        self._held: tuple[int, np.ndarray, np.ndarray] | None = None

    def match(self, names: Sequence[str] | None, count: int | None, taken: Sequence[int]) -> list[str]:
        """Pairs the maps with the frames of the source (nsff.datasets.pairing); returns notes."""
        self.given.match(names, count, taken)
        return [self.given.note] if self.given.note else []

    def disparity(self, index: int) -> Float32[np.ndarray, "h w"]:
        """1/z of source frame ``index``, at the map's own size."""
        return self._read(index)[0]

    def confidence(self, index: int) -> Float32[np.ndarray, "h w"]:
        """1 where something was measured, else 0."""
        return self._read(index)[1]

    def _read(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        if self._held is None or self._held[0] != index:
            self._held = (index, *self._disparity(self.given.path(index)))
        return self._held[1], self._held[2]

    def _disparity(self, path: Path) -> tuple[np.ndarray, np.ndarray]:
        values = read_values(path, self.config.kind)
        scale = self.config.scale
        if scale is None:
            scale = MILLIMETRE if path.suffix.lower() == ".png" and self.config.kind == "depth" else 1.0
        measured = np.isfinite(values) & (values > 0)
        if not measured.any():
            raise InputError(
                path, "has no number above 0: nothing was measured", "leave the frame out, or give a map that says more"
            )
        nearest = distance_transform_edt(~measured, return_distances=False, return_indices=True)
        filled = scale * values[tuple(nearest)]
        with np.errstate(over="ignore"):
            disparity = (1 / filled if self.config.kind == "depth" else filled).astype(np.float32)
        if not np.isfinite(disparity).all():
            raise InputError(path, f"has numbers too small for depth (scale {scale:g})", "check input.depth.scale")
        return disparity, measured.astype(np.float32)


def list_maps(folder: Path) -> list[Path]:
    """The depth maps of a folder, sorted by name."""
    return with_suffix(folder, SUFFIXES)


def read_values(path: Path, kind: str) -> Float32[np.ndarray, "h w"]:
    """The stored numbers of a map. InputError for what is no map: colours, 8 bits, several channels, text."""
    if path.suffix.lower() == ".png":
        with reading(path, "write it again", InputError, "give one map per frame", "not readable as an image"):
            values = decode(read_bytes(path, LARGEST_FILE), cv2.IMREAD_UNCHANGED)
        if values.ndim != 2 or values.dtype != np.uint16:
            channels = 1 if values.ndim == 2 else values.shape[2]
            problem = f"has {channels} channels of {8 * values.itemsize} bits"
            raise InputError(path, f"{problem}, not 1 of 16", "write depth as 16-bit grey PNG, or as .npy")
    else:
        values = np.squeeze(load_array(path, _array_name(path, kind)))
    if values.ndim != 2 or values.dtype.kind not in "fiu":
        problem = f"has shape {values.shape} and type {values.dtype}, expected (height, width) of numbers"
        raise InputError(path, problem, "write one map of numbers per file")
    with np.errstate(over="ignore"):
        return values.astype(np.float32)


def _array_name(path: Path, kind: str) -> str | None:
    """The array of a .npz that is the map: named as the kind, or the only one."""
    if path.suffix.lower() == ".npy":
        return None
    with reading(path, "write it again", InputError, "give one map per frame"):
        found = names(path)
    return found[0] if len(found) == 1 else kind
