"""Two-view geometry and chained flow: numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from nsff.cameras import Cameras
from nsff.geometry.epipolar import curve_distance, has_parallax, infinity_homography, pixel_centres, segment_distance
from nsff.geometry.two_view import fundamental, homography_distance, line_distance
from nsff.priors.motion.stage import pair_distance
from nsff.tracking.chaining import FlowCache, chain_flow, chain_flows


@pytest.fixture
def sideways() -> Cameras:
    """f = 100, centre (50, 40); the second camera stands one unit to the right, the third one unit ahead."""
    K = np.array([[100.0, 0, 50], [0, 100, 40], [0, 0, 1]])
    poses = np.tile(np.eye(4)[:3], (3, 1, 1))
    poses[1, 0, 3] = -1
    poses[2, 2, 3] = -1
    return Cameras(np.tile(K, (3, 1, 1)), poses, np.tile([2.0, 10.0], (3, 1)), 100, 80)


def test_pixel_centres_lie_at_the_half():
    x = pixel_centres(3, 4)
    assert x.shape == (3, 4, 2)
    assert x[0, 0].tolist() == [0.5, 0.5]
    assert x[2, 3].tolist() == [3.5, 2.5]


def test_line_distance_is_the_vertical_offset_for_a_sideways_camera(sideways):
    F = fundamental(sideways, 0, 1)
    x = np.array([[10.5, 20.5], [70.5, 60.5], [30.0, 30.0]])
    flow = np.array([[-7.0, 2.0], [30.0, -3.5], [-4.0, 0.0]])  # along the line any amount is free
    assert np.allclose(line_distance(F, x, x + flow), [2.0, 3.5, 0.0], atol=1e-6)


def test_fundamental_holds_for_projected_points():
    generator = np.random.default_rng(1)
    K = np.array([[90.0, 0, 33], [0, 95, 27], [0, 0, 1]])
    rotation, _ = np.linalg.qr(np.eye(3) + 0.1 * generator.normal(size=(3, 3)))
    rotation *= np.sign(np.linalg.det(rotation))
    poses = np.stack([np.eye(4)[:3], np.concatenate([rotation, [[0.3], [-0.2], [0.1]]], axis=1)])
    if poses[1, 0, 0] < 0:
        poses[1, :, :3] *= -1
        poses[1, :, :3] = np.linalg.det(poses[1, :, :3]) * poses[1, :, :3]
    cameras = Cameras(np.stack([K, 1.1 * K / [[1], [1], [1.1]]]), poses, np.tile([1.0, 9.0], (2, 1)), 66, 54)
    uv, z = cameras.project(generator.uniform([-1, -1, 4], [1, 1, 8], (20, 3)))
    distance = line_distance(fundamental(cameras, 0, 1), uv[0], uv[1])
    assert (z != 0).all()
    assert distance.max() < 1e-4


def test_the_same_distance_with_and_without_torch(layered):
    """kornia's from the matrix, and numpy's from the epipolar curve; a homography by its definition."""
    cameras = layered.make_cameras(2, (0.3, 0.1, 0.05), angle=0.03)
    x = pixel_centres(48, 64)
    flow = np.random.default_rng(0).normal(0, 4, x.shape)
    of_lines = line_distance(fundamental(cameras, 0, 1), x, x + flow)
    np.testing.assert_allclose(of_lines, curve_distance(cameras, 0, 1, x, x + flow), atol=1e-6)
    M = infinity_homography(cameras, 0, 1)
    image = np.concatenate([x, np.ones((48, 64, 1))], 2) @ M.T
    by_hand = np.linalg.norm(image[..., :2] / image[..., 2:] - x - flow, axis=2)
    np.testing.assert_allclose(homography_distance(M, x, x + flow), by_hand, atol=1e-9)


def test_segment_distance_by_hand(sideways):
    # A point at depth z moves by -100/z pixels; from depth 2 on that is between -50 and 0.
    x = np.tile([60.5, 30.5], (5, 1))
    flow = np.array([[-25, 0], [-60, 0], [3, 0], [-20, 4], [-53, 4]], float)
    assert np.allclose(segment_distance(sideways, 0, 1, x, x + flow, 2.0), [0, 10, 3, 4, 5], atol=1e-6)


def test_segment_of_a_camera_that_passes_the_nearest_depth_stays_finite(sideways):
    # The third camera stands one unit ahead: what is nearer than that is behind it.
    x = np.array([[60.5, 40.0], [60.5, 40.0]])
    flow = np.array([[500.0, 0.0], [-2.0, 0.0]])  # outwards is allowed, inwards is not
    assert np.allclose(segment_distance(sideways, 0, 2, x, x + flow, 0.5), [0, 2], atol=1e-6)


@pytest.mark.parametrize("depth_cue", [True, False])
def test_pure_rotation_moves_nothing_and_shows_what_does(layered, depth_cue):
    cameras = layered.make_cameras(2, (0, 0, 0), angle=0.03)
    flow, _ = layered.exact_flow(cameras, [layered.Layer(4.0)], 0, 1)
    x = pixel_centres(48, 64)
    assert not has_parallax(cameras, 0, 1, 1.0)
    still = pair_distance(cameras, 0, 1, x, x + flow, 1.0, depth_cue)
    assert still.max() < 1e-3
    flow[20, 30] += (3.0, 4.0)
    assert pair_distance(cameras, 0, 1, x, x + flow, 1.0, depth_cue)[20, 30] == pytest.approx(5.0, abs=1e-3)


def test_chained_flow_adds_up_and_breaks_with_its_links():
    whole = np.ones((8, 20), bool)
    broken = whole.copy()
    broken[:, 10] = False

    def link(i: int, j: int):
        return np.tile(np.float32([2.0 * (j - i), 0]), (8, 20, 1)), broken if (i, j) == (1, 2) else whole

    flow, mask = chain_flow(link, 0, 3)
    assert np.allclose(flow, [6, 0])
    assert not mask[:, 8].any()  # 8 + 2 arrives on the column that is not consistent in frame 1
    assert mask[:, [5, 7, 9, 12]].all()
    assert not mask[:, 18:].any()  # leaves the picture in frame 1
    both = chain_flows(link, 2, [0, 1, 3])
    assert set(both) == {0, 1, 3}
    assert np.allclose(both[0][0], [-4, 0])


def test_flow_cache_reads_each_file_once_and_only_neighbours():
    asked = []

    def read(i: int, direction: str):
        asked.append((i, direction))
        return np.zeros((2, 2, 2), np.float32), np.ones((2, 2), bool)

    cache = FlowCache(read)
    cache(0, 1), cache(0, 1), cache(1, 0)
    assert asked == [(0, "fwd"), (1, "bwd")]
    with pytest.raises(ValueError, match="no neighbours"):
        cache(0, 2)
