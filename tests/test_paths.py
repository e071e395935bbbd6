"""Camera and time paths against hand-computed poses and NSFF's formulas."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from nsff.cameras import Cameras
from nsff.cameras.interpolation import interpolate, slerp
from nsff.cameras.llff import read_poses_bounds
from nsff.errors import ConfigError
from nsff.paths import (
    bullet_time_offsets,
    keyframe_path,
    make_path,
    offset,
    read_path_file,
    wander_offsets,
)


def cameras(count: int = 5, turn: float = 0.1) -> Cameras:
    """Cameras at (i, 0, 0), turned by ``turn`` i radians about y, focal 80 + i, near 2."""
    R = Rotation.from_rotvec(np.outer(turn * np.arange(count), [0, 1, 0])).as_matrix()
    centres = np.stack([np.arange(count), np.zeros(count), np.zeros(count)], 1)
    K = np.zeros((count, 3, 3))
    K[:, 0, 0] = K[:, 1, 1] = 80.0 + np.arange(count)
    K[:, 0, 2], K[:, 1, 2], K[:, 2, 2] = 50, 30, 1
    poses = np.concatenate([R, -R @ centres[:, :, None]], axis=2)
    return Cameras(K, poses, np.stack([np.full(count, 2.0), np.full(count, 8.0)], 1), 100, 60)


def test_wander_by_hand():
    np.testing.assert_allclose(wander_offsets(4, 3.0), [[0, 1, 1], [3, 0, 0], [0, -1, -1], [-3, 0, 0]], atol=1e-12)


def test_bullet_time_by_hand():
    found = bullet_time_offsets(6, 2.0, 4)
    np.testing.assert_allclose(found[:5], [[0, 1, 0], [2, 0, 0], [0, -1, 0], [-2, 0, 0], [0, 1, 0]], atol=1e-12)
    assert found.shape == (6, 3)


def test_offset_is_nsff_pose_times_inverse():
    # NSFF's poses are camera to world with OpenGL axes; the offset pose is c2w [I|o]^-1.
    views = cameras()
    o = np.array([0.3, -0.2, 0.5])
    found = offset(views, np.tile(o, (5, 1)))
    flip = np.diag([1.0, -1, -1, 1])
    step = np.eye(4)
    step[:3, 3] = o
    for before, after in zip(views.camera_to_world, found.camera_to_world, strict=True):
        opengl = np.vstack([before, [0, 0, 0, 1]]) @ flip
        np.testing.assert_allclose(np.vstack([after, [0, 0, 0, 1]]) @ flip, opengl @ np.linalg.inv(step), atol=1e-12)


def test_interpolation_passes_through_the_cameras():
    views = cameras()
    found = interpolate(views, np.arange(5.0))
    np.testing.assert_allclose(found.world_to_camera, views.world_to_camera, atol=1e-12)
    np.testing.assert_allclose(found.intrinsics, views.intrinsics)


def test_interpolation_by_hand():
    found = interpolate(cameras(), np.array([1.25, -3.0, 99.0]))
    np.testing.assert_allclose(found.centres, [[1.25, 0, 0], [0, 0, 0], [4, 0, 0]], atol=1e-12)
    turned = Rotation.from_rotvec([0, 0.125, 0]).as_matrix()
    np.testing.assert_allclose(found.world_to_camera[0, :, :3], turned, atol=1e-12)
    np.testing.assert_allclose(found.intrinsics[:, 0, 0], [81.25, 80, 84])


def test_interpolation_of_one_camera():
    found = interpolate(cameras(1), np.array([0.0, 0.7]))
    np.testing.assert_allclose(found.world_to_camera, np.tile(cameras(1).world_to_camera, (2, 1, 1)))


def test_slerp_takes_the_shortest_arc_at_constant_speed():
    first = Rotation.from_euler("y", 170, degrees=True)
    second = Rotation.from_euler("y", -170, degrees=True)
    steps = np.linspace(0, 1, 5)
    found = slerp(np.tile(first.as_matrix(), (5, 1, 1)), np.tile(second.as_matrix(), (5, 1, 1)), steps)
    expected = Rotation.from_euler("y", 170 + 20 * steps[:, None], degrees=True).as_matrix()
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_view_path_moves_the_nearest_content_by_the_amplitude():
    views = cameras(turn=0.0)
    path = make_path("view", views, 60, 2, amplitude=12.0)
    assert len(path) == 60 and (path.times == 2).all()
    # A point on the axis of camera 2 at 0.9 of the near bound: at the widest, `amplitude` pixels off (mean focal).
    point = views.centres[2] + [0, 0, 0.9 * 2.0]
    uv, _ = path.cameras.project(point[None])
    assert np.abs(uv[:, 0, 0] - 50).max() == pytest.approx(12.0, rel=0.02)
    # The loop is closed and starts right above and in front of the camera.
    np.testing.assert_allclose(path.cameras.centres.mean(0), views.centres[2], atol=1e-9)


def test_time_path_stays_and_runs_through_all_times():
    path = make_path("time", cameras(), 9, None, amplitude=12.0)
    np.testing.assert_allclose(path.times, np.linspace(0, 4, 9))
    np.testing.assert_allclose(
        path.cameras.world_to_camera, np.tile(cameras().world_to_camera[2], (9, 1, 1)), atol=1e-12
    )


def test_spacetime_path_follows_the_training_cameras():
    still = make_path("spacetime", cameras(), 41, None, amplitude=0.0)
    np.testing.assert_allclose(still.cameras.centres[:, 0], still.times, atol=1e-9)
    moved = make_path("spacetime", cameras(), 41, None, amplitude=9.0)
    away = np.linalg.norm(moved.cameras.centres - still.cameras.centres, axis=1)
    m = 9.0 / 82 * 0.9 * 2 * 32 / 48
    assert away.max() == pytest.approx(m, rel=0.02) and away.min() == pytest.approx(m / 2, rel=0.02)


@pytest.mark.parametrize("kind", ["time", "spacetime"])
def test_times_run_from_start_to_end(kind):
    path = make_path(kind, cameras(), 7, None, amplitude=0.0, start=0.5, end=3.5)
    np.testing.assert_allclose(path.times, np.linspace(0.5, 3.5, 7))
    if kind == "spacetime":
        np.testing.assert_allclose(path.cameras.centres[:, 0], path.times, atol=1e-9)
    assert make_path(kind, cameras(), 7, None, 0.0, start=2).times[[0, -1]].tolist() == [2, 4]
    for wrong in ((3.0, 1.0), (0.0, 4.5), (-1.0, 2.0)):
        with pytest.raises(ConfigError, match=r"render\.start, render\.end: .*frames 0 to 4"):
            make_path(kind, cameras(), 7, None, 0.0, *wrong)


def test_the_camera_may_stay_between_two_frames_while_time_runs():
    """SAFF's render_slowmo_full: times 0 to 20, the camera half-way from one pose to the next, a loop of 40."""
    views = cameras()
    still = make_path("spacetime", views, 201, 1.5, amplitude=0.0, start=0, end=4, follow=False)
    np.testing.assert_allclose(still.cameras.centres, np.tile([1.5, 0, 0], (201, 1)), atol=1e-9)
    np.testing.assert_allclose(still.times, np.linspace(0, 4, 201))
    moved = make_path("spacetime", views, 201, 1.5, amplitude=9.0, start=0, end=4, follow=False)
    loop = moved.cameras.world_to_camera[:, :, 3] - still.cameras.world_to_camera[:, :, 3]
    m = 9.0 / views.focal * 0.9 * 2 * 32 / 48
    np.testing.assert_allclose(loop, bullet_time_offsets(201, m, 40) * [1, -1, -1], atol=1e-9)
    for kind in ("view", "time"):
        path = make_path(kind, views, 5, 1.5, amplitude=0.0)
        np.testing.assert_allclose(path.cameras.centres[:, 0], 1.5)
    assert make_path("view", views, 5, 1.5, amplitude=0.0).times.tolist() == [1.5] * 5


def test_one_frame():
    path = make_path("spacetime", cameras(), 1, 3, amplitude=9.0)
    assert path.times.tolist() == [3.0]


@pytest.mark.parametrize("target", [-1, 4.5, 5])
def test_a_target_outside_the_clip(target: int):
    with pytest.raises(ConfigError, match="frames 0 to 4"):
        make_path("view", cameras(), 10, target, 12.0)


def test_an_unknown_path_and_no_frames():
    with pytest.raises(ConfigError, match="unknown path 'loop'"):
        make_path("loop", cameras(), 10, 0, 12.0)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"render\.frames"):
        make_path("view", cameras(), 0, 0, 12.0)


def test_keyframes_by_hand():
    views = cameras(3, turn=0.0)
    path = keyframe_path(views, times=[4.0, 0.0, 2.0], keyframe_times=[0.0, 0.25, 1.0], frames=5)
    np.testing.assert_allclose(path.cameras.centres[:, 0], [0, 1, 4 / 3, 5 / 3, 2], atol=1e-12)
    np.testing.assert_allclose(path.times, [4, 0, 2 / 3, 4 / 3, 2], atol=1e-12)


@pytest.mark.parametrize("moments", [[0.0, 0.5], [0.0, 0.5, 0.5], [0.0, 1.0, 0.5]])
def test_bad_keyframes(moments: list):
    with pytest.raises(ConfigError, match="keyframes"):
        keyframe_path(cameras(3), [0, 1, 2], moments, 10)


# --- the published paths, written once more from their formulas -----------------------------------------------------
def published_world(views: Cameras) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """The loader's poses of ``views``, as loaded_world has them."""
    return loaded_world(views.camera_to_world @ np.diag([1.0, -1, -1, 1]), views.near_far[:, 0])


def loaded_world(opengl: np.ndarray, near: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """The loader's poses (N,4,4) of camera to world (N,3,4) with OpenGL axes, recentred and scaled; the way back to our
    world (rotation, centre), and the scale."""
    poses = np.tile(np.eye(4), (len(opengl), 1, 1))
    poses[:, :3] = opengl
    scale = 1 / (np.percentile(near, 5) * 0.9)
    centre = poses[:, :3, 3].mean(0)
    z = poses[:, :3, 2].sum(0)
    z /= np.linalg.norm(z)
    x = np.cross(poses[:, :3, 1].sum(0), z)
    x /= np.linalg.norm(x)
    rotation = np.stack([x, np.cross(z, x), z], 1)
    poses[:, :3, :3] = rotation.T @ poses[:, :3, :3]
    poses[:, :3, 3] = scale * (poses[:, :3, 3] - centre) @ rotation
    return poses, rotation, centre, scale


def in_the_world(poses: np.ndarray, rotation: np.ndarray, centre: np.ndarray, scale: float) -> np.ndarray:
    """Poses of the loader's world as our camera to world (F,3,4), in OpenCV axes."""
    back = poses[:, :3].copy()
    back[:, :, :3] = rotation @ back[:, :, :3]
    back[:, :, 3] = back[:, :, 3] @ rotation.T / scale + centre
    return back @ np.diag([1.0, -1, -1, 1])


def moved(pose: np.ndarray, offset_: list[float]) -> np.ndarray:
    step = np.eye(4)
    step[:3, 3] = offset_
    return pose @ np.linalg.inv(step)


def varied(scale: float) -> Cameras:
    """24 cameras of one focal length that wander and turn, with near bounds that differ, in a world of any scale."""
    count, rng = 24, np.random.default_rng(3)
    R = Rotation.from_rotvec(0.1 * rng.normal(size=(count, 3)) + [0.4, -0.2, 0.3]).as_matrix()
    centres = scale * (np.cumsum(0.05 * rng.normal(size=(count, 3)), 0) + np.array([7.0, -3.0, 2.0]))
    K = np.tile([[411.0, 0, 273], [0, 411, 144], [0, 0, 1]], (count, 1, 1))
    near = scale * rng.uniform(1.5, 2.5, count)
    poses = np.concatenate([R, -R @ centres[:, :, None]], axis=2)
    return Cameras(K, poses, np.stack([near, 9 * near], 1), 546, 288)


@pytest.mark.parametrize("scale", [0.03, 1.0, 30.0])
def test_the_view_path_is_the_published_one(scale):
    views = varied(scale)
    poses, *way_back = published_world(views)
    m = 48 / 411
    expected = [
        moved(poses[10], [m * np.sin(p), m * np.cos(p) / 3, m * np.cos(p) / 3]) for p in 2 * np.pi * np.arange(60) / 60
    ]
    found = make_path("view", views, 60, 10, 48.0)
    np.testing.assert_allclose(
        found.cameras.camera_to_world, in_the_world(np.stack(expected), *way_back), rtol=1e-9, atol=1e-9 * scale
    )


@pytest.mark.parametrize("scale", [0.03, 1.0, 30.0])
def test_the_spacetime_path_is_the_published_one(scale):
    """201 times around frame 10; translation linear, rotation by slerp, then the bullet-time loop of 40 poses."""
    from scipy.spatial.transform import Slerp

    views = varied(scale)
    poses, *way_back = published_world(views)
    m, expected = 32 / 411, []
    for i, time in enumerate(np.linspace(0, 20, 201)):
        first, part = int(np.floor(time)), time % 1
        pose = np.eye(4)
        pose[:3, 3] = (1 - part) * poses[first, :3, 3] + part * poses[first + 1, :3, 3]
        pose[:3, :3] = Slerp([0, 1], Rotation.from_matrix(poses[first : first + 2, :3, :3]))(part).as_matrix()
        phase = 2 * np.pi * i / 40
        expected.append(moved(pose, [m * np.sin(phase), m * np.cos(phase) / 2, 0]))
    found = make_path("spacetime", views, 201, None, 48.0, 0, 20)
    np.testing.assert_allclose(found.times, np.linspace(0, 20, 201))
    np.testing.assert_allclose(
        found.cameras.camera_to_world, in_the_world(np.stack(expected), *way_back), rtol=1e-7, atol=1e-7 * scale
    )


@pytest.mark.parametrize(("name", "target"), [("balloon1", 5), ("toss/dense", 10)])
def test_the_view_path_of_a_real_scene_is_the_published_one(shared, name, target):
    """From the numbers of poses_bounds.npy: columns down, right, backward, centre, and (height, width, focal)."""
    file = shared / "scenes" / name / "poses_bounds.npy"
    if not file.exists():
        pytest.skip(f"no {file}")
    rows = np.load(file)
    matrix = rows[:, :15].reshape(-1, 3, 5)
    opengl = np.stack([matrix[:, :, 1], -matrix[:, :, 0], matrix[:, :, 2], matrix[:, :, 3]], axis=2)
    poses, *way_back = loaded_world(opengl, rows[:, 15])
    m = 48 / matrix[0, 2, 4]
    phases = 2 * np.pi * np.arange(60) / 60
    expected = [moved(poses[target], [m * np.sin(p), m * np.cos(p) / 3, m * np.cos(p) / 3]) for p in phases]
    found = make_path("view", read_poses_bounds(file), 60, target, 48.0).cameras.camera_to_world
    size = np.ptp(found[:, :, 3], axis=0).max()
    np.testing.assert_allclose(found, in_the_world(np.stack(expected), *way_back), rtol=1e-7, atol=1e-7 * size)


@pytest.fixture
def path_file(tmp_path):
    """A function that writes a file of two key frames, changed as the arguments say, and reads it."""

    def read(**changes):
        cameras = [
            {"intrinsics": [[100, 0, 32], [0, 100, 24], [0, 0, 1]], "near": 1, "far": 9,
             "world_to_camera": [[1, 0, 0, x], [0, 1, 0, 0], [0, 0, 1, 0]]}
            for x in (0.0, 1.0)
        ]  # fmt: skip
        content = {"width": 64, "height": 48, "cameras": cameras, "times": [1, 4.5], "moments": [0, 2]} | changes
        file = tmp_path / "path.json"
        file.write_text(json.dumps(content))
        return read_path_file(file, 24, 32, frame_rate=5, n_frames=6)

    return read


def test_a_path_file_is_a_path_of_the_size_that_is_asked_for(path_file):
    path = path_file()
    assert len(path) == 11
    assert path.times[[0, 5, 10]].tolist() == [1, 2.75, 4.5]
    assert path.cameras.world_to_camera[5, 0, 3] == pytest.approx(0.5)
    assert path.cameras.focal == 50


@pytest.mark.parametrize(
    "changes",
    [{"times": [1, 6]}, {"times": [1]}, {"moments": [2, 0]}, {"moments": [0, 1e9]}, {"cameras": []}, {"times": None}],
)
def test_a_path_file_that_is_none_is_named(path_file, changes):
    with pytest.raises(ConfigError, match=r"path\.json|keyframes"):
        path_file(**changes)
