"""Motion masks on scenes with exact flow: what moves is found, what stands is not, and coverage stays bounded."""

from __future__ import annotations

import numpy as np
import pytest

from nsff.config import MotionConfig
from nsff.errors import StageError
from nsff.files.io import read_mask, write_image, write_npz
from nsff.geometry.epipolar import pixel_centres
from nsff.imaging.medians import nan_median
from nsff.imaging.morphology import morphology
from nsff.priors.motion.coarse import fitted_distance
from nsff.priors.motion.stage import combine_sides, run_coarse_masks, run_motion

PUBLISHED = MotionConfig(
    intervals=[1],
    combine="max",
    depth_cue=False,
    refine_radius=0,
    epipolar_threshold=1.0,
    dilation_radius=2,
    temporal_propagation=0,
)


def world(layered, velocity):
    """A wall, a static board and a nearer square that moves."""
    return [
        layered.Layer(5.0, colour=(40, 90, 60)),
        layered.Layer(3.5, (-0.9, 0.4), (0.5, 0.7), colour=(150, 60, 60)),
        layered.Layer(2.5, (0.2, -0.2), (0.35, 0.35), velocity, colour=(230, 220, 80)),
    ]


def truth(layered, cameras, layers):
    return np.stack([layered.trace(cameras, layers, i)[0] == len(layers) - 1 for i in range(len(cameras))])


def jaccard(a, b):
    return (a & b).sum() / (a | b).sum()


@pytest.mark.parametrize("config", [PUBLISHED, MotionConfig()], ids=["published", "default"])
def test_a_square_that_moves_across_epipolar_lines_is_found(tmp_path, layered, config):
    cameras, layers = layered.make_cameras(6, (0.05, 0, 0)), world(layered, (0.0, 0.07))
    scene = layered.make_scene(tmp_path / "scene", cameras, layers)
    run_motion(scene, config)
    assert jaccard(scene.motion_masks(), truth(layered, cameras, layers)) > (0.6 if config is PUBLISHED else 0.9)
    assert scene.summary("motion")["verdict"] == "good"


def test_masks_that_came_with_the_source_are_taken_as_they_are(tmp_path, layered):
    """Read through pixel_map.npz at the nearest pixel of the given mask, whatever its size; motion.given: false makes
    masks anew."""
    cameras, layers = layered.make_cameras(6, (0.05, 0, 0)), world(layered, (0.0, 0.07))
    scene = layered.make_scene(tmp_path / "scene", cameras, layers)
    size, where = scene.size, pixel_centres(*scene.size)
    given = np.random.default_rng(0).random((6, 2 * size[0], 2 * size[1])) < 0.3
    for i, mask in enumerate(given):
        write_image(scene.given.mask_path(i), mask.astype(np.uint8) * 255)
    # The canonical picture begins four pixels to the right of the frame, and the given masks have twice its size.
    shifted = where + np.array([4, 0])
    write_npz(scene.pixel_map_path, map=shifted.astype(np.float32) - 0.25, frame_size=np.array(size))
    run_motion(scene, MotionConfig())
    np.testing.assert_array_equal(scene.motion_masks()[:, :, :-4], given[:, ::2, 8::2])
    assert scene.summary("motion")["source"] == "given"
    run_motion(scene, MotionConfig(given=False))
    assert jaccard(scene.motion_masks(), truth(layered, cameras, layers)) > 0.9
    (scene.given.masks_dir / "00002.png").unlink()
    with pytest.raises(StageError, match=r"00002\.png: missing"):
        run_motion(scene, MotionConfig())


def test_only_the_depth_cue_sees_motion_along_epipolar_lines(tmp_path, layered):
    cameras, layers = layered.make_cameras(6, (0.05, 0, 0)), world(layered, (0.12, 0.0))
    scene = layered.make_scene(tmp_path / "scene", cameras, layers)
    run_motion(scene, PUBLISHED)
    assert not scene.motion_masks().any()
    assert scene.summary("motion")["verdict"] == "doubtful"
    run_motion(scene, MotionConfig())
    assert jaccard(scene.motion_masks(), truth(layered, cameras, layers)) > 0.9


@pytest.mark.parametrize("step", [(0.05, 0.01, 0.02), (0.0, 0.0, 0.0)])
@pytest.mark.parametrize("config", [PUBLISHED, MotionConfig()], ids=["published", "default"])
def test_a_still_world_has_no_motion(tmp_path, layered, step, config):
    cameras, layers = layered.make_cameras(4, step, angle=0.01), world(layered, (0.0, 0.0))
    scene = layered.make_scene(tmp_path / "scene", cameras, layers)
    run_motion(scene, config)
    assert not scene.motion_masks().any()


def test_a_corrupt_flow_file_is_named(tmp_path, layered):
    scene = layered.make_scene(tmp_path / "scene", layered.make_cameras(3, (0.05, 0, 0)), [layered.Layer(4.0)])
    (scene.flow_dir / "00001_fwd.npz").write_bytes(b"no archive")
    with pytest.raises(StageError, match="00001_fwd"):
        run_motion(scene, MotionConfig())
    assert not scene.motion_dir.exists()


def test_coarse_masks_find_the_square_without_cameras_and_repeat(tmp_path, layered, monkeypatch):
    cameras, layers = layered.make_cameras(5, (0.05, 0, 0)), world(layered, (0.0, 0.07))
    scene = layered.make_scene(tmp_path / "scene", cameras, layers)
    scene.cameras_path.unlink()
    expected = truth(layered, cameras, layers)
    first = None
    for threads in "12":
        monkeypatch.setenv("OMP_NUM_THREADS", threads)
        run_coarse_masks(scene, MotionConfig())
        masks = np.stack([read_mask(scene.coarse_masks_dir / f"{i:05d}.png", (48, 64)) > 0 for i in range(5)])
        assert (masks & expected).sum() / expected.sum() > 0.95  # recall: rather too much
        assert masks.mean() < 0.4
        assert first is None or np.array_equal(masks, first)
        first = masks


def test_coarse_masks_are_written_at_the_size_of_the_frames(tmp_path, layered):
    from nsff.files.io import write_image

    cameras, layers = layered.make_cameras(3, (0.05, 0, 0)), world(layered, (0.0, 0.07))
    scene = layered.make_scene(tmp_path / "scene", cameras, layers)
    for i in range(3):
        write_image(scene.frames_dir / f"{i:05d}.png", np.zeros((96, 128, 3), np.uint8))
    run_coarse_masks(scene, MotionConfig())
    assert read_mask(scene.coarse_masks_dir / "00001.png", (96, 128)).any()


def test_flow_without_geometry_leaves_empty_masks_and_a_warning(tmp_path, layered):
    scene = layered.make_scene(tmp_path / "scene", layered.make_cameras(4, (0.05, 0, 0)), [layered.Layer(4.0)])
    generator = np.random.default_rng(0)
    for path in scene.raw_flow_dir.iterdir():
        np.savez(path, flow=generator.uniform(-20, 20, (48, 64, 2)).astype(np.float32), mask=np.ones((48, 64), bool))
    run_coarse_masks(scene, MotionConfig())
    assert not any(read_mask(scene.coarse_masks_dir / f"{i:05d}.png").any() for i in range(4))
    summary = scene.summary("coarse_masks")
    assert summary["empty_frames"] == 4
    assert summary["verdict"] == "poor"


def test_a_plane_takes_a_homography_and_shows_motion_along_its_lines(layered):
    cameras = layered.make_cameras(2, (0.2, 0, 0))
    layers = [layered.Layer(4.0), layered.Layer(3.99, (0.3, 0), (0.25, 0.25), (0.25, 0))]
    flow, mask = layered.exact_flow(cameras, layers, 0, 1)
    distance, kind = fitted_distance(flow, mask, 1.0, 0)
    assert kind == "homography"
    moving = layered.trace(cameras, layers, 0)[0] == 1
    assert distance[moving].min() > 3
    assert distance[~moving].max() < 0.1


def test_medians_and_sides_by_hand():
    nan = np.nan
    layers = np.array([[[1.0, 1.0, nan, 5.0]], [[3.0, nan, nan, 1.0]], [[2.0, 3.0, nan, nan]]], np.float32)
    assert np.array_equal(nan_median(list(layers)), np.float32([[2.0, 2.0, nan, 3.0]]), equal_nan=True)
    past, future = np.float32([[4.0, nan, 4.0, nan]]), np.float32([[1.0, 3.0, nan, nan]])
    assert np.array_equal(combine_sides([past, future], "mean"), np.float32([[2, 3, 4, nan]]), equal_nan=True)
    assert np.array_equal(combine_sides([past, future], "max"), np.float32([[4, 3, 4, nan]]), equal_nan=True)


def test_morphology_uses_the_digital_disk():
    import cv2

    mask = np.zeros((7, 7), bool)
    mask[3, 3] = True
    assert morphology(mask, cv2.MORPH_DILATE, 2).sum() == 13  # x^2 + y^2 <= 4
    assert not morphology(mask, cv2.MORPH_OPEN, 1).any()
    assert np.array_equal(morphology(mask, cv2.MORPH_OPEN, 0), mask)


# --- pairs without parallax ---------------------------------------------------------------------------------------


def turning(layered, scale: float, seed: int = 0):
    """A camera that turns, and the same with positions as structure from motion might find them: a little off."""
    from dataclasses import replace

    cameras = layered.make_cameras(6, (0.0, 0.0, 0.0), angle=0.02)
    poses = cameras.world_to_camera.copy()
    poses[:, :, 3] += scale * np.random.default_rng(seed).normal(size=(6, 3))
    return cameras, replace(cameras, world_to_camera=poses)


@pytest.mark.parametrize("scale", [0.0, 1e-4, 2e-3])
@pytest.mark.parametrize("config", [PUBLISHED, MotionConfig()], ids=["published", "default"])
def test_a_camera_that_only_turns_shows_what_moves_and_nothing_else(tmp_path, layered, scale, config):
    """Epipolar lines of a baseline that is noise point anywhere; what the rotation explains must not move."""
    cameras, found = turning(layered, scale)
    layers = world(layered, (0.03, 0.07))
    scene = layered.make_scene(tmp_path / "scene", cameras, layers)
    found.save(scene.cameras_path)
    run_motion(scene, config)
    assert jaccard(scene.motion_masks(), truth(layered, cameras, layers)) > (0.55 if config is PUBLISHED else 0.9)
    summary = scene.summary("motion")
    if scale < 1e-3:  # less than a quarter of a pixel of parallax
        assert summary["turning_pairs_fraction"] == 1
        assert "turns without moving in 100% of the pairs" in summary["message"]


def test_a_moving_camera_is_not_said_to_turn(tmp_path, layered):
    scene = layered.make_scene(tmp_path / "scene", layered.make_cameras(4, (0.05, 0, 0)), world(layered, (0.0, 0.07)))
    run_motion(scene, MotionConfig())
    assert scene.summary("motion")["turning_pairs_fraction"] == 0
    assert "turns" not in scene.summary("motion")["message"]


# --- coverage -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("coverage", "verdict", "said"),
    [
        ([0.1, 0.2, 0.15], "good", "15.0% of the pixels"),
        ([0.0, 0.0005, 0.001], "doubtful", "Hardly anything moves"),
        ([0.1, 0.2, 0.7], "doubtful", "Frame 2 is nearly covered"),
        ([0.7, 0.8, 0.9], "poor", "Nearly everything moves"),
    ],
)
def test_coverage_outside_its_bounds_warns(coverage, verdict, said):
    from nsff.priors.motion.coverage import summarise_coverage

    summary = summarise_coverage(coverage, MotionConfig(coverage_warning=(0.001, 0.6)), "Masks cover")
    assert summary["verdict"] == verdict
    assert said in summary["message"]
