"""Cameras between cameras: interpolated at any position along the clip, or for frames that have none of their own.

Notation. ``registered`` are the frames (0..n-1, ascending) that have a camera; cameras are OpenCV, world to camera.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
from jaxtyping import Float, Float64
from scipy.spatial.transform import Rotation

from nsff.cameras import Cameras, stack
from nsff.errors import StageError

LONGEST_GAP = 3
"""No more frames in a row than this may lack a pose."""


def interpolate(cameras: Cameras, positions: Float[np.ndarray, " F"]) -> Cameras:
    """Cameras between neighbours: at position i + ρ the centre, intrinsics and bounds are linear, the rotation is
    slerped.

    Positions outside 0..N-1 take the first or last camera. NSFF leaves the shortest arc to chance (w >= 0); here it
    is always the shortest.
    """
    last = len(cameras) - 1
    position = np.clip(np.asarray(positions, float), 0, last)
    first = np.clip(np.floor(position).astype(int), 0, max(last - 1, 0))
    second = np.minimum(first + 1, last)
    fraction = position - first
    poses = cameras.camera_to_world
    rotation = slerp(poses[first, :, :3], poses[second, :, :3], fraction)

    def linear(values: np.ndarray) -> np.ndarray:
        weight = fraction.reshape(-1, *[1] * (values.ndim - 1))
        return (1 - weight) * values[first] + weight * values[second]

    inverse = rotation.transpose(0, 2, 1)
    translation = -np.einsum("nij,nj->ni", inverse, linear(poses[:, :, 3]))
    return replace(
        cameras, intrinsics=linear(cameras.intrinsics), near_far=linear(cameras.near_far),
        world_to_camera=np.concatenate([inverse, translation[:, :, None]], axis=2),
    )  # fmt: skip


def slerp(
    first: Float[np.ndarray, "F 3 3"], second: Float[np.ndarray, "F 3 3"], fraction: Float[np.ndarray, " F"]
) -> Float64[np.ndarray, "F 3 3"]:
    """Rotations at ``fraction`` of the way from ``first`` to ``second`` along the shortest arc, at constant speed."""
    start = Rotation.from_matrix(first)
    step = (start.inv() * Rotation.from_matrix(second)).as_rotvec()
    return (start * Rotation.from_rotvec(step * np.asarray(fraction)[:, None])).as_matrix()


def long_gap(registered: Sequence[int], n_frames: int) -> range | None:
    """The first run of more than LONGEST_GAP frames without a camera, or None."""
    ends = [-1, *registered, n_frames]
    for before, after in pairwise(ends):
        if after - before - 1 > LONGEST_GAP:
            return range(before + 1, after)
    return None


def fill_gaps(cameras: Cameras, registered: Sequence[int], n_frames: int) -> Cameras:
    """Cameras of all frames from those of the ``registered`` ones (ascending).

    Between registered frames poses are interpolated (centres linearly, rotations by slerp), before the first and after
    the last the last motion goes on. Raises StageError naming the frames where more than LONGEST_GAP in a row lack one.
    """
    known = np.asarray(registered)
    run = long_gap(registered, n_frames)
    if run is not None:
        missing = sorted(set(range(n_frames)) - set(registered))
        raise StageError(
            "sfm",
            f"frames {run[0]} to {run[-1]} have no pose; at most {LONGEST_GAP} in a row are filled in "
            f"(all without: {', '.join(map(str, missing))})",
            "leave them out by input.skip, input.start and input.end, or look at what they show",
        )
    inside = interpolate(cameras, np.interp(np.arange(n_frames), known, np.arange(len(known))))
    before = _continued(cameras[::-1], int(known[0]))[::-1]
    after = _continued(cameras, n_frames - 1 - int(known[-1]))
    return stack(stack(before, inside[int(known[0]) : int(known[-1]) + 1]), after)


def _continued(cameras: Cameras, count: int) -> Cameras:
    """``count`` cameras that repeat the motion between the last two: P_(i+1) = (P_i P_(i-1)^-1) P_i."""
    pose = _square(cameras.world_to_camera[-1])
    step = pose @ np.linalg.inv(_square(cameras.world_to_camera[-2])) if len(cameras) > 1 else np.eye(4)
    poses = np.zeros((count, 3, 4))
    for k in range(count):
        pose = step @ pose
        poses[k] = pose[:3]
    return replace(cameras[[len(cameras) - 1] * count], world_to_camera=poses)


def _square(pose: np.ndarray) -> np.ndarray:
    return np.concatenate([pose, [[0, 0, 0, 1.0]]])
