"""Paths held to long tracks, on a world in which a thing is hidden for several frames."""

import numpy as np
import torch

from nsff.long_tracks import LongTracks
from nsff.models.gaussians.advection import paths
from nsff.models.gaussians.anchors import paths_by_tracks, ways_of_tracks
from nsff.models.gaussians.lifting import lift
from tests.models.gaussians.test_motion import F, H, N, W, still_camera_world

VELOCITY = torch.tensor([0.15, 0.03, 0.05])
HIDDEN = [1, 2, 3]
"""Frames in which the thing is behind something that stands still, and the flow knows nothing of it."""


def world_with_a_gap(wrong=0.0):
    data, z = still_camera_world(VELOCITY.tolist())
    data.moving[HIDDEN], z[HIDDEN] = False, 2.0
    data.valid_post, data.valid_prev = data.moving.clone(), data.moving.clone()
    data.valid_post[0] = data.valid_prev[4] = False
    # Twelve tracks on the thing, exact but for ``wrong`` pixels, not seen where it is hidden.
    offsets = torch.stack(torch.meshgrid(torch.linspace(-0.4, 0.4, 4), torch.linspace(-0.3, 0.3, 3), indexing="xy"), -1)
    positions = np.zeros((N, 12, 2), np.float32)
    for t in range(N):
        centre = torch.tensor([-0.6, 0, 4.0]) + t * VELOCITY
        place = offsets.reshape(-1, 2) + centre[:2]
        positions[t] = (F * place / centre[2] + torch.tensor([W / 2, H / 2])).numpy()
    positions[4:] += wrong
    visible = np.ones((N, 12), bool)
    visible[HIDDEN] = False
    data.tracks = LongTracks(positions, visible)
    return data, z


def start_on_the_thing(data):
    uv = torch.tensor([[F * -0.5 / 4 + W / 2, F * 0.1 / 4 + H / 2]])
    return lift(data, 0, uv, torch.tensor([4.0]))


def test_tracks_lead_over_a_gap_in_the_flow():
    data, z = world_with_a_gap()
    start, frame = start_on_the_thing(data), torch.tensor([0])
    chained = paths(data, z, start, frame, 5, 8, 0)
    assert float(chained[0, 5 + 4].norm()) < 0.2  # flow alone: it stays, and then goes on from the wrong place
    path = paths_by_tracks(data, z, start, frame, chained, paths, 8, 0)[0]
    for k in range(6):  # also where it is hidden: straight between two times at which it is seen
        torch.testing.assert_close(path[5 + k], k * VELOCITY, atol=0.02, rtol=0)


def test_what_no_track_is_near_keeps_its_path():
    data, z = world_with_a_gap()
    far = torch.tensor([[1.5, 0.5, 4.0]])
    chained = paths(data, z, far, torch.tensor([0]), 5, 8, 0)
    assert torch.equal(paths_by_tracks(data, z, far, torch.tensor([0]), chained, paths, 8, 0), chained)
    # Two tracks may be wrong: they are too few.
    data.tracks = LongTracks(data.tracks.positions[:, :2], data.tracks.visible[:, :2])
    start = start_on_the_thing(data)
    chained = paths(data, z, start, torch.tensor([0]), 5, 8, 0)
    assert torch.equal(paths_by_tracks(data, z, start, torch.tensor([0]), chained, paths, 8, 0), chained)


def test_some_wrong_tracks_are_outvoted():
    data, z = world_with_a_gap()
    data.tracks.positions[4:, :3] += 2.5
    start, frame = start_on_the_thing(data), torch.tensor([0])
    path = paths_by_tracks(data, z, start, frame, paths(data, z, start, frame, 5, 8, 0), paths, 8, 0)[0]
    torch.testing.assert_close(path[5 + 4], 4 * VELOCITY, atol=0.05, rtol=0)


def test_ways_of_a_track_by_hand():
    """Seen at frames 0, 1 and 4 of 6; the flow's own way is 10 a frame."""
    nan = torch.nan
    places = torch.tensor([0.0, 1.0, nan, nan, 7.0, nan])[:, None, None].expand(6, 1, 3)
    chained = (10 * torch.arange(-5.0, 6))[None, :, None].expand(1, 11, 3)
    ways = ways_of_tracks(places, 0, torch.tensor([0]), chained)[0, :, 0]
    # Behind it lies the beginning of the clip; between 1 and 7 it goes straight; after 7 as the flow goes on.
    torch.testing.assert_close(ways, torch.tensor([-50.0, -40, -30, -20, -10, 0, 1, 3, 5, 7, 17]))
