"""Points of what moves, followed through the clip by scene flow.

Notation. T frames; Q tracks. At each frame the model gives the points near the surfaces that the frame's camera sees,
with their displacement to the next frame. A track is at X_t, a point of the world; its displacement is the mean of
those of the nearest moving points, weighted by 1/distance, and X_{t+1} = X_t + that. A track ends where no moving point
is within ``radius`` of it: what it followed is hidden, has left the picture, or the flow led it astray. Where moving
points are that no track is near, new tracks begin, so that all that moves is covered at all times. Tracks of one frame
are dropped.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Float32, Int64, UInt8
from scipy.spatial import cKDTree
from tqdm import tqdm

from nsff.decompose.clusters import Clusters
from nsff.decompose.extract import number_points
from nsff.decompose.instances import Instances
from nsff.export.times import frame_times
from nsff.files.io import atomic_directory, write_csv, write_npz
from nsff.rendering.renderer import Renderer
from nsff.scene import Scene

SPACING = 8.0
"""Tracks begin this far apart, in pixels at the median depth of what moves."""
NEIGHBOURS = 4
COLUMNS = ("track", "object", "frame", "seconds", "x", "y", "z", "u", "v")


@dataclass(frozen=True)
class Moving:
    """P moving points that the camera of a frame sees."""

    positions: Float32[np.ndarray, "P 3"]
    motion: Float32[np.ndarray, "P 3"]
    """To the next frame."""
    colours: UInt8[np.ndarray, "P 3"]
    objects: Int64[np.ndarray, " P"]
    """Numbers of their objects; 0 for none, or where the scene has no objects."""


@dataclass
class Tracks:
    """Q tracks: positions (T,Q,3), NaN where a track has not begun or is over; colour and object where it began."""

    positions: Float32[np.ndarray, "T Q 3"]
    colours: UInt8[np.ndarray, "Q 3"]
    objects: Int64[np.ndarray, " Q"]


def export_tracks(scene: Scene, folder: Path) -> Tracks:
    """Writes ``folder`` (replaced as a whole): tracks.npz with positions (T,Q,3), pixels (T,Q,2) in each frame's own
    camera, colours (Q,3), objects (Q,) and seconds (T,); tracks.csv, a line for each track and frame.
    """
    renderer = Renderer.load(scene.model_dir)
    labelled = scene.clusters_path.exists()
    clusters, things = (Clusters.load(scene), Instances.load(scene)) if labelled else (None, None)
    frames = [
        moving_points(renderer, scene, i, clusters, things)
        for i in tqdm(range(scene.n_frames), desc="tracks", unit="frame")
    ]
    tracks = follow(frames, spacing_of(scene, frames))
    seconds = frame_times(scene)
    pixels = np.full((*tracks.positions.shape[:2], 2), np.nan, np.float32)
    for i in range(scene.n_frames):
        pixels[i] = scene.cameras[[i]].project(tracks.positions[i].astype(np.float64))[0][0]
    with atomic_directory(folder) as temporary:
        write_npz(temporary / "tracks.npz", **vars(tracks), pixels=pixels, seconds=seconds)
        write_csv(temporary / "tracks.csv", COLUMNS, _rows(tracks, pixels, seconds))
    return tracks


@torch.no_grad()
def moving_points(
    renderer: Renderer, scene: Scene, frame: int, clusters: Clusters | None, things: Instances | None
) -> Moving:
    """The points of what moves that a frame's own camera sees."""
    cameras, parts = scene.cameras, []
    camera = renderer.camera(cameras.intrinsics[frame], cameras.world_to_camera[frame], *scene.size)
    for points in renderer.model.points(float(frame), camera, 0.5, renderer.chunk):
        n = len(points.positions)
        motion = torch.zeros(n, 3) if points.motion is None else points.motion.cpu()
        objects = np.zeros(n, np.int64)
        if clusters is not None and points.features is not None:
            objects = number_points(points, float(frame), scene.n_frames, clusters, things)
        colours = torch.zeros(n, 3) if points.colours is None else points.colours.cpu()
        levels = (colours.clamp(0, 1) * 255).round().to(torch.uint8)
        moves = (motion != 0).any(1).numpy()
        parts.append(
            [value[moves] for value in (points.positions.cpu().numpy(), motion.numpy(), levels.numpy(), objects)]
        )
    return Moving(*(np.concatenate(part) for part in zip(*parts, strict=True)))


def spacing_of(scene: Scene, frames: list[Moving]) -> float:
    """SPACING in scene units."""
    depths = [scene.cameras[[i]].project(moving.positions)[1][0] for i, moving in enumerate(frames)]
    together = np.concatenate(depths)
    return SPACING * float(np.median(together)) / scene.cameras.focal if len(together) else 1.0


def follow(frames: list[Moving], spacing: float) -> Tracks:
    """The tracks through T frames; they begin ``spacing`` apart, which is also the radius within which a track looks
    for moving points.

    >>> still = [Moving(np.full((1, 3), i, np.float32), np.ones((1, 3), np.float32), np.zeros((1, 3), np.uint8),
    ...     np.zeros(1, int)) for i in range(3)]
    >>> follow(still, 0.5).positions[:, 0, 0]
    array([0., 1., 2.], dtype=float32)
    """
    stretches: list[tuple[int, list[np.ndarray]]] = []
    colours, objects, active = [], [], np.zeros(0, int)
    for t, moving in enumerate(frames):
        tree = cKDTree(moving.positions) if len(moving.positions) else None
        heads = np.array([stretches[k][1][-1] for k in active]).reshape(-1, 3)
        if tree is not None and len(heads):
            near = tree.query(heads, distance_upper_bound=spacing)[0] < np.inf
        else:
            near = np.zeros(len(heads), bool)
        for k in active[~near]:
            stretches[k][1].pop()  # where it was led to, there is nothing
        active, heads = active[near], heads[near]
        begun = _spread(moving.positions, heads, spacing)
        for p in begun:
            active = np.append(active, len(stretches))
            stretches.append((t, [moving.positions[p].astype(np.float64)]))
            colours.append(moving.colours[p])
            objects.append(moving.objects[p])
        if t + 1 < len(frames) and len(active) and tree is not None:
            heads = np.array([stretches[k][1][-1] for k in active])
            for k, step in zip(active, _mean_motion(tree, moving.motion, heads, spacing), strict=True):
                stretches[k][1].append(stretches[k][1][-1] + step)
    kept = [k for k, (_, points) in enumerate(stretches) if len(points) > 1]
    positions = np.full((len(frames), len(kept), 3), np.nan, np.float32)
    for q, (first, points) in enumerate(stretches[k] for k in kept):
        positions[first : first + len(points), q] = points
    return Tracks(
        positions,
        np.array(colours, np.uint8).reshape(-1, 3)[kept],
        np.array(objects, np.int64).reshape(-1)[kept],
    )


def _mean_motion(
    tree: cKDTree, motion: Float[np.ndarray, "P 3"], at: Float[np.ndarray, "Q 3"], radius: float
) -> Float[np.ndarray, "Q 3"]:
    """Motion of the nearest points within a radius, of which each place has at least one."""
    distance, index = tree.query(at, k=min(NEIGHBOURS, tree.n), distance_upper_bound=radius)
    distance, index = distance.reshape(len(at), -1), index.reshape(len(at), -1)
    weight = np.where(np.isfinite(distance), 1 / (distance + 0.05 * radius), 0)
    values = motion[np.minimum(index, tree.n - 1)]
    return (weight[..., None] * values).sum(1) / weight.sum(1, keepdims=True)


def _spread(
    positions: Float[np.ndarray, "P 3"], taken: Float[np.ndarray, "Q 3"], spacing: float
) -> Int64[np.ndarray, " S"]:
    """Indices of points, one in each cube of side ``spacing``, that are further than that from all ``taken``."""
    if len(taken) and len(positions):
        free = np.flatnonzero(np.isinf(cKDTree(taken).query(positions, distance_upper_bound=spacing)[0]))
    else:
        free = np.arange(len(positions))
    cubes = np.floor(positions[free] / spacing).astype(np.int64)
    return free[np.unique(cubes, axis=0, return_index=True)[1]] if len(free) else free


def _rows(
    tracks: Tracks, pixels: Float[np.ndarray, "T Q 2"], seconds: Float[np.ndarray, " T"]
) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for q in range(tracks.positions.shape[1]):
        for t in np.flatnonzero(np.isfinite(tracks.positions[:, q, 0])):
            values = [*tracks.positions[t, q], *pixels[t, q]]
            rows.append(
                {"track": q, "object": int(tracks.objects[q]), "frame": int(t), "seconds": f"{seconds[t]:.6g}"}
                | {name: f"{value:.6g}" for name, value in zip(COLUMNS[4:], values, strict=True)}
            )
    return rows
