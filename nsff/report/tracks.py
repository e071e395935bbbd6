"""Points of what moves, followed by optical flow for the pages: on the picture, and in space where depth has a unit.

Notation. T frames; Q tracks; pixels (u, v) with centres at +0.5. A track begins on a motion mask and ends where flow
does not agree with its return, leads off the mask, or leaves the picture; from there on it is NaN.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float32, Float64, UInt8

from nsff.report.pictures import colour_map
from nsff.scene import Scene

MOST = 60
"""Tracks, about."""
LONGEST = 100
"""Frames that are followed, at most."""


@dataclass(frozen=True)
class FlowTracks:
    """Tracks from frame ``first`` on: pixels[t] belongs to frame first + t."""

    first: int
    pixels: Float32[np.ndarray, "T Q 2"]


def flow_tracks(scene: Scene) -> FlowTracks | None:
    """About MOST tracks from the first frame in which something moves; None where nothing does."""
    for first in range(scene.n_frames - 1):
        mask = _inside(scene.motion_mask(first))
        if mask.mean() > 1e-3:
            break
    else:
        return None
    step = max(1, round((mask.sum() / MOST) ** 0.5))
    rows, columns = np.mgrid[step // 2 : mask.shape[0] : step, step // 2 : mask.shape[1] : step]
    chosen = mask[rows, columns]
    at = np.stack([columns[chosen], rows[chosen]], axis=1).astype(np.float32) + 0.5
    pixels = [at]
    for i in range(first, min(first + LONGEST, scene.n_frames) - 1):
        flow, consistent = scene.flow(i, "fwd")
        at = at + _read(flow, at)
        at[~((_read(consistent.astype(np.float32), pixels[-1]) > 0.5) & _on(scene.motion_mask(i + 1), at))] = np.nan
        pixels.append(at)
    return FlowTracks(first, np.stack(pixels)) if len(at) else None


def tracks_picture(scene: Scene, tracks: FlowTracks) -> UInt8[np.ndarray, "H W 3"]:
    """The first frame, enlarged where it is small, with each track from blue (first frame) to red (last)."""
    image = scene.image(tracks.first)
    scale = max(1, round(960 / image.shape[1]))
    picture = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    picture = np.round(0.55 * picture + 0.45 * 128).astype(np.uint8)
    T = len(tracks.pixels)
    colours = colour_map(np.arange(T, dtype=float)[None], 0, max(T - 1, 1))[0].tolist()
    ends = np.round(tracks.pixels * scale - 0.5)
    for t in range(1, T):
        for a, b in zip(ends[t - 1], ends[t], strict=True):
            if np.isfinite(a).all() and np.isfinite(b).all():
                cv2.line(picture, tuple(map(int, a)), tuple(map(int, b)), colours[t], 2, cv2.LINE_AA)
    for u, v in ends[0].astype(int).tolist():
        cv2.circle(picture, (u, v), 3, colours[0], -1, cv2.LINE_AA)
    return picture


def in_space(scene: Scene, tracks: FlowTracks) -> Float64[np.ndarray, "T Q 3"]:
    """World points of the tracks by the depth maps, which have to be in 1/scene units; NaN where depth is not known."""
    result = np.full((*tracks.pixels.shape[:2], 3), np.nan)
    cameras = scene.cameras
    for t, at in enumerate(tracks.pixels):
        i = tracks.first + t
        disparity = cv2.medianBlur(scene.disparity(i)[0], 5)
        near, far = cameras.near_far[i]
        known = np.isfinite(at).all(axis=1)
        inverse = _read(disparity, at[known]).astype(float)
        depth = np.where(inverse > 0.5 / far, 1 / np.maximum(inverse, 1e-12), np.nan)
        depth[depth < 0.5 * near] = np.nan
        K, E = cameras.intrinsics[i], cameras.world_to_camera[i]
        rays = np.c_[at[known].astype(float), np.ones(known.sum())] @ np.linalg.inv(K).T
        result[t, known] = (rays * depth[:, None] - E[:, 3]) @ E[:, :3]
    return result


def _inside(mask: np.ndarray) -> np.ndarray:
    """A mask without its border, where flow and depth belong to the background as often as not."""
    size = max(3, round(mask.shape[0] / 60)) | 1
    return cv2.erode(mask.astype(np.uint8), np.ones((size, size), np.uint8), borderValue=0) > 0


def _read(values: np.ndarray, at: Float32[np.ndarray, "Q 2"]) -> np.ndarray:
    """Values at pixels, bilinear; those of NaN are of no meaning."""
    if not len(at):
        return np.zeros((0, *values.shape[2:]), np.float32)
    u, v = np.nan_to_num(at, nan=-1).T[:, None] - 0.5
    return cv2.remap(np.ascontiguousarray(values), u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)[0]


def _on(mask: np.ndarray, at: np.ndarray) -> np.ndarray:
    height, width = mask.shape
    inside = (at > 0).all(axis=1) & (at[:, 0] < width) & (at[:, 1] < height)
    return inside & (_read(mask.astype(np.float32), at) > 0.25)
