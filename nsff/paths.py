"""Camera and time paths: a moving view at one time, moving time in one view, both together, and user keyframes.

Notation. Offsets o (F,3) are NSFF's, in OpenGL camera axes (right, up, backward): the pose is c2w [I|o]^-1, so the
camera moves by -o along its own axes. Times are frame indices (floats) in 0..N-1. Lengths: NSFF divides its world by
0.9 times the 5th percentile of the near bounds, and moves there by m = pixels / focal. Here the world keeps its own
scale, so m = amplitude / focal * 0.9 P5(near): what lies at NSFF's near plane moves by at most ``amplitude`` pixels.
Source: NSFF, load_llff_data, render_bt, render_lockcam_slowmo, render_slowmo_bt.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float, Float64

from nsff.cameras import Cameras
from nsff.cameras.interpolation import interpolate
from nsff.errors import ConfigError, NsffError
from nsff.files.io import read_json

Kind = Literal["view", "time", "spacetime"]
LONGEST = 3600.0
"""Seconds that a video along key frames may last."""
# In slow motion the loop of the bullet-time offset is shorter than the path: 40 of 201 poses, and 32 of 48 pixels.
BULLET_LOOPS = 5
BULLET_AMPLITUDE = 32 / 48
NEAR_PLANE = 0.9
"""NSFF's near plane as a fraction of the near bound of the scene (bd_factor of its loader)."""


@dataclass(frozen=True)
class Path4D:
    """F cameras and the F times at which they look."""

    cameras: Cameras
    times: Float64[np.ndarray, " F"]

    def __len__(self) -> int:
        return len(self.times)


def make_path(
    kind: Kind,
    cameras: Cameras,
    frames: int,
    target: float | None,
    amplitude: float,
    start: float | None = None,
    end: float | None = None,
    follow: bool = True,
) -> Path4D:
    """A path of ``frames`` poses through the scene of the N training ``cameras``.

    view: camera ``target`` wanders at time ``target`` (NSFF's render_bt). time: camera ``target`` stays and time runs
    over the clip (render_lockcam_slowmo). spacetime: time runs and the camera is the one interpolated between the
    training cameras at that time, moved by a bullet-time loop (render_slowmo_bt); without ``follow``, the one at
    ``target`` moved by that loop (SAFF's render_slowmo_full). ``target`` may lie between two frames; null is the middle
    frame. ``amplitude`` is in pixels of parallax at NSFF's near plane; time runs from ``start`` to ``end`` (null: the
    first and the last frame). Raises ConfigError for a target or times outside the clip, or an unknown kind.

    >>> K, E = np.tile(np.diag([100.0, 100, 1]), (5, 1, 1)), np.tile(np.eye(4)[:3], (5, 1, 1))
    >>> cameras = Cameras(K, E, np.tile([1.0, 10.0], (5, 1)), width=64, height=48)
    >>> make_path("time", cameras, frames=3, target=None, amplitude=32).times
    array([0., 2., 4.])
    """
    count = len(cameras)
    target = count // 2 if target is None else target
    if not 0 <= target <= count - 1:
        raise ConfigError(
            "render.target", f"is {target:g}, the scene has frames 0 to {count - 1}", "choose one of them"
        )
    first, last = 0.0 if start is None else start, count - 1.0 if end is None else end
    if not 0 <= first <= last <= count - 1:
        raise ConfigError(
            "render.start, render.end", f"are {first:g} and {last:g}, the scene has frames 0 to {count - 1}",
            "choose times of the clip, start first",
        )  # fmt: skip
    if frames < 1:
        raise ConfigError("render.frames", f"is {frames}", "at least 1")
    m = amplitude / cameras.focal * NEAR_PLANE * float(np.percentile(cameras.near_far[:, 0], 5))
    if kind == "view":
        still = interpolate(cameras, np.full(frames, float(target)))
        return Path4D(offset(still, wander_offsets(frames, m)), np.full(frames, float(target)))
    times = np.linspace(first, last, frames) if frames > 1 else np.array([float(target)])
    if kind == "time":
        return Path4D(interpolate(cameras, np.full(frames, float(target))), times)
    if kind == "spacetime":
        loop = max(1, round(frames / BULLET_LOOPS))
        places = times if follow else np.full(frames, float(target))
        return Path4D(
            offset(interpolate(cameras, places), bullet_time_offsets(frames, m * BULLET_AMPLITUDE, loop)), times
        )
    raise ConfigError("render.paths", f"unknown path {kind!r}", "allowed: view, time, spacetime")


def keyframe_path(cameras: Cameras, times: Sequence[float], keyframe_times: Sequence[float], frames: int) -> Path4D:
    """A path through user keyframes: K ``cameras`` at K ``times``, reached at ``keyframe_times``, increasing, in any
    unit.
    """
    moments = np.asarray(keyframe_times, float)
    if len(cameras) != len(times) or len(moments) != len(times) or len(moments) < 2 or (np.diff(moments) <= 0).any():
        raise ConfigError("keyframes", f"{len(cameras)} cameras, {len(times)} times, moments {list(moments)}",
                          "give as many of each, at least two, with increasing moments")  # fmt: skip
    at = np.linspace(moments[0], moments[-1], frames)
    position = np.interp(at, moments, np.arange(len(moments)))
    return Path4D(interpolate(cameras, position), np.interp(at, moments, np.asarray(times, float)))


def read_path_file(path: Path, height: int, width: int, frame_rate: float, n_frames: int) -> Path4D:
    """The path through the key frames of a file that the scene's page saved (docs/formats.md#path-files), for pictures
    of another size. It is as long as the file's moments say.

    Raises ConfigError naming the file where it is missing or no such file, or looks at times outside the clip.
    """
    where, remedy = f"render.path_file: {path}", "save it again from the scene's page (scene.html)"
    try:
        content = read_json(path)
        cameras = Cameras.load(path).resized(height, width)
        times, moments = ([float(v) for v in content[key]] for key in ("times", "moments"))
    except (NsffError, KeyError, TypeError, ValueError) as error:
        raise ConfigError(where, f"is no file of key frames ({error})", remedy) from None
    if not all(0 <= time <= n_frames - 1 for time in times):
        raise ConfigError(where, f"looks at times outside of frames 0 to {n_frames - 1}", "is it another scene's?")
    if not np.isfinite(moments).all() or len(moments) < 2 or moments[-1] - moments[0] > LONGEST:
        raise ConfigError(where, f"has {len(moments)} moments, or more than {LONGEST:.0f} seconds", remedy)
    frames = max(2, round((moments[-1] - moments[0]) * frame_rate) + 1)
    return keyframe_path(cameras, times, moments, frames)


def wander_offsets(frames: int, m: float) -> Float64[np.ndarray, "F 3"]:
    """(m sin φ, m/3 cos φ, m/3 cos φ), φ = 2πi/F: NSFF's loop for bullet-time pictures; first (0, m/3, m/3)."""
    phase = 2 * np.pi * np.arange(frames) / frames
    return np.stack([m * np.sin(phase), m / 3 * np.cos(phase), m / 3 * np.cos(phase)], axis=1)


def bullet_time_offsets(frames: int, m: float, loop: int) -> Float64[np.ndarray, "F 3"]:
    """(m sin φ, m/2 cos φ, 0), φ = 2πi/loop, repeated every ``loop`` poses (NSFF: 40); first (0, m/2, 0)."""
    phase = 2 * np.pi * np.arange(frames) / loop
    return np.stack([m * np.sin(phase), m / 2 * np.cos(phase), np.zeros(frames)], axis=1)


def offset(cameras: Cameras, offsets: Float[np.ndarray, "F 3"]) -> Cameras:
    """c2w [I|o]^-1 for every camera: w2c gains o, given in OpenGL axes, in the camera's OpenCV axes (o_x, -o_y,
    -o_z).
    """
    world_to_camera = cameras.world_to_camera.copy()
    world_to_camera[:, :, 3] += np.asarray(offsets) * [1.0, -1.0, -1.0]
    return replace(cameras, world_to_camera=world_to_camera)
