"""COLMAP models (cameras, images, points3D; binary or text) to and from Cameras and SparsePoints.

Notation. COLMAP's axes and pixel centres (+0.5) are those of Cameras, so numbers are taken as they are. Frames are the
registered images sorted by name, 0..N-1. Near and far are the 5th and 95th percentile of the depths of the points
an image sees. pycolmap is imported inside the functions, after OpenCV: the other order aborts at a later PNG write.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2  # noqa: F401  (before pycolmap, see above)
import numpy as np

from nsff.cameras.colmap_files import REMEDY, check_model_files
from nsff.cameras.colmap_models import MODEL_PARTS, find_models, model_suffix
from nsff.cameras.model import Cameras
from nsff.cameras.points import SparsePoints, depth_bounds
from nsff.errors import InputError, NsffError
from nsff.files.io import atomic_directory
from nsff.files.reading import reading


@dataclass(frozen=True)
class ColmapModel:
    """Undistorted cameras and points of a model; ``names`` are the image names, one per camera, in order."""

    cameras: Cameras
    points: SparsePoints
    names: list[str]

    def selected(self, indices: Sequence[int]) -> ColmapModel:
        """The frames ``indices``, renumbered 0, 1, ... in that order."""
        return ColmapModel(self.cameras[list(indices)], self.points.selected(indices), [self.names[i] for i in indices])


def find_model(folder: Path) -> Path | None:
    """The first folder in ``folder`` with a model (nsff.cameras.colmap_models), or None."""
    return next(iter(find_models(folder)), None)


def read_model(folder: Path, need_points: bool = True) -> ColmapModel:
    """Reads an undistorted COLMAP model from ``folder`` (see find_models for where it may lie).

    Raises InputError: no model, unreadable, no registered image, sizes that differ, a distorted camera, and no points
    where they are needed; without any, depth bounds are 1 and 2.
    """
    folder = Path(folder)
    model_folder = find_model(folder)
    if model_folder is None:
        raise InputError(
            folder,
            "holds no COLMAP model",
            "needs cameras, images and points3D (.bin or .txt), in it or in sparse/ or sparse/0/",
        )
    return from_reconstruction(read_reconstruction(model_folder), model_folder, need_points)


def read_reconstruction(
    folder: Path,
    error: type[NsffError] = InputError,
    remedy: str = REMEDY,
    message: str = "not readable as a COLMAP model",
) -> Any:
    """The pycolmap.Reconstruction of the model in ``folder`` itself; without points3D it has no points.

    ``error`` names the folder, and the file of it that is not whole.
    """
    with reading(folder, remedy, error, remedy, message):
        check_model_files(folder)
        with _with_points(folder) as whole:
            import pycolmap

            return pycolmap.Reconstruction(str(whole))


@contextlib.contextmanager
def _with_points(model_folder: Path) -> Iterator[Path]:
    """A folder with all files that pycolmap asks for: ``model_folder``, or links to its files and no points."""
    suffix = model_suffix(model_folder) or ".bin"
    if (model_folder / f"points3D{suffix}").is_file():
        yield model_folder
        return
    with tempfile.TemporaryDirectory() as temporary:
        for part in MODEL_PARTS:
            if (model_folder / f"{part}{suffix}").is_file():
                Path(temporary, f"{part}{suffix}").symlink_to((model_folder / f"{part}{suffix}").resolve())
        # The count of points, 64 bits, or no line of text.
        Path(temporary, f"points3D{suffix}").write_bytes(bytes(8) if suffix == ".bin" else b"")
        yield Path(temporary)


def from_reconstruction(reconstruction: Any, subject: object = "model", need_points: bool = True) -> ColmapModel:
    """The same from a pycolmap.Reconstruction; ``subject`` names it in errors."""
    images = sorted((image for image in reconstruction.images.values() if image.has_pose), key=lambda image: image.name)
    if not images:
        raise InputError(subject, "has no registered image", "check the reconstruction, or set input.cameras: estimate")
    used = [reconstruction.cameras[image.camera_id] for image in images]
    for camera, image in zip(used, images, strict=True):
        _check_camera(camera, image.name, subject)
    sizes = {(int(camera.width), int(camera.height)) for camera in used}
    if len(sizes) > 1:
        raise InputError(subject, f"has cameras of different sizes {sorted(sizes)}", "undistort all images to one size")
    points = sparse_points(reconstruction, {image.image_id: i for i, image in enumerate(images)})
    width, height = sizes.pop()
    cameras = Cameras(
        np.stack([camera.calibration_matrix() for camera in used]),
        np.stack([np.asarray(image.cam_from_world().matrix())[:3] for image in images]),
        np.tile([1.0, 2.0], (len(images), 1)),
        width,
        height,
    )
    if not len(points) and not need_points:
        return ColmapModel(cameras, points, [image.name for image in images])
    try:
        bounds = depth_bounds(cameras, points)
    except ValueError:
        raise InputError(
            subject, "has no point in front of any camera", "check the reconstruction, or set input.cameras: estimate"
        ) from None
    cameras = Cameras(cameras.intrinsics, cameras.world_to_camera, bounds, width, height)
    return ColmapModel(cameras, points, [image.name for image in images])


def _check_camera(camera: Any, image: str, subject: object) -> None:
    model, parameters = camera.model.name, np.asarray(camera.params)
    distortion = parameters[list(camera.extra_params_idxs())]
    # A fisheye or field-of-view model bends rays even where its parameters are zero.
    pinhole = model in ("PINHOLE", "SIMPLE_PINHOLE")
    polynomial = model in ("SIMPLE_RADIAL", "RADIAL", "OPENCV", "FULL_OPENCV")
    if not pinhole and not (polynomial and not distortion.any()):
        values = ", ".join(f"{value:g}" for value in distortion)
        raise InputError(
            subject,
            f"camera of image {image} is distorted: model {model} with parameters {values}",
            "use the output folder of `colmap image_undistorter`, or set input.cameras: estimate",
        )


def sparse_points(reconstruction: Any, frame_of: dict[int, int]) -> SparsePoints:
    """The points of a reconstruction; ``frame_of`` gives the frames of images by their ids."""
    xyz, rgb, error, track_point, track_frame = [], [], [], [], []
    for number, key in enumerate(sorted(reconstruction.points3D)):
        point = reconstruction.points3D[key]
        xyz.append(point.xyz)
        rgb.append(point.color)
        error.append(point.error)
        frames = sorted(
            {frame_of[element.image_id] for element in point.track.elements if element.image_id in frame_of}
        )
        track_point += [number] * len(frames)
        track_frame += frames
    if not xyz:
        return SparsePoints.empty()
    return SparsePoints(
        np.array(xyz), np.array(rgb), np.array(error), np.array(track_point, int), np.array(track_frame, int)
    )


def to_reconstruction(cameras: Cameras, names: Sequence[str], points: SparsePoints | None = None) -> Any:
    """A pycolmap.Reconstruction with one PINHOLE camera per distinct intrinsics; observations are exact projections."""
    import pycolmap

    if len(names) != len(cameras):
        raise ValueError(f"{len(names)} names for {len(cameras)} cameras")
    points = SparsePoints.empty() if points is None else points
    reconstruction = pycolmap.Reconstruction()
    distinct, which = np.unique(cameras.intrinsics.reshape(-1, 9), axis=0, return_inverse=True)
    for number, K in enumerate(distinct.reshape(-1, 3, 3)):
        if K[0, 1] != 0:
            raise ValueError("COLMAP's PINHOLE camera has no skew")
        reconstruction.add_camera_with_trivial_rig(
            pycolmap.Camera(
                model="PINHOLE",
                width=cameras.width,
                height=cameras.height,
                params=[K[0, 0], K[1, 1], K[0, 2], K[1, 2]],
                camera_id=number + 1,
            )
        )
    pixels = cameras.project(points.xyz)[0] if len(points) else np.zeros((len(cameras), 0, 2))
    observations: dict[int, list[tuple[int, int]]] = {}
    for i, name in enumerate(names):
        seen = points.seen_in(i)
        for k, point in enumerate(seen):
            observations.setdefault(int(point), []).append((i + 1, k))
        image = pycolmap.Image(
            name=name, keypoints=pixels[i, seen].reshape(-1, 2), camera_id=int(which.reshape(-1)[i]) + 1, image_id=i + 1
        )
        reconstruction.add_image_with_trivial_frame(image, pycolmap.Rigid3d(cameras.world_to_camera[i]))
    for point in range(len(points)):
        track = pycolmap.Track()
        for image_id, k in observations.get(point, []):
            track.add_element(image_id, k)
        key = reconstruction.add_point3D(points.xyz[point], track, points.rgb[point])
        reconstruction.points3D[key].error = points.error[point]
    return reconstruction


def write_model(folder: Path, cameras: Cameras, names: Sequence[str], points: SparsePoints | None = None) -> None:
    """Writes a binary COLMAP model into ``folder`` (replaced as a whole)."""
    reconstruction = to_reconstruction(cameras, names, points)
    with atomic_directory(folder) as temporary:
        reconstruction.write_binary(str(temporary))
