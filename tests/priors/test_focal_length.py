"""What pictures say of a focal length: tracks of a synthetic world, and cameras whose focal length is wrong."""

from __future__ import annotations

import numpy as np
import pytest

from nsff.cameras import Cameras
from nsff.geometry.focal_length import FocalFit, Tracks, focal_by_tracks
from nsff.geometry.static_world import WorldCheck
from nsff.priors.canonical.verdict import CameraSigns, focal_doubt, judge_cameras
from nsff.tracking.flow_tracks import ANCHORS, flow_tracks

H, W, F, N = 288, 512, 480.0, 12
K = np.array([[F, 0, W / 2], [0, F, H / 2], [0, 0, 1.0]])
RIGHT = WorldCheck(static=0.9, static_worst=0.9, border=0.9, order=0.5, spread=4.0)


def cameras(turn: float, step: tuple[float, float, float] = (0.1, 0.0, 0.02)) -> Cameras:
    """A path along ``step``, turned by ``turn`` degrees a frame; all looks at content between 3 and 12."""
    poses = []
    for i in range(N):
        angle = np.radians(turn * (i - N / 2))
        R = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
        poses.append(np.column_stack([R, -R @ (i * np.asarray(step))]))
    return Cameras(np.tile(K, (N, 1, 1)), np.array(poses), np.tile([3.0, 12.0], (N, 1)), W, H)


def tracks_of(found: Cameras, moving: float = 0.0, noise: float = 0.15) -> Tracks:
    """Tracks of random static points and, as a share of them, of points that fall."""
    rng = np.random.default_rng(0)
    anchor, start, track, frame, at = [], [], [], [], []
    for i in range(0, N, 3):
        x = rng.uniform([20, 20], [W - 20, H - 20], (50, 2))
        depth = rng.uniform(3, 12, 50)
        world = found.centres[i] + found.rays(i, x) * depth[:, None]
        falls = rng.uniform(size=50) < moving
        for j in range(max(i - 5, 0), min(i + 6, N)):
            if j != i:
                there, _ = found.project(world + falls[:, None] * [0, 0.05 * (j - i), 0])
                number = len(start) * 50 + np.arange(50)
                track.append(number)
                frame.append(np.full(50, j))
                at.append(there[j] + rng.normal(0, noise, (50, 2)))
        anchor.append(np.full(50, i))
        start.append(x)
    return Tracks(*(np.concatenate(part) for part in (anchor, start, track, frame, at)))


@pytest.mark.parametrize("factor", [0.67, 1.5])
def test_a_wrong_focal_length_is_found_and_named_though_a_fifth_moves(factor: float):
    found = cameras(turn=1.5)
    wrong = found.zoomed(factor)
    fit = focal_by_tracks(wrong, tracks_of(found, moving=0.2))
    assert fit is not None
    assert fit.ratio * factor == pytest.approx(1, abs=0.06)
    verdict, doubts = judge_cameras(CameraSigns(RIGHT, 3.0, fit, 0.1), factor * F)
    assert verdict == "poor"
    assert len(doubts) == 1
    assert f"is {factor * F:.0f} px" in doubts[0]
    # Both in pixels of the ingested frames, as the key that mends it has them.
    assert f"try sfm.focal: {fit.ratio * factor * F:.0f}" in doubts[0]
    _, doubts = judge_cameras(CameraSigns(RIGHT, 3.0, fit, 0.1), factor * F, given=True)
    assert "correct the given cameras" in doubts[0] and "sfm.focal" not in doubts[0]


def test_the_right_focal_length_raises_no_doubt():
    found = cameras(turn=1.5)
    fit = focal_by_tracks(found, tracks_of(found, moving=0.2))
    assert fit is not None
    assert fit.ratio == pytest.approx(1, abs=0.03)
    assert judge_cameras(CameraSigns(RIGHT, 0.1, fit, 0.1), F) == ("good", [])


@pytest.mark.parametrize("factor", [0.67, 1.0, 1.5])
def test_a_camera_that_only_moves_sideways_says_nothing(factor: float):
    found = cameras(turn=0.0, step=(0.1, 0.0, 0.0))
    fit = focal_by_tracks(found.zoomed(factor), tracks_of(found))
    assert focal_doubt(CameraSigns(RIGHT, 0.1, fit, 0.1), F) == ("good", "")


@pytest.mark.parametrize(
    ("fit", "residual", "with_fit", "verdict"),
    [
        (FocalFit(ratio=0.6, miss=0.2, miss_given=0.4), 0.3, 0.3, "poor"),
        (FocalFit(ratio=0.8, miss=0.2, miss_given=0.4), 5.0, 0.3, "doubtful"),
        (FocalFit(ratio=0.6, miss=0.2, miss_given=0.4), 5.0, 4.0, "good"),
        (FocalFit(ratio=0.6, miss=0.7, miss_given=0.75), 0.3, 0.3, "good"),
        (FocalFit(ratio=0.6, miss=0.2, miss_given=2.0), 0.3, 0.3, "good"),
        (FocalFit(ratio=0.6, miss=0.2, miss_given=0.205), 0.3, 0.3, "good"),
        (None, 0.3, 0.3, "good"),
    ],
)
def test_a_focal_length_is_called_wrong_only_where_another_mends_it(
    fit: FocalFit | None, residual: float, with_fit: float, verdict: str
):
    assert focal_doubt(CameraSigns(RIGHT, residual, fit, with_fit), F)[0] == verdict


def test_depth_behind_infinity_on_the_epipolar_lines_is_called_reversed():
    wrong = WorldCheck(static=0.1, static_worst=0.0, border=0.1, order=float("nan"), spread=float("nan"))
    verdict, doubts = judge_cameras(CameraSigns(wrong, 0.1, None, None), F)
    assert verdict == "poor"
    assert "reversed" in doubts[-1]


def test_few_tracks_say_nothing():
    found = cameras(turn=1.5)
    tracks = tracks_of(found)
    first = tracks.track < 90
    few = Tracks(tracks.anchor[:90], tracks.start[:90], tracks.track[first], tracks.frame[first], tracks.at[first])
    assert focal_by_tracks(found, few) is None


def test_tracks_follow_flow_and_are_seen_twice_at_least():
    flow = np.zeros((36, 64, 2), np.float32) + np.float32([1.5, 0])

    def link(i: int, j: int) -> tuple[np.ndarray, np.ndarray]:
        mask = np.ones((36, 64), bool)
        mask[:, :20] = False
        return flow * (j - i), mask

    found = flow_tracks(link, 20, (36, 64))
    assert len(np.unique(found.anchor)) == ANCHORS
    steps = found.frame - found.anchor[found.track]
    np.testing.assert_allclose(found.at - found.start[found.track], np.stack([1.5 * steps, 0 * steps], 1), atol=1e-4)
    assert np.bincount(found.track).min() >= 2
    assert found.start[:, 0].min() > 20
