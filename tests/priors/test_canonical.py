"""Canonical frames: truth through the map, flow through undistortion, cameras, gaps, and what goes wrong."""

from __future__ import annotations

import shutil
import stat
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from nsff.cameras import Cameras
from nsff.cameras.align import pose_errors
from nsff.cameras.llff import read_poses_bounds
from nsff.cameras.points import SparsePoints
from nsff.config import CanonicalConfig
from nsff.errors import StageError
from nsff.files.io import read_npz, write_image
from nsff.layout import far_flow_name
from nsff.long_tracks import LongTracks
from nsff.metrics.canonical_truth import PixelMap
from nsff.priors.canonical.stage import epipolar_residual, fill_gaps, run_canonical
from nsff.priors.canonical.undistort import frame_map
from nsff.scene import Scene, write_flow

pycolmap = pytest.importorskip("pycolmap")
SIZE = (240, 320)


def lens(k: float = -0.12, size: tuple[int, int] = SIZE) -> Any:
    return pycolmap.Camera(
        model="SIMPLE_RADIAL", width=size[1], height=size[0], params=[288.0, size[1] / 2, size[0] / 2, k], camera_id=1
    )


def grid(height: int, width: int) -> np.ndarray:
    v, u = np.mgrid[:height, :width] + 0.5
    return np.stack([u, v], -1)


def bend(points: np.ndarray, k: float) -> np.ndarray:
    """Pixels of a pinhole (f 288, centre of 320x240) to those of the lens: x (1 + k |x|^2)."""
    x = (points - [160, 120]) / 288
    return 288 * x * (1 + k * (x**2).sum(-1, keepdims=True)) + [160, 120]


def model(film: Any, sparse: Path, registered: list[int], seed: int = 5) -> None:
    """Writes the film's own cameras, with its lens, and exact points as a COLMAP model below ``sparse``."""
    generator = np.random.default_rng(seed)
    xyz = generator.uniform([-1.5, -1, 3], [1.5, 1, 7], (200, 3))
    result = pycolmap.Reconstruction()
    result.add_camera_with_trivial_rig(lens(film.k))
    uv, depth = film.cameras.project(xyz)
    uv = bend(uv, film.k)
    inside = ((uv > 0) & (uv < [320, 240])).all(-1) & (depth > 0)
    tracks = [pycolmap.Track() for _ in xyz]
    for i in registered:
        seen = np.flatnonzero(inside[i])
        image = pycolmap.Image(name=f"{i:05d}.png", keypoints=uv[i, seen], camera_id=1, image_id=i + 1)
        result.add_image_with_trivial_frame(image, pycolmap.Rigid3d(film.cameras.world_to_camera[i]))
        for k, point in enumerate(seen):
            tracks[point].add_element(i + 1, k)
    for point, track in zip(xyz, tracks, strict=True):
        if track.length():
            result.add_point3D(point, track, np.array([10, 20, 30], np.uint8))
    sparse.mkdir(parents=True)
    result.write_binary(str(sparse))


def exact_raw_flow(film: Any, scene: Scene, depth: float = 5.0) -> None:
    """Flow as if everything lay on the plane z = depth of the world, between distorted frames, exact."""
    for i in range(len(film.cameras)):
        for j, direction in ((i + 1, "fwd"), (i - 1, "bwd")):
            if 0 <= j < len(film.cameras):
                there = onto(film.cameras, i, j, straighten(grid(*SIZE), film.k), depth)
                write_flow(
                    scene.raw_flow_path(i, direction),
                    bend(there, film.k) - grid(*SIZE), np.ones(SIZE, bool),
                )  # fmt: skip


def straighten(points: np.ndarray, k: float) -> np.ndarray:
    distorted = (points - [160, 120]) / 288
    x = distorted.copy()
    for _ in range(50):
        x = distorted / (1 + k * (x**2).sum(-1, keepdims=True))
    return 288 * x + [160, 120]


def onto(cameras: Cameras, i: int, j: int, pixels: np.ndarray, depth: float) -> np.ndarray:
    """Where frame j sees what frame i sees at pinhole ``pixels`` on the plane z = depth."""
    pose = cameras.camera_to_world[i]
    rays = np.concatenate([(pixels - [160, 120]) / 288, np.ones((*pixels.shape[:-1], 1))], -1) @ pose[:, :3].T
    world = pose[:, 3] + rays * ((depth - pose[2, 3]) / rays[..., 2])[..., None]
    uv, _ = cameras[[j]].project(world.reshape(-1, 3))
    return uv[0].reshape(pixels.shape)


@pytest.fixture(scope="module")
def short(travelling: Any) -> Any:
    """Five frames of the film."""
    return type(travelling)(travelling.frames[2:7], travelling.cameras[2:7], travelling.k)


@pytest.fixture(scope="module")
def prepared(short: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    scene = short.save(tmp_path_factory.mktemp("canonical") / "scene")
    model(short, scene.sfm_dir / "sparse", list(range(5)))
    exact_raw_flow(short, scene)
    return scene.root


@pytest.fixture
def ready(prepared: Path, tmp_path: Path) -> Scene:
    """The filmed scene with its true model and exact flow."""
    return Scene(Path(shutil.copytree(prepared, tmp_path / "scene")))


# --- pictures and flow ---------------------------------------------------------------------------------------------


def test_truth_and_frames_go_through_the_same_map(ready: Scene, short: Any):
    run_canonical(ready, CanonicalConfig(resize_height=240))
    warped = PixelMap.load(ready.pixel_map_path).image(short.frames[4], "frame 4").astype(float)
    difference = np.abs(warped - ready.image(4))[2:-2, 2:-2]
    assert difference.mean() < 3  # texture at the limit of the sampling; a shift by one pixel gives about 16
    assert np.abs(np.roll(warped, 1, 1) - ready.image(4)).mean() > 8


def test_flow_through_undistortion(ready: Scene):
    run_canonical(ready, CanonicalConfig(resize_height=200))
    for i, j, direction in ((3, 4, "fwd"), (4, 3, "bwd")):
        flow, mask = ready.flow(i, direction)
        uv, _ = ready.cameras[[j]].project(plane_points(ready.cameras, i, 5.0))
        expected = uv[0].reshape(*ready.size, 2) - grid(*ready.size)
        assert mask.mean() > 0.8
        # Linear interpolation of a curved flow, in float32: hundredths of a pixel.
        np.testing.assert_allclose(flow[mask], expected[mask], atol=0.02)
        end = grid(*ready.size) + flow
        assert ((end >= 0) & (end <= ready.size[::-1])).all(-1)[mask].all()
    naive = cv2.resize(ready.raw_flow(3, "fwd")[0], ready.size[::-1]) * 200 / 240
    assert np.abs(naive - ready.flow(3, "fwd")[0]).max() > 0.3  # undistortion matters


def test_flow_between_further_frames_through_undistortion(ready: Scene, short: Any):
    there = onto(short.cameras, 1, 4, straighten(grid(*SIZE), short.k), 5.0)
    write_flow(ready.raw_flow_dir / far_flow_name(1, 4), bend(there, short.k) - grid(*SIZE), np.ones(SIZE, bool))
    run_canonical(ready, CanonicalConfig(resize_height=200))
    assert ready.far_pairs() == [(1, 4)]
    flow, mask = ready.far_flow(1, 4)
    uv, _ = ready.cameras[[4]].project(plane_points(ready.cameras, 1, 5.0))
    assert mask.mean() > 0.7
    np.testing.assert_allclose(flow[mask], (uv[0].reshape(*ready.size, 2) - grid(*ready.size))[mask], atol=0.03)


def test_long_tracks_through_undistortion(ready: Scene, short: Any):
    # Points of the world, seen by the lens; one leaves the picture as frames are cut to what has no blank pixels.
    world = np.concatenate([np.random.default_rng(3).uniform([-0.8, -0.6, 4], [0.8, 0.6, 6], (20, 3))])
    uv, _ = short.cameras.project(world)
    positions = bend(uv, short.k)
    positions[2, 0] = [0.01, 0.01]
    visible = np.ones((5, 20), bool)
    visible[1, 4] = False
    LongTracks(positions.astype(np.float32), visible).save(ready.given.tracks_path)
    run_canonical(ready, CanonicalConfig(resize_height=120))
    tracks = ready.tracks()
    expected, _ = ready.cameras.project(world)
    assert tracks is not None and not tracks.visible[2, 0] and not tracks.visible[1, 4]
    assert tracks.visible.mean() > 0.8
    np.testing.assert_allclose(tracks.positions[tracks.visible], expected[tracks.visible], atol=1e-3)


def plane_points(cameras: Cameras, i: int, depth: float) -> np.ndarray:
    """World points that the canonical pixels of frame i see on the plane z = depth."""
    pose = cameras.camera_to_world[i]
    pixels = np.concatenate([grid(cameras.height, cameras.width), np.ones((cameras.height, cameras.width, 1))], -1)
    rays = pixels @ (pose[:, :3] @ np.linalg.inv(cameras.intrinsics[i])).T
    return (pose[:, 3] + rays * ((depth - pose[2, 3]) / rays[..., 2])[..., None]).reshape(-1, 3)


def with_given_cameras(scene: Scene, cameras: Cameras) -> Scene:
    shutil.rmtree(scene.sfm_dir)
    cameras.save(scene.given_dir / "cameras.json")
    return scene


# --- the stage -----------------------------------------------------------------------------------------------------


def test_the_stage(ready: Scene, short: Any):
    run_canonical(ready, CanonicalConfig(resize_height=120))
    height, width = ready.size
    assert height == 120 and ready.images().shape == (5, height, width, 3)
    errors = pose_errors(ready.cameras, short.cameras)
    assert errors.position_rmse < 1e-9 and errors.rotation_max < 1e-6
    # The pinhole of the canonical frames sees world points where the map takes them from the lens.
    points = SparsePoints.load(ready.points_path)
    uv, _ = ready.cameras.project(points.xyz)
    bent = bend(short.cameras.project(points.xyz)[0], short.k)
    frames = frame_map(lens(short.k), SIZE, 120)
    np.testing.assert_allclose(frames.to_frame(uv), bent, atol=1e-6)
    # cameras.json and poses_bounds.npy say the same.
    llff = read_poses_bounds(ready.poses_bounds_path)
    np.testing.assert_allclose(llff.world_to_camera, ready.cameras.world_to_camera, atol=1e-9)
    np.testing.assert_allclose(llff.near_far, ready.cameras.near_far, atol=1e-9)
    np.testing.assert_allclose(llff.intrinsics, ready.cameras.intrinsics, atol=1.0)
    # Near and far are percentiles of what a frame sees.
    seen = (
        points.xyz[points.seen_in(2)] @ ready.cameras.world_to_camera[2, 2, :3] + ready.cameras.world_to_camera[2, 2, 3]
    )
    np.testing.assert_allclose(ready.cameras.near_far[2], np.percentile(seen, [5, 95]), atol=1e-9)
    arrays = read_npz(ready.pixel_map_path, ["map", "frame_size"])
    assert arrays["map"].shape == (height, width, 2) and arrays["map"].dtype == np.float32
    assert arrays["frame_size"].tolist() == [240, 320]
    summary = ready.summary("cameras")
    assert summary["verdict"] == "good" and summary["undistorted"] and summary["largest_shift"] > 2
    assert summary["epipolar_residual"] < 0.02 and summary["interpolated_frames"] == []
    assert not [path for path in ready.root.iterdir() if path.name.startswith(".tmp")]


def test_given_cameras(ready: Scene, short: Any):
    scene = with_given_cameras(ready, short.cameras)
    run_canonical(scene, CanonicalConfig(resize_height=120))
    assert scene.size == (120, 160) and scene.cameras.focal == pytest.approx(144)
    np.testing.assert_allclose(scene.cameras.near_far, short.cameras.near_far)
    assert len(SparsePoints.load(scene.points_path)) == 0
    expected = cv2.resize(short.frames[2], (160, 120), interpolation=cv2.INTER_AREA)
    assert (scene.image(2) == expected).all()
    assert PixelMap.load(scene.pixel_map_path).is_resizing


def test_published_focal_length_where_the_width_is_rounded(ready: Scene, short: Any):
    """320 x 240 at 100 rows is 133.3 wide: f = 288 becomes 120 by the height, 119.7 by the width of 133."""
    off = short.cameras.intrinsics.copy()
    off[:, 0, 2] += 3
    scene = with_given_cameras(ready, replace(short.cameras, intrinsics=off))
    run_canonical(scene, CanonicalConfig(resize_height=100, focal="published"))
    assert scene.size == (100, 133)
    np.testing.assert_allclose(scene.cameras.intrinsics, [[[120, 0, 66.5], [0, 120, 50], [0, 0, 1]]] * 5)
    run_canonical(scene, CanonicalConfig(resize_height=100))
    x = 133 / 320
    np.testing.assert_allclose(scene.cameras.intrinsics, [[[288 * x, 0, 163 * x], [0, 120, 50], [0, 0, 1]]] * 5)


def test_wrong_cameras_are_told_by_the_flow(ready: Scene, short: Any):
    upside_down = Cameras(
        short.cameras.intrinsics, short.cameras.world_to_camera[:, [1, 0, 2]] * [[1], [-1], [1]],
        short.cameras.near_far, 320, 240,
    )  # fmt: skip
    scene = with_given_cameras(ready, upside_down)
    run_canonical(scene, CanonicalConfig(resize_height=120))
    assert scene.summary("cameras")["verdict"] == "poor"
    assert "disagree" in scene.summary("cameras")["message"]


def test_no_residual_without_parallax(filmed: SimpleNamespace, tmp_path: Path):
    film = filmed.film(np.zeros((3, 3)), np.array([0, 0.02, 0.04]))
    scene = film.save(tmp_path / "turn", given_cameras=True)
    exact_raw_flow(film, scene)
    run_canonical(scene, CanonicalConfig())
    assert epipolar_residual(scene.flow, scene.cameras) is None
    assert scene.summary("cameras")["verdict"] == "doubtful"


# --- frames without a pose -----------------------------------------------------------------------------------------


def line(count: int) -> Cameras:
    """Cameras at (i, 0, 0), turned by 0.1 i about y."""
    poses = []
    for i in range(count):
        c, s = np.cos(0.1 * i), np.sin(0.1 * i)
        R = np.array([[c, 0, -s], [0, 1, 0], [s, 0, c]])
        poses.append(np.column_stack([R, -R @ [i, 0, 0]]))
    K = np.array([[80.0, 0, 50], [0, 80, 30], [0, 0, 1]])
    return Cameras(np.tile(K, (count, 1, 1)), np.array(poses), np.tile([1.0, 5], (count, 1)), 100, 60)


def test_gaps_are_filled_along_the_path():
    full = line(10)
    registered = [0, 1, 4, 5, 6, 7, 8, 9]
    filled = fill_gaps(full[registered], registered, 10)
    np.testing.assert_allclose(filled.world_to_camera, full.world_to_camera, atol=1e-9)
    assert len(fill_gaps(full, range(10), 10)) == 10


def test_the_ends_go_on_as_before():
    full = line(10)
    # Constant motion in the camera's own axes is a circle; one step of it from two cameras of a line, by hand.
    filled = fill_gaps(full[2:9], range(2, 9), 10)
    np.testing.assert_allclose(filled.world_to_camera[2:9], full.world_to_camera[2:9], atol=1e-12)

    def step(poses: np.ndarray, i: int, j: int) -> np.ndarray:
        first, second = (np.vstack([poses[k], [0, 0, 0, 1]]) for k in (i, j))
        return second @ np.linalg.inv(first)

    for i, j in ((0, 1), (1, 2), (8, 9)):
        near = (2, 3) if i < 5 else (7, 8)
        np.testing.assert_allclose(step(filled.world_to_camera, i, j), step(full.world_to_camera, *near), atol=1e-9)
    np.testing.assert_allclose(np.linalg.norm(np.diff(filled.centres, axis=0), axis=1), 1, atol=1e-9)


def test_long_gaps_are_named():
    with pytest.raises(StageError, match=r"frames 3 to 6 have no pose; .*all without: 1, 3, 4, 5, 6"):
        fill_gaps(line(9)[[0, 2, 7, 8]], [0, 2, 7, 8], 9)


def test_an_unregistered_frame_is_said_to_be_so(ready: Scene, short: Any):
    scene = ready
    shutil.rmtree(scene.sfm_dir)
    model(short, scene.sfm_dir / "sparse", [0, 1, 3, 4])
    run_canonical(scene, CanonicalConfig(resize_height=120))
    assert len(scene.cameras) == 5 and scene.images().shape[0] == 5
    between = (scene.cameras.centres[1] + scene.cameras.centres[3]) / 2
    np.testing.assert_allclose(scene.cameras.centres[2], between, rtol=1e-9, atol=1e-12)
    points = SparsePoints.load(scene.points_path)
    assert set(points.track_frame) == {0, 1, 3, 4}
    summary = scene.summary("cameras")
    assert (
        summary["verdict"] == "doubtful" and summary["interpolated_frames"] == [2] and "frame 2" in summary["message"]
    )


# --- what goes wrong -----------------------------------------------------------------------------------------------


def test_no_model(ready: Scene):
    shutil.rmtree(ready.sfm_dir)
    with pytest.raises(StageError, match=r"sparse: is missing or not readable"):
        run_canonical(ready, CanonicalConfig())


def test_a_damaged_model(ready: Scene):
    (ready.sfm_dir / "sparse" / "images.bin").write_bytes(b"\x05")
    with pytest.raises(StageError, match=r"sparse: is missing or not readable"):
        run_canonical(ready, CanonicalConfig())


def test_a_frame_of_another_size(ready: Scene):
    write_image(ready.frames_dir / "00002.png", np.zeros((100, 100, 3), np.uint8))
    with pytest.raises(StageError, match=r"00002.png: is 100x100, expected 320x240"):
        run_canonical(ready, CanonicalConfig())
    assert not ready.images_dir.exists()


def test_missing_flow(ready: Scene):
    (ready.raw_flow_dir / "00004_bwd.npz").unlink()
    with pytest.raises(StageError, match=r"00004_bwd.npz: missing"):
        run_canonical(ready, CanonicalConfig())


# --- the external program ------------------------------------------------------------------------------------------

STAND_IN = """#!{python}
import sys
from dataclasses import replace
import cv2
import pycolmap

arguments = dict(zip(sys.argv[2::2], sys.argv[3::2]))
assert sys.argv[1] == "image_undistorter" and arguments["--output_type"] == "COLMAP"
pycolmap.undistort_images(arguments["--output_path"], arguments["--input_path"], arguments["--image_path"])
"""


def program(folder: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.mkdir()
    path = folder / "colmap"
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


def test_an_external_undistorter_gives_the_same(ready: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    run_canonical(ready, CanonicalConfig(resize_height=200))
    expected, cameras, positions = ready.images(), ready.cameras, PixelMap.load(ready.pixel_map_path).positions
    program(tmp_path / "bin", STAND_IN.format(python=sys.executable), monkeypatch)
    run_canonical(ready, CanonicalConfig(resize_height=200, undistorter="colmap"))
    assert ready.images().shape == expected.shape
    assert np.abs(ready.images().astype(int) - expected).max() <= 1
    np.testing.assert_allclose(ready.cameras.intrinsics, cameras.intrinsics, atol=1e-6)
    np.testing.assert_allclose(PixelMap.load(ready.pixel_map_path).positions, positions, atol=1e-3)


def test_no_external_undistorter(ready: Scene, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(StageError, match="no program colmap is on PATH"):
        run_canonical(ready, CanonicalConfig(undistorter="colmap"))


def test_an_external_undistorter_that_fails(ready: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    program(tmp_path / "bin", "#!/bin/sh\necho broken model >&2\nexit 3\n", monkeypatch)
    with pytest.raises(StageError, match="failed with status 3: broken model"):
        run_canonical(ready, CanonicalConfig(undistorter="colmap"))
