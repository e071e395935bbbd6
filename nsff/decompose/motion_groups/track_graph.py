"""The graph of trajectories: who touches whom, and how far neighbours move and look alike over all frames they share.

Notation. E edges join neighbouring trajectories a and b. Strain is the change of their distance vector over a few
frames against what noise and smooth bending allow; 1 is the usual, and the largest strain over time counts: what parts
at any time is two.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32, Int64
from scipy import sparse
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import cg
from scipy.spatial import cKDTree

from nsff.tracking.point_tracks import PointTracks

NEIGHBOURS = 8
REACH = 2.5
"""Neighbours are within this many grid steps."""
WINDOW = 3
"""Frames over which distances are compared."""
FLOW_NOISE = 0.3
"""Standard deviation of one link of flow, pixels at 288 rows and never below as many pixels."""
BENDING = 0.15
"""Change of a distance, as a share of it, that bending, turning and perspective bring in WINDOW frames."""
LOOKS = 0.2
"""Difference of (smoothed) colours in [0,1] that makes an edge weaker by e^-1/2."""
BOUND = 0.3
"""Weight of an edge above which both ends are parts of one body."""
BOUND_FRAMES = 6
"""Frames, or all of a shorter clip, that both ends of such an edge are seen in: less says little."""
MAJORITY = 0.5
"""Share of a body that moves, above which the rest of it does so too."""
LEAST_BODY = 100
"""Trajectories of a body times the frames in which they live, at least."""


@dataclass(frozen=True)
class TrackGraph:
    """E edges between P trajectories."""

    edges: Int64[np.ndarray, "E 2"]
    strain: Float32[np.ndarray, "E"]
    shared: Int64[np.ndarray, "E"]
    """Frames in which both live."""
    likeness: Float32[np.ndarray, "E"]
    """Likeness of colours, in [0,1]."""


def build_graph(tracks: PointTracks, colours: Float[np.ndarray, "P 3"], step: float, rows: float) -> TrackGraph:
    """Edges between trajectories that are neighbours in some frame. ``rows``: rows of the picture over 288."""
    edges = neighbours(tracks, REACH * step)
    strain = np.zeros(len(edges), np.float32)
    shared = np.zeros(len(edges), np.int64)
    for begin in range(0, len(edges), 50_000):
        part = slice(begin, begin + 50_000)
        strain[part], shared[part] = edge_strain(tracks, edges[part], rows)
    difference = np.linalg.norm(colours[edges[:, 0]] - colours[edges[:, 1]], axis=1) / np.sqrt(3)
    return TrackGraph(edges, strain, shared, np.exp(-0.5 * (difference / LOOKS) ** 2).astype(np.float32))


def neighbours(tracks: PointTracks, reach: float) -> Int64[np.ndarray, "E 2"]:
    """Pairs of trajectories that are among each other's nearest in any frame, a < b."""
    found = []
    for points in tracks.positions:
        alive = np.flatnonzero(np.isfinite(points[:, 0]))
        if len(alive) < 2:
            continue
        k = min(NEIGHBOURS + 1, len(alive))
        distance, other = cKDTree(points[alive]).query(points[alive], k, distance_upper_bound=reach)
        a, column = np.nonzero(np.isfinite(distance[:, 1:]))
        pairs = np.stack([alive[a], alive[other[a, column + 1]]], axis=1)
        found.append(np.sort(pairs, axis=1))
    if not found:
        return np.zeros((0, 2), np.int64)
    count = len(tracks)
    keys = np.unique(np.concatenate([pairs[:, 0] * count + pairs[:, 1] for pairs in found]))
    return np.stack([keys // count, keys % count], axis=1)


def edge_strain(
    tracks: PointTracks, edges: Int64[np.ndarray, "E 2"], rows: float
) -> tuple[Float32[np.ndarray, "E"], Int64[np.ndarray, "E"]]:
    """The largest strain of each edge over the frames that both live in, and the number of these frames. Edges of which
    no two frames are shared have a strain of 1: nothing is known."""
    apart = tracks.positions[:, edges[:, 0]] - tracks.positions[:, edges[:, 1]]
    together = np.isfinite(apart[..., 0])
    strain = np.full(len(edges), np.nan, np.float32)
    noise = FLOW_NOISE * max(1.0, rows)
    for window in range(1, WINDOW + 1):
        if window >= len(apart):
            break
        change = np.linalg.norm(apart[window:] - apart[:-window], axis=-1)
        size = np.linalg.norm(apart[:-window], axis=-1)
        allowed = np.hypot(noise * np.sqrt(2 * window), BENDING * np.sqrt(window / WINDOW) * size)
        strain = np.fmax(strain, np.nanmax(np.where(np.isfinite(change), change / allowed, np.nan), axis=0, initial=0))
    shared = together.sum(0)
    return np.where(shared > 1, strain, 1.0).astype(np.float32), shared


def spread(graph: TrackGraph, evidence: Float[np.ndarray, "P"], strength: float) -> Float[np.ndarray, "P"]:
    """Evidence spread over the graph: log odds of moving, -inf to inf, by a Gaussian random field. Trajectories are
    drawn to their own evidence by its size, and to their neighbours by ``strength`` times the weight of the edge."""
    weight = strength * edge_weights(graph)
    a, b = graph.edges.T
    count = len(evidence)
    adjacency = sparse.coo_matrix((weight, (a, b)), shape=(count, count)).tocsr()
    adjacency = adjacency + adjacency.T
    own = np.abs(evidence) + 1e-3
    goal = 1 / (1 + np.exp(-evidence))
    system = sparse.diags(np.asarray(adjacency.sum(1)).ravel() + own) - adjacency
    preconditioner = sparse.diags(1 / system.diagonal())
    solution, _ = cg(system, own * goal, x0=goal, rtol=1e-4, maxiter=500, M=preconditioner)
    return np.clip(solution, 0, 1)


def edge_weights(graph: TrackGraph) -> Float[np.ndarray, "E"]:
    """Weights in [0,1]: how surely both ends are parts of one thing."""
    return graph.likeness / (1 + graph.strain.astype(np.float64) ** 2) ** 2


def carried_along(
    graph: TrackGraph, moving: Float[np.ndarray, "P"], seen: Float[np.ndarray, "P"], n_frames: int
) -> Bool[np.ndarray, "P"]:
    """Trajectories that hardly move themselves, of bodies that do: the hem of a flag at its pole, a foot that stands.

    A body are all trajectories that strong edges join: what looks alike and never parts, by more than smooth bending
    allows. It ends where flow jumps or looks change. ``moving`` are probabilities; ``seen`` the frames of each.
    """
    strong = (edge_weights(graph) > BOUND) & (graph.shared >= min(BOUND_FRAMES, n_frames))
    count = len(moving)
    a, b = graph.edges[strong].T
    _, body = connected_components(sparse.coo_matrix((np.ones(len(a)), (a, b)), shape=(count, count)), directed=False)
    moves = moving > 0.5
    size = np.bincount(body, seen)
    share = np.bincount(body, seen * moves) / np.maximum(size, 1e-9)
    return ~moves & (share[body] > MAJORITY) & (size[body] > LEAST_BODY)
