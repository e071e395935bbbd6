"""Ingest: what it writes for each kind of source, how selection and sizes act on given priors, and what it refuses."""

from __future__ import annotations

import shutil
import subprocess
import sys
import weakref
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from nsff.cameras import Cameras
from nsff.cameras.colmap import write_model
from nsff.cameras.llff import write_poses_bounds
from nsff.cameras.points import SparsePoints
from nsff.config import InputConfig
from nsff.datasets import detect_kind, ingest, run_ingest
from nsff.datasets.base import Frame, Source
from nsff.errors import InputError
from nsff.files.io import read_mask, read_npz, write_npz
from nsff.scene import Scene, read_flow


def ingested(root: Path, path: Path, **settings) -> Scene:
    scene = Scene(root / "scene")
    run_ingest(scene, InputConfig(path=str(path), **settings))
    return scene


def clip_cameras(clip) -> Cameras:
    count = len(clip)
    height, width = clip.frames.shape[1:3]
    return Cameras(np.tile(clip.K, (count, 1, 1)), clip.world_to_camera, np.tile([1.5, 6.0], (count, 1)), width, height)


def clip_points(clip) -> SparsePoints:
    """Points on the wall (z = 4); point p is seen in frames p, p+1, p+2 of those there are."""
    xyz = np.column_stack([np.linspace(-0.5, 0.5, 8), np.linspace(-0.3, 0.3, 8), np.full(8, 4.0)])
    tracks = [(p, f) for p in range(8) for f in range(p, min(p + 3, 8))]
    return SparsePoints(xyz, np.full((8, 3), 9), np.zeros(8), *np.array(tracks).T)


@pytest.fixture
def nvidia(tmp_path: Path, tiny_clip) -> Path:
    """The clip in NSFF's layout with every prior: disparity i + 1, flow (i, -i) forward and (-i, i) backward."""
    dense = tmp_path / "Scene 1" / "dense"
    shutil.copytree(tiny_clip.frames_dir, dense / "images")
    write_model(dense / "sparse", clip_cameras(tiny_clip), [f"{i:05d}.png" for i in range(8)], clip_points(tiny_clip))
    write_poses_bounds(dense / "poses_bounds.npy", clip_cameras(tiny_clip))
    (dense / "disp").mkdir()
    for i in range(8):
        np.save(dense / "disp" / f"{i:05d}.npy", np.full((24, 32), i + 1, np.float32))
        for direction, sign in (("fwd", 1), ("bwd", -1)):
            flow = np.full((24, 32, 2), [sign * i, -sign * i], np.float32)
            write_npz(dense / "flow_i1" / f"{i:05d}_{direction}.npz", flow=flow, mask=np.eye(24, 32, dtype=bool))
    return dense


def test_video_writes_the_contract(tmp_path: Path, tiny_clip):
    scene = ingested(tmp_path, tiny_clip.lossless)
    assert (scene.n_frames, scene.manifest["width"], scene.manifest["height"]) == (8, 64, 48)
    assert scene.manifest["source"]["kind"] == "video"
    assert scene.manifest["frame_rate"] == pytest.approx(10)
    assert scene.manifest["given"] == {"cameras": False, "points": False, "depth": False, "flow": False}
    assert list(scene.given_dir.iterdir()) == []
    np.testing.assert_array_equal([scene.frame(i) for i in range(8)], tiny_clip.frames)
    assert [frame["index"] for frame in scene.manifest["frames"]] == list(range(8))
    np.testing.assert_allclose([frame["time"] for frame in scene.manifest["frames"]], np.arange(8) / 10, atol=1e-6)
    summary = scene.summary("ingest")
    assert summary["duration"] == pytest.approx(0.8)
    assert "8 frames of 64x48" in summary["message"]
    assert not [path for path in scene.root.rglob("*") if path.name.startswith(".tmp")]


@pytest.mark.parametrize("count", [3, 7, 25, 61])
def test_odd_counts(tmp_path: Path, tiny_renderer: Callable, picture_writer: Callable, count: int):
    frames = tiny_renderer(count, 17, 23)[0]
    for i, image in enumerate(frames):
        picture_writer(tmp_path / "in" / f"{i}.png", image)
    scene = ingested(tmp_path, tmp_path / "in")
    assert scene.n_frames == count
    np.testing.assert_array_equal(scene.frame(count - 1), frames[-1])


def test_height_limit_and_portrait(tmp_path: Path, tiny_renderer: Callable, picture_writer: Callable):
    for i, image in enumerate(tiny_renderer(3, 61, 35)[0]):
        picture_writer(tmp_path / "in" / f"{i}.png", image)
    scene = ingested(tmp_path, tmp_path / "in", max_height=30)
    assert scene.frame(0).shape == (30, 17, 3)
    assert scene.manifest["source"]["height"] == 61
    assert "35x61 to 17x30" in scene.manifest["notes"][0]


def test_nvidia_given_everything(tmp_path: Path, nvidia: Path, tiny_clip):
    for path in (nvidia, nvidia.parent):
        scene = ingested(tmp_path, path)
        assert scene.manifest["source"]["kind"] == "nvidia"
        assert scene.manifest["given"] == {"cameras": True, "points": True, "depth": True, "flow": True}
        cameras = Cameras.load(scene.given_dir / "cameras.json")
        np.testing.assert_allclose(cameras.world_to_camera, tiny_clip.world_to_camera, atol=1e-12)
        np.testing.assert_allclose(cameras.near_far, 4.0)  # all points lie on the wall
        points = SparsePoints.load(scene.given_dir / "points.npz")
        np.testing.assert_array_equal(points.seen_in(2), [0, 1, 2])
        np.testing.assert_array_equal(
            read_npz(scene.given_dir / "depth" / "00003.npz", ["disparity"])["disparity"], 4.0
        )
        assert sorted(file.name for file in (scene.given_dir / "flow").iterdir()) == sorted(
            [f"{i:05d}_fwd.npz" for i in range(7)] + [f"{i:05d}_bwd.npz" for i in range(1, 8)]
        )


def test_masks_of_what_moves_come_along(tmp_path: Path, nvidia: Path, picture_writer: Callable):
    """NSFF's motion_masks/: whatever is not black moves; frames that are not taken leave theirs behind."""
    for i in range(8):
        picture_writer(nvidia / "motion_masks" / f"{i:05d}.png", np.diag(np.full(24, i + 1, np.uint8))[:, :24])
    with pytest.raises(InputError, match="another aspect"):
        ingested(tmp_path, nvidia)
    for i in range(8):
        picture_writer(nvidia / "motion_masks" / f"{i:05d}.png", np.eye(24, 32, dtype=np.uint8) * (i + 1))
    scene = ingested(tmp_path, nvidia, start=3)
    assert scene.manifest["given"]["masks"] and "masks" in scene.summary("ingest")["message"]
    assert sorted(path.name for path in scene.given.masks_dir.iterdir()) == [f"{i:05d}.png" for i in range(5)]
    np.testing.assert_array_equal(read_mask(scene.given.masks_dir / "00004.png"), np.eye(24, 32) * 255)
    (nvidia / "motion_masks" / "00005.png").unlink()
    with pytest.raises(InputError, match=r"00005\.png: no such file"):
        ingested(tmp_path, nvidia)


def test_a_dense_folder_with_masks_alone_is_nsffs(tmp_path: Path, nvidia: Path, picture_writer: Callable):
    """images/, sparse/ and motion_masks/: masks would be lost where it were taken for any COLMAP folder."""
    for name in ("disp", "flow_i1"):
        shutil.rmtree(nvidia / name)
    (nvidia / "poses_bounds.npy").unlink()
    assert ingested(tmp_path, nvidia).manifest["source"]["kind"] == "colmap"
    for i in range(8):
        picture_writer(nvidia / "motion_masks" / f"{i:05d}.png", np.full((48, 64), 255, np.uint8))
    scene = ingested(tmp_path, nvidia)
    assert scene.manifest["source"]["kind"] == "nvidia" and scene.manifest["given"]["masks"]


def test_given_follows_selection_and_size(tmp_path: Path, nvidia: Path, tiny_clip):
    scene = ingested(tmp_path, nvidia, start=2, end=6, max_height=24)
    cameras = Cameras.load(scene.given_dir / "cameras.json")
    assert (len(cameras), cameras.width, cameras.height) == (4, 32, 24)
    np.testing.assert_allclose(cameras.intrinsics[0], np.diag([0.5, 0.5, 1]) @ tiny_clip.K)
    np.testing.assert_allclose(cameras.world_to_camera[1], tiny_clip.world_to_camera[3])
    points = SparsePoints.load(scene.given_dir / "points.npz")
    # Points 0..5 are seen in frames 2..5; source frame 5 (now 3) sees points 3, 4, 5.
    np.testing.assert_allclose(points.xyz, clip_points(tiny_clip).xyz[:6])
    np.testing.assert_array_equal(points.seen_in(3), [3, 4, 5])
    np.testing.assert_array_equal(read_npz(scene.given_dir / "depth" / "00001.npz", ["disparity"])["disparity"], 4.0)
    flow, mask = read_flow(scene.given_dir / "flow" / "00000_fwd.npz", None)
    np.testing.assert_array_equal(flow[0, 0], [2, -2])
    np.testing.assert_array_equal(mask, np.eye(24, 32, dtype=bool))
    assert not (scene.given_dir / "flow" / "00003_fwd.npz").exists()
    assert not (scene.given_dir / "flow" / "00000_bwd.npz").exists()


def test_stride_leaves_flow_out(tmp_path: Path, nvidia: Path):
    scene = ingested(tmp_path, nvidia, stride=3)
    assert scene.manifest["given"] == {"cameras": True, "points": True, "depth": True, "flow": False}
    assert not (scene.given_dir / "flow").exists()
    assert any("flow is left out" in note for note in scene.manifest["notes"])
    np.testing.assert_array_equal(read_npz(scene.given_dir / "depth" / "00002.npz", ["disparity"])["disparity"], 7.0)


def test_cameras_setting(tmp_path: Path, nvidia: Path, tiny_clip):
    assert not ingested(tmp_path, nvidia, cameras="estimate").manifest["given"]["cameras"]
    with pytest.raises(InputError, match="brings no cameras"):
        ingested(tmp_path, tiny_clip.video, cameras="given")


def test_image_without_a_pose(tmp_path: Path, tiny_clip):
    shutil.copytree(tiny_clip.frames_dir, tmp_path / "in" / "images")
    points = clip_points(tiny_clip).selected(range(7))
    write_model(
        tmp_path / "in" / "sparse" / "0", clip_cameras(tiny_clip)[:7], [f"{i:05d}.png" for i in range(7)], points
    )
    scene = ingested(tmp_path, tmp_path / "in")
    assert scene.manifest["source"]["kind"] == "colmap"
    assert scene.manifest["given"]["cameras"]
    assert "1 of 8 frames have no given camera (source frames 7 (00007))" in scene.manifest["notes"][0]
    assert scene.summary("ingest")["verdict"] != "good"
    assert "no given camera" in scene.summary("ingest")["message"]
    # The last motion goes on.
    cameras = Cameras.load(scene.given_dir / "cameras.json")
    np.testing.assert_allclose(cameras.world_to_camera, tiny_clip.world_to_camera, atol=1e-9)
    with pytest.raises(InputError, match="no given camera"):
        ingested(tmp_path, tmp_path / "in", cameras="given")
    assert ingested(tmp_path, tmp_path / "in", cameras="given", end=7).manifest["given"]["cameras"]


def test_dynamicnerf_layout(tmp_path: Path, tiny_clip, picture_writer: Callable):
    root = tmp_path / "in"
    for i in range(8):
        picture_writer(root / "images" / f"{i:03d}.png", tiny_clip.frames[i])
        write_npz(
            root / "flow" / f"{i:03d}_fwd.npz", flow=np.full((12, 16, 2), i, np.float16), mask=np.ones((12, 16), bool)
        )
        write_npz(
            root / "flow" / f"{i:03d}_bwd.npz", flow=np.full((12, 16, 2), -i, np.float16), mask=np.ones((12, 16), bool)
        )
    (root / "disp").mkdir()
    for i in range(8):
        np.save(root / "disp" / f"{i:03d}.npy", np.full((24, 32), 100 * i, np.float16))
    # Poses of images of another resolution: scaled to the images.
    write_poses_bounds(root / "poses_bounds.npy", clip_cameras(tiny_clip).resized(96, 128))
    scene = ingested(tmp_path, root, start=1)
    assert scene.manifest["source"]["kind"] == "dynamicnerf"
    assert scene.manifest["given"] == {"cameras": True, "points": False, "depth": True, "flow": True}
    np.testing.assert_allclose(Cameras.load(scene.given_dir / "cameras.json").intrinsics[0], tiny_clip.K)
    assert (read_flow(scene.given_dir / "flow" / "00002_bwd.npz", None)[0] == -3).all()
    assert (read_npz(scene.given_dir / "depth" / "00002.npz", ["disparity"])["disparity"] == 300).all()


def test_truth_priors(tmp_path: Path, tiny_clip):
    truth = tmp_path / "truth"
    for i in range(8):
        write_npz(truth / "depth" / f"{i:05d}.npz", depth=tiny_clip.depth[i].astype(np.float16))
        for direction in ("fwd", "bwd"):
            visible = np.zeros((48, 64), bool)
            visible[i] = True
            write_npz(
                truth / "flow" / f"{i:05d}_{direction}.npz", flow=np.full((48, 64, 2), i, np.float16), visible=visible
            )
    scene = ingested(tmp_path, tiny_clip.video, start=3, truth_priors=str(truth))
    assert scene.manifest["given"] == {"cameras": False, "points": False, "depth": True, "flow": True}
    disparity = read_npz(scene.given_dir / "depth" / "00000.npz", ["disparity"])["disparity"]
    np.testing.assert_allclose(disparity, 1 / tiny_clip.depth[3], rtol=1e-3)
    flow, mask = read_flow(scene.given_dir / "flow" / "00001_bwd.npz", None)
    assert (flow == 4).all()
    assert mask[4].all()
    assert mask.sum() == 64


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda d: np.save(d / "disp" / "00002.npy", np.ones((24, 24), np.float32)), "another aspect"),
        (lambda d: np.save(d / "disp" / "00002.npy", np.full((24, 32), np.nan, np.float32)), "not finite"),
        (lambda d: (d / "disp" / "00002.npy").unlink(), "no such file"),
        (lambda d: (d / "flow_i1" / "00002_bwd.npz").write_bytes(b"PK"), "not readable"),
        (lambda d: write_npz(d / "flow_i1" / "00002_bwd.npz", flow=np.ones((24, 32, 2))), "no array"),
        (lambda d: (d / "images" / "00007.png").unlink(), None),
    ],
)
def test_harmed_priors(tmp_path: Path, nvidia: Path, harm: Callable, message: str | None):
    harm(nvidia)
    if message is None:
        assert ingested(tmp_path, nvidia).n_frames == 7  # the model has one camera too many: harmless
    else:
        with pytest.raises(InputError, match=message):
            ingested(tmp_path, nvidia)


def test_cameras_of_other_images(tmp_path: Path, nvidia: Path, tiny_clip, picture_writer: Callable):
    for i in range(8):
        picture_writer(nvidia / "images" / f"{i:05d}.png", tiny_clip.frames[i][:, :48])
    with pytest.raises(InputError, match="given cameras are for 64x48, the frames are 48x48"):
        ingested(tmp_path, nvidia)


def test_rows_that_do_not_match_images(tmp_path: Path, nvidia: Path, tiny_clip):
    shutil.rmtree(nvidia / "sparse")
    write_poses_bounds(nvidia / "poses_bounds.npy", clip_cameras(tiny_clip)[:5])
    with pytest.raises(InputError, match="5 rows, but there are 8 images"):
        ingested(tmp_path, nvidia)


def test_flow_that_is_not_finite_is_masked(tmp_path: Path, nvidia: Path):
    flow = np.ones((24, 32, 2), np.float16)
    flow[3, 4, 0] = np.inf
    write_npz(nvidia / "flow_i1" / "00002_fwd.npz", flow=flow, mask=np.ones((24, 32), bool))
    flow, mask = read_flow(ingested(tmp_path, nvidia).given_dir / "flow" / "00002_fwd.npz", None)
    assert not mask[3, 4]
    assert mask.sum() == 24 * 32 - 1
    assert flow[3, 4, 0] == 0


def test_different_sizes_name_both(tmp_path: Path, tiny_clip, picture_writer: Callable):
    for i in range(4):
        picture_writer(tmp_path / "in" / f"{i}.png", tiny_clip.frames[i][: 48 - 2 * (i == 2)])
    with pytest.raises(InputError, match=r"2\.png is 64x46, but 0\.png is 64x48"):
        ingested(tmp_path, tmp_path / "in")


def test_too_many_frames(tmp_path: Path, tiny_clip):
    for path in (tiny_clip.video, tiny_clip.lossless, tiny_clip.frames_dir):
        with pytest.raises(InputError, match="max_frames is 2"):
            ingested(tmp_path, path, max_frames=2)
        assert ingested(tmp_path, path, max_frames=2, stride=4).n_frames == 2


def test_failure_leaves_the_old_scene(tmp_path: Path, tiny_clip, picture_writer: Callable):
    scene = ingested(tmp_path, tiny_clip.frames_dir)
    before = {file: file.stat().st_mtime_ns for file in scene.root.rglob("*") if file.is_file()}
    picture_writer(tmp_path / "in" / "0.png", tiny_clip.frames[0])
    (tmp_path / "in" / "1.png").write_text("broken")
    with pytest.raises(InputError):
        ingested(tmp_path, tmp_path / "in")
    assert {file: file.stat().st_mtime_ns for file in scene.root.rglob("*") if file.is_file()} == before


def test_frames_are_not_held_in_memory(tmp_path: Path, tiny_clip, monkeypatch: pytest.MonkeyPatch):
    alive: list[weakref.ref] = []

    class Counting(Source):
        kind = "video"
        most = 0

        def frames(self, start, end, stride):
            for index in range(40):
                image = tiny_clip.frames[index % 8].copy()
                alive.append(weakref.ref(image))
                Counting.most = max(Counting.most, sum(reference() is not None for reference in alive))
                yield Frame(index, str(index), index / 10, image)
                del image

    monkeypatch.setattr(ingest, "open_source", lambda path, kind: Counting(path))
    assert ingested(tmp_path, tmp_path).n_frames == 40
    assert Counting.most <= 3


def test_kinds_are_detected(tmp_path: Path, nvidia: Path, tiny_clip):
    assert detect_kind(tiny_clip.video) == "video"
    assert detect_kind(tiny_clip.frames_dir) == "frames"
    assert detect_kind(nvidia) == "nvidia"
    shutil.rmtree(nvidia / "flow_i1")
    assert detect_kind(nvidia.parent) == "nvidia"  # both kinds of cameras
    shutil.rmtree(nvidia / "sparse")
    assert detect_kind(nvidia) == "dynamicnerf"
    (nvidia / "mv_images").mkdir()
    assert detect_kind(nvidia) == "nvidia"


def test_nothing_fits(tmp_path: Path, tiny_clip):
    with pytest.raises(InputError, match="no such file or folder"):
        detect_kind(tmp_path / "none")
    with pytest.raises(InputError, match="empty folder"):
        detect_kind(tmp_path)
    with pytest.raises(InputError, match="is one image"):
        detect_kind(tiny_clip.frames_dir / "00000.png")
    shutil.copy(tiny_clip.video, tmp_path / "film.mp4")
    with pytest.raises(InputError, match=r"1 video \(film\.mp4\)") as refused:
        detect_kind(tmp_path)
    assert str(tmp_path / "film.mp4") in refused.value.remedy


def test_shared_scenes(tmp_path: Path, shared: Path):
    scenes = shared / "scenes"
    kinds = {name: detect_kind(scenes / name) for name in ("toss", "balloon1", "davis-train")}
    assert kinds == {"toss": "nvidia", "balloon1": "dynamicnerf", "davis-train": "frames"}
    scene = ingested(tmp_path, scenes / "balloon1", end=3)
    assert scene.manifest["given"] == {"cameras": True, "points": False, "depth": True, "flow": True}
    assert (scene.manifest["width"], scene.manifest["height"]) == (960, 540)
    scene = ingested(tmp_path, scenes / "toss", end=3, truth_priors=str(scenes / "toss" / "truth"))
    assert scene.manifest["given"] == {"cameras": True, "points": True, "depth": True, "flow": True}
    # Given priors fit together: the depth of a sparse point is that of the map where it projects.
    cameras, points = Cameras.load(scene.given_dir / "cameras.json"), SparsePoints.load(scene.given_dir / "points.npz")
    disparity = read_npz(scene.given_dir / "depth" / "00001.npz", ["disparity"])["disparity"]
    seen = points.seen_in(1)
    pixels, depth = (value[1, seen] for value in cameras.project(points.xyz))
    column, row = np.floor(pixels).astype(int).T
    assert np.median(np.abs(disparity[row, column] * depth - 1)) < 0.01


def test_imports_without_the_packages_of_other_stages(repo: Path):
    block = "import sys; sys.modules.update(dict.fromkeys(['av', 'pycolmap', 'faiss', 'PIL', 'torch']))"
    modules = "nsff.datasets, nsff.datasets.truth_layouts, nsff.cameras.colmap, nsff.cameras.nerfstudio"
    subprocess.run([sys.executable, "-c", f"{block}; import {modules}"], cwd=repo, check=True, timeout=60)
