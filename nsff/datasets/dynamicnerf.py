"""DynamicNeRF's layout: images/, poses_bounds.npy, disp/*.npy, flow/*_{fwd,bwd}.npz, with names of three digits.

One frame per camera; disparity and flow may be smaller than the images. gt/ is truth and never read here.
"""

from __future__ import annotations

from pathlib import Path

from nsff.datasets.base import GivenCameras
from nsff.datasets.colmap import ColmapFolder, holds
from nsff.datasets.nvidia import NvidiaScene, files, llff_cameras

__all__ = ["DynamicNerfScene", "files", "matches"]


class DynamicNerfScene(NvidiaScene):
    """As NvidiaScene, but poses_bounds.npy comes first: sparse/ there belongs to images of another size."""

    kind = "dynamicnerf"
    flow_folders = ("flow", "flow_i1")

    def cameras(self) -> GivenCameras | None:
        return llff_cameras(self.root / "poses_bounds.npy", self) or ColmapFolder.cameras(self)


def matches(path: Path) -> bool:
    """images/ and poses_bounds.npy."""
    return holds(path, "poses_bounds.npy")
