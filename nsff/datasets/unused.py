"""Cameras and priors that lie beside the frames and are not read: the user is told of them."""

from __future__ import annotations

from pathlib import Path

from nsff.cameras.colmap_models import find_models, incomplete_models
from nsff.datasets.frames import FrameFolder
from nsff.datasets.listing import is_broken, visible
from nsff.datasets.pairing import GivenFiles

DEPTH_FOLDERS = ("depth", "depths", "depth_maps", "disp")
MASK_FOLDERS = ("motion_masks", "masks", "mask")
FLOW_FOLDERS = ("flow_i1", "flow")
CAMERA_NAMES = ("images", "sparse", "colmap", "distorted", "poses_bounds.npy", "transforms.json")


def unused_cameras(path: Path, images: Path) -> list[str]:
    """Messages about files in ``path`` (the source) and beside its pictures in ``images`` that might be cameras."""
    said = [f"the COLMAP model in {where} was left out: it lacks {part}" for where, part in incomplete_models(path)]
    if images == path and path.name == "images":
        scene = path.resolve().parent
        beside = [model_folder.relative_to(scene) for model_folder in find_models(scene)]
        beside += [Path(name) for name in ("transforms.json", "poses_bounds.npy") if (scene / name).is_file()]
        if beside:
            said.append(f"cameras lie beside {path.name}/ ({beside[0]}): give the folder above it to use them")
    if images == path and (path / "poses_bounds.npy").is_file():
        said.append("poses_bounds.npy was left out: it is read where the frames lie in images/ beside it")
    if (path / "transforms_train.json").is_file():
        said.append("transforms_train.json was left out: it is read under the name transforms.json")
    return said


def unused_priors(source: FrameFolder, depth_given: bool) -> tuple[list[str], list[str]]:
    """Notes on folders beside the frames that look like priors and are not read, and complaints: links to what is not
    there, and folders that this source reads without finding a file in them."""
    root = source.folder.parent if source.folder.name == "images" else source.folder
    entries = sorted(visible(root))
    notes: list[str] = []
    known = (*DEPTH_FOLDERS, *MASK_FOLDERS, *FLOW_FOLDERS, *CAMERA_NAMES)
    broken = [file.name for file in entries if file.name in known and is_broken(file)]
    complaints = [f"{name} is a link to something that is not there, and was left out" for name in broken]
    given = [files for files in vars(source).values() if isinstance(files, GivenFiles)]
    read = {files.folder.resolve() for files in given if files}
    for files in given:
        if not files and files.folder.is_dir() and any(visible(files.folder)):
            kinds = " or ".join(files.suffixes)
            complaints.append(f"{files.folder.name}/ was left out: it holds no {files.what} ({kinds})")
            read.add(files.folder.resolve())
    for names, what in (
        (DEPTH_FOLDERS, "" if depth_given else "depth maps are read where input.depth names their folder"),
        (
            MASK_FOLDERS,
            "masks of what moves are read from motion_masks/ in the layout of NSFF, true masks by evaluation",
        ),
        (FLOW_FOLDERS, "flow is read from flow_i1/ in the layout of NSFF"),
    ):
        left = [f for f in entries if f.name in names and f.is_dir() and f.resolve() not in read and any(visible(f))]
        notes += [f"{folder.name}/ beside the frames is not read: {what}" for folder in left if what]
    return notes, complaints
