"""DyCheck's captures, written file by file as their documentation says, and SAFF's masks of the same."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from nsff.cameras import Cameras
from nsff.cameras.points import SparsePoints
from nsff.config import DepthConfig, InputConfig, load_config
from nsff.datasets.ingest import run_ingest
from nsff.datasets.registry import detect_kind, open_source
from nsff.datasets.truth_registry import open_truth
from nsff.errors import ConfigError, InputError
from nsff.files.io import read_image, read_npz, write_image
from nsff.metrics.folder import score_folder
from nsff.priors.depth.given import given_depth
from nsff.scene import Scene

CENTER, SCALE, FPS = np.array([0.5, -1.0, 2.0]), 0.25, 30.0
TIMES = (0, 1, 2, 5)
"""Time steps of the four frames: two were dropped by the camera."""


def write_json(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def write_camera(path: Path, K: np.ndarray, R: np.ndarray, position: np.ndarray, **changes: object) -> None:
    own = {
        "orientation": R.tolist(), "position": position.tolist(), "focal_length": K[0, 0], "image_size": [64, 48],
        "principal_point": [K[0, 2], K[1, 2]], "pixel_aspect_ratio": 1.0, "skew": 0.0,
        "radial_distortion": [0.0] * 3, "tangential_distortion": [0.0] * 2,
    }  # fmt: skip
    write_json(path, own | changes)


@pytest.fixture
def capture(tmp_path, tiny_renderer) -> Path:
    """Four frames of a moving camera and two of a still one, whose world is shifted and four times as large."""
    root = tmp_path / "spin"
    frames, _, depth, poses, K = tiny_renderer(6, 48, 64)
    centres = -poses[:, :, 3]
    train = [f"0_{t:05d}" for t in TIMES]
    val = ["1_00000", "1_00002"]
    for name, i in [*zip(train, TIMES, strict=True), ("1_00000", 0), ("1_00002", 2)]:
        own = 3 if name.startswith("1") else i  # the still camera stands where the moving one is at time 3
        write_camera(root / "camera" / f"{name}.json", K, np.eye(3), centres[own] / SCALE + CENTER)
        write_image(root / "rgb" / "1x" / f"{name}.png", frames[i])
        write_image(root / "rgb" / "2x" / f"{name}.png", frames[i][::2, ::2])
    for name, i in zip(train, TIMES, strict=True):
        z = depth[i] / SCALE
        z[:4, :4] = 0  # no measurement
        path = root / "depth" / "1x" / f"{name}.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, z[..., None])
    for name in val:
        seen = np.full((24, 32), 255, np.uint8)
        seen[:, :8] = 0
        write_image(root / "covisible" / "2x" / "val" / f"{name}.png", seen)
    write_json(root / "scene.json", {"scale": SCALE, "center": CENTER.tolist(), "near": 1.8, "far": 4.5})
    write_json(root / "dataset.json", {"count": 6, "ids": train + val, "train_ids": train[::-1], "val_ids": val})
    times = {name: int(name.split("_")[1]) for name in train + val}
    write_json(root / "metadata.json", {
        name: {"warp_id": t, "appearance_id": t, "camera_id": int(name[0])} for name, t in times.items()
    })  # fmt: skip
    write_json(root / "extra.json", {"factor": 2, "fps": FPS})
    return root


# --- the reader ------------------------------------------------------------------------------------------------------
def test_the_moving_cameras_frames_in_order_of_time(capture, tiny_renderer):
    frames = tiny_renderer(6, 48, 64)[0]
    assert detect_kind(capture) == "dycheck"
    source = open_source(capture)
    taken = list(source.frames(0, None, 1))
    assert [frame.name for frame in taken] == [f"0_{t:05d}.png" for t in TIMES]
    for frame, t in zip(taken, TIMES, strict=True):
        np.testing.assert_array_equal(frame.image, frames[t])
        assert frame.time == pytest.approx(t / FPS)


def test_cameras_lie_in_the_normalised_world(capture, tiny_renderer):
    _, _, _, poses, K = tiny_renderer(6, 48, 64)
    found = open_source(capture).cameras()
    np.testing.assert_allclose(found.cameras.world_to_camera, poses[list(TIMES)], atol=1e-12)
    np.testing.assert_allclose(found.cameras.intrinsics[2], K)
    assert found.cameras.near_far.tolist() == [[1.8, 4.5]] * 4
    assert (found.cameras.height, found.cameras.width) == (48, 64)


def test_depth_is_in_units_of_the_world_and_says_where_it_was_measured(capture, tiny_renderer):
    depth = tiny_renderer(6, 48, 64)[2]
    source = open_source(capture)
    disparity, trust = source.disparity(3), source.confidence(3)
    np.testing.assert_allclose(disparity[10:], 1 / depth[5][10:], rtol=1e-5)
    assert (trust[:4, :4] == 0).all()
    assert trust.sum() == 48 * 64 - 16
    # What was not measured takes after what lies beside it.
    assert disparity[0, 0] == pytest.approx(1 / depth[5][4, 0], rel=1e-5)


def test_the_whole_way_into_a_scene(capture, tmp_path):
    scene = Scene(tmp_path / "scene")
    run_ingest(scene, InputConfig(path=str(capture)))
    assert scene.manifest["given"] == {"cameras": True, "points": False, "depth": True, "flow": False}
    assert scene.manifest["source"]["kind"] == "dycheck"
    assert scene.manifest["frame_rate"] == FPS
    assert read_npz(scene.given_dir / "depth" / "00000.npz", ["confidence"])["confidence"][0, 0] == 0
    Cameras.load(scene.given_dir / "cameras.json").resized(24, 32).save(scene.cameras_path)
    for i in range(4):
        scene.write_image(i, scene.frame(i)[::2, ::2])
    SparsePoints.empty().save(scene.points_path)
    given_depth(scene, DepthConfig(align=False), scene.depth_dir)
    _, confidence = scene.disparity(1)
    assert confidence[0, 0] == 0
    assert confidence[20, 20] == 1


def test_splits_come_first(capture):
    write_json(capture / "splits" / "train.json", {"frame_names": ["0_00002", "0_00000"], "time_ids": [2, 0]})
    assert open_source(capture).names == ["0_00000", "0_00002"]


@pytest.mark.parametrize(("damage", "message"), [
    (lambda c: (c / "scene.json").unlink(), r"scene\.json: missing"),
    (lambda c: write_json(c / "scene.json", {"scale": 1}), "scene.json: lacks"),
    (lambda c: write_json(c / "scene.json", {"scale": 1, "center": [0, 0, 0], "near": 2, "far": 1}), "near < far"),
    (lambda c: write_camera(c / "camera" / "0_00001.json", np.eye(3), np.eye(3) * 2, np.zeros(3)), "no rotation"),
    (lambda c: write_camera(c / "camera" / "0_00001.json", np.eye(3), np.eye(3), np.zeros(3),
                            radial_distortion=[0.1, 0, 0]), r"0_00001\.json: has a lens that bends"),
    (lambda c: write_camera(c / "camera" / "0_00001.json", np.eye(3), np.eye(3), np.zeros(3), image_size=[9, 9]),
     "cameras of sizes"),
    (lambda c: write_json(c / "camera" / "0_00001.json", {}), "is no camera"),
    (lambda c: write_json(c / "metadata.json", {}), "has no warp_id of"),
    (lambda c: write_json(c / "dataset.json", {}), "has no train_ids"),
    (lambda c: (c / "rgb" / "1x" / "0_00005.png").unlink(), r"0_00005\.png: no such file"),
])  # fmt: skip
def test_damaged_captures_are_named(capture, damage, message):
    damage(capture)
    with pytest.raises(InputError, match=message):
        open_source(capture, "dycheck").cameras()


def test_damaged_depth_is_named(capture):
    path = capture / "depth" / "1x" / "0_00002.npy"
    np.save(path, np.zeros((48, 64)))
    with pytest.raises(InputError, match=r"0_00002\.npy"):
        open_source(capture).disparity(2)


# --- DyCheck's own evaluation ----------------------------------------------------------------------------------------
def test_still_cameras_are_the_truth_of_protocol_iphone(capture, tiny_renderer):
    frames, _, _, poses, K = tiny_renderer(6, 48, 64)
    truth = open_truth("iphone", capture)
    assert [(view.index, view.time) for view in truth.views] == [(0, 0.0), (1, 2.0)]
    camera = truth.views[1].camera
    np.testing.assert_allclose(camera.world_to_camera, poses[3], atol=1e-12)
    np.testing.assert_allclose(camera.intrinsics, np.diag([0.5, 0.5, 1]) @ K)
    np.testing.assert_array_equal(truth.views[1].image(), frames[2][::2, ::2])
    seen = truth.views[1].dynamic_mask()
    assert not seen[:, :8].any()
    assert seen[:, 8:].all()
    np.testing.assert_allclose(truth.training_cameras.world_to_camera, poses[list(TIMES)], atol=1e-12)
    # Of frames at times 1 and 2 alone, one view is left.
    assert [view.time for view in open_truth("iphone", capture, [1, 2]).views] == [1.0]


def test_iphone_scores_what_training_frames_see(capture, tmp_path):
    for index, t in ((0, 0), (1, 2)):
        picture = read_image(capture / "rgb" / "2x" / f"1_{t:05d}.png")
        picture[:, :8] = 255 - picture[:, :8]  # wrong only where nobody looks
        write_image(tmp_path / "made" / f"{index}_rgb.png", picture)
    rows, _, notes = score_folder(tmp_path / "made", capture, "iphone")
    value = {(row.split, row.metric): row.value for row in rows if row.variant == "prediction"}
    assert value["covisible", "psnr"] == 100
    assert value["full", "psnr"] < 30
    assert ("dynamic", "psnr") not in value
    assert notes == []


def test_iphone_without_masks_or_still_cameras(capture):
    import shutil

    shutil.rmtree(capture / "covisible")
    truth = open_truth("iphone", capture)
    assert "covisible/ is not there" in truth.notes[0]
    assert truth.views[0].image().shape == (48, 64, 3)
    content = json.loads((capture / "dataset.json").read_text())
    write_json(capture / "dataset.json", content | {"val_ids": []})
    with pytest.raises(InputError, match="no frames of still cameras"):
        open_truth("iphone", capture)


# --- SAFF's 48 frames ------------------------------------------------------------------------------------------------
@pytest.fixture
def saff_files(tmp_path, tiny_renderer) -> Path:
    frames, masks, *_ = tiny_renderer(6, 48, 64)
    root = tmp_path / "apple"
    for i in range(6):
        write_image(root / "dense" / "images" / f"{i:05d}.png", frames[i])
        write_image(root / "colmap_masks" / f"{i:05d}.png.png", np.where(masks[i], 0, 255).astype(np.uint8))
    return root


def test_saffs_masks_are_black_where_the_object_is(saff_files, tiny_renderer):
    frames, masks, *_ = tiny_renderer(6, 48, 64)
    truth = open_truth("dycheck", saff_files)
    assert [view.split for view in truth.views] == ["training", "test"] * 3
    for i, view in enumerate(truth.views):
        assert (view.index, view.training_camera, view.time) == (i, i, float(i))
        np.testing.assert_array_equal(view.mask(), masks[i])
        np.testing.assert_array_equal(view.image(), frames[i])
    assert [v.mask_path.name for v in open_truth("dycheck", saff_files, [2, 3]).views] == [
        "00002.png.png",
        "00003.png.png",
    ]
    with pytest.raises(InputError, match="no mask of source frame 9"):
        open_truth("dycheck", saff_files, [0, 9])


def test_even_and_odd_frames_are_scored_apart(saff_files, tmp_path, tiny_renderer):
    masks = tiny_renderer(6, 48, 64)[1]
    for i in range(6):
        write_image(tmp_path / "made" / f"{i}.png", (masks[i] if i % 2 == 0 else ~masks[i]).astype(np.uint8))
    rows, *_ = score_folder(tmp_path / "made", saff_files, "dycheck")
    value = {(row.split, row.metric): row.value for row in rows}
    assert value["training/full", "jaccard"] == 1
    assert value["test/full", "jaccard"] == 0
    assert value["full", "jaccard"] == 0.5
    assert value["training/full", "count_masks"] == 3


def test_odd_frames_must_not_be_trained_on(saff_files):
    scene = {"input": {"path": "dense"}, "preset": "saff", "evaluation": [{"protocol": "dycheck", "truth": "."}]}
    with pytest.raises(ConfigError, match=r"needs train\.hold_out: 2"):
        load_config({"scenes": {"apple": scene}}, saff_files)
    scene["train"] = {"hold_out": 2}
    assert load_config({"scenes": {"apple": scene}}, saff_files)["apple"].train.hold_out == 2


def test_frames_held_out_define_no_clusters():
    from nsff.rendering.maps import canonical_views

    views = canonical_views(7, "saff", 2)
    assert [view["split"] for view in views[:7]] == ["training", "heldout"] * 3 + ["training"]
    assert {view["split"] for view in views[7:]} == {"nv_spatial", "nv_static"}
