"""Depth and flow files that come with a source.

Disparity: relative inverse depth, larger is nearer. Flow: (right, down) in pixels of its own size, with a mask that is
True where it holds. Both may have another size than the frames, but not another shape.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float32

from nsff.datasets.labels import read_labels
from nsff.datasets.listing import with_suffix
from nsff.datasets.pairing import REMEDY, GivenFiles
from nsff.errors import InputError
from nsff.files.arrays import load
from nsff.files.reading import reading


def load_array(path: Path, key: str | None = None, default: str | None = None) -> np.ndarray:
    """The array of a .npy, or ``key`` (else ``default``) of a .npz; never unpickles. InputError names the file."""
    with reading(path, REMEDY, InputError, REMEDY):
        return load(path, key, default)


def first_existing(candidates: Sequence[Path]) -> Path:
    """The first path that exists; the first of all where none does (so that the error names it)."""
    return next((path for path in candidates if path.exists()), candidates[0])


def read_disparity(path: Path) -> Float32[np.ndarray, "h w"]:
    """Disparity from .npy (as MiDaS leaves it); a leading or trailing axis of length 1 goes."""
    return _checked_disparity(path, load_array(path))


def read_depth_as_disparity(path: Path) -> Float32[np.ndarray, "h w"]:
    """1/depth from a .npz with ``depth`` (z, scene units); 0 where the depth is infinite."""
    depth = _numbers(path, load_array(path, "depth"))
    if np.isnan(depth).any() or (depth <= 0).any():
        raise InputError(path, "has depths that are not positive", "write z > 0, or infinity where nothing is")
    return _checked_disparity(path, 1 / depth)


def _numbers(path: Path, values: np.ndarray) -> np.ndarray:
    if values.dtype.kind not in "biuf":
        raise InputError(path, f"holds {values.dtype}, not numbers", REMEDY)
    with np.errstate(over="ignore"):
        return values.astype(np.float32)


def _checked_disparity(path: Path, disparity: np.ndarray) -> np.ndarray:
    disparity = np.squeeze(disparity)
    if disparity.ndim != 2 or disparity.dtype.kind not in "fiu":
        raise InputError(
            path, f"has shape {disparity.shape} and type {disparity.dtype}, expected (height, width)", REMEDY
        )
    disparity = disparity.astype(np.float32)
    if not np.isfinite(disparity).all():
        raise InputError(path, "has values that are not finite", REMEDY)
    return disparity


def read_given_flow(path: Path) -> tuple[Float32[np.ndarray, "h w 2"], Bool[np.ndarray, "h w"]]:
    """Flow and its mask from a .npz with ``flow`` and ``mask`` or ``visible``; what is not finite is masked and 0."""
    flow = _numbers(path, load_array(path, "flow"))
    mask = _numbers(path, load_array(path, "mask", "visible")).astype(bool)
    if flow.ndim != 3 or flow.shape[2] != 2 or mask.shape != flow.shape[:2]:
        raise InputError(
            path,
            f"has flow {flow.shape} and mask {mask.shape}, expected (height, width, 2) and (height, width)",
            REMEDY,
        )
    finite = np.isfinite(flow).all(axis=2)
    flow[~finite] = 0
    return flow, mask & finite


def read_motion_mask(path: Path) -> Bool[np.ndarray, "h w"]:
    """A mask of what moves from a picture, True where it moves: any label but 0, and above half where edges are soft or
    lossy. Raises InputError for a picture that holds no labels."""
    if not path.exists():
        raise InputError(path, "no such file", REMEDY)
    return read_labels(path) > 0


class TruthPriors:
    """Rendered truth as given priors: ``folder``/depth/%05d.npz (depth), flow/%05d_{fwd,bwd}.npz (flow, visible)."""

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        self.has_depth = (self.folder / "depth").is_dir()
        self.has_flow = (self.folder / "flow").is_dir()
        if not self.has_depth and not self.has_flow:
            raise InputError(self.folder, "has neither depth/ nor flow/", "check input.truth_priors")
        self.given_depth = GivenFiles(self.folder / "depth", (".npz",), "depth map")
        self.given_flow = GivenFiles(self.folder / "flow", (".npz",), "flow file", ("fwd", "bwd"))

    def match(self, names: Sequence[str] | None, count: int | None, taken: Sequence[int], flow: bool) -> list[str]:
        """Pairs the files with the frames of a source (nsff.datasets.pairing); returns notes."""
        wanted = [files for files, there in ((self.given_depth, True), (self.given_flow, flow)) if files and there]
        for files in wanted:
            files.match(names, count, taken)
        return [files.note for files in wanted if files.note]

    def disparity(self, index: int) -> Float32[np.ndarray, "h w"]:
        return read_depth_as_disparity(self.given_depth.path(index))

    def flow(self, index: int, direction: str) -> tuple[Float32[np.ndarray, "h w 2"], Bool[np.ndarray, "h w"]]:
        return read_given_flow(self.given_flow.path(index, direction))


def truth_files(folder: Path) -> list[Path]:
    """The files of a folder that TruthPriors reads."""
    inside = [folder / name for name in ("depth", "flow") if (folder / name).is_dir()]
    return [file for directory in inside for file in with_suffix(directory, (".npz",))]
