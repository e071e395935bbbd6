"""Paths of dynamic Gaussians held to long tracks: points that were seen at both ends of a gap in the flow.

A track that is seen in a Gaussian's frame says where that point of the thing is at each other time at which it is seen.
How far the flow, chained from frame to frame, leads astray from there is found for the track's own start, and taken
from the paths that begin beside it: the median of the nearest tracks. So a thing keeps the shape that the flow gives it
and is moved as a whole, as rigidly as its tracks are. Between two times at which a track is seen it goes straight, and
after the last along the flow.

Notation. D Gaussians, A anchors (a track in a frame where it is seen on the motion mask), W = 2 reach + 1 places of a
path, from reach frames before its own frame to as many after it. World units.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from nsff.models.gaussians.lifting import camera_centres, lift, read
from nsff.models.supervision import TrainingData

Follow = Callable[..., Float[Tensor, "D W 3"]]
"""How points are carried along flow: nsff.models.gaussians.advection.paths, or one with its arguments."""
NEAREST = 8
"""Tracks that are asked for each Gaussian."""
NEAR = 0.1
"""Farther away than this share of the distance from the camera a track says nothing."""
FEWEST = 3
"""So many have to be near, or a path stays as the flow has it: a single track may be wrong."""
AT_ONCE = 4096
"""Gaussians whose distances are computed at once."""


def paths_by_tracks(
    data: TrainingData,
    z: Float[Tensor, "N H W"],
    position: Float[Tensor, "D 3"],
    frame: Int[Tensor, "D"],
    path: Float[Tensor, "D W 3"],
    follow: Follow,
    neighbours: int,
    seed: int,
) -> Float[Tensor, "D W 3"]:
    """``path``, made by ``follow`` (nsff.models.gaussians.advection, or far_paths), held to the long tracks of
    ``data``; the other arguments are those of ``paths`` there."""
    places = track_places(data, z)
    frames, tracks = (~places[..., 0].isnan()).nonzero(as_tuple=True)
    if not len(frames):
        return path
    chained = follow(data, z, places[frames, tracks], frames, path.shape[1] // 2, neighbours, seed)
    return held_to_tracks(position, frame, path, places, (frames, tracks), chained, camera_centres(data))


def track_places(data: TrainingData, z: Float[Tensor, "N H W"]) -> Float[Tensor, "N P 3"]:
    """Where the tracks are in the world, by the depth of the frames; NaN where they are not seen, or not on the motion
    mask."""
    assert data.tracks is not None
    uv = torch.from_numpy(data.tracks.positions).to(data.device)
    visible = torch.from_numpy(data.tracks.visible).to(data.device)
    places = uv.new_full((*visible.shape, 3), torch.nan)
    for frame in range(data.n_frames):
        rows = visible[frame].nonzero()[:, 0]
        rows = rows[read(data.moving[frame][..., None], uv[frame, rows], nearest=True)[:, 0] > 0.5]
        depth = read(z[frame][..., None], uv[frame, rows], nearest=True)[:, 0]
        places[frame, rows] = lift(data, frame, uv[frame, rows], depth)
    return places


def ways_of_tracks(
    places: Float[Tensor, "N P 3"], frame: int, rows: Int[Tensor, "A"], chained: Float[Tensor, "A W 3"]
) -> Float[Tensor, "A W 3"]:
    """Displacements of tracks ``rows`` from where they are at ``frame``: as seen, straight between two times at which
    they are, and beyond the last as ``chained`` goes on."""
    reach = chained.shape[1] // 2
    ways = chained.clone()
    for step in (1, -1):
        last = torch.full((len(rows),), reach, device=rows.device)
        for k in range(1, reach + 1):
            column, at = reach + step * k, frame + step * k
            before = ways[torch.arange(len(rows), device=rows.device), last]
            since = chained[torch.arange(len(rows), device=rows.device), last]
            ways[:, column] = before + chained[:, column] - since
            if not 0 <= at < len(places):
                continue
            way = places[at, rows] - places[frame, rows]
            seen = ~way[:, 0].isnan()
            for j in range(1, k):  # the gap that ends here, if there is one
                inner = reach + step * j
                gap = seen & ((inner - last) * step > 0)
                share = ((inner - last) / (column - last))[gap, None]
                ways[gap, inner] = (1 - share) * before[gap] + share * way[gap]
            ways[seen, column] = way[seen]
            last[seen] = column
    return ways


def held_to_tracks(
    position: Float[Tensor, "D 3"],
    frame: Int[Tensor, "D"],
    path: Float[Tensor, "D W 3"],
    places: Float[Tensor, "N P 3"],
    anchor: tuple[Int[Tensor, "A"], Int[Tensor, "A"]],
    chained: Float[Tensor, "A W 3"],
    cameras: Float[Tensor, "N 3"],
) -> Float[Tensor, "D W 3"]:
    """Paths moved by what the nearest tracks say. ``anchor`` are the frames and tracks of the anchors, ``chained`` the
    paths that the flow gives them, ``cameras`` the centres of the cameras."""
    path = path.clone()
    for own in map(int, frame.unique()):
        here = (anchor[0] == own).nonzero()[:, 0]
        if len(here) < FEWEST:
            continue
        rows = anchor[1][here]
        astray = ways_of_tracks(places, own, rows, chained[here]) - chained[here]
        for chosen in (frame == own).nonzero()[:, 0].split(AT_ONCE):
            distance = torch.cdist(position[chosen], places[own, rows])
            nearest = distance.topk(min(NEAREST, len(rows)), largest=False)
            limit = NEAR * (position[chosen] - cameras[own]).norm(dim=1, keepdim=True)
            near = nearest.values < limit
            offsets = astray[nearest.indices].masked_fill(~near[..., None, None], torch.nan).nanmedian(1).values
            path[chosen] += torch.where((near.sum(1) >= FEWEST)[:, None, None], offsets, 0)
    return path
