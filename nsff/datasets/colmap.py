"""Folders as COLMAP's image_undistorter leaves them: images/ and sparse/ (or sparse/0/), undistorted."""

from __future__ import annotations

from pathlib import Path

from nsff.cameras.colmap import find_model, read_model
from nsff.cameras.colmap_places import model_files
from nsff.datasets.base import GivenCameras
from nsff.datasets.frames import FrameFolder
from nsff.datasets.listing import frame_files, list_images
from nsff.errors import InputError


class ColmapFolder(FrameFolder):
    """Images of images/ with the cameras and points of the model; images without a pose have no camera."""

    kind = "colmap"

    def __init__(self, path: Path) -> None:
        self.root = dense_folder(Path(path))
        super().__init__(path, self.root / "images")

    def cameras(self) -> GivenCameras | None:
        if find_model(self.root) is None:
            return None
        model = read_model(self.root)
        place = {name: i for i, name in enumerate(model.names)}
        frames, rows = [], []
        for index, file in enumerate(self.files):
            if file.name in place:
                frames.append(index)
                rows.append(place[file.name])
        if not frames:
            problem = f"the model's images ({model.names[0]}, ...) are not those of images/ ({self.files[0].name}, ...)"
            raise InputError(self.root, problem, "put the model's images into images/, or set input.cameras: estimate")
        selected = model.selected(rows)
        return GivenCameras(selected.cameras, frames, selected.points)


def dense_folder(path: Path) -> Path:
    """``path`` or its dense/, whichever has images/; InputError where neither has."""
    for candidate in (path, path / "dense"):
        if (candidate / "images").is_dir():
            return candidate
    raise InputError(path, "has no images/, nor has its dense/", "give the folder that holds images/")


def holds(path: Path, *names: str) -> bool:
    """Whether ``path`` or its dense/ has images/ with images in it, and all of ``names`` beside it."""
    for root in (path, path / "dense"):
        if (root / "images").is_dir() and all((root / name).exists() for name in names):
            return bool(list_images(root / "images"))
    return False


def matches(path: Path) -> bool:
    """images/ and a COLMAP model."""
    return any(holds(root) and find_model(root) is not None for root in (path, path / "dense") if root.is_dir())


def files(path: Path) -> list[Path]:
    """What is read of such a folder: its pictures, and every model, since the fullest is taken."""
    root = dense_folder(path)
    return [*frame_files(root / "images"), *model_files(root)]
