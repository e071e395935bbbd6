"""Relief of things that move without turning: they stand still for cameras that move against them.

Notation. A node is a tracklet in frame t (nsff.tracking.tracklets), flat at inverse depth w0. Seen from frame j the
thing has moved by T, scene units, the median over its pixels of the displacement that flow and the flat depths give.
For a camera j shifted by -T the thing stands still, so that each pixel's flow to j triangulates its inverse depth w
(nsff.geometry.triangulation). Of what several frames say the weighted median counts; an error of T along the rays
shifts all w alike and is taken out, so that the thing keeps w0 as its median. Relief deeper than half the thing's width
is not expected: each pixel is drawn to w0 by how little it is known, and what remains is smoothed.

A thing that turns gets a relief that is wrong by what turning adds to its flow: measured on toss, the bear that flies
gains (2.3 to 1.5 % off), the box that turns in place loses as little as 0.6 % (docs/notebook.md#depth-of-what-moves).
A ball that rolls seems far deeper than it is wide; a relief deeper than DEEPEST widths is drawn back to flat.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Float, Float32

from nsff.cameras import Cameras
from nsff.geometry.triangulation import solve_pair
from nsff.imaging.filters import blur
from nsff.imaging.flow_sampling import FlowAndMask
from nsff.imaging.medians import weighted_median
from nsff.imaging.scale import REFERENCE_ROWS
from nsff.tracking.chaining import chain_flows
from nsff.tracking.tracklets import Nodes

REACH = 3
"""Frames before and after that are asked."""
LEAST_PIXELS, LEAST_VIEWS = 30, 2
MOST_RESIDUAL = 1.5
"""Pixels off its epipolar line, or from what other frames say, from which on a frame does not count."""
FLOW_ERROR = 0.5
"""Standard deviation of one link of flow where things move, pixels."""
SMOOTHING = 2.7
"""Standard deviation, pixels at 288 rows."""
FLAT = 0.3
"""Weight of the flat depth relative to that of pixels that are known."""
DEEPEST = 0.25
"""Largest believable standard deviation of a thing's relief, in widths of the thing; of a half sphere it is 0.12, of a
slope of 45 degrees 0.29."""


def add_relief(
    cameras: Cameras,
    nodes: Nodes,
    used: Bool[np.ndarray, " n"],
    disparity: Sequence[Float32[np.ndarray, "H W"]],
    link: Callable[[int, int], FlowAndMask],
) -> list[Float32[np.ndarray, "H W"]]:
    """Maps in which the nodes that are ``used``, flat in ``disparity``, have the relief that their flow shows."""
    result = [one.copy() for one in disparity]
    for t in range(len(nodes.maps)):
        own = [int(k) for k in np.unique(nodes.maps[t]) if k >= 0 and used[k]]
        others = [j for j in range(t - REACH, t + REACH + 1) if 0 <= j < len(nodes.maps) and j != t]
        if not own or not others:
            continue
        flows = chain_flows(link, t, others)
        for k in own:
            part = nodes.maps[t] == k
            found = _estimates(cameras, nodes, disparity, t, part, flows)
            if len(found) >= LEAST_VIEWS:
                result[t][part] = _fused(found, part, disparity[t], cameras.focal)
    return result


def _estimates(
    cameras: Cameras,
    nodes: Nodes,
    disparity: Sequence[Float32[np.ndarray, "H W"]],
    t: int,
    part: Bool[np.ndarray, "H W"],
    flows: Mapping[int, FlowAndMask],
) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Estimates from each other frame that sees enough of the object: inverse depth of its pixels (NaN where it is not
    determined), its precision, and the pixels by which a unit of inverse depth moves them.
    """
    height, width = part.shape
    v, u = np.nonzero(part)
    at = np.stack([u, v], axis=1) + 0.5
    flat = float(np.median(disparity[t][part]))
    tracklet = np.append(nodes.tracklet, -1)
    own = tracklet[nodes.maps[t][v[0], u[0]]]
    here = _lifted(cameras, t, at, disparity[t][v, u])
    found = []
    for j, (flow, valid) in flows.items():
        to = at + flow[v, u]
        cell = np.floor(to).astype(int)
        kept = valid[v, u] & (cell >= 0).all(1) & (cell < [width, height]).all(1)
        cell = cell.clip(0, [width - 1, height - 1])
        kept &= tracklet[nodes.maps[j][cell[:, 1], cell[:, 0]]] == own
        if kept.sum() < LEAST_PIXELS:
            continue
        there = _lifted(cameras, j, to[kept], disparity[j][cell[kept, 1], cell[kept, 0]])
        poses = cameras.world_to_camera.copy()
        poses[j, :, 3] += poses[j, :, :3] @ np.median(there - here[kept], axis=0)
        w, sensitivity, residual = (
            one[v, u] for one in solve_pair(replace(cameras, world_to_camera=poses), t, j, flow)
        )
        good = kept & (residual < MOST_RESIDUAL) & (w > 0.5 * flat) & (w < 2 * flat)
        if good.sum() < LEAST_PIXELS:
            continue
        w = np.where(good, w - (np.median(w[good]) - flat), np.nan)
        found.append((w, np.where(good, sensitivity**2 / abs(j - t), 0.0), sensitivity))
    return found


def _lifted(cameras: Cameras, i: int, at: np.ndarray, disparity: np.ndarray) -> Float[np.ndarray, "P 3"]:
    return cameras.centres[i] + cameras.rays(i, at) / disparity[:, None]


def _fused(
    found: list[tuple[np.ndarray, np.ndarray, np.ndarray]],
    part: Bool[np.ndarray, "H W"],
    disparity: Float32[np.ndarray, "H W"],
    focal: float,
) -> Float32[np.ndarray, " P"]:
    flat = float(np.median(disparity[part]))
    w, precision, sensitivity = (np.stack(one)[:, None] for one in zip(*found, strict=True))
    agree = np.abs(w - weighted_median(w, precision)) * sensitivity < MOST_RESIDUAL
    precision = np.where(agree, precision, 0.0)
    total = precision.sum(0)[0]
    relief = (precision * np.nan_to_num(w - flat)).sum(0)[0] / np.maximum(total, 1e-24)
    # Depth varies by half the width of a thing, sqrt(area) / focal of its depth.
    expected = 0.5 * np.sqrt(part.sum()) / focal * flat
    known = np.where(total > 0, expected**2 / (expected**2 + FLOW_ERROR**2 / np.maximum(total, 1e-24)), 0.0)
    sigma = SMOOTHING * part.shape[0] / REFERENCE_ROWS
    above, below = np.zeros(part.shape), np.zeros(part.shape)
    above[part], below[part] = known * relief, known
    weight = blur(below, sigma) + FLAT * blur(part.astype(float), sigma)
    smooth = blur(above, sigma)[part] / np.maximum(weight[part], 1e-9)
    return (flat + believed(smooth, DEEPEST * np.sqrt(part.sum()) / focal * flat)).astype(np.float32)


def believed(relief: Float[np.ndarray, " P"], deepest: float) -> Float[np.ndarray, " P"]:
    """``relief`` as it is where its standard deviation is at most ``deepest``; else shrunk by the square of how many
    times it is too large, since what is impossible says that the thing turns, and little of its shape.

    >>> believed(np.array([-4.0, 4.0]), 2.0).tolist()
    [-1.0, 1.0]
    """
    found = float(relief.std())
    return relief * min(1.0, deepest / max(found, 1e-300)) ** 2
