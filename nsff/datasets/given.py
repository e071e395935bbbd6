"""Cameras and points for the ingested frames, depth, flow and masks that come with a source, written to given/.

Cameras are chosen before frames are read, since pixels are taken as the cameras know them. A frame without a camera
gets one from its neighbours, as with estimated cameras (nsff.cameras.interpolation).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
from tqdm import tqdm

from nsff.cameras.interpolation import LONGEST_GAP, fill_gaps, long_gap
from nsff.cameras.points import depth_bounds
from nsff.config import InputConfig
from nsff.datasets.base import GivenCameras, Source, same_aspect
from nsff.datasets.frames import FrameFolder
from nsff.datasets.given_tracks import GivenTracks
from nsff.datasets.priors import TruthPriors
from nsff.datasets.sensor_depth import SensorDepth
from nsff.datasets.sparse import triangulated
from nsff.datasets.unused import unused_cameras
from nsff.errors import InputError
from nsff.files.io import read_image, write_image, write_npz
from nsff.layout import GivenFolder, frame_name
from nsff.scene import write_flow

ESTIMATE = "set input.cameras: estimate"
FURTHEST = 1e9
"""Scene units, and pixels of focal length: rays of cameras beyond are lost in the rounding of 32-bit numbers."""
STILL = 1e-6
"""Cameras that stay within this share of the near bound of each other do not move."""


def choose_cameras(source: Source, config: InputConfig, indices: Sequence[int]) -> GivenCameras | None:
    """Cameras of exactly the frames ``indices``, in that order, or None where they are to be estimated.

    Raises InputError where there are none and input.cameras is given, or more than LONGEST_GAP frames in a row have
    none.
    """
    given = None if config.cameras == "estimate" else source.cameras()
    if given is None:
        if config.cameras == "given":
            problem = f"brings no cameras (kind {source.kind}), but input.cameras is given"
            raise InputError(source.path, problem, "set it to auto or estimate")
        if config.cameras == "auto" and isinstance(source, FrameFolder):
            for said in unused_cameras(source.path, source.folder):
                source.complain(said)
        return None
    _check_numbers(source, given)
    row = {frame: i for i, frame in enumerate(given.frames)}
    known = [i for i, index in enumerate(indices) if index in row]
    rows = [row[indices[i]] for i in known]
    points = given.points.selected(rows) if given.points is not None else None
    cameras = given.cameras[rows]
    moved = np.linalg.norm(cameras.centres - cameras.centres[:1], axis=1).max(initial=0)
    if len(known) > 1 and moved <= STILL * cameras.near_far[:, 0].min():
        source.complain("the given cameras do not move: without parallax nothing tells how far away things are")
    if len(known) < len(indices):
        missing = [i for i in range(len(indices)) if i not in set(known)]
        problem = f"{len(missing)} of {len(indices)} frames have no given camera"
        problem += f" (source frames {_some(source, [indices[i] for i in missing])})"
        if config.cameras == "given" or len(known) < 2 or long_gap(known, len(indices)) is not None:
            skip = ", ".join(str(indices[i]) for i in missing)
            remedy = f"take other frames (input.skip: [{skip}], input.start, input.end), or {ESTIMATE}"
            raise InputError(source.path, f"{problem}; up to {LONGEST_GAP} in a row get one from neighbours", remedy)
        source.complain(f"{problem}; they get one from their neighbours'")
        cameras = fill_gaps(cameras, known, len(indices))
        if points is not None:
            points = replace(points, track_frame=np.array(known)[points.track_frame])
    return GivenCameras(cameras, list(indices), points if points is not None and len(points) else None, given.bounded)


def _check_numbers(source: Source, given: GivenCameras) -> None:
    """InputError for cameras whose numbers are finite and nothing that was ever measured."""
    cameras = given.cameras
    numbers = {
        "position": np.abs(cameras.centres).max(axis=1),
        "focal length": cameras.intrinsics[:, [0, 1], [0, 1]].max(axis=1),
        "depth bound": cameras.near_far.max(axis=1),
    }
    for what, values in numbers.items():
        if not (values <= FURTHEST).all():
            row = int(np.argmin(values <= FURTHEST))
            problem = f"the given camera of source frame {given.frames[row]} has a {what} of {values[row]:.3g}"
            raise InputError(source.path, f"{problem}: more than {FURTHEST:.0e} is damaged", f"mend it, or {ESTIMATE}")


def _some(source: Source, frames: Sequence[int]) -> str:
    names = source.frame_names()
    said = [f"{frame} ({names[frame]})" if names else str(frame) for frame in frames[:5]]
    return ", ".join(said) + (", ..." if len(frames) > 5 else "")


def write_cameras(
    given: GivenCameras, source: Source, size: tuple[int, int], source_size: tuple[int, int], frames: Path, folder: Path
) -> bool:
    """Writes cameras.json for frames of ``size`` and points.npz; returns whether there are points.

    Without depth bounds points are triangulated from the pictures in ``frames``. Raises InputError where the cameras
    are for pictures of another shape, or nothing can be triangulated.
    """
    cameras, points = given.cameras, given.points
    if not same_aspect((cameras.height, cameras.width), source_size, 0.01):
        problem = f"given cameras are for {cameras.width}x{cameras.height}, the frames are {size_text(source_size)}"
        raise InputError(source.path, problem, f"give cameras for these images, or {ESTIMATE}")
    cameras = cameras.resized(*size)
    if points is None and not given.bounded:
        points = triangulated(cameras, lambda i: read_image(frames / frame_name(i)))
        if points is None:
            problem = "its cameras come without points or depth bounds, and fit these pictures too badly to find any"
            raise InputError(source.path, problem, f"check that they belong to these frames, or {ESTIMATE}")
        cameras = replace(cameras, near_far=depth_bounds(cameras, points))
        source.note(f"the cameras come without points: {len(points)} were triangulated from the frames")
    cameras.save(GivenFolder(folder).cameras_path)
    if points is not None:
        points.save(GivenFolder(folder).points_path)
    return points is not None


class Priors:
    """Depth and flow of a source, or what the settings put in their place, and long tracks of the user's own."""

    def __init__(self, source: Source, config: InputConfig) -> None:
        self.source = source
        self.flow = TruthPriors(Path(config.truth_priors)) if config.truth_priors else source
        self.depth = SensorDepth(config.depth, source) if config.depth else self.flow
        self.tracks = GivenTracks(config.tracks, source) if config.tracks else None
        self.has_flow, self.has_depth = self.flow.has_flow, self.depth.has_depth

    def match(self, indices: Sequence[int], count: int | None) -> None:
        """Pairs files with frames. Raises InputError where nobody can know which belongs to which."""
        source = self.source
        if self.has_flow and any(b - a != 1 for a, b in pairwise(indices)):
            source.note("given flow is left out: it joins neighbouring source frames, and frames between were left out")
            self.has_flow = False
        names = source.frame_names()
        notes: list[str] = []
        own = self.flow is source
        source.match(indices, flow=own and self.has_flow, depth=self.depth is source)
        if isinstance(self.flow, TruthPriors):
            notes += self.flow.match(names, count, indices, self.has_flow)
        if isinstance(self.depth, SensorDepth):
            notes += self.depth.match(names, count, indices)
        for note in notes:
            source.note(note)

    def write_tracks(
        self, indices: Sequence[int], size: tuple[int, int], source_size: tuple[int, int], folder: Path
    ) -> dict[str, bool]:
        """Writes tracks.npz where there are long tracks, and says so; see ``GivenTracks.taken``."""
        if self.tracks is None:
            return {}
        source = self.source
        counts = [source.count] if source.frame_names() is not None and source.count is not None else source.about
        self.tracks.taken(indices, counts, size, source_size).save(GivenFolder(folder).tracks_path)
        return {"tracks": True}

    def write(self, indices: Sequence[int], size: tuple[int, int], folder: Path) -> dict[str, bool]:
        """Writes depth/, flow/ and motion_masks/; says which there are. InputError for a file that cannot be used."""
        target = GivenFolder(folder)
        if self.has_depth:
            where = self.depth.path if isinstance(self.depth, Source) else self.depth.folder
            for i, index in enumerate(tqdm(indices, desc="given depth", leave=False)):
                disparity = self.depth.disparity(index)
                _check_shape(where, f"given depth of source frame {index}", disparity, size)
                arrays = {"disparity": disparity}
                trust = None if isinstance(self.depth, TruthPriors) else self.depth.confidence(index)
                if trust is not None:
                    arrays["confidence"] = trust
                write_npz(target.depth_path(i), **arrays)
        for i, index in enumerate(tqdm(indices if self.has_flow else [], desc="given flow", leave=False)):
            for direction, there in (("fwd", i + 1 < len(indices)), ("bwd", i > 0)):
                if there:
                    flow, mask = self.flow.flow(index, direction)
                    _check_shape(self.source.path, f"given flow of source frame {index}", mask, size)
                    write_flow(target.flow_path(i, direction), flow, mask)
        given = {"depth": self.has_depth, "flow": self.has_flow}
        if self.source.has_masks:
            given["masks"] = True
            for i, index in enumerate(tqdm(indices, desc="given masks", leave=False)):
                mask = self.source.motion_mask(index)
                _check_shape(self.source.path, f"given mask of source frame {index}", mask, size)
                write_image(target.mask_path(i), mask.astype(np.uint8) * 255)
        return given


def _check_shape(where: Path, what: str, array: np.ndarray, size: tuple[int, int]) -> None:
    if not same_aspect(array.shape[:2], size):
        problem = f"{what} is {size_text(array.shape)}, the frames are {size_text(size)}: another aspect"
        raise InputError(where, problem, "give priors of the same field of view as the frames, or take them away")


def size_text(shape: Sequence[int]) -> str:
    """Width x height of an array's shape."""
    return f"{shape[1]}x{shape[0]}"
