"""Folders as COLMAP's image_undistorter leaves them: images/ and a model, undistorted (nsff.cameras.colmap_models)."""

from __future__ import annotations

from pathlib import Path

from nsff.cameras.colmap import ColmapModel, read_model
from nsff.cameras.colmap_models import find_models, model_files
from nsff.datasets.base import GivenCameras
from nsff.datasets.frames import FrameFolder
from nsff.datasets.listing import frame_files
from nsff.datasets.pairing import by_image_name
from nsff.errors import InputError


class ColmapFolder(FrameFolder):
    """Images of images/ with the cameras and points of the model; images without a pose have no camera."""

    kind = "colmap"

    def __init__(self, path: Path) -> None:
        self.root, images = scene_folder(Path(path))
        super().__init__(path, images)

    def cameras(self) -> GivenCameras | None:
        """Cameras of the model with the most of these images; images of other models alone lead to a complaint."""
        found: list[tuple[Path, ColmapModel, dict[int, int]]] = []
        failed: list[InputError] = []
        places = find_models(self.root)
        for model_folder in places:
            try:
                model = read_model(model_folder, need_points=False)
                found.append((model_folder, model, by_image_name(model.names, [file.name for file in self.files])))
            except (InputError, ValueError) as error:
                remedy = "give a model of these images"
                failed.append(error if isinstance(error, InputError) else InputError(model_folder, str(error), remedy))
        if not found:
            if failed:
                raise failed[0]
            return None
        model_folder, model, frames = max(found, key=lambda entry: len(entry[2]))  # the first of equals
        if not frames:
            problem = f"the model's images ({model.names[0]}, ...) are not those of images/ ({self.files[0].name}, ...)"
            raise InputError(self.root, problem, "put the model's images into images/, or set input.cameras: estimate")
        for failure in failed:
            self.complain(f"a COLMAP model was left out: {failure.subject}: {failure.problem}")
        for other, _, others in found:
            if other != model_folder:
                said = f"the COLMAP model in {self._below(other)} ({len(others)} of these images) was left out: "
                said += f"that in {self._below(model_folder)} has {len(frames)}"
                (self.note if others.keys() <= frames.keys() else self.complain)(said)
        order = sorted(frames)
        selected = model.selected([frames[frame] for frame in order])
        return GivenCameras(selected.cameras, order, selected.points, bounded=len(model.points) > 0)

    def _below(self, model_folder: Path) -> str:
        return str(model_folder.relative_to(self.root)) if model_folder != self.root else "the folder itself"


def scene_folder(path: Path) -> tuple[Path, Path]:
    """The scene's folder, ``path`` or its dense/, and the folder of its images: images/, or itself beside a model.

    dense/, as COLMAP's image_undistorter leaves it, comes first where both have a model: that of ``path`` is distorted.
    Raises InputError where neither has images/.
    """
    roots = [root for root in (path / "dense", path) if (root / "images").is_dir()]
    if not roots and len(frame_files(path) if path.is_dir() else ()) >= 2 and find_models(path):
        return path, path
    if not roots:
        raise InputError(path, "has no images/, nor has its dense/", "give the folder that holds images/")
    root = next((root for root in roots if find_models(root)), roots[-1])
    return root, root / "images"


def holds(path: Path, *names: str) -> bool:
    """Whether ``path`` or its dense/ has images/ with images in it, and all of ``names`` beside it."""
    for root in (path, path / "dense"):
        if (root / "images").is_dir() and all((root / name).exists() for name in names):
            return bool(frame_files(root / "images"))
    return False


def matches(path: Path) -> bool:
    """Images, in images/ or beside it, and a COLMAP model."""
    if not path.is_dir():
        return False
    try:
        root, images = scene_folder(path)
    except InputError:
        return False
    return bool(find_models(root) and frame_files(images))


def files(path: Path) -> list[Path]:
    """The files of such a folder that are read: its pictures, and every model, since the fullest is taken."""
    root, images = scene_folder(path)
    return [*frame_files(images), *model_files(root)]
