"""nerfstudio's transforms.json to and from Cameras.

Notation. transform_matrix is camera-to-world, 4x4, with OpenGL axes of the camera (x right, y up, z backward); Cameras
are OpenCV (x right, y down, z forward), so the second and third column change sign. fl_x, fl_y, cx, cy are in pixels,
cx = w/2 at the centre as here. The world is taken as it stands; applied_transform leads to it from that of the raw
data. Source: nerfstudio, "Data conventions".
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from nsff.cameras.lens import Lens
from nsff.cameras.model import Cameras
from nsff.errors import InputError, StageError
from nsff.files.io import read_json, write_json
from nsff.files.reading import reading

_FLIP = np.array([1.0, -1.0, -1.0])
_DISTORTION = ("k1", "k2", "k3", "k4", "p1", "p2")
_PERSPECTIVE = ("OPENCV", "PINHOLE", "SIMPLE_PINHOLE", "SIMPLE_RADIAL", "RADIAL")


@dataclass(frozen=True)
class Transforms:
    """Cameras in the order of the file, their image paths as written there, and times or None.

    ``lenses`` are the frames' own; where ``bounded`` is False, the file has no depth bounds and those of the cameras
    mean nothing. ``applied`` (3,4) takes the world of the raw data, a COLMAP model, to that of the cameras.
    """

    cameras: Cameras
    names: list[str]
    times: list[float] | None
    lenses: list[Lens]
    bounded: bool
    applied: np.ndarray


def write_transforms(
    path: Path,
    cameras: Cameras,
    names: Sequence[str],
    times: Sequence[float] | None = None,
    points: str | None = None,
) -> None:
    """Writes transforms.json. ``names`` are image paths relative to it, ``points`` that of a PLY file of points in the
    same world; near and far become extra keys."""
    matrices = np.tile(np.eye(4), (len(cameras), 1, 1))
    matrices[:, :3] = cameras.camera_to_world
    matrices[:, :3, :3] *= _FLIP
    frames = []
    for i, name in enumerate(names):
        K, (near, far) = cameras.intrinsics[i], cameras.near_far[i]
        frame = {
            "file_path": name,
            "transform_matrix": matrices[i],
            "fl_x": K[0, 0],
            "fl_y": K[1, 1],
            "cx": K[0, 2],
            "cy": K[1, 2],
            "w": cameras.width,
            "h": cameras.height,
            "near": near,
            "far": far,
        }
        frames.append(frame | ({} if times is None else {"time": float(times[i])}))
    if len(frames) != len(cameras):
        raise ValueError(f"{len(frames)} names for {len(cameras)} cameras")
    head = {"camera_model": "PINHOLE", "w": cameras.width, "h": cameras.height}
    write_json(path, head | ({} if points is None else {"ply_file_path": points}) | {"frames": frames})


def read_transforms(path: Path, near_far: tuple[float, float] | None = None) -> Transforms:
    """Reads transforms.json of straight pictures; intrinsics may be global or per frame, or camera_angle_x (radians).

    ``near_far`` (scene units) fills in where the file has no bounds. Raises InputError naming the file and the key:
    not readable, no frames, missing numbers, distortion, sizes that differ, no bounds.
    """
    found = read_capture(path)
    for name, lens in zip(found.names, found.lenses, strict=True):
        if lens.bends:
            kind = "fisheye" if lens.fisheye else "perspective"
            problem = f"is distorted: {kind} lens of {name} with {lens.coefficients}"
            raise InputError(path, problem, "undistort the images first")
    if not found.bounded:
        if near_far is None:
            problem = f"has no near and far for {found.names[0]}"
            raise InputError(path, problem, "give near_far, the depth bounds in scene units")
        bounds = np.tile(near_far, (len(found.names), 1))
        return replace(found, cameras=replace(found.cameras, near_far=bounds), bounded=True)
    return found


def read_capture(path: Path, size: Callable[[str], tuple[int, int] | None] = lambda name: None) -> Transforms:
    """The same with lenses that bend, and without bounds (1 and 2 stand in for them).

    ``size`` gives (height, width) of a picture by its path in the file, where that says nothing of it. Raises
    InputError as read_transforms does.
    """
    try:
        content = read_json(path)
    except StageError as error:
        raise InputError(path, error.problem, "give a transforms.json in nerfstudio's format") from None
    remedy = "give a transforms.json in nerfstudio's format"
    frames = content.get("frames") if isinstance(content, dict) else None
    if not frames or not isinstance(frames, list) or not all(isinstance(frame, dict) for frame in frames):
        raise InputError(path, "has no frames", remedy)
    for number, frame in enumerate(frames):
        name = frame.get("file_path")
        if not isinstance(name, str) or not name:
            problem = f"frame {number} of the list has file_path {name!r}, not the path of a picture"
            raise InputError(path, problem, "write the picture's path, or take the entry out")
    with reading(path, remedy, InputError, remedy):
        return _capture(path, content, frames, size)


def _capture(
    path: Path,
    content: dict[str, Any],
    frames: list[dict[str, Any]],
    size: Callable[[str], tuple[int, int] | None],
) -> Transforms:
    K, poses, bounds, lenses, sizes = [], [], [], [], set()
    for frame in frames:
        own = size(str(frame.get("file_path", ""))) or (None, None)
        width = _number(path, content, frame, "w", own[1])
        height = _number(path, content, frame, "h", own[0])
        sizes.add((int(width), int(height)))
        lenses.append(_lens(path, content, frame))
        K.append(_intrinsics(path, content, frame, width, height))
        poses.append(_world_to_camera(path, frame))
        if "near" in frame and "far" in frame:
            bounds.append((float(frame["near"]), float(frame["far"])))
    if len(sizes) > 1:
        raise InputError(path, f"has frames of different sizes {sorted(sizes)}", "one size is needed")
    width, height = sizes.pop()
    times = [float(frame["time"]) for frame in frames] if all("time" in frame for frame in frames) else None
    bounded = len(bounds) == len(frames)
    near_far = np.array(bounds if bounded else [(1.0, 2.0)] * len(frames))
    cameras = Cameras(np.array(K), np.array(poses), near_far, width, height)
    names = [str(frame.get("file_path", "")) for frame in frames]
    return Transforms(cameras, names, times, lenses, bounded, _applied(path, content))


def _lens(path: Path, content: dict[str, Any], frame: dict[str, Any]) -> Lens:
    model = frame.get("camera_model", content.get("camera_model", "OPENCV"))
    if frame.get("is_fisheye", content.get("is_fisheye", False)):
        model = "OPENCV_FISHEYE"
    value = {key: float(frame.get(key, content.get(key, 0.0)) or 0.0) for key in _DISTORTION}
    if model in ("OPENCV_FISHEYE", "FISHEYE"):
        return Lens(True, (value["k1"], value["k2"], value["k3"], value["k4"]))
    if model not in _PERSPECTIVE or value["k4"]:
        known = ", ".join([*_PERSPECTIVE, "OPENCV_FISHEYE"])
        problem = f"is distorted: camera_model {model}" + (" with k4" if value["k4"] else "")
        raise InputError(path, problem, f"undistort the images first; known are {known}")
    return Lens(False, (value["k1"], value["k2"], value["p1"], value["p2"], value["k3"]))


def _applied(path: Path, content: dict[str, Any]) -> np.ndarray:
    """applied_transform (3,4 or 4,4; nothing: the identity), with applied_scale where there is one."""
    try:
        matrix = np.asarray(content.get("applied_transform", np.eye(4)), np.float64)[:3, :4]
        scale = float(content.get("applied_scale", 1.0))
    except (TypeError, ValueError, IndexError):
        matrix, scale = np.zeros((0, 0)), 1.0
    if matrix.shape != (3, 4) or not np.isfinite(matrix).all():
        raise InputError(path, "applied_transform is no 3x4 matrix", "correct it, or take it out")
    return scale * matrix


def _number(
    path: Path, content: dict[str, Any], frame: dict[str, Any], key: str, default: float | None = None
) -> float:
    value = frame.get(key, content.get(key, default))
    if not isinstance(value, (int, float)) or not math.isfinite(value) or value <= 0:
        raise InputError(path, f"{key} is {value!r} for {frame.get('file_path')}", "write a positive number of pixels")
    return float(value)


def _intrinsics(path: Path, content: dict[str, Any], frame: dict[str, Any], width: float, height: float) -> np.ndarray:
    angle = frame.get("camera_angle_x", content.get("camera_angle_x"))
    focal = width / (2 * math.tan(float(angle) / 2)) if angle else None
    fx = _number(path, content, frame, "fl_x", focal)
    fy = _number(path, content, frame, "fl_y", fx)
    cx = _number(path, content, frame, "cx", width / 2)
    cy = _number(path, content, frame, "cy", height / 2)
    return np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])


def _world_to_camera(path: Path, frame: dict[str, Any]) -> np.ndarray:
    try:
        matrix = np.asarray(frame["transform_matrix"], dtype=np.float64)[:3, :4]
    except (KeyError, TypeError, ValueError, IndexError):
        matrix = np.zeros((0, 0))
    if matrix.shape != (3, 4) or not np.isfinite(matrix).all():
        raise InputError(
            path, f"transform_matrix of {frame.get('file_path')} is no 4x4 matrix", "write camera-to-world, OpenGL axes"
        )
    R = matrix[:, :3] * _FLIP
    if not np.allclose(R.T @ R, np.eye(3), atol=1e-3) or np.linalg.det(R) < 0:
        raise InputError(
            path,
            f"transform_matrix of {frame.get('file_path')} has no rotation in its first three columns",
            "scale only translations",
        )
    return np.concatenate([R.T, -R.T @ matrix[:, 3:]], axis=1)
