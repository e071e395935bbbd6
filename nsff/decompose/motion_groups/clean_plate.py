"""The clean plate of a frame: the still scene as the frame would show it without anything that moves, seen in the
other frames.

Pixels of frame i, at the depth of the still scene, are looked up in the other frames; what the motion masks cover there
is left out, and of what is left the samples nearest in time count, by their median. Behind things that move the depth
is that of the still scene around them.

Notation. Colours in [0,1]. w (H,W) is inverse depth of the still scene in 1/scene units. Frame j sees a pixel of frame
i at the image of a + w b (nsff.geometry.epipolar).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float, Float32, UInt8
from scipy import sparse
from scipy.sparse.linalg import spsolve

from nsff.cameras import Cameras
from nsff.geometry.epipolar import epipolar_curve, pixel_centres

SAMPLES = 5
"""Samples of a pixel that count, those nearest in time."""
FRAMES = 16
"""Other frames that are looked at, at most: all nearby ones, and others spread over the clip."""
OCCLUDED = 1.1
"""A sample counts as hidden where frame j shows a surface whose inverse depth is above this many times the pixel's."""
FILL_ROWS = 144
"""Rows at which depth behind what moves is filled in."""
LEAST_SAMPLES = 2
"""With fewer samples a pixel of the plate is unknown."""


@dataclass(frozen=True)
class CleanPlate:
    """The still scene in one frame."""

    colour: Float32[np.ndarray, "H W 3"]
    deviation: Float32[np.ndarray, "H W"]
    """Standard deviation of the samples about their median, by the median of absolute deviations, mean of channels."""
    known: Bool[np.ndarray, "H W"]


def still_inverse_depth(w: Float32[np.ndarray, "H W"], moving: Bool[np.ndarray, "H W"]) -> Float32[np.ndarray, "H W"]:
    """Inverse depth of the still scene: as it is where nothing moves, and from there harmonically filled in, which
    continues planes as planes (the inverse depth of a plane is linear in the picture)."""
    if not moving.any() or moving.all():
        return w
    height, width = w.shape
    shrink = max(1.0, height / FILL_ROWS)
    size = (max(2, round(width / shrink)), max(2, round(height / shrink)))
    share = cv2.resize((~moving).astype(np.float32), size, interpolation=cv2.INTER_AREA)
    values = cv2.resize(np.where(moving, 0, w).astype(np.float32), size, interpolation=cv2.INTER_AREA)
    unknown = share < 0.5
    small = harmonic(np.where(unknown, 0, values / np.maximum(share, 1e-6)), unknown)
    return np.where(moving, cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR), w).astype(np.float32)


def harmonic(values: Float32[np.ndarray, "H W"], unknown: Bool[np.ndarray, "H W"]) -> Float32[np.ndarray, "H W"]:
    """The unknown pixels by the Laplace equation: each is the mean of its neighbours in the picture. At least one pixel
    is known, or nothing changes."""
    if not unknown.any() or unknown.all():
        return values
    index = np.full(unknown.shape, -1)
    index[unknown] = np.arange(np.count_nonzero(unknown))
    count, right = np.zeros(index.max() + 1), np.zeros(index.max() + 1)
    rows, columns = [], []
    for axis, step in ((0, 1), (0, -1), (1, 1), (1, -1)):
        other = np.roll(index, step, axis)
        value = np.roll(values, step, axis)
        inside = np.ones_like(unknown)
        inside[(slice(None),) * axis + (0 if step == 1 else -1,)] = False
        here = unknown & inside
        own = index[here]
        count[own] += 1
        linked = other[here] >= 0
        rows.append(own[linked])
        columns.append(other[here][linked])
        right[own[~linked]] += value[here][~linked]
    row, column = np.concatenate(rows), np.concatenate(columns)
    adjacency = sparse.csr_matrix((np.ones(len(row)), (row, column)), shape=(len(count), len(count)))
    result = values.copy()
    # A small pull to the mean of what is known keeps parts without any known neighbour in place.
    pull, mean = 1e-6, float(values[~unknown].mean())
    system = sparse.diags(count + pull) - adjacency
    result[unknown] = spsolve(system.tocsc(), right + pull * mean)
    return result


def clean_plate(
    cameras: Cameras,
    i: int,
    inverse_depth: Sequence[Float32[np.ndarray, "H W"]],
    images: Sequence[UInt8[np.ndarray, "H W 3"]],
    moving: Sequence[Bool[np.ndarray, "H W"]],
) -> CleanPlate:
    """The plate of frame i. ``inverse_depth`` is that of the still scene in all frames, ``moving`` are masks of all
    frames, grown by what their edges may miss."""
    w = inverse_depth[i]
    height, width = w.shape
    x = pixel_centres(height, width)
    samples = np.full((SAMPLES, height, width, 3), np.nan, np.float32)
    count = np.zeros((height, width), int)
    rows, columns = np.indices((height, width))
    for j in nearby_frames(i, len(cameras)):
        u, v, depth_ratio, inside = seen_by(cameras, i, j, x, w)
        covered = cv2.remap(moving[j].astype(np.float32), u, v, cv2.INTER_LINEAR, borderValue=1) > 0.01
        surface = cv2.remap(inverse_depth[j], u, v, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)
        hidden = surface * depth_ratio > OCCLUDED * w
        free = inside & ~covered & ~hidden & (count < SAMPLES)
        if free.any():
            seen = cv2.remap(images[j], u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            samples[count[free], rows[free], columns[free]] = seen[free].astype(np.float32) / 255
            count[free] += 1
    known = count >= LEAST_SAMPLES
    samples[:, ~known] = 0
    colour = np.nanmedian(samples, axis=0)
    deviation = 1.4826 * np.nanmedian(np.abs(samples - colour), axis=0).mean(-1)
    return CleanPlate(colour.astype(np.float32), deviation.astype(np.float32), known)


def seen_by(
    cameras: Cameras, i: int, j: int, x: Float[np.ndarray, "H W 2"], w: Float32[np.ndarray, "H W"]
) -> tuple[Float32[np.ndarray, "H W"], Float32[np.ndarray, "H W"], Float[np.ndarray, "H W"], Bool[np.ndarray, "H W"]]:
    """Where frame j sees the pixels ``x`` of frame i at inverse depths ``w``: columns and rows, whole at pixel centres;
    the depth there over that in frame i; and whether that lies ahead of the camera and in the picture."""
    height, width = w.shape
    a, b = epipolar_curve(cameras, i, j, x)
    there = a + w[..., None] * b
    ahead = there[..., 2] > 1e-6
    position = (there[..., :2] / np.where(ahead, there[..., 2], 1)[..., None] - 0.5).astype(np.float32)
    u, v = position[..., 0], position[..., 1]
    inside = ahead & (u >= 0) & (v >= 0) & (u <= width - 1) & (v <= height - 1)
    return u, v, there[..., 2], inside


def nearby_frames(i: int, count: int) -> list[int]:
    """Other frames in the order in which they are asked: by their distance in time, thinned out farther away.

    >>> nearby_frames(1, 4)
    [0, 2, 3]
    """
    others = sorted((j for j in range(count) if j != i), key=lambda j: abs(j - i))
    if len(others) <= FRAMES:
        return others
    near, far = others[: FRAMES // 2], others[FRAMES // 2 :]
    chosen = np.unique(np.linspace(0, len(far) - 1, FRAMES - len(near)).round().astype(int))
    return near + [far[k] for k in chosen]
