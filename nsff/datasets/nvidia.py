"""NVIDIA Dynamic Scene data as NSFF and SAFF keep it: <scene>/dense/ with images/, sparse/ or poses_bounds.npy.

disp/%05d.npy (disparity), flow_i1/%05d_{fwd,bwd}.npz (flow, mask) and motion_masks/%05d.png, where they are there, are
given priors.
mv_images/, mv_masks/ and gt_masks/ are truth and never read here. Frame t is filmed by camera t mod 12.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Bool

from nsff.cameras.llff import read_poses_bounds
from nsff.datasets.base import GivenCameras
from nsff.datasets.colmap import ColmapFolder, holds, scene_folder
from nsff.datasets.colmap import files as colmap_files
from nsff.datasets.frames import FrameFolder
from nsff.datasets.listing import with_suffix
from nsff.datasets.pairing import GivenFiles, rows_in_text_order
from nsff.datasets.priors import first_existing, read_disparity, read_given_flow, read_motion_mask
from nsff.errors import InputError

PRIORS = (".npy", ".npz")


class NvidiaScene(ColmapFolder):
    """A scene folder, or its dense/. Cameras come from sparse/ (true principal point), else from poses_bounds.npy."""

    kind = "nvidia"
    flow_folders: tuple[str, ...] = ("flow_i1", "flow")

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        folder = first_existing([self.root / name for name in self.flow_folders])
        self.given_flow = GivenFiles(folder, (".npz",), "flow file", ("fwd", "bwd"))
        self.given_depth = GivenFiles(self.root / "disp", (".npy",), "disparity map")
        self.given_masks = GivenFiles(self.root / "motion_masks", (".png",), "motion mask")
        self.has_flow, self.has_depth = bool(self.given_flow), bool(self.given_depth)
        self.has_masks = bool(self.given_masks)

    def cameras(self) -> GivenCameras | None:
        return super().cameras() or llff_cameras(self.root / "poses_bounds.npy", self)

    def match(self, taken: Sequence[int], flow: bool = True, depth: bool = True) -> None:
        for files, wanted in ((self.given_flow, flow), (self.given_depth, depth), (self.given_masks, True)):
            if files and wanted:
                files.match(self.frame_names(), len(self.files), taken)
                if files.note:
                    self.note(files.note)

    def disparity(self, index: int) -> np.ndarray:
        return read_disparity(self.given_depth.path(index))

    def flow(self, index: int, direction: str) -> tuple[np.ndarray, np.ndarray]:
        return read_given_flow(self.given_flow.path(index, direction))

    def motion_mask(self, index: int) -> Bool[np.ndarray, "h w"]:
        """Pixels that are not black move (NSFF)."""
        return read_motion_mask(self.given_masks.path(index))


def llff_cameras(path: Path, source: FrameFolder) -> GivenCameras | None:
    """Cameras of poses_bounds.npy, one row per image, sorted by name as text; None where there is no such file."""
    if not path.exists():
        return None
    cameras, count = read_poses_bounds(path), len(source.files)
    if len(cameras) != count:
        raise InputError(
            path,
            f"has {len(cameras)} rows, but there are {count} images",
            "give one row per image, or set input.cameras: estimate",
        )
    rows = rows_in_text_order([file.name for file in source.files])
    if rows != list(range(count)):
        source.note(
            f"rows of {path.name} are taken in the order of names as text, as LLFF writes them: "
            f"row 1 is {source.files[rows.index(1)].name}"
        )
    return GivenCameras(cameras[rows], list(range(count)))


def matches(path: Path) -> bool:
    """Multi-view truth, NSFF's flow or its masks beside the images and sparse/, or both kinds of cameras without
    DynamicNeRF's flow."""
    both = any((root / "sparse").is_dir() and not (root / "flow").is_dir() for root in (path, path / "dense"))
    masks = both and holds(path, "motion_masks")
    return holds(path, "mv_images") or holds(path, "flow_i1") or masks or (both and holds(path, "poses_bounds.npy"))


def files(path: Path) -> list[Path]:
    """The files of such a folder that are read: pictures, models, poses_bounds.npy and priors, masks among them."""
    root, _ = scene_folder(path)
    poses = [file for file in (root / "poses_bounds.npy",) if file.exists()]
    priors = [with_suffix(root / name, PRIORS) for name in ("disp", "flow", "flow_i1") if (root / name).is_dir()]
    priors += [with_suffix(root / "motion_masks", (".png",))] if (root / "motion_masks").is_dir() else []
    return [*colmap_files(path), *poses, *(file for found in priors for file in found)]
