"""Tracks of what moves, by flow and depth, and the drawing in space."""

from __future__ import annotations

import numpy as np
import pytest

from nsff.cameras import Cameras
from nsff.report.space import CUBE, space_data
from nsff.report.tracks import flow_tracks, in_space, tracks_picture

T, H, W, DEPTH = 5, 40, 60, 2.0


class Clip:
    """A square of 20 pixels that goes 3 to the right and 1 down a frame, before cameras that stand still."""

    n_frames = T

    def __init__(self, begins: int = 0) -> None:
        K = np.array([[50.0, 0, W / 2], [0, 50, H / 2], [0, 0, 1]])
        self.cameras = Cameras(
            np.tile(K, (T, 1, 1)), np.tile(np.eye(4)[:3], (T, 1, 1)), np.tile([1.0, 9.0], (T, 1)), W, H
        )
        self.begins = begins

    def motion_mask(self, i: int) -> np.ndarray:
        mask = np.zeros((H, W), bool)
        if i >= self.begins:
            mask[8 + i : 28 + i, 10 + 3 * i : 30 + 3 * i] = True
        return mask

    def flow(self, i: int, direction: str) -> tuple[np.ndarray, np.ndarray]:
        return self.motion_mask(i)[..., None] * np.float32([3, 1]), np.ones((H, W), bool)

    def disparity(self, i: int) -> tuple[np.ndarray, np.ndarray]:
        return np.full((H, W), 1 / DEPTH, np.float32), np.ones((H, W), np.float32)

    def image(self, i: int) -> np.ndarray:
        return np.full((H, W, 3), 200, np.uint8)


def test_tracks_go_with_what_moves():
    tracks = flow_tracks(Clip())
    assert tracks.first == 0
    assert 30 < tracks.pixels.shape[1] < 90
    np.testing.assert_allclose(
        np.diff(tracks.pixels, axis=0), np.broadcast_to([3, 1], tracks.pixels[1:].shape), atol=0.1
    )
    assert flow_tracks(Clip(begins=2)).first == 2
    assert flow_tracks(Clip(begins=T)) is None


def test_tracks_end_where_flow_is_not_sure():
    clip = Clip()
    clip.flow = lambda i, way: (np.zeros((H, W, 2), np.float32) + np.float32([3, 1]), np.full((H, W), i < 2))
    pixels = flow_tracks(clip).pixels
    assert np.isfinite(pixels[:3]).all()
    assert np.isnan(pixels[3:]).all()


def test_tracks_in_space_lie_at_their_depth():
    clip = Clip()
    tracks = flow_tracks(clip)
    places = in_space(clip, tracks)
    np.testing.assert_allclose(places[..., 2], DEPTH, rtol=1e-5)
    np.testing.assert_allclose(np.diff(places[..., 0], axis=0), 3 * DEPTH / 50, atol=0.01)
    uv = clip.cameras[[0]].project(places[0])[0][0]
    np.testing.assert_allclose(uv, tracks.pixels[0], atol=1e-3)


def test_the_picture_shows_the_tracks_in_colours():
    clip = Clip()
    picture = tracks_picture(clip, flow_tracks(clip))
    assert picture.shape[1] >= 900
    coloured = np.ptp(picture.astype(int), axis=2) > 60
    assert 0.02 < coloured.mean() < 0.5


@pytest.mark.parametrize("moves", [True, False])
def test_space_has_everything_within_its_cube(moves):
    clip = Clip()
    points = np.random.default_rng(0).normal(size=(4000, 3)) * [1, 1, 0.3] + [0, 0, 3]
    colours = np.tile(np.uint8([10, 20, 30]), (4000, 1))
    places = in_space(clip, flow_tracks(clip)) if moves else None
    data = space_data(clip.cameras, points, colours, places)
    assert len(data["points"]) == 2500
    assert data["points"][0][3:] == [10, 20, 30]
    assert len(data["path"]) == T
    assert max(abs(v) for p in data["points"] for v in p[:3]) <= CUBE
    assert (len(data["tracks"]) > 30) == moves
    for track in data["tracks"]:
        assert track[-1][0] > track[0][0]  # to the right
        assert track[-1][1] < track[0][1]  # and down
        assert track[0][5] > track[0][3]  # blue at first
        assert track[-1][3] > track[-1][5]  # red at last
