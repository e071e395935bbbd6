"""Cameras that come with a source, wherever they lie: COLMAP models of several places, and nerfstudio's captures."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from nsff.cameras import Cameras
from nsff.cameras.colmap import to_reconstruction, write_model
from nsff.cameras.colmap_models import find_models
from nsff.cameras.lens import Lens
from nsff.cameras.llff import write_poses_bounds
from nsff.cameras.nerfstudio import write_transforms
from nsff.cameras.points import SparsePoints
from nsff.config import InputConfig
from nsff.datasets import detect_kind, run_ingest
from nsff.errors import InputError
from nsff.scene import Scene

COUNT, HEIGHT, WIDTH = 10, 120, 160


@pytest.fixture(scope="module")
def clip(tiny_renderer: Callable) -> tuple[np.ndarray, Cameras, SparsePoints]:
    """Frames, cameras with bounds, and points on the wall, which every frame sees."""
    frames, _, _, poses, K = tiny_renderer(COUNT, HEIGHT, WIDTH)
    cameras = Cameras(np.tile(K, (COUNT, 1, 1)), poses, np.tile([2.0, 4.0], (COUNT, 1)), WIDTH, HEIGHT)
    xyz = np.column_stack([np.linspace(-1, 1, 30), np.linspace(-0.7, 0.7, 30), np.full(30, 4.0)])
    tracks = np.meshgrid(np.arange(30), np.arange(COUNT))
    return frames, cameras, SparsePoints(xyz, np.full((30, 3), 9), np.zeros(30), *(t.ravel() for t in tracks))


@pytest.fixture
def images(tmp_path: Path, clip, picture_writer: Callable) -> Path:
    """A folder with images/ alone."""
    for i, image in enumerate(clip[0]):
        picture_writer(tmp_path / "in" / "images" / f"{i:05d}.png", image)
    return tmp_path / "in"


NAMES = [f"{i:05d}.png" for i in range(COUNT)]


def model(folder: Path, clip, frames=range(COUNT), points: bool = True) -> None:
    frames = list(frames)
    names = [NAMES[i] for i in frames]
    write_model(folder, clip[1][frames], names, clip[2].selected(frames) if points else None)


def ingested(root: Path, path: Path, **settings) -> Scene:
    scene = Scene(root / "scene")
    run_ingest(scene, InputConfig(path=str(path), **settings))
    return scene


def given(scene: Scene) -> Cameras:
    assert scene.manifest["given"]["cameras"]
    return Cameras.load(scene.given_dir / "cameras.json")


@pytest.mark.parametrize(
    "place",
    [".", "sparse", "sparse/0", "sparse/1", "0", "colmap/sparse/0", "distorted/sparse/0", "colmap_text", "sparse_txt",
     "colmap/text", "dense/sparse"],
)  # fmt: skip
@pytest.mark.parametrize("text", [False, True])
def test_places_of_models(tmp_path: Path, clip, images: Path, place: str, text: bool):
    target = images / place
    target.mkdir(parents=True, exist_ok=True)
    reconstruction = to_reconstruction(clip[1], NAMES, clip[2])
    (reconstruction.write_text if text else reconstruction.write_binary)(str(target))
    scene = ingested(tmp_path, images)
    assert scene.manifest["source"]["kind"] == "colmap"
    np.testing.assert_allclose(given(scene).world_to_camera, clip[1].world_to_camera, atol=1e-9)
    assert scene.manifest["given"]["points"]
    assert not scene.manifest["notes"]


def test_pictures_beside_the_model(tmp_path: Path, clip, images: Path):
    model(images / "images" / "sparse" / "0", clip)
    assert detect_kind(images / "images") == "colmap"
    assert given(ingested(tmp_path, images / "images"))


@pytest.mark.parametrize("suffix", [".bin", ".txt"])
def test_without_points_they_are_triangulated(tmp_path: Path, clip, images: Path, suffix: str):
    (images / "sparse").mkdir()
    reconstruction = to_reconstruction(clip[1], NAMES, clip[2])
    (reconstruction.write_text if suffix == ".txt" else reconstruction.write_binary)(str(images / "sparse"))
    (images / "sparse" / f"points3D{suffix}").unlink()
    scene = ingested(tmp_path, images)
    np.testing.assert_allclose(given(scene).world_to_camera, clip[1].world_to_camera, atol=1e-9)
    points = SparsePoints.load(scene.given_dir / "points.npz")
    assert len(points) > 100
    # The wall is at 4, the board at 2.8, what moves nearer.
    assert np.median(np.abs(points.xyz[:, 2] - 4)) < 0.1
    assert np.median(given(scene).near_far, axis=0) == pytest.approx([2.7, 4.2], abs=0.5)
    assert any("were triangulated" in note for note in scene.manifest["notes"])


def test_cameras_of_other_pictures_show_when_points_are_looked_for(tmp_path: Path, clip, images: Path):
    turned = np.diag([1.0, -1, -1]) @ clip[1].world_to_camera
    write_model(images / "sparse", Cameras(clip[1].intrinsics, turned[::-1], clip[1].near_far, WIDTH, HEIGHT), NAMES)
    with pytest.raises(InputError, match="too badly"):
        ingested(tmp_path, images)


def test_the_fuller_of_two_models(tmp_path: Path, clip, images: Path):
    model(images / "sparse" / "0", clip, range(3))
    model(images / "sparse" / "1", clip, range(2, COUNT))
    assert [place.name for place in find_models(images)] == ["0", "1"]
    scene = ingested(tmp_path, images)
    np.testing.assert_allclose(given(scene).world_to_camera, clip[1].world_to_camera, atol=1e-9)
    summary = scene.summary("ingest")
    assert summary["verdict"] == "doubtful"
    assert "sparse/0 (3 of these images) was left out" in summary["message"]
    assert "2 of 10 frames have no given camera" in summary["message"]


def test_a_copy_of_the_model_is_no_complaint(tmp_path: Path, clip, images: Path):
    model(images / "sparse" / "0", clip)
    model(images / "distorted" / "sparse" / "0", clip)
    scene = ingested(tmp_path, images)
    assert "left out: that in sparse/0" in scene.manifest["notes"][0]
    assert "left out" not in scene.summary("ingest")["message"]


def test_a_distorted_model_beside_a_straight_one(tmp_path: Path, clip, images: Path):
    model(images / "sparse" / "0", clip)
    reconstruction = to_reconstruction(clip[1], NAMES, clip[2])
    import pycolmap

    camera = reconstruction.cameras[1]
    camera.model, camera.params = pycolmap.CameraModelId.SIMPLE_RADIAL, [*camera.params[:1], 80, 60, 0.1]
    (images / "distorted" / "sparse" / "0").mkdir(parents=True)
    reconstruction.write_binary(str(images / "distorted" / "sparse" / "0"))
    scene = ingested(tmp_path, images)
    assert given(scene)
    assert "is distorted" in scene.summary("ingest")["message"]
    shutil.rmtree(images / "sparse")
    with pytest.raises(InputError, match=r"distorted/sparse/0: camera of image .* is distorted"):
        ingested(tmp_path, images)


def test_one_unregistered_image(tmp_path: Path, clip, images: Path):
    model(images / "sparse", clip, [i for i in range(COUNT) if i != 5])
    scene = ingested(tmp_path, images)
    np.testing.assert_allclose(given(scene).world_to_camera, clip[1].world_to_camera, atol=1e-9)
    points = SparsePoints.load(scene.given_dir / "points.npz")
    assert sorted(set(points.track_frame)) == [0, 1, 2, 3, 4, 6, 7, 8, 9]
    summary = scene.summary("ingest")
    assert summary["verdict"] == "doubtful"
    assert "1 of 10 frames have no given camera (source frames 5 (00005))" in summary["message"]


def test_too_many_unregistered_in_a_row(tmp_path: Path, clip, images: Path):
    model(images / "sparse", clip, [0, 1, 6, 7, 8, 9])
    with pytest.raises(InputError, match="4 of 10 frames have no given camera") as caught:
        ingested(tmp_path, images)
    assert "input.skip: [2, 3, 4, 5]" in caught.value.remedy
    assert "estimate" in caught.value.remedy
    assert ingested(tmp_path, images, skip=[2, 3, 4, 5]).n_frames == 6
    assert not ingested(tmp_path, images, cameras="estimate").manifest["given"]["cameras"]


def test_a_model_of_other_images(tmp_path: Path, clip, images: Path):
    write_model(images / "sparse", clip[1], [f"other{i}.png" for i in range(COUNT)], clip[2])
    with pytest.raises(InputError, match="are not those of images"):
        ingested(tmp_path, images)


def test_colmaps_own_workspace_is_read_undistorted(tmp_path: Path, clip, images: Path):
    shutil.copytree(images / "images", images / "dense" / "images")
    model(images / "sparse" / "0", clip, range(4))
    model(images / "dense" / "sparse", clip)
    scene = ingested(tmp_path, images)
    assert len(given(scene)) == COUNT
    assert scene.summary("ingest")["verdict"] == "good"


def complaints(root: Path, path: Path, **settings) -> str:
    scene = ingested(root, path, **settings)
    assert not scene.manifest["given"]["cameras"]
    return scene.summary("ingest")["message"]


def test_cameras_that_are_seen_and_not_read_are_told(tmp_path: Path, clip, images: Path):
    assert "left out" not in complaints(tmp_path, images)
    model(images / "sparse" / "0", clip)
    message = complaints(tmp_path, images / "images")
    assert "cameras lie beside images/ (sparse/0)" in message
    assert "cameras" not in complaints(tmp_path, images / "images", cameras="estimate")
    (images / "sparse" / "0" / "images.bin").unlink()
    assert "lacks images" in complaints(tmp_path, images)
    shutil.rmtree(images / "sparse")
    for i in range(COUNT):
        shutil.move(images / "images" / NAMES[i], images / NAMES[i])
    np.save(images / "poses_bounds.npy", np.zeros((COUNT, 17)))
    assert "poses_bounds.npy was left out" in complaints(tmp_path, images)


# --- nerfstudio ------------------------------------------------------------------------------------------------------
def capture(images: Path, clip, **changes) -> dict:
    """transforms.json as `ns-process-data` leaves it: no bounds, global intrinsics; ``changes`` lie over it."""
    write_transforms(images / "transforms.json", clip[1], [f"images/{name}" for name in NAMES])
    content = json.loads((images / "transforms.json").read_text())
    for frame in content["frames"]:
        for key in ("near", "far"):
            del frame[key]
    content = {"camera_model": "OPENCV", "k1": 0.0, "applied_transform": np.eye(4)[:3].tolist()} | content | changes
    (images / "transforms.json").write_text(json.dumps(content))
    return content


def test_a_capture_with_points_of_its_model(tmp_path: Path, clip, images: Path):
    turn = np.array([[0.0, 1, 0, 0], [1, 0, 0, 0], [0, 0, -1, 0]])  # as nerfstudio turns COLMAP's world
    capture(images, clip, applied_transform=turn.tolist())
    raw = clip[1].moved(1.0, turn[:, :3].T, np.zeros(3))
    points = SparsePoints(clip[2].xyz @ turn[:, :3], *(getattr(clip[2], n) for n in ("rgb", "error", "track_point",
                                                                                     "track_frame")))  # fmt: skip
    write_model(images / "colmap" / "sparse" / "0", raw, [f"{name}" for name in NAMES], points)
    for path in (images, images / "transforms.json"):
        scene = ingested(tmp_path, path)
        assert scene.manifest["source"]["kind"] == "nerfstudio"
        assert scene.manifest["given"] == {"cameras": True, "points": True, "depth": False, "flow": False}
        np.testing.assert_allclose(given(scene).world_to_camera, clip[1].world_to_camera, atol=1e-9)
        np.testing.assert_allclose(given(scene).near_far, 4.0, atol=1e-6)
        assert scene.summary("ingest")["verdict"] == "good"
    capture(images, clip)  # without applied_transform the points lie elsewhere
    scene = ingested(tmp_path, images)
    assert "do not fit the cameras" in scene.summary("ingest")["message"]
    assert np.median(given(scene).near_far, axis=0) == pytest.approx([2.7, 4.2], abs=0.5)


def test_intrinsics_of_each_frame_and_order(tmp_path: Path, clip, images: Path):
    content = capture(images, clip)
    for i, frame in enumerate(content["frames"]):
        frame["fl_x"] += i
        frame["file_path"] = f"./images/{i:05d}"  # as instant-ngp and Blender write it
        for key in ("w", "h"):
            del frame[key]
    for key in ("w", "h"):
        del content[key]
    content["frames"] = content["frames"][::-1]
    (images / "transforms.json").write_text(json.dumps(content))
    scene = ingested(tmp_path, images, start=2)
    np.testing.assert_allclose(given(scene).intrinsics[:, 0, 0], clip[1].intrinsics[2:, 0, 0] + np.arange(2, COUNT))
    np.testing.assert_allclose(given(scene).world_to_camera, clip[1].world_to_camera[2:], atol=1e-9)
    np.testing.assert_array_equal(scene.frame(0), clip[0][2])


@pytest.mark.parametrize("fisheye", [False, True])
def test_bent_pictures_are_made_straight(tmp_path: Path, clip, images: Path, picture_writer: Callable, fisheye: bool):
    """Pictures bent by the lens, point by point from the straight ones, come out as the straight ones are."""
    lens = Lens(fisheye, (0.02, 0.01, 0.0, 0.0) if fisheye else (-0.12, 0.02, 0.003, -0.002, 0.0))
    K = clip[1].intrinsics[0]
    v, u = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    seen = lens.directions(K, np.stack([u, v], -1).reshape(-1, 2).astype(float)).reshape(HEIGHT, WIDTH, 2)
    source = (seen * K[[0, 1], [0, 1]] + K[:2, 2] - 0.5).astype(np.float32)
    for i, image in enumerate(clip[0]):
        bent = cv2.remap(image, source[..., 0], source[..., 1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
        picture_writer(images / "images" / NAMES[i], bent)
    names = ("k1", "k2", "k3", "k4") if fisheye else ("k1", "k2", "p1", "p2", "k3")
    extra = {"camera_model": "OPENCV_FISHEYE" if fisheye else "OPENCV"} | dict(
        zip(names, lens.coefficients, strict=True)
    )
    capture(images, clip, **extra)
    scene = ingested(tmp_path, images)
    new = given(scene).intrinsics[4]
    # What the straight camera sees at a pixel is what the first one, without a lens, sees in that direction.
    at = ((np.stack([u, v], -1) - new[:2, 2]) / new[[0, 1], [0, 1]] * K[[0, 1], [0, 1]] + K[:2, 2] - 0.5).astype(
        np.float32
    )
    expected = cv2.remap(clip[0][4], at[..., 0], at[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    inside = (at > 2).all(-1) & (at < [WIDTH - 3, HEIGHT - 3]).all(-1)
    difference = np.abs(scene.frame(4).astype(float) - expected)[inside]
    assert inside.mean() > 0.6
    assert np.median(difference) < 4
    assert any("made straight" in note for note in scene.manifest["notes"])
    # Where cameras are estimated pictures stay as they are.
    plain = ingested(tmp_path, images, cameras="estimate").frame(4)
    assert np.abs(plain.astype(float) - expected)[inside].mean() > 2 * difference.mean()


def test_captures_that_cannot_be_used(tmp_path: Path, clip, images: Path):
    for changes, message in (
        ({"camera_model": "EQUIRECTANGULAR"}, "EQUIRECTANGULAR"),
        ({"applied_transform": [1, 2]}, "applied_transform"),
        ({"frames": []}, "no frames"),
        ({"k4": 0.1}, "with k4"),
    ):
        capture(images, clip, **changes)
        with pytest.raises(InputError, match=message):
            ingested(tmp_path, images)
    content = capture(images, clip)
    content["frames"][3]["file_path"] = "images/none.png"
    (images / "transforms.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"lists images/none\.png, which is not there \(1 of 10"):
        ingested(tmp_path, images)
    (images / "transforms.json").write_text("{")
    with pytest.raises(InputError, match="not readable as JSON"):
        ingested(tmp_path, images)


def test_pictures_that_the_list_lacks(tmp_path: Path, clip, images: Path):
    content = capture(images, clip)
    content["frames"] = content["frames"][:3] + content["frames"][4:]
    (images / "transforms.json").write_text(json.dumps(content))
    scene = ingested(tmp_path, images)
    assert scene.n_frames == COUNT - 1
    assert (
        "1 pictures are not in transforms.json and were left out (first 00003.png)"
        in scene.summary("ingest")["message"]
    )


@pytest.mark.parametrize(
    ("place", "change", "told"),
    [
        ((0, 3), 1e30, "frame 4 has a position of 1e\\+30"),
        ((0, 4), 1e12, "frame 4 has a focal length of 1e\\+12"),
        ((16,), 1e30, "frame 4 has a depth bound of 1e\\+30"),
    ],
)
def test_numbers_that_nobody_measured(tmp_path: Path, clip, images: Path, place: tuple, change: float, told: str):
    write_poses_bounds(images / "poses_bounds.npy", clip[1])
    rows = np.load(images / "poses_bounds.npy")
    if len(place) == 2:
        rows[4, :15].reshape(3, 5)[2 if change == 1e12 else 0, place[1]] = change
    else:
        rows[4, place[0]] = change
    np.save(images / "poses_bounds.npy", rows)
    with pytest.raises(InputError, match=told):
        ingested(tmp_path, images)


def test_given_cameras_that_do_not_move_are_told(tmp_path: Path, clip, images: Path):
    write_poses_bounds(images / "poses_bounds.npy", clip[1][[0] * COUNT])
    summary = ingested(tmp_path, images).summary("ingest")
    assert summary["verdict"] == "doubtful"
    assert "the given cameras do not move" in summary["message"]


@pytest.mark.parametrize("name", ["sparse", "depth", "poses_bounds.npy"])
def test_links_to_cameras_and_priors_that_are_not_there_are_told(tmp_path: Path, images: Path, name: str):
    (images / name).symlink_to("/nowhere/at/all")
    summary = ingested(tmp_path, images).summary("ingest")
    assert f"{name} is a link to something that is not there" in summary["message"]


@pytest.mark.parametrize("name", ["depth", "masks", "flow"])
def test_folders_that_look_like_priors_and_are_not_read_are_noted(tmp_path: Path, images: Path, name: str):
    (images / name).mkdir()
    assert not ingested(tmp_path, images).manifest["notes"]
    (images / name / "00000.npz").touch()
    scene = ingested(tmp_path, images)
    assert any(f"{name}/ beside the frames is not read" in note for note in scene.manifest["notes"])
    assert "not read" not in scene.summary("ingest")["message"]


def test_given_masks_of_a_kind_that_is_not_read_are_told(tmp_path: Path, clip, images: Path, picture_writer: Callable):
    write_poses_bounds(images / "poses_bounds.npy", clip[1])
    (images / "flow_i1").mkdir()
    for i in range(COUNT):
        picture_writer(images / "motion_masks" / f"{i:05d}.jpg", np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    summary = ingested(tmp_path, images, kind="nvidia").summary("ingest")
    assert "motion_masks/ was left out: it holds no motion mask (.png)" in summary["message"]


@pytest.mark.parametrize("name", [None, 3, ""])
def test_an_entry_without_a_picture_names_itself(tmp_path: Path, clip, images: Path, name: object):
    write_transforms(images / "transforms.json", clip[1], [f"images/{name}" for name in NAMES])
    content = json.loads((images / "transforms.json").read_text())
    content["frames"][3]["file_path"] = name
    (images / "transforms.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match="frame 3 of the list has file_path"):
        ingested(tmp_path, images)
