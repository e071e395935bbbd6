"""Long tracks: points that a point tracker followed through the whole clip, and the frames in which each is seen.

Notation. N frames, P tracks. Positions are (u, v) in pixels, pixel centres at +0.5: the middle of the upper left pixel
is (0.5, 0.5). Where a point is not seen, its position is a guess of the tracker's, or 0.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Float32

from nsff.files.io import read_npz, write_npz
from nsff.files.reading import reading


@dataclass(frozen=True)
class LongTracks:
    """P tracks through N frames. Raises ValueError where shapes disagree, or a seen position is not finite.

    Example::

        tracks = LongTracks(np.zeros((24, 100, 2), np.float32), np.ones((24, 100), bool))
        both = tracks.visible[3] & tracks.visible[9]  # (100,): seen in frames 3 and 9
    """

    positions: Float32[np.ndarray, "N P 2"]
    visible: Bool[np.ndarray, "N P"]

    def __post_init__(self) -> None:
        if self.positions.ndim != 3 or self.positions.shape[2] != 2 or self.positions.shape[:2] != self.visible.shape:
            shapes = f"positions {self.positions.shape} and visible {self.visible.shape}"
            raise ValueError(f"{shapes}, expected (frames, tracks, 2) and (frames, tracks)")
        if self.positions.dtype.kind != "f" or self.visible.dtype != bool:
            raise ValueError(f"positions of type {self.positions.dtype} and visible of type {self.visible.dtype}")
        if not np.isfinite(self.positions[self.visible]).all():
            raise ValueError("positions that are not finite where a point is seen")

    def __len__(self) -> int:
        """How many tracks there are."""
        return self.positions.shape[1]

    @property
    def n_frames(self) -> int:
        return len(self.positions)

    def mapped(
        self, to: Callable[[Float[np.ndarray, "Q 2"]], Float[np.ndarray, "Q 2"]], size: tuple[int, int]
    ) -> LongTracks:
        """The tracks in pictures of ``size`` (height, width), to whose positions ``to`` leads. A point that leaves the
        picture, or that ``to`` has no finite position for, is not seen."""
        there = np.zeros_like(self.positions)
        there[self.visible] = to(self.positions[self.visible])
        inside = (there > 0).all(-1) & (there < np.array(size[::-1])).all(-1)
        visible = self.visible & inside
        return LongTracks(np.where(visible[..., None], there, 0).astype(np.float32), visible)

    def save(self, path: Path) -> None:
        """Writes an .npz with ``positions`` and ``visible``."""
        write_npz(path, positions=self.positions.astype(np.float32), visible=self.visible)

    @staticmethod
    def load(path: Path) -> LongTracks:
        """Raises StageError, naming the file, where it is missing, damaged or holds something else."""
        arrays = read_npz(path, ["positions", "visible"])
        with reading(path, message="holds no long tracks"):
            return LongTracks(arrays["positions"], arrays["visible"])
