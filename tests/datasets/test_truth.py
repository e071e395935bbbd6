"""Truth layouts: which views, which camera and time each has, and how a selection of frames maps."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from nsff.cameras import Cameras
from nsff.cameras.llff import write_poses_bounds
from nsff.datasets.truth import read_labels
from nsff.datasets.truth_registry import open_truth
from nsff.errors import InputError


def picture(value: int) -> np.ndarray:
    return np.full((6, 8, 3), value, np.uint8)


def mask(value: int) -> np.ndarray:
    result = np.zeros((6, 8), np.uint8)
    result[2:4, 2:4] = value
    return result


@pytest.fixture
def rig(tmp_path: Path, picture_writer: Callable) -> Path:
    """NSFF's and SAFF's layout with 14 times; the picture of camera c at time t has the value 12 t + c."""
    dense = tmp_path / "rig" / "dense"
    for time in range(14):
        for camera in range(12):
            picture_writer(
                dense / "mv_images" / f"{time:05d}" / f"cam{camera + 1:02d}.png", picture(12 * time + camera)
            )
            picture_writer(dense / "mv_masks" / f"{time:05d}" / f"cam{camera + 1:02d}.png", np.dstack([mask(255)] * 3))
        picture_writer(dense / "images" / f"{time:05d}.png", picture(12 * time + time % 12))
    poses = np.tile(np.eye(4)[:3], (14, 1, 1))
    poses[:, 0, 3] = np.arange(14) % 12
    K = np.tile(np.array([[8.0, 0, 4], [0, 8, 3], [0, 0, 1]]), (14, 1, 1))
    write_poses_bounds(dense / "poses_bounds.npy", Cameras(K, poses, np.tile([1.0, 9.0], (14, 1)), 8, 6))
    for time in range(14):
        picture_writer(dense.parent / "gt_masks" / f"training_{time:2d}.png", mask(100 + time))
        picture_writer(dense.parent / "gt_masks" / f"nv_spatial_{14 + time:02d}.png", mask(120 + time))
    for camera in range(1, 12):
        picture_writer(dense.parent / "gt_masks" / f"nv_static_{28 + camera}.png", mask(140 + camera))
    return dense.parent


def test_nsff24(rig: Path):
    truth = open_truth("nsff24", rig)
    assert len(truth.views) == 14 * 11
    for view in truth.views:
        camera = view.training_camera
        assert view.split == "heldout"
        assert camera != view.time % 12
        assert (view.image() == 12 * view.time + camera).all()
        np.testing.assert_array_equal(view.dynamic_mask(), mask(1) > 0)
        assert view.mask() is None
    assert len({(view.time, view.training_camera) for view in truth.views}) == 154
    np.testing.assert_allclose(truth.training_cameras.world_to_camera[:, 0, 3], np.arange(14) % 12)
    assert truth.pixel_centre == 0.5


def test_nsff24_of_a_selection(rig: Path):
    truth = open_truth("nsff24", rig / "dense", frames=[3, 5, 7])
    # Only cameras 3, 5 and 7 film; each of the three times has the two others.
    assert [(view.time, view.training_camera) for view in truth.views] == [
        (0, 1),
        (0, 2),
        (1, 0),
        (1, 2),
        (2, 0),
        (2, 1),
    ]
    assert (truth.views[0].image() == 12 * 3 + 5).all()
    np.testing.assert_allclose(truth.training_cameras.world_to_camera[:, 0, 3], [3, 5, 7])
    assert "film none" in truth.notes[0]


def test_saff(rig: Path):
    for path in (rig, rig / "gt_masks"):
        truth = open_truth("saff", path)
        assert [view.index for view in truth.views] == [*range(14), *range(14, 28), *range(29, 40)]
        by_index = {view.index: view for view in truth.views}
        training, spatial, static = by_index[13], by_index[14 + 5], by_index[28 + 4]
        assert (training.split, training.time, training.training_camera, training.mask().max()) == (
            "training",
            13,
            13,
            113,
        )
        assert (training.image() == 12 * 13 + 1).all()  # camera 13 mod 12
        assert (spatial.split, spatial.time, spatial.training_camera, spatial.mask().max()) == ("nv_spatial", 5, 0, 125)
        assert (spatial.image() == 12 * 5).all()
        assert (static.split, static.time, static.training_camera, static.mask().max()) == ("nv_static", 0, 4, 144)
        assert (static.image() == 4).all()


def test_saff_without_colours(tmp_path: Path, picture_writer: Callable):
    for name in ("training_0", "training_ 1", "training_02", "nv_spatial_4"):
        picture_writer(tmp_path / f"{name}.png", mask(100))
    truth = open_truth("saff", tmp_path)
    assert [(view.index, view.time, view.training_camera) for view in truth.views] == [
        (0, 0, 0),
        (1, 1, 1),
        (2, 2, 2),
        (4, 1, 0),
    ]
    assert truth.views[0].image() is None
    assert truth.training_cameras is None
    # Of every second frame: source frames 0 and 2 are scene frames 0 and 1; time 1 was not taken.
    assert [(view.index, view.split) for view in open_truth("saff", tmp_path, [0, 2]).views] == [
        (0, "training"),
        (1, "training"),
    ]


def test_dynnerf12(tmp_path: Path, picture_writer: Callable):
    for time in range(4):
        picture_writer(tmp_path / "gt" / f"v000_t{time:03d}.png", picture(time))
    for path in (tmp_path, tmp_path / "gt"):
        truth = open_truth("dynnerf12", path)
        assert [(view.split, view.time, view.training_camera) for view in truth.views] == [
            ("training", 0, 0), ("heldout", 1, 0), ("heldout", 2, 0), ("heldout", 3, 0),
        ]  # fmt: skip
        assert (truth.views[2].image() == 2).all()
        assert truth.training_cameras is None
    assert [view.time for view in open_truth("dynnerf12", tmp_path, [0, 2]).views] == [0, 1]
    # A view's number is its time, whichever files are there.
    assert [view.index for view in truth.views] == [0, 1, 2, 3]
    (tmp_path / "gt" / "v000_t000.png").unlink()
    assert [(view.index, view.time) for view in open_truth("dynnerf12", tmp_path).views] == [(1, 1), (2, 2), (3, 3)]
    picture_writer(tmp_path / "gt" / "v000_t000.png", picture(0))
    # The frames, where images/ lies beside them.
    assert truth.frame_paths is None
    for time in range(4):
        picture_writer(tmp_path / "images" / f"{time:03d}.png", picture(10 + time))
    beside = open_truth("dynnerf12", tmp_path, [0, 2]).frame_paths
    assert [path.name for path in beside] == ["000.png", "002.png"]
    with pytest.raises(InputError, match="no dynnerf12 view"):
        open_truth("dynnerf12", tmp_path, [1, 2])  # camera 0 was not taken


def test_masks(tmp_path: Path, picture_writer: Callable):
    for i in range(12):
        picture_writer(tmp_path / "masks" / f"{i}.png", mask(i))
    truth = open_truth("masks", tmp_path, frames=[2, 10])
    assert [(view.time, view.training_camera, view.mask().max()) for view in truth.views] == [(0, 0, 2), (1, 1, 10)]
    assert len(open_truth("masks", tmp_path / "masks").views) == 12
    with pytest.raises(InputError, match="12 masks, but source frame 12"):
        open_truth("masks", tmp_path, frames=[11, 12])


def test_labels_of_colour_images(tmp_path: Path, picture_writer: Callable):
    colours = np.zeros((4, 4, 3), np.uint8)
    colours[0] = (1, 0, 2)
    colours[1] = (0, 3, 0)
    picture_writer(tmp_path / "a.png", colours)
    np.testing.assert_array_equal(read_labels(tmp_path / "a.png")[:, 0], [65536 + 2, 3 * 256, 0, 0])
    picture_writer(tmp_path / "b.png", mask(200).astype(np.uint16) * 3)
    assert read_labels(tmp_path / "b.png").max() == 600


def views_truth(root: Path, picture_writer: Callable) -> dict:
    poses = [np.column_stack([np.eye(3), [k, 0, 0]]).tolist() for k in range(5)]
    content = {
        "width": 8, "height": 6, "K": [[9, 0, 4], [0, 9, 3], [0, 0, 1]],
        "cameras": [{"id": k, "w2c": pose} for k, pose in enumerate(poses)],
        "mono": [[0, 0], [1, 1], [2, 2]], "heldout": [[3, 1], [4, 2]],
    }  # fmt: skip
    root.mkdir(parents=True)
    (root / "cameras.json").write_text(json.dumps(content))
    return content


def test_views(tmp_path: Path, picture_writer: Callable):
    views_truth(tmp_path / "truth", picture_writer)
    for k in range(2):
        picture_writer(tmp_path / "heldout" / "images" / f"{k:02d}.png", picture(k))
    picture_writer(tmp_path / "heldout" / "labels" / "01.png", mask(1))
    for path in (tmp_path, tmp_path / "truth"):
        truth = open_truth("views", path)
        first, second = truth.views
        assert (first.time, first.camera.world_to_camera[0, 3], first.training_camera) == (1, 3, None)
        assert (first.camera.width, first.camera.height, first.camera.intrinsics[0, 0]) == (8, 6, 9)
        assert first.mask() is None
        assert (second.image() == 1).all()
        assert second.mask().max() == 1
        np.testing.assert_allclose(truth.training_cameras.world_to_camera[:, 0, 3], [0, 1, 2])
    truth = open_truth("views", tmp_path, frames=[0, 2])
    assert [(view.index, view.time) for view in truth.views] == [(1, 1)]
    np.testing.assert_allclose(truth.training_cameras.world_to_camera[:, 0, 3], [0, 2])


def test_views_that_do_not_fit(tmp_path: Path, picture_writer: Callable):
    content = views_truth(tmp_path / "truth", picture_writer)
    with pytest.raises(InputError, match=r"00\.png: no such file"):
        open_truth("views", tmp_path)
    with pytest.raises(InputError, match="no camera for source frame 3"):
        open_truth("views", tmp_path, frames=[2, 3])
    del content["mono"]
    (tmp_path / "truth" / "cameras.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match="lacks mono"):
        open_truth("views", tmp_path)


@pytest.mark.parametrize("protocol", ["views", "masks", "nsff24", "dynnerf12", "saff"])
def test_empty_folder(tmp_path: Path, protocol: str):
    with pytest.raises(InputError) as caught:
        open_truth(protocol, tmp_path)
    assert str(tmp_path) in str(caught.value)
    with pytest.raises(InputError, match="no such folder"):
        open_truth(protocol, tmp_path / "none")


def test_self_has_no_truth(tmp_path: Path):
    with pytest.raises(InputError, match="reads no truth"):
        open_truth("self", tmp_path)


def test_demo_truth(repo: Path):
    truth = open_truth("views", repo / "demo" / "truth")
    assert len(truth.views) == 6
    assert len(truth.training_cameras) == 24
    for view in truth.views:
        assert view.image().shape == (180, 320, 3)
        assert set(np.unique(view.mask())) == {0, 1}
    assert len(open_truth("masks", repo / "demo" / "truth").views) == 24


def test_shared_truth(shared: Path):
    scenes = shared / "scenes"
    assert len(open_truth("views", scenes / "demo").views) == 6
    assert len(open_truth("nsff24", scenes / "toss").views) == 264
    saff = open_truth("saff", scenes / "toss" / "gt_masks")
    assert [sum(view.split == split for view in saff.views) for split in ("training", "nv_spatial", "nv_static")] == [
        24,
        23,
        11,
    ]
    assert [view.index for view in saff.views] == [*range(24), *range(25, 48), *range(49, 60)]
    assert [view.time for view in open_truth("dynnerf12", scenes / "balloon1").views] == [1, 2, 3, 4, 5]
    assert len(open_truth("masks", scenes / "davis-train").views) == 48


def test_saff_labels_agree_with_regions_of_motion(shared: Path):
    """The labels of a view and the mask of the same camera and time in mv_masks come from one render."""
    truth = open_truth("saff", shared / "scenes" / "toss")
    for split in ("training", "nv_spatial", "nv_static"):
        view = [view for view in truth.views if view.split == split][7]
        labels, region = view.mask() > 0, view.dynamic_mask()
        assert (labels & region).sum() / (labels | region).sum() > 0.8
