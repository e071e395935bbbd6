"""Similarities between worlds and the pose errors left after them, by hand and against rendered truth."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from nsff.cameras import Cameras
from nsff.cameras.align import (
    Similarity,
    align,
    collinear,
    extent,
    pose_errors,
    project_to_rotation,
    rotation_angle,
    umeyama,
)
from nsff.cameras.llff import cameras_from_poses_bounds, poses_bounds

TURN = Rotation.from_rotvec([0.3, -0.5, 1.1]).as_matrix()


def cameras(centres: np.ndarray, seed: int = 1, focal: float = 80.0) -> Cameras:
    centres = np.asarray(centres, float)
    R = Rotation.random(len(centres), np.random.default_rng(seed)).as_matrix()
    K = np.tile(np.array([[focal, 0, 50], [0, focal, 30], [0, 0, 1]]), (len(centres), 1, 1))
    poses = np.concatenate([R, -R @ centres[:, :, None]], axis=2)
    return Cameras(K, poses, np.tile([1.0, 5.0], (len(centres), 1)), 100, 60)


def scattered(count: int = 6, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, 3))


def test_umeyama_by_hand():
    # A unit square in the plane z = 0 becomes one of side 2, turned by 90 degrees about z, at (5, 0, 1).
    square = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0.0]])
    target = np.array([[5, 0, 1], [5, 2, 1], [3, 2, 1], [3, 0, 1.0]])
    found = umeyama(square, target)
    assert found.scale == pytest.approx(2)
    np.testing.assert_allclose(found.R, [[0, -1, 0], [1, 0, 0], [0, 0, 1]], atol=1e-12)
    np.testing.assert_allclose(found.t, [5, 0, 1], atol=1e-12)


def test_umeyama_recovers_and_inverts():
    points = scattered()
    similarity = Similarity(0.37, TURN, np.array([1.0, -2, 3]))
    found = umeyama(points, similarity.apply(points))
    assert found.scale == pytest.approx(0.37)
    np.testing.assert_allclose(found.R, TURN, atol=1e-12)
    np.testing.assert_allclose(found.inverse().apply(similarity.apply(points)), points, atol=1e-12)


def test_umeyama_is_least_squares():
    generator = np.random.default_rng(2)
    source, target = scattered(seed=3), scattered(seed=4)
    found = umeyama(source, target)
    least = ((found.apply(source) - target) ** 2).sum()
    for _ in range(200):
        other = Similarity(
            found.scale * np.exp(generator.normal(scale=0.05)),
            Rotation.from_rotvec(generator.normal(scale=0.05, size=3)).as_matrix() @ found.R,
            found.t + generator.normal(scale=0.05, size=3),
        )
        assert ((other.apply(source) - target) ** 2).sum() >= least


def test_a_mirrored_world_gets_a_proper_rotation():
    points = scattered()
    found = umeyama(points, points * [1, 1, -1])
    assert np.linalg.det(found.R) == pytest.approx(1)


@pytest.mark.parametrize("points", [np.zeros((2, 3)), np.outer(np.arange(5.0), [1, 2, 3]), np.ones((4, 3))])
def test_points_that_leave_a_rotation_open(points: np.ndarray):
    with pytest.raises(ValueError):
        umeyama(points, points)


def test_collinear():
    line = np.outer(np.linspace(0, 1, 9), [1, 0, 0])
    bend = line + np.outer(np.linspace(-1, 1, 9) ** 2, [0, 0.2, 0])
    assert collinear(line) and collinear(np.ones((5, 3))) and collinear(bend[:2])
    assert not collinear(bend)


@pytest.mark.parametrize(
    "centres",
    [scattered(), np.outer(np.linspace(0, 1, 5), [1, 2, 0.5]), scattered(2), np.zeros((4, 3))],
    ids=["spread", "straight path", "two cameras", "turning camera"],
)
def test_align_undoes_any_similarity(centres: np.ndarray):
    true = cameras(centres)
    moved = true.moved(2.5, TURN, np.array([4.0, 5, 6]))
    back = align(moved, true).apply_cameras(moved)
    np.testing.assert_allclose(back.centres, true.centres, atol=1e-9)
    np.testing.assert_allclose(back.world_to_camera[:, :, :3], true.world_to_camera[:, :, :3], atol=1e-9)
    if extent(centres) > 0:
        np.testing.assert_allclose(back.near_far, true.near_far, atol=1e-9)
    errors = pose_errors(moved, true)
    assert errors.position_rmse < 1e-9 and errors.rotation_max < 1e-6 and errors.focal == pytest.approx(0)


def test_align_refuses_other_counts():
    with pytest.raises(ValueError, match="3 and 4 cameras"):
        align(cameras(scattered(3)), cameras(scattered(4)))


def test_position_error_by_hand():
    # A rectangle of 4 x 3 (extent 5): its corners move outwards and inwards along z by 0.1, which no similarity mends.
    corners = np.array([[0, 0, 0], [4, 0, 0], [4, 3, 0], [0, 3, 0.0]])
    bumps = corners + np.outer([1, -1, 1, -1], [0, 0, 0.1])
    true = cameras(corners)
    assert pose_errors(cameras(bumps), true).position_rmse == pytest.approx(0.1 / 5, rel=0.01)


def test_rotation_error_by_hand():
    # One of four cameras is turned by 2 degrees: half of the six pairs see 2 degrees, whichever world they are in.
    true = cameras(scattered(4))
    poses = true.world_to_camera.copy()
    poses[1] = Rotation.from_euler("y", 2, degrees=True).as_matrix() @ poses[1]
    errors = pose_errors(Cameras(true.intrinsics, poses, true.near_far, 100, 60).moved(3, TURN, np.ones(3)), true)
    assert errors.rotation_mean == pytest.approx(1.0)
    assert errors.rotation_max == pytest.approx(2.0)
    assert errors.position_rmse == pytest.approx(0, abs=1e-9)


def test_focal_error_is_relative_to_the_picture():
    true = cameras(scattered())
    half = true.resized(30, 50)
    assert pose_errors(half, true).focal == pytest.approx(0)
    assert pose_errors(cameras(scattered(), focal=84.0), true).focal == pytest.approx(0.05)


@pytest.mark.parametrize("degrees", [0.0, 1e-5, 0.5, 90.0, 179.999, 180.0])
def test_rotation_angle(degrees: float):
    R = Rotation.from_rotvec(np.radians(degrees) * np.array([2, -1, 2]) / 3).as_matrix()
    assert rotation_angle(R) == pytest.approx(degrees, abs=1e-7)
    assert rotation_angle(np.stack([R, np.eye(3)])).shape == (2,)


def test_nearest_rotation():
    R = project_to_rotation(TURN + 0.01 * np.random.default_rng(0).normal(size=(3, 3)))
    np.testing.assert_allclose(R @ R.T, np.eye(3), atol=1e-12)
    assert rotation_angle(R @ TURN.T) < 2
    np.testing.assert_allclose(project_to_rotation(5 * TURN), TURN, atol=1e-12)
    assert np.linalg.det(project_to_rotation(np.diag([1.0, 1, -1]))) == pytest.approx(1)


def test_poses_bounds_of_a_rendered_scene_say_the_same_as_its_truth(shared: Path):
    folder = shared / "scenes" / "toss"
    truth = json.loads((folder / "truth" / "cameras.json").read_text())
    poses = {entry["id"]: np.array(entry["w2c"])[:3] for entry in truth["cameras"]}
    given = cameras_from_poses_bounds(np.load(folder / "dense" / "poses_bounds.npy", allow_pickle=False))
    order = [camera for camera, _ in sorted(truth["mono"], key=lambda pair: pair[1])]
    K = np.tile(np.array(truth["K"], float), (len(order), 1, 1))
    true = Cameras(K, np.array([poses[camera] for camera in order]), given.near_far, given.width, given.height)
    errors = pose_errors(given, true)
    assert errors.position_rmse < 1e-3 and errors.rotation_max < 0.05 and abs(errors.focal) < 1e-3
    # To the rows of the format and back.
    back = cameras_from_poses_bounds(poses_bounds(true))
    np.testing.assert_allclose(back.world_to_camera, true.world_to_camera, atol=1e-9)
    np.testing.assert_allclose(back.near_far, true.near_far)
