"""nerfstudio's captures, and instant-ngp's: transforms.json with a list of pictures, their cameras and lenses.

The pictures that the file lists are the frames, in the order of their times, else of their names. Where lenses bend
lines and the cameras are used, pictures are made straight. Points come from a COLMAP model beside the file, which
applied_transform takes into the cameras' world.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from nsff.cameras.colmap import read_reconstruction, sparse_points
from nsff.cameras.colmap_models import find_models, model_files
from nsff.cameras.nerfstudio import Transforms, read_capture
from nsff.cameras.points import SparsePoints, depth_bounds
from nsff.datasets.base import GivenCameras
from nsff.datasets.frames import FrameFolder, picture_size
from nsff.datasets.listing import SUFFIXES, arranged, list_images
from nsff.datasets.pairing import by_image_name
from nsff.errors import InputError
from nsff.files.io import read_json

TRANSFORMS = "transforms.json"
INSIDE = 0.8
"""Share of the observations that lie in the pictures if points and cameras belong to one world."""


class NerfstudioScene(FrameFolder):
    """A folder with transforms.json, or that file itself."""

    kind = "nerfstudio"

    def __init__(self, path: Path) -> None:
        self.transforms_path = _file(Path(path))
        self.root = self.transforms_path.parent
        found = read_capture(self.transforms_path, lambda name: picture_size(picture(self.root, name)))
        files = [picture(self.root, name) for name in found.names]
        missing = [name for name, file in zip(found.names, files, strict=True) if not file.is_file()]
        if missing:
            problem = f"lists {missing[0]}, which is not there ({len(missing)} of {len(files)} are not)"
            raise InputError(self.transforms_path, problem, "put the pictures where the file says, relative to it")
        twice = sorted({file.name for file in files if files.count(file) > 1})
        if twice:
            raise InputError(self.transforms_path, f"lists {twice[0]} twice", "take one entry out")
        order = self._order(found, files)
        self.transforms = replace(
            found, cameras=found.cameras[order], names=[found.names[i] for i in order],
            lenses=[found.lenses[i] for i in order],
        )  # fmt: skip
        super().__init__(path, files=[files[i] for i in order])
        unlisted = sorted({file.name for folder in {f.parent for f in files} for file in list_images(folder)} -
                          {file.name for file in files})  # fmt: skip
        if unlisted:
            said = f"{len(unlisted)} pictures are not in {TRANSFORMS} and were left out (first {unlisted[0]})"
            self.complain(f"{said}; frames there are further apart in time")
        self._straight: list[np.ndarray] | None = None

    def _order(self, found: Transforms, files: list[Path]) -> list[int]:
        if found.times is not None and len(set(found.times)) == len(found.times):
            return sorted(range(len(files)), key=found.times.__getitem__)
        in_order, doubt = arranged(files)
        if doubt:
            problem = f"lists names whose numbers can be read in two ways: {doubt}"
            raise InputError(self.transforms_path, problem, "give all numbers as many digits, or each frame a time")
        return [files.index(file) for file in in_order]

    def cameras(self) -> GivenCameras:
        """Pinhole cameras: where a lens bends lines, those of the straightened pictures."""
        found, cameras = self.transforms, self.transforms.cameras
        try:
            self._straight = [
                lens.straight(K, cameras.height, cameras.width) if lens.bends else K
                for lens, K in zip(found.lenses, cameras.intrinsics, strict=True)
            ]
        except ValueError as error:
            problem = f"has a lens whose pictures cannot be made straight: {error}"
            raise InputError(self.transforms_path, problem, "set input.cameras: estimate") from None
        cameras = replace(cameras, intrinsics=np.array(self._straight))
        points = self._points()
        if points is not None and not found.bounded:
            cameras = replace(cameras, near_far=depth_bounds(cameras, points))
        return GivenCameras(cameras, list(range(len(cameras))), points, found.bounded or points is not None)

    def use_cameras(self, given: GivenCameras | None) -> None:
        super().use_cameras(given)
        if given is None:
            self._straight = None
        elif any(lens.bends for lens in self.transforms.lenses):
            self.note("pictures were made straight, with the lens of transforms.json")

    def _read(self, file: Path) -> UInt8[np.ndarray, "H W 3"]:
        image = super()._read(file)
        frame = self.files.index(file)
        lens, K = self.transforms.lenses[frame], self.transforms.cameras.intrinsics[frame]
        if self._straight is None or not lens.bends:
            return image
        size = (self.transforms.cameras.height, self.transforms.cameras.width)
        if image.shape[:2] != size:
            problem = f"is {image.shape[1]}x{image.shape[0]}, {TRANSFORMS} says {size[1]}x{size[0]}"
            raise InputError(file, problem, "give the pictures that the lens was measured on")
        return lens.undistorted(image, K, self._straight[frame])

    def _points(self) -> SparsePoints | None:
        """Points of the fullest COLMAP model of these pictures, in the cameras' world; None where none fits."""
        best: SparsePoints | None = None
        for model_folder in find_models(self.root):
            try:
                model = read_reconstruction(model_folder)
                images = [image for image in model.images.values() if image.has_pose]
                rows = by_image_name([image.name for image in images], [file.name for file in self.files])
            except (InputError, ValueError) as error:
                self.note(f"points of a COLMAP model were left out: {error}")
                continue
            points = sparse_points(model, {images[row].image_id: frame for frame, row in rows.items()})
            if len(points.track_point) and (best is None or len(points.track_point) > len(best.track_point)):
                best = points
        if best is None:
            return None
        applied = self.transforms.applied
        best = replace(best, xyz=best.xyz @ applied[:, :3].T + applied[:, 3])
        if self._share_inside(best) < INSIDE:
            self.complain("points of the COLMAP model were left out: they do not fit the cameras of transforms.json")
            return None
        return best

    def _share_inside(self, points: SparsePoints) -> float:
        cameras = self.transforms.cameras
        pixels, depth = cameras.project(points.xyz)
        at, z = pixels[points.track_frame, points.track_point], depth[points.track_frame, points.track_point]
        size = np.array([cameras.width, cameras.height])
        # Bent pictures show a little more than straight ones.
        return float(((z > 0) & (at > -0.25 * size).all(1) & (at < 1.25 * size).all(1)).mean())


def _file(path: Path) -> Path:
    return path / TRANSFORMS if path.is_dir() else path


def picture(root: Path, name: str) -> Path:
    """The file that a path in transforms.json means: relative to it, a suffix left out perhaps."""
    path = root / name
    if path.is_file():
        return path
    return next((file for suffix in SUFFIXES if (file := path.with_name(path.name + suffix)).is_file()), path)


def matches(path: Path) -> bool:
    """transforms.json, or a folder with it."""
    return path.name == TRANSFORMS if path.is_file() else (path / TRANSFORMS).is_file()


def files(path: Path) -> list[Path]:
    """The files of such a capture that are read: the list, the pictures it lists, and COLMAP models beside it."""
    file = _file(path)
    content = read_json(file)
    frames = content.get("frames") if isinstance(content, dict) else None
    listed = [
        picture(file.parent, str(frame.get("file_path", ""))) for frame in frames or [] if isinstance(frame, dict)
    ]
    return [file, *listed, *model_files(file.parent)]
