"""NVIDIA Dynamic Scene data as NSFF and SAFF keep it: <scene>/dense/ with images/, sparse/ or poses_bounds.npy.

disp/%05d.npy (disparity), flow_i1/%05d_{fwd,bwd}.npz (flow, mask) and motion_masks/%05d.png, where they are there, are
given priors.
mv_images/, mv_masks/ and gt_masks/ are truth and never read here. Frame t is filmed by camera t mod 12.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Bool

from nsff.cameras.llff import read_poses_bounds
from nsff.datasets.base import GivenCameras
from nsff.datasets.colmap import ColmapFolder, dense_folder, holds
from nsff.datasets.colmap import files as colmap_files
from nsff.datasets.listing import with_suffix
from nsff.datasets.priors import first_existing, read_disparity, read_given_flow, read_motion_mask
from nsff.errors import InputError

PRIORS = (".npy", ".npz")


class NvidiaScene(ColmapFolder):
    """A scene folder, or its dense/. Cameras come from sparse/ (true principal point), else from poses_bounds.npy."""

    kind = "nvidia"
    flow_folders: tuple[str, ...] = ("flow_i1", "flow")

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.flow_root = first_existing([self.root / name for name in self.flow_folders])
        self.has_flow = self.flow_root.is_dir() and any(self.flow_root.glob("*.npz"))
        self.has_masks = (self.root / "motion_masks").is_dir() and any((self.root / "motion_masks").glob("*.png"))
        self.has_depth = (self.root / "disp").is_dir() and any((self.root / "disp").glob("*.npy"))

    def cameras(self) -> GivenCameras | None:
        return super().cameras() or llff_cameras(self.root / "poses_bounds.npy", len(self.files))

    def disparity(self, index: int) -> np.ndarray:
        return read_disparity(first_existing([self.root / "disp" / f"{name}.npy" for name in self._names(index)]))

    def flow(self, index: int, direction: str) -> tuple[np.ndarray, np.ndarray]:
        return read_given_flow(
            first_existing([self.flow_root / f"{name}_{direction}.npz" for name in self._names(index)])
        )

    def motion_mask(self, index: int) -> Bool[np.ndarray, "h w"]:
        """Whatever is not black moves (NSFF)."""
        names = [self.root / "motion_masks" / f"{name}.png" for name in self._names(index)]
        return read_motion_mask(first_existing(names))

    def _names(self, index: int) -> list[str]:
        """Names that priors of a frame go by: the image's, or the index (NSFF numbers flow files itself)."""
        return list(dict.fromkeys([self.files[index].stem, f"{index:05d}", f"{index:03d}"]))


def llff_cameras(path: Path, count: int) -> GivenCameras | None:
    """Cameras of poses_bounds.npy, one per image in order; None where there is no such file."""
    if not path.exists():
        return None
    cameras = read_poses_bounds(path)
    if len(cameras) != count:
        raise InputError(
            path,
            f"has {len(cameras)} rows, but there are {count} images",
            "give one row per image, or set input.cameras: estimate",
        )
    return GivenCameras(cameras, list(range(count)))


def matches(path: Path) -> bool:
    """Multi-view truth, NSFF's flow or its masks beside the images and sparse/, or both kinds of cameras without
    DynamicNeRF's flow."""
    both = any((root / "sparse").is_dir() and not (root / "flow").is_dir() for root in (path, path / "dense"))
    masks = both and holds(path, "motion_masks")
    return holds(path, "mv_images") or holds(path, "flow_i1") or masks or (both and holds(path, "poses_bounds.npy"))


def files(path: Path) -> list[Path]:
    """What is read of such a folder: pictures, models, poses_bounds.npy and priors, masks among them."""
    root = dense_folder(path)
    poses = [file for file in (root / "poses_bounds.npy",) if file.exists()]
    priors = [with_suffix(root / name, PRIORS) for name in ("disp", "flow", "flow_i1") if (root / name).is_dir()]
    priors += [with_suffix(root / "motion_masks", (".png",))] if (root / "motion_masks").is_dir() else []
    return [*colmap_files(path), *poses, *(file for found in priors for file in found)]
