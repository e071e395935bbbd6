"""Flow, motion and depth on eight frames of the demo clip with its true cameras, measured against its truth."""

from __future__ import annotations

import json
import shutil

import cv2
import numpy as np
import pytest

from nsff.cameras import Cameras
from nsff.cameras.points import SparsePoints
from nsff.config import DepthConfig, FlowConfig, MotionConfig
from nsff.files.io import read_image, read_mask, read_npz, write_image, write_json
from nsff.priors.depth.stage import run_depth
from nsff.priors.flow.stage import run_flow
from nsff.priors.motion.stage import run_motion
from nsff.scene import Scene

pytestmark = pytest.mark.slow
FRAMES = range(8, 16)


@pytest.fixture(scope="module")
def truth(shared):
    folder = shared / "scenes" / "demo"
    if not (folder / "truth" / "depth").is_dir():
        pytest.skip("no truth of the demo clip in ../shared/scenes")
    return folder


@pytest.fixture(scope="module")
def scene(truth, tmp_path_factory) -> Scene:
    scene = Scene(tmp_path_factory.mktemp("demo") / "scene")
    write_json(scene.manifest_path, {"n_frames": len(FRAMES)})
    cameras = json.loads((truth / "truth" / "cameras.json").read_text())
    poses = np.array([cameras["cameras"][i]["w2c"] for i in FRAMES])[:, :3]
    n = len(poses)
    Cameras(
        np.tile(cameras["K"], (n, 1, 1)), poses, np.tile([cameras["near"], cameras["far"]], (n, 1)),
        cameras["width"], cameras["height"],
    ).save(scene.cameras_path)  # fmt: skip
    SparsePoints.empty().save(scene.points_path)
    for i, frame in enumerate(FRAMES):
        image = read_image(truth / "images" / f"{frame:05d}.jpg")
        write_image(scene.frames_dir / f"{i:05d}.png", image)
        scene.write_image(i, image)
    run_flow(scene, FlowConfig(backend="dis"), 288)  # with a network it takes minutes
    shutil.copytree(scene.raw_flow_dir, scene.flow_dir)
    run_motion(scene, MotionConfig(instances="off"))
    run_depth(scene, DepthConfig(backend="classical"))
    return scene


@pytest.fixture(scope="module")
def woman(truth) -> np.ndarray:
    return np.stack([read_mask(truth / "truth" / "labels" / f"{frame:05d}.png") > 0 for frame in FRAMES])


def test_flow_is_exact_to_a_tenth_of_a_pixel_on_most_of_the_static_scene(scene, truth, woman):
    errors = []
    for i, frame in enumerate(FRAMES[:-1]):
        expected = read_npz(truth / "truth" / "flow" / f"{frame:05d}_fwd.npz", ["flow", "visible"])
        error = np.linalg.norm(scene.raw_flow(i, "fwd")[0] - expected["flow"], axis=2)
        errors.append(error[expected["visible"] & ~woman[i]])
    assert np.median(np.concatenate(errors)) < 0.12


def test_motion_masks_overlap_the_woman(scene, woman):
    masks = scene.motion_masks()
    jaccard = [(m & w).sum() / (m | w).sum() for m, w in zip(masks, woman, strict=True)]
    assert np.mean(jaccard) > 0.53  # her shadow moves too, and counts as wrong here
    assert masks[woman].mean() > 0.85


def test_depth_beats_half_the_error_of_a_plane_and_the_woman_stands_where_she_does(scene, truth, woman):
    errors, plane_errors = [], []
    for i, frame in enumerate(FRAMES):
        depth = read_npz(truth / "truth" / "depth" / f"{frame:05d}.npz", ["depth"])["depth"].astype(np.float64)
        disparity, _ = scene.disparity(i)
        static = ~woman[i]
        relative = np.abs(1 / disparity - depth) / depth
        errors.append(relative[static].mean())
        v, u = np.mgrid[: depth.shape[0], : depth.shape[1]]
        design = np.stack([u, v, np.ones_like(u)], -1).astype(float)
        plane = design @ np.linalg.lstsq(design[static], 1 / depth[static], rcond=None)[0]
        plane_errors.append((np.abs(1 / np.maximum(plane, 0.02) - depth) / depth)[static].mean())
        assert abs(np.median(1 / disparity[woman[i]] / depth[woman[i]]) - 1) < 0.05
    assert np.mean(errors) < 0.03
    assert np.mean(errors) < 0.5 * np.mean(plane_errors)


def test_the_demo_clip_of_the_repository_has_the_frames_the_truth_speaks_of(repo, truth):
    video = cv2.VideoCapture(str(repo / "demo" / "video.mp4"))
    ok, frame = video.read()
    assert ok
    still = read_image(truth / "images" / "00000.jpg")
    assert np.abs(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB).astype(int) - still).mean() < 4
