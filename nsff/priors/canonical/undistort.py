"""The map between ingested and canonical frames: undistortion, then resizing.

Notation. Positions (u, v) have pixel centres at +0.5. A frame (h, w) was taken with a distorted lens; undistorted it is
a pinhole picture of its own size, which resized is the canonical frame (H, W). Without distortion the two steps are
one resizing. Source: COLMAP's image undistorter, with pycolmap in this process or the external binary.
"""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import Bool, Float, Float32, Float64, UInt8

from nsff.errors import StageError
from nsff.files.io import read_image

OUTSIDE = 0.25
"""Positions further out of the frame than this fraction of its size are not undistorted but moved along."""
REDUCE = 1.5
"""Flow with so many more pixels per canonical pixel (along a side) is averaged before it is read."""


@dataclass(frozen=True)
class FrameMap:
    """Between positions in the ingested frame and in the canonical frame.

    ``lens`` and ``pinhole`` are pycolmap cameras at the frame's and the undistorted size; None without distortion.
    """

    frame_size: tuple[int, int]
    canonical_size: tuple[int, int]
    lens: Any = None
    pinhole: Any = None

    @property
    def is_resizing(self) -> bool:
        return self.lens is None

    @property
    def undistorted_size(self) -> tuple[int, int]:
        return self.frame_size if self.lens is None else (int(self.pinhole.height), int(self.pinhole.width))

    def to_frame(self, points: Float[np.ndarray, "*B 2"]) -> Float64[np.ndarray, "*B 2"]:
        """Canonical positions to positions in the ingested frame."""
        points = np.asarray(points, float) * self._scale()
        if self.lens is None:
            return points
        flat = self.pinhole.cam_from_img(points.reshape(-1, 2))
        return self.lens.img_from_cam(np.column_stack([flat, np.ones(len(flat))])).reshape(points.shape)

    def from_frame(self, points: Float[np.ndarray, "*B 2"]) -> Float64[np.ndarray, "*B 2"]:
        """Positions in the ingested frame to canonical positions.

        A lens model means nothing far outside the frame: from OUTSIDE on, positions keep their distance to it.
        """
        points = np.asarray(points, float)
        if self.lens is None:
            return points / self._scale()
        height, width = self.frame_size
        margin = np.array([width, height]) * OUTSIDE
        near = np.clip(points, -margin, np.array([width, height]) + margin)
        flat = near.reshape(-1, 2)
        rays = self.lens.cam_from_img(flat)
        inside = np.isfinite(rays).all(1)
        moved = np.array(flat)
        moved[inside] = self.pinhole.img_from_cam(np.column_stack([rays[inside], np.ones(inside.sum())]))
        return (moved.reshape(points.shape) + points - near) / self._scale()

    def positions(self) -> Float32[np.ndarray, "H W 2"]:
        """The position in the ingested frame of each canonical pixel centre."""
        return self.to_frame(_centres(*self.canonical_size)).astype(np.float32)

    def image(self, frame: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "H W 3"]:
        """The canonical picture: undistorted at full size (pycolmap, bilinear), then reduced by area."""
        if self.lens is not None:
            import pycolmap

            picture, _ = pycolmap.undistort_image(_options(), pycolmap.Bitmap.from_array(frame), self.lens)
            frame = picture.to_array()
        return self.resized(frame)

    def resized(self, picture: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "H W 3"]:
        """An undistorted picture at the canonical size."""
        if picture.shape[:2] == self.canonical_size:
            return picture
        return cv2.resize(picture, self.canonical_size[::-1], interpolation=cv2.INTER_AREA)

    def flow(
        self, flow: Float32[np.ndarray, "h w 2"], mask: Bool[np.ndarray, "h w"]
    ) -> tuple[Float32[np.ndarray, "H W 2"], Bool[np.ndarray, "H W"]]:
        """Flow between ingested frames, at any size, as flow between canonical frames.

        Both ends go through the map. Consistency is read from the nearest pixels and lost where an end lies outside.
        """
        if self.is_resizing and flow.shape[:2] == self.canonical_size:
            return flow, mask
        height, width = self.canonical_size
        step = flow.shape[1] * self._scale()[0] / self.frame_size[1]
        if step > REDUCE:
            size = (round(flow.shape[1] / step), round(flow.shape[0] / step))
            factor = np.array([size[0] / flow.shape[1], size[1] / flow.shape[0]], np.float32)
            flow = cv2.resize(flow, size, interpolation=cv2.INTER_AREA) * factor
            mask = cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_AREA) > 0.5
        start = self.positions().astype(np.float64)
        per_pixel = np.array([self.frame_size[1] / flow.shape[1], self.frame_size[0] / flow.shape[0]])
        at = (start / per_pixel - 0.5).astype(np.float32)
        flow_there = cv2.remap(flow, at[..., 0], at[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        mask_there = cv2.remap(
            mask.astype(np.float32), at[..., 0], at[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        end = self.from_frame(start + flow_there * per_pixel)
        inside = ((end >= 0) & (end <= [width, height])).all(-1)
        return (end - _centres(height, width)).astype(np.float32), (mask_there > 0.5) & inside

    def _scale(self) -> Float64[np.ndarray, " 2"]:
        """Undistorted pixels per canonical pixel, (across, down)."""
        (height, width), (h, w) = self.canonical_size, self.undistorted_size
        return np.array([w / width, h / height])


def frame_map(lens: Any, frame_size: tuple[int, int], resize_height: int, pinhole: Any = None) -> FrameMap:
    """The map for frames of ``frame_size`` taken with the pycolmap camera ``lens`` (None: a pinhole).

    ``pinhole`` is the undistorted camera; None lets pycolmap choose it, so that no pixel stays blank.
    """
    distorted = lens is not None and np.asarray(lens.params)[list(lens.extra_params_idxs())].any()
    if not distorted:
        return FrameMap(frame_size, canonical_size(frame_size, resize_height))
    if pinhole is None:
        import pycolmap

        pinhole = pycolmap.undistort_camera(_options(), lens)
    # Undistorted pictures may be larger than frames; canonical ones have no more rows than either.
    size = (int(pinhole.height), int(pinhole.width))
    return FrameMap(frame_size, canonical_size(size, min(resize_height, frame_size[0])), lens, pinhole)


def canonical_size(size: tuple[int, int], resize_height: int) -> tuple[int, int]:
    """(height, width) of pictures reduced to ``resize_height`` rows, W = round(w H / h); never enlarged (NSFF)."""
    height, width = size
    return size if height <= resize_height else (resize_height, max(1, round(width * resize_height / height)))


def run_colmap(model: Path, frames: Path, output: Path) -> tuple[Any, Path]:
    """Runs the external `colmap image_undistorter`; returns the undistorted camera and the folder of pictures.

    Raises StageError if there is no such program or it fails.
    """
    program = shutil.which("colmap")
    if program is None:
        raise StageError(
            "canonical.undistorter", "is colmap, but no program colmap is on PATH", "install it, or set it to pycolmap"
        )
    command = [program, "image_undistorter", "--image_path", str(frames), "--input_path", str(model),
               "--output_path", str(output), "--output_type", "COLMAP"]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0 or not (output / "sparse" / "cameras.bin").is_file():
        said = (done.stderr or done.stdout).strip().splitlines()[-3:]
        raise StageError(
            "colmap image_undistorter", f"failed with status {done.returncode}: {' / '.join(said)}",
            "set canonical.undistorter: pycolmap",
        )  # fmt: skip
    import pycolmap

    camera = next(iter(pycolmap.Reconstruction(str(output / "sparse")).cameras.values()))
    return camera, output / "images"


def read_undistorted(folder: Path, name: str, frames: FrameMap) -> UInt8[np.ndarray, "H W 3"] | None:
    """The canonical picture from one that the external program undistorted; None if it left that frame out."""
    path = folder / name
    return frames.resized(read_image(path, frames.undistorted_size)) if path.is_file() else None


def _options() -> Any:
    import pycolmap

    return pycolmap.UndistortCameraOptions()


def _centres(height: int, width: int) -> Float64[np.ndarray, "H W 2"]:
    v, u = np.mgrid[:height, :width] + 0.5
    return np.stack([u, v], axis=-1)
