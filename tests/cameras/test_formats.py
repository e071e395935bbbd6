"""Camera formats against hand-computed numbers, against each other, and against the rendered truth of a scene."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from nsff.cameras import Cameras
from nsff.cameras.colmap import find_model, read_model, to_reconstruction, write_model
from nsff.cameras.llff import cameras_from_poses_bounds, poses_bounds, read_poses_bounds, write_poses_bounds
from nsff.cameras.nerfstudio import read_transforms, write_transforms
from nsff.cameras.points import SparsePoints, depth_bounds
from nsff.errors import InputError, StageError


def rotation(axis: np.ndarray, angle: float) -> np.ndarray:
    x, y, z = axis / np.linalg.norm(axis)
    K = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * K + (1 - np.cos(angle)) * K @ K


def some_cameras(count: int = 5, centred: bool = True) -> Cameras:
    generator = np.random.default_rng(3)
    poses = []
    for _ in range(count):
        R = rotation(generator.normal(size=3), generator.uniform(0, 0.4))
        poses.append(np.column_stack([R, generator.normal(size=3)]))
    K = np.tile(np.array([[80.0, 0, 50], [0, 80, 30], [0, 0, 1]]), (count, 1, 1))
    if not centred:
        K[:, 0, 2] += 1.5
        K[2, 1, 1] = 81.0
    near = generator.uniform(1, 2, count)
    return Cameras(K, np.array(poses), np.stack([near, near + 5], axis=1), 100, 60)


def some_points(cameras: Cameras, count: int = 40) -> SparsePoints:
    """Points in front of the mean camera; frame i does not see points i, i+7, ..."""
    generator = np.random.default_rng(4)
    xyz = generator.uniform(-1, 1, (count, 3)) + np.array([0, 0, 12])
    point, frame = np.meshgrid(np.arange(count), np.arange(len(cameras)))
    keep = point % 7 != frame
    return SparsePoints(xyz, generator.integers(0, 256, (count, 3)), generator.random(count), point[keep], frame[keep])


def same(first: Cameras, second: Cameras, bounds: bool = True, tolerance: float = 1e-9) -> None:
    assert (first.width, first.height) == (second.width, second.height)
    np.testing.assert_allclose(first.intrinsics, second.intrinsics, atol=tolerance)
    np.testing.assert_allclose(first.world_to_camera, second.world_to_camera, atol=tolerance)
    if bounds:
        np.testing.assert_allclose(first.near_far, second.near_far, atol=tolerance)


def test_llff_columns_by_hand():
    # A camera at (1,2,3) that looks along +x of the world with world z up: right = -y, down = -z, forward = +x.
    R = np.array([[0, -1, 0], [0, 0, -1], [1, 0, 0.0]])
    centre = np.array([1, 2, 3.0])
    K = np.array([[7.0, 0, 4], [0, 7, 3], [0, 0, 1]])
    cameras = Cameras(K[None], np.column_stack([R, -R @ centre])[None], np.array([[0.5, 9]]), 8, 6)
    row = poses_bounds(cameras)[0]
    expected = np.array([[0, 0, -1, 1, 6], [0, -1, 0, 2, 8], [-1, 0, 0, 3, 7.0]])  # down, right, backward, centre, hwf
    np.testing.assert_allclose(row[:15].reshape(3, 5), expected, atol=1e-12)
    np.testing.assert_allclose(row[15:], [0.5, 9])


def test_llff_round_trip_through_a_file(tmp_path: Path):
    cameras = some_cameras()
    write_poses_bounds(tmp_path / "poses_bounds.npy", cameras)
    same(read_poses_bounds(tmp_path / "poses_bounds.npy"), cameras)
    assert np.load(tmp_path / "poses_bounds.npy").shape == (5, 17)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: rows[:, :14], "shape"),
        (lambda rows: rows * np.where(np.arange(17) == 4, 2, 1) + np.nan, "row 0"),
        (lambda rows: rows + np.outer(np.arange(5), np.eye(17)[4]), "different sizes"),
        (lambda rows: rows * np.where(np.arange(17) == 1, -1, 1), "rotation"),
        (lambda rows: rows[:, [*range(15), 16, 15]], "near < far"),
    ],
)
def test_llff_refuses(tmp_path: Path, change, message: str):
    path = tmp_path / "poses_bounds.npy"
    np.save(path, change(poses_bounds(some_cameras())))
    with pytest.raises(InputError, match=message) as caught:
        read_poses_bounds(path)
    assert str(path) in str(caught.value)


def test_llff_refuses_pickles_and_absence(tmp_path: Path):
    np.save(tmp_path / "pickle.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(InputError):
        read_poses_bounds(tmp_path / "pickle.npy")
    with pytest.raises(InputError, match="no such file"):
        read_poses_bounds(tmp_path / "none.npy")


def test_colmap_round_trip(tmp_path: Path):
    cameras = some_cameras(centred=False)
    points = some_points(cameras)
    names = [f"img {i}.png" for i in range(5)]
    write_model(tmp_path / "dense" / "sparse" / "0", cameras, names, points)
    assert find_model(tmp_path / "dense") == tmp_path / "dense" / "sparse" / "0"
    model = read_model(tmp_path / "dense")
    assert model.names == names
    same(model.cameras, cameras, bounds=False)
    np.testing.assert_allclose(model.points.xyz, points.xyz)
    np.testing.assert_array_equal(model.points.rgb, points.rgb)
    np.testing.assert_allclose(model.points.error, points.error)
    for i in range(5):
        np.testing.assert_array_equal(model.points.seen_in(i), points.seen_in(i))
    np.testing.assert_allclose(model.cameras.near_far, depth_bounds(cameras, points))


def test_colmap_observations_are_projections():
    cameras = some_cameras()
    points = some_points(cameras)
    reconstruction = to_reconstruction(cameras, [f"{i}.png" for i in range(5)], points)
    reconstruction.update_point_3d_errors()
    assert max(point.error for point in reconstruction.points3D.values()) < 1e-9


def test_colmap_selection_renumbers():
    cameras = some_cameras()
    points = some_points(cameras).selected([3, 1])
    np.testing.assert_array_equal(points.seen_in(0), [p for p in range(40) if p % 7 != 3])
    assert set(points.track_frame) == {0, 1}


@pytest.mark.parametrize(
    ("model", "extra", "accepted"),
    [
        ("SIMPLE_RADIAL", [0.0], True),
        ("SIMPLE_RADIAL", [0.1], False),
        ("OPENCV", [0, 0, 0, 0], True),
        ("OPENCV", [0, 0, 1e-3, 0], False),
        ("OPENCV_FISHEYE", [0, 0, 0, 0], False),
        ("SIMPLE_PINHOLE", [], True),
    ],
)
def test_colmap_distortion(tmp_path: Path, model: str, extra: list[float], accepted: bool):
    import pycolmap

    cameras = some_cameras()
    reconstruction = to_reconstruction(cameras, list("abcde"), some_points(cameras))
    focal = [80.0] if model.startswith("SIMPLE") else [80.0, 80.0]
    camera = reconstruction.cameras[1]
    camera.model = getattr(pycolmap.CameraModelId, model)
    camera.params = [*focal, 50, 30, *extra]
    (tmp_path / "sparse").mkdir()
    reconstruction.write_text(str(tmp_path / "sparse"))
    if accepted:
        same(read_model(tmp_path).cameras, cameras, bounds=False)
    else:
        with pytest.raises(InputError, match=f"distorted: model {model}"):
            read_model(tmp_path)


def test_colmap_absent_and_corrupt(tmp_path: Path):
    with pytest.raises(InputError, match="holds no COLMAP model"):
        read_model(tmp_path)
    cameras = some_cameras()
    write_model(tmp_path / "sparse", cameras, list("abcde"), some_points(cameras))
    data = (tmp_path / "sparse" / "images.bin").read_bytes()
    (tmp_path / "sparse" / "images.bin").write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError):
        read_model(tmp_path)


def test_colmap_without_points(tmp_path: Path):
    write_model(tmp_path / "sparse", some_cameras(), list("abcde"))
    with pytest.raises(InputError, match="no point"):
        read_model(tmp_path)


def test_nerfstudio_by_hand(tmp_path: Path):
    # OpenGL camera at the world's origin, axes as the world's: it looks along -z with y up.
    frame = {"file_path": "a.png", "transform_matrix": np.eye(4).tolist()}
    content = {"w": 100, "h": 60, "camera_angle_x": 2 * np.arctan(0.5), "frames": [frame]}
    (tmp_path / "transforms.json").write_text(json.dumps(content))
    cameras = read_transforms(tmp_path / "transforms.json", near_far=(1, 4)).cameras
    np.testing.assert_allclose(cameras.intrinsics[0], [[100, 0, 50], [0, 100, 30], [0, 0, 1]])
    # A point ahead, to the right and above: right of and above the centre of the image.
    (pixel,), (depth,) = (value[0] for value in cameras.project(np.array([[0.2, 0.1, -2.0]])))
    np.testing.assert_allclose([*pixel, depth], [60, 25, 2])


def test_nerfstudio_round_trip(tmp_path: Path):
    cameras = some_cameras(centred=False)
    names = [f"images/{i}.png" for i in range(5)]
    write_transforms(tmp_path / "transforms.json", cameras, names, times=[0.5 * i for i in range(5)])
    result = read_transforms(tmp_path / "transforms.json")
    same(result.cameras, cameras)
    assert result.names == names
    assert result.times == [0, 0.5, 1, 1.5, 2]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"frames": []}, "no frames"),
        ({"k1": 0.1}, "distorted"),
        ({"w": "wide"}, "w is"),
        ({"fl_x": 0}, "fl_x"),
        ({}, "near"),
    ],
)
def test_nerfstudio_refuses(tmp_path: Path, change: dict, message: str):
    frame = {"file_path": "a.png", "transform_matrix": np.eye(4).tolist()}
    content = {"w": 100, "h": 60, "fl_x": 90, "frames": [frame]} | change
    (tmp_path / "transforms.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=message):
        read_transforms(tmp_path / "transforms.json")


def test_all_formats_agree(tmp_path: Path):
    cameras = some_cameras()
    names = list("abcde")
    write_model(tmp_path / "sparse", cameras, names, some_points(cameras))
    colmap = read_model(tmp_path).cameras
    write_transforms(tmp_path / "transforms.json", colmap, names)
    nerfstudio = read_transforms(tmp_path / "transforms.json").cameras
    same(cameras_from_poses_bounds(poses_bounds(nerfstudio)), colmap)


def test_points_files_and_checks(tmp_path: Path):
    points = some_points(some_cameras())
    points.save(tmp_path / "points.npz")
    loaded = SparsePoints.load(tmp_path / "points.npz")
    for name in ("xyz", "rgb", "error", "track_point", "track_frame"):
        np.testing.assert_array_equal(getattr(loaded, name), getattr(points, name))
    SparsePoints.empty().save(tmp_path / "empty.npz")
    assert len(SparsePoints.load(tmp_path / "empty.npz")) == 0
    with pytest.raises(StageError, match="missing"):
        SparsePoints.load(tmp_path / "none.npz")
    with pytest.raises(ValueError, match="does not exist"):
        SparsePoints(points.xyz, points.rgb, points.error, np.array([40]), np.array([0]))


def test_points_move_with_cameras():
    cameras = some_cameras()
    points = some_points(cameras)
    R, t = rotation(np.array([1, 2, 3.0]), 0.7), np.array([1, -2, 0.5])
    pixels, depth = cameras.project(points.xyz)
    moved, far = cameras.moved(2.5, R, t).project(points.moved(2.5, R, t).xyz)
    np.testing.assert_allclose(moved, pixels, atol=1e-8)
    np.testing.assert_allclose(far, 2.5 * depth)


def test_depth_bounds_by_hand():
    cameras = Cameras(np.tile(np.eye(3), (2, 1, 1)), np.tile(np.eye(4)[:3], (2, 1, 1)), np.ones((2, 2)), 4, 4)
    xyz = np.column_stack([np.zeros(102), np.zeros(102), np.concatenate([np.arange(101), [-5]])])
    seen = np.arange(102)
    points = SparsePoints(xyz, np.zeros((102, 3)), np.zeros(102), seen, np.zeros(102))
    # Depths 1..100 count (0 and -5 do not); percentiles 5 and 95 of 1..100. The blind camera takes the other's.
    np.testing.assert_allclose(depth_bounds(cameras, points), [[5.95, 95.05]] * 2)
    with pytest.raises(ValueError, match="no camera sees"):
        depth_bounds(cameras, SparsePoints.empty())


def test_toss_agrees_with_truth(shared: Path):
    scene = shared / "scenes" / "toss"
    truth = json.loads((scene / "truth" / "cameras.json").read_text())
    w2c = np.array([truth["cameras"][camera]["w2c"] for camera, _ in truth["mono"]])
    K = np.tile(np.array(truth["K"]), (24, 1, 1))
    model = read_model(scene / "dense")
    llff = read_poses_bounds(scene / "dense" / "poses_bounds.npy")
    assert model.names == [f"{i:05d}.png" for i in range(24)]
    for cameras in (model.cameras, llff):
        assert (cameras.width, cameras.height) == (480, 270)
        np.testing.assert_allclose(cameras.intrinsics, K, atol=1e-9)
        np.testing.assert_allclose(cameras.world_to_camera[:, :3], w2c, atol=1e-7)
    # The bounds of poses_bounds.npy come from other points than those of the model: near the same.
    np.testing.assert_allclose(model.cameras.near_far, llff.near_far, rtol=0.05)


def test_balloon1_is_readable(shared: Path):
    cameras = read_poses_bounds(shared / "scenes" / "balloon1" / "poses_bounds.npy")
    assert (len(cameras), cameras.width, cameras.height) == (12, 960, 540)
    # A rig of neighbouring cameras that look about the same way.
    forward = cameras.world_to_camera[:, 2, :3]
    assert (forward @ forward.T).min() > 0.9
