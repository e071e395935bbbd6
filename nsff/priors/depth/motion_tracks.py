"""The unknowns of motion-prior triangulation, which are components of moving objects, and tracks of their pixels.

Notation. Tracklets and nodes are those of nsff.tracking.tracklets. Disparity (H,W) is 1/z in 1/scene units.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float32

from nsff.cameras import Cameras
from nsff.imaging.flow_sampling import FlowAndMask
from nsff.priors.depth.motion_prior_triangulation import Tracks
from nsff.tracking.chaining import chain_flows
from nsff.tracking.tracklets import Nodes


def track_pixels(
    nodes: Nodes,
    cameras: Cameras,
    disparity: Sequence[Float32[np.ndarray, "H W"]],
    link: Callable[[int, int], FlowAndMask],
    spans: Sequence[int] = (1, 2, 3),
    step: int = 4,
) -> Tracks:
    """Tracks of every ``step``-th pixel both ways that consistent flow carries to the same tracklet in both frames."""
    n, (height, width) = len(nodes.maps), nodes.maps[0].shape
    tracklet_of = np.append(nodes.tracklet, -1)
    parts: list[tuple[np.ndarray, ...]] = []

    def offsets(t: int, at: np.ndarray, pixel: np.ndarray) -> np.ndarray:
        return cameras.rays(t, at + 0.5) / disparity[t][pixel[:, 1], pixel[:, 0], None]

    for t in range(n):
        u, v = np.meshgrid(np.arange(step // 2, width, step), np.arange(step // 2, height, step))
        inside = nodes.maps[t][v, u] >= 0
        pixel = np.stack([u[inside], v[inside]], axis=1)
        own = nodes.maps[t][pixel[:, 1], pixel[:, 0]]
        reach = [t + s * k for k in spans for s in (-1, 1) if 0 <= t + s * k < n]
        if not len(pixel) or not reach:
            continue
        flows = chain_flows(link, t, reach)
        for k in spans:
            if t - k < 0 or t + k >= n:
                continue
            ends, kept = [], np.ones(len(pixel), bool)
            for j in (t - k, t + k):
                flow, valid = flows[j]
                at = pixel + flow[pixel[:, 1], pixel[:, 0]].astype(float)
                near = np.rint(at).astype(int)
                kept &= valid[pixel[:, 1], pixel[:, 0]] & (near >= 0).all(1) & (near < [width, height]).all(1)
                near = near.clip(0, [width - 1, height - 1])
                there = nodes.maps[j][near[:, 1], near[:, 0]]
                kept &= tracklet_of[there] == tracklet_of[own]
                ends.append((j, at, near, there))
            if not kept.any():
                continue
            before, after = ends
            three = (before, (t, pixel.astype(float), pixel, own), after)
            parts.append((
                np.tile(cameras.centres[[t - k, t, t + k]], (int(kept.sum()), 1, 1)),
                np.stack([offsets(j, at[kept], near[kept]) for j, at, near, _ in three], axis=1),
                np.stack([there[kept] for *_, there in three], axis=1),
                tracklet_of[own[kept]],
                np.full(kept.sum(), t),
                np.full(kept.sum(), k),
            ))  # fmt: skip
    if not parts:
        nothing = np.zeros(0, int)
        return Tracks(np.zeros((0, 3, 3)), np.zeros((0, 3, 3)), np.zeros((0, 3), int), nothing, nothing, nothing)
    return Tracks(*(np.concatenate(column) for column in zip(*parts, strict=True)))
