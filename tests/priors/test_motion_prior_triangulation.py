"""Depth of moving things by least motion: analytic scenes, what does not tell the depth, and wrong flow."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nsff.cameras import Cameras
from nsff.config import DepthConfig
from nsff.files.io import write_image, write_npz
from nsff.priors.depth.maps import read_map, write_map
from nsff.priors.depth.motion_prior_triangulation import (
    ACCELERATION,
    VELOCITY,
    Prior,
    Tracks,
    _Kind,
    _of_motion,
    triangulate_with_motion_prior,
)
from nsff.priors.depth.motion_tracks import track_pixels
from nsff.priors.depth.moving import counts, far_surface, flatten_nodes, place_moving, stands, tracklet_mean
from nsff.priors.depth.stage import run_depth
from nsff.tracking.tracklets import number_nodes, successive_nodes

N = 9
ARC = np.stack([0.16 * np.arange(N), 0.35 * np.sin(0.9 * np.arange(N)), 0.05 * np.cos(0.9 * np.arange(N))], axis=1)


def cameras_at(centres: np.ndarray, angle: float = 0.0, height: int = 72, width: int = 96) -> Cameras:
    """Cameras at ``centres`` (N,3) that turn by ``angle`` about y from frame to frame."""
    K = np.array([[80.0, 0, width / 2], [0, 80.0, height / 2], [0, 0, 1]])
    poses = []
    for i, centre in enumerate(centres):
        c, s = np.cos(angle * i), np.sin(angle * i)
        R = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
        poses.append(np.column_stack([R, -R @ centre]))
    n = len(poses)
    return Cameras(np.tile(K, (n, 1, 1)), np.array(poses), np.tile([1.0, 7.0], (n, 1)), width, height)


def board_scene(root: Path, layered, cameras: Cameras, velocity=(0.06, -0.03)):
    """A wall at 5, a box at 4, and a board at 2.5 that moves evenly and is on the motion masks."""
    layers = [
        layered.Layer(5.0),
        layered.Layer(4.0, (1.4, 0.4), (0.5, 0.4)),
        layered.Layer(2.5, (0.2, 0.0), (0.35, 0.3), velocity),
    ]
    scene = layered.make_scene(root, cameras, layers)
    boards = []
    for i in range(scene.n_frames):
        index, _, depth = layered.trace(cameras, layers, i)
        boards.append((index == 2, depth))
        write_image(scene.motion_dir / f"{i:05d}.png", (index == 2).astype(np.uint8) * 255)
    return scene, boards


def placed_from(scene, boards, factor: float, confidence: float = 0.2, **settings):
    """place_moving on maps that are true but for the board, whose inverse depth is ``factor`` times its own."""
    folder = scene.path("maps")
    for i, (board, depth) in enumerate(boards):
        disparity = np.where(board, factor, 1.0) / depth
        write_map(folder, i, disparity, np.where(board, confidence, 0.9))
    numbers = place_moving(scene, DepthConfig(**settings), folder, {"aligned": True, "message": "Aligned."})
    ratios = [float(np.median((read_map(folder, i)[0] * depth)[board])) for i, (board, depth) in enumerate(boards)]
    trust = [float(np.median(read_map(folder, i)[1][board])) for i, (board, _) in enumerate(boards)]
    return numbers, np.array(ratios), np.array(trust)


@pytest.mark.parametrize("factor", [0.6, 1.5])
def test_an_even_motion_seen_from_an_arc_is_recovered_to_two_percent(tmp_path, layered, factor):
    scene, boards = board_scene(tmp_path / "scene", layered, cameras_at(ARC))
    numbers, ratios, trust = placed_from(scene, boards, factor)
    assert ratios == pytest.approx(np.ones(N), abs=0.02)
    assert numbers["least_motion_fraction"] == pytest.approx(1)
    assert numbers["least_motion_deviation"] < 0.1
    # Trusted, but never more than half.
    assert (trust > 0.1).all()
    assert (trust <= 0.5).all()
    assert "moves most evenly" in numbers["message"]


def test_surroundings_leave_what_there_was(tmp_path, layered):
    scene, boards = board_scene(tmp_path / "scene", layered, cameras_at(ARC))
    numbers, ratios, trust = placed_from(scene, boards, 0.6, moving="surroundings")
    assert ratios == pytest.approx(np.full(N, 0.6), rel=1e-3)
    assert trust == pytest.approx(np.full(N, 0.2), abs=1e-3)
    assert numbers == {"aligned": True, "message": "Aligned."}


@pytest.mark.parametrize(
    ("centres", "angle", "velocity"),
    [
        (np.zeros((N, 3)), 0.0, (0.06, -0.03)),  # stands still
        (np.zeros((N, 3)), 0.02, (0.06, -0.03)),  # only turns
        (np.stack([0.1 * np.arange(N), 0 * ARC[:, 0], 0 * ARC[:, 0]], axis=1), 0.0, (0.1, -0.09)),  # as even as it
    ],
    ids=["still", "turns", "even pace"],
)
def test_cameras_that_do_not_tell_the_depth_leave_it_and_say_so(tmp_path, layered, centres, angle, velocity):
    scene, boards = board_scene(tmp_path / "scene", layered, cameras_at(centres, angle), velocity)
    numbers, ratios, trust = placed_from(scene, boards, 0.6)
    assert numbers["least_motion_fraction"] == 0
    assert numbers["moving_deviation"] > 0.3
    assert ratios == pytest.approx(np.full(N, 0.6), rel=1e-3)
    assert trust == pytest.approx(np.full(N, 0.2), abs=1e-3)
    assert "do not tell the depth" in numbers["message"]


@pytest.mark.parametrize("method", ["least_motion", "auto"])
def test_wrong_flow_changes_little(tmp_path, layered, method):
    scene, boards = board_scene(tmp_path / "scene", layered, cameras_at(ARC))
    random = np.random.default_rng(0)
    for i in range(N):
        for direction in ("fwd", "bwd"):
            if scene.flow_path(i, direction).exists():
                flow, mask = scene.flow(i, direction)
                # 15 % in blocks of 4 pixels: of chains of two links 28 %, of six 62 %.
                wrong = np.kron(random.random((18, 24)) < 0.15, np.ones((4, 4), bool))
                flow = flow + np.where(wrong[..., None], random.uniform(-6, 6, (*flow.shape[:2], 2)), 0)
                scene.write_flow(i, direction, flow, mask)
    _, ratios, _ = placed_from(scene, boards, 0.6, moving=method)
    assert ratios == pytest.approx(np.ones(N), abs=0.05)


def test_without_a_network_the_board_leaves_the_wall(tmp_path, layered):
    scene, boards = board_scene(tmp_path / "scene", layered, cameras_at(ARC))

    def ratios(**settings):
        run_depth(scene, DepthConfig(backend="classical", **settings))
        return np.array([np.median((scene.disparity(i)[0] * depth)[board]) for i, (board, depth) in enumerate(boards)])

    assert ratios(moving="surroundings") == pytest.approx(np.full(N, 0.5), abs=0.05)  # at the wall, twice as far
    assert "in the air" in scene.summary("depth")["message"]
    assert ratios() == pytest.approx(np.ones(N), abs=0.02)
    assert "in the air" not in scene.summary("depth")["message"]


def test_relative_disparity_disguised_by_scale_and_shift_and_wrong_on_the_board(tmp_path, layered):
    scene, boards = board_scene(tmp_path / "scene", layered, cameras_at(ARC))
    for i, (board, depth) in enumerate(boards):
        disparity = (np.where(board, 0.7, 1.0) / depth - 0.02 - 0.003 * i) / (0.3 * 1.03**i)
        write_npz(scene.given_dir / "depth" / f"{i:05d}.npz", disparity=disparity.astype(np.float32))
    run_depth(scene, DepthConfig())
    ratios = np.array([np.median((scene.disparity(i)[0] * depth)[board]) for i, (board, depth) in enumerate(boards)])
    assert ratios == pytest.approx(np.ones(N), abs=0.02)
    assert scene.summary("depth")["least_motion_fraction"] == pytest.approx(1)


def test_a_thing_is_placed_in_all_frames_or_in_none():
    """Two things, the second known in one frame: deviations are weighted by pixels, and one beyond 1 counts as 1."""
    deviation, tracklet = np.array([0.1, 0.2, 0.05, 7.0]), np.array([4, 4, 9, 9])
    pixels = np.array([30.0, 10.0, 10.0, 10.0])
    assert tracklet_mean(deviation, tracklet, pixels) == pytest.approx([0.125, 0.125, 0.525, 0.525])


def test_a_networks_depth_gives_way_only_to_what_is_known_better(tmp_path, layered):
    scene, boards = board_scene(tmp_path / "scene", layered, cameras_at(ARC))
    numbers, _, _ = placed_from(scene, boards, 0.6)
    limit = numbers["moving_deviation"]
    _, kept, _ = placed_from(scene, boards, 0.6, moving_deviation=1.05 * limit)
    assert kept == pytest.approx(np.full(N, 0.6), rel=1e-3)
    _, moved, _ = placed_from(scene, boards, 0.6, moving_deviation=1.5 * limit)
    assert moved == pytest.approx(np.ones(N), abs=0.02)


def test_residuals_by_hand_and_their_slope():
    # Focal length 100, all depths 2: C goes 0, 1, 3 along x, the point (0, 0, 2) is where the maps have it at t alone.
    centres = np.array([[[0.0, 0, 0], [1, 0, 0], [3, 0, 0]]])
    offsets = np.array([[[0.0, 0, 2], [-1, 0, 2], [-3, 0, 2]]])
    tracks = Tracks(centres, offsets, np.array([[0, 1, 2]]), *(np.zeros(1, int),) * 3)
    for coefficients in (ACCELERATION, VELOCITY):
        kind = _Kind(coefficients[None], np.ones(1), np.zeros(1, int))
        assert _of_motion(np.zeros(3), tracks, 100, kind, 0.5)[1] == pytest.approx(
            np.zeros(3)
        )  # a static point has none

    # Twice as far at t: X_t = (-1, 0, 4), acceleration -2 (-1, 0, 2) in x and z, times 100 / sqrt(20).
    x = np.array([0.0, -np.log(2), 0.0])
    residual = np.array([2.0, 0, -4]) * 100 / np.sqrt(20)
    ray = np.array([-1, 0, 2]) / np.sqrt(5)
    along = residual @ ray
    # One track is its own median: weights 1 / (s^2 sqrt(2)) along (s = 89.4 px); nothing across.
    assert np.linalg.norm(residual - along * ray) == pytest.approx(0, abs=1e-9)
    kind = _Kind(ACCELERATION[None], np.ones(1), np.zeros(1, int))
    slope = _of_motion(x, tracks, 100, kind, 0.5)[1]

    def energy(y):
        lifted = np.exp(-y)[:, None] * offsets[0]
        r = 100 / np.linalg.norm(lifted[1]) * (ACCELERATION @ (centres[0] + lifted))
        return 0.5 * (r @ r)  # with the ray held at its place this is what the two parts add up to

    weight = 1 / (along**2 * np.sqrt(2))
    numeric = [(energy(x + d) - energy(x - d)) / 2e-6 for d in 1e-6 * np.eye(3)]
    # Across the ray the scale is one pixel, but there the residual is 0: all of the slope is along the ray.
    assert slope == pytest.approx(weight * np.array(numeric), rel=1e-4)


def test_nothing_to_go_by_is_the_prior():
    nothing = Tracks(np.zeros((0, 3, 3)), np.zeros((0, 3, 3)), *(np.zeros((0, 3), int),), *(np.zeros(0, int),) * 3)
    prior = Prior(np.array([0.3, 0.3]), np.array([0, 1]), np.array([-np.inf, 0.4]), np.zeros((0, 2), int), 0.1)
    found = triangulate_with_motion_prior(nothing, prior, 100)
    # The second is pushed to where a twentieth and its own prior balance: 400 (0.4 - x) = x / 0.09.
    assert found.log_factor == pytest.approx([0, 0.4 * 400 / (400 + 1 / 0.09)], abs=1e-3)
    assert found.deviation == pytest.approx([0.3, 1 / np.sqrt(400 + 1 / 0.09)], rel=1e-3)


def test_nodes_links_and_tracks_of_a_small_scene():
    cameras = cameras_at(np.zeros((3, 3)), height=12, width=16)
    labels = [np.zeros((12, 16), np.int32) for _ in range(3)]
    for i in range(3):
        labels[i][2:8, 2 + i : 8 + i] = 1
    labels[1][10:, 14:] = 2
    nodes = number_nodes(labels, [{1: 7}, {1: 7, 2: 9}, {1: 7}])
    assert nodes.tracklet.tolist() == [7, 7, 9, 7]
    assert nodes.frame.tolist() == [0, 1, 1, 2]
    assert successive_nodes(nodes).tolist() == [[0, 1], [1, 3]]
    maps = [np.full((12, 16), 0.5, np.float32)] * 3

    def link(i, j):
        return np.full((12, 16, 2), [float(j - i), 0], np.float32), np.ones((12, 16), bool)

    tracks = track_pixels(nodes, cameras, maps, link, (1,), step=2)
    # Columns 3, 5, 7 and rows 3, 5, 7 of the board in frame 1; of the corner flow leads off the picture.
    assert len(tracks) == 9
    assert tracks.node.tolist() == [[0, 1, 3]] * 9
    assert tracks.frame.tolist() == [1] * 9
    # Pixel (3, 3) has its centre at (3.5, 3.5), depth 2: 2 (3.5 - 8) / 80 to the right, and a pixel less before.
    assert tracks.offsets[0, :, 0] == pytest.approx([2 * -5.5 / 80, 2 * -4.5 / 80, 2 * -3.5 / 80])


def test_what_moves_is_not_behind_what_is_around_it():
    part = np.zeros((60, 60), bool)
    part[20:40, 20:40] = True
    disparity = np.full((60, 60), 0.25, np.float32)
    disparity[:, 30:] = 0.5
    disparity[part] = 0.1
    sure = np.ones((60, 60), np.float32)
    assert far_surface(part, part, disparity, sure) == pytest.approx(0.25)
    assert far_surface(part, part, disparity, 0.05 * sure) is None
    node = np.where(part, 0, -1)
    disparity[20:40, 20:31] = 0.3
    assert flatten_nodes(disparity, node)[part] == pytest.approx(0.3)
    assert np.array_equal(flatten_nodes(disparity, node)[~part], disparity[~part])


def test_what_moves_at_the_depth_of_the_floor_it_touches_stands_there():
    # Tracklets: 0 on the floor, with one frame off; 1 in the air, far from what motion says; 2 touches in few frames.
    tracklet = np.array([0] * 5 + [1] * 4 + [2] * 4)
    factor = np.array([0.03, -0.05, 0.02, 0.06, 0.3] + [0.6, 0.5, 0.01, 0.7] + [0.0] * 4)
    touches = np.array([1] * 9 + [1, 0, 0, 0], float)
    pixels = np.full(13, 50.0)
    found = stands(factor, np.full(13, 0.1), tracklet, touches * pixels, pixels)
    np.testing.assert_array_equal(found, tracklet == 0)


def test_motion_counts_where_it_is_certain_or_refutes_what_was_there():
    tracklet = np.repeat([0, 1, 2, 3], 2)
    deviation = np.repeat([0.1, 0.2, 0.2, 0.4], 2)
    factor = np.array([0.0, 0.0, -0.4, 0.1, 0.1, 0.1, 0.9, 0.9])
    found = counts(factor, deviation, tracklet, np.ones(8), limit=0.14, refuting=0.25)
    np.testing.assert_array_equal(found, (tracklet == 0) | (tracklet == 1))
    assert not counts(factor, deviation, tracklet, np.ones(8), limit=0.14, refuting=0.0)[2:].any()
