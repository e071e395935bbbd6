"""Gaussians from points: what rests is merged, what moves keeps to its frame and goes along its motion."""

from __future__ import annotations

import numpy as np
import pytest

from nsff.splats.from_points import OPACITY, SCALE, FramePoints, scene_of_points


def frame(number, positions, motion=None, colours=None, objects=None, size=0.1, features=None):
    positions = np.asarray(positions, np.float32)
    count = len(positions)
    return FramePoints(
        number, positions, np.full((count, 3), 0.5, np.float32) if colours is None else np.asarray(colours, np.float32),
        np.full(count, size, np.float32),
        np.zeros((count, 3), np.float32) if motion is None else np.asarray(motion, np.float32),
        np.zeros(count, np.int64) if objects is None else np.asarray(objects), features,
    )  # fmt: skip


def test_points_that_rest_are_merged_over_frames():
    """Two frames see the same three places, 0.01 apart from frame to frame; their colours are averaged."""
    places = np.array([[0.03, 0.03, 2], [0.53, 0.03, 2], [1.03, 0.03, 2]])
    frames = [frame(i, places + 0.01 * i, colours=np.full((3, 3), i), objects=[0, 4, 0]) for i in (0, 1)]
    still = scene_of_points(frames, 24.0, 100, 100).static
    order = np.argsort(still.means[:, 0])
    assert np.allclose(still.means[order], places + 0.005, atol=1e-6)
    assert np.allclose(still.colours, 0.5)
    assert still.objects[order].tolist() == [0, 4, 0]
    assert (still.opacities == np.float32(OPACITY)).all()


def test_points_that_move_are_seen_in_their_frame_and_go_along_their_motion():
    frames = [frame(0, [[0, 0, 2]], [[0.2, 0, 0]], objects=[1]), frame(1, [[0.2, 0, 2]], [[0.2, 0, 0]], objects=[1])]
    scene = scene_of_points(frames, 24.0, 100, 100)
    assert len(scene.static) == 0
    assert len(scene.moving) == 2
    assert scene.moving.reference.tolist() == [0, 1]
    assert np.allclose(scene.moving.places(0.5), [[0.1, 0, 2], [0.1, 0, 2]], atol=1e-6)
    assert scene.moving.gates(0).tolist() == pytest.approx([1, np.exp(-2)])
    assert scene.object_numbers == [1]


def test_no_more_than_asked_for_and_what_is_left_is_larger():
    rng = np.random.default_rng(3)
    places = rng.uniform(-1, 1, (4000, 3))
    resting = [frame(0, places, size=0.02), frame(1, places, size=0.02)]
    few, many = (scene_of_points(resting, 24.0, n, 10).static for n in (500, 10000))
    assert len(few) <= 500 < len(many)
    assert np.median(few.scales) > 1.5 * np.median(many.scales)
    assert np.median(many.scales) == pytest.approx(SCALE * 0.02, rel=0.5)
    moving = [frame(0, places, motion=np.ones((4000, 3)), size=0.02)]
    half = scene_of_points(moving, 24.0, 10, 1000).moving
    assert len(half) == 1000
    assert half.scales[0, 0] == pytest.approx(SCALE * 0.02 * 2)


def test_colours_of_features_come_along():
    red = np.array([[1.0, 0, 0]], np.float32)
    frames = [frame(0, [[0, 0, 2]], features=red), frame(1, [[0, 0, 2]], motion=[[0.1, 0, 0]], features=red)]
    scene = scene_of_points(frames, 24.0, 10, 10)
    for part in (scene.static, scene.moving):
        assert part.feature_colours is not None
        assert part.feature_colours.tolist() == [[1, 0, 0]]
