"""DyCheck's captures: the frames of the moving camera, with its cameras and the sensor's depth.

rgb/<n>x/, camera/, depth/<n>x/, dataset.json, metadata.json, scene.json (nsff.datasets.dycheck_capture). The largest
pictures there are count. Depth files hold z, 0 is no measurement. Frames of the still cameras, covisible/ and keypoint/
are truth and never read here. SAFF uses other files of the same captures: 48 frames in COLMAP's layout (``colmap``).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Float32
from scipy.ndimage import distance_transform_edt

from nsff.datasets.base import FOLDER_FRAME_RATE, Frame, GivenCameras
from nsff.datasets.dycheck_capture import REMEDY, Capture
from nsff.datasets.frames import FrameFolder
from nsff.datasets.listing import with_suffix
from nsff.datasets.priors import first_existing, load_array
from nsff.errors import InputError


class DyCheckScene(FrameFolder):
    """Split ``train`` of a capture, in the order of time."""

    kind = "dycheck"

    def __init__(self, path: Path) -> None:
        self.capture = Capture(Path(path))
        self.names = self.capture.names("train")
        factors = self.capture.factors("rgb")
        if not self.names or not factors:
            raise InputError(path, "has no frames of the moving camera, or no rgb/1x", REMEDY)
        folder = self.capture.root / "rgb" / f"{factors[0]}x"
        files = [folder / f"{name}.png" for name in self.names]
        missing = [file for file in files if not file.exists()]
        if missing:
            raise InputError(missing[0], "no such file", REMEDY)
        super().__init__(Path(path), files=files)
        self.frame_rate = self.capture.frame_rate
        self.has_depth = bool(self.capture.factors("depth"))

    def frames(self, start: int, end: int | None, stride: int) -> Iterator[Frame]:
        times = [self.capture.time(name) for name in self.names]
        for frame in super().frames(start, end, stride):
            seconds = (times[frame.index] - times[0]) / (self.frame_rate or FOLDER_FRAME_RATE)
            yield replace(frame, time=seconds)

    def cameras(self) -> GivenCameras:
        return GivenCameras(self.capture.cameras(self.names), list(range(len(self.names))))

    def disparity(self, index: int) -> Float32[np.ndarray, "h w"]:
        """1/z in units of the world; where the sensor measured nothing, that of the nearest pixel."""
        depth = self._depth(index)
        nearest = distance_transform_edt(depth <= 0, return_distances=False, return_indices=True)
        return 1 / (depth[tuple(nearest)] * np.float32(self.capture.units.scale))

    def confidence(self, index: int) -> Float32[np.ndarray, "h w"]:
        """1 where depth was measured, else 0."""
        return (self._depth(index) > 0).astype(np.float32)

    def _depth(self, index: int) -> Float32[np.ndarray, "h w"]:
        folders = [self.capture.root / "depth" / f"{factor}x" for factor in self.capture.factors("depth")]
        path = first_existing([folder / f"{self.names[index]}.npy" for folder in folders])
        depth = np.squeeze(load_array(path)).astype(np.float32)
        if depth.ndim != 2 or not np.isfinite(depth).all() or not (depth > 0).any() or (depth < 0).any():
            raise InputError(path, f"has shape {depth.shape}, or values that are no depths", "take depth/ away")
        return depth


def matches(path: Path) -> bool:
    """Whether a folder has dataset.json, camera/ and rgb/, as DyCheck's captures have."""
    return path.is_dir() and (path / "dataset.json").exists() and all((path / n).is_dir() for n in ("camera", "rgb"))


def files(path: Path) -> list[Path]:
    """The files of such a folder that are read."""
    capture = Capture(path)
    reduced = [path / name / f"{n}x" for name in ("rgb", "depth") for n in capture.factors(name)]
    folders = [path, *(folder for folder in (path / "camera", path / "splits") if folder.is_dir()), *reduced]
    return [file for folder in folders for file in with_suffix(folder, (".json", ".png", ".npy"))]
