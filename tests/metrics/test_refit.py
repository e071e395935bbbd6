"""The score without truth: frames left out of a short second training, on the textured wall."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from wall_world import DEPTH, FRAMES, HEIGHT, WIDTH, K, WallRenderer, config, make_scene, path_of_cameras

from nsff.cameras import Cameras
from nsff.config import SceneConfig
from nsff.files.io import write_image, write_json
from nsff.metrics.protocols import held_out_frames
from nsff.metrics.reduced import GREY, ReducedScene
from nsff.metrics.refit import left_out_every, refit_settings, train_again
from nsff.metrics.refit_signs import mask_numbers
from nsff.metrics.score import run_score
from nsff.metrics.table import Row
from nsff.metrics.verdicts import describe, describe_refit
from nsff.scene import Scene

STEPS = 12


def wall_scene(root: Path) -> Scene:
    """The wall as all stages up to depth would leave it, with exact cameras, depth and flow of the wall."""
    poses = path_of_cameras(FRAMES)
    cameras = Cameras(np.tile(K, (FRAMES, 1, 1)), poses, np.tile([2.0, 5.0], (FRAMES, 1)), WIDTH, HEIGHT)
    scene = make_scene(root, cameras, True, poses)
    u, v = np.meshgrid(np.arange(WIDTH) + 0.5, np.arange(HEIGHT) + 0.5)
    at = np.stack([u, v], -1).reshape(-1, 2)
    for i in range(FRAMES):
        ways = cameras.rays(i, at)
        points = cameras.centres[i] + ways * ((DEPTH - cameras.centres[i, 2]) / ways[:, 2:])
        uv, z = cameras.project(points)
        scene.write_disparity(i, 1 / z[i].reshape(HEIGHT, WIDTH), np.ones((HEIGHT, WIDTH)))
        for j, way in ((i + 1, "fwd"), (i - 1, "bwd")):
            if 0 <= j < FRAMES:
                scene.write_flow(i, way, (uv[j] - at).reshape(HEIGHT, WIDTH, 2), np.ones((HEIGHT, WIDTH), bool))
    write_json(scene.depth_result_path, {"metric": True, "backend": "given"})
    return scene


@pytest.fixture(scope="module")
def wall(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return wall_scene(tmp_path_factory.mktemp("refit"))


def scored(scene: Scene, renderer: WallRenderer | None = None) -> dict[tuple[str, str], float]:
    """PSNR by variant and region."""
    run_score(scene, config(score={"refit_steps": STEPS}), renderer or WallRenderer())
    lines = [line.split(",") for line in scene.scores_path.read_text().splitlines()[1:]]
    assert {line[1] for line in lines} == {"refit"}
    return {(line[2], line[3]): float(line[5]) for line in lines if line[4] == "psnr"}


def test_frames_are_left_out_and_never_the_last():
    for n in range(3, 200):
        held = held_out_frames(n, left_out_every(n))
        assert held
        assert n - 1 not in held
        assert len(held) <= n // 2
        assert len(held) >= (3 if n >= 22 else 1)
    assert left_out_every(2) == 0


def test_a_reduced_scene_averages(wall: Scene):
    small = ReducedScene(wall.root, 18, frozenset({2}))
    assert small.size == (18, 24)
    blocks = wall.image(1).reshape(18, 2, 24, 2, 3).mean((1, 3))
    assert np.abs(small.image(1) - blocks).max() <= 0.5
    assert (small.image(2) == GREY).all()
    mean_flow = wall.flow(1, "fwd")[0].reshape(18, 2, 24, 2, 2).mean((1, 3))
    np.testing.assert_allclose(small.flow(1, "fwd")[0], mean_flow / 2, atol=1e-4)
    np.testing.assert_allclose(small.cameras.intrinsics[:, :2], wall.cameras.intrinsics[:, :2] / 2)
    assert small.motion_masks().mean() == pytest.approx(wall.motion_masks().mean(), abs=0.01)
    same = ReducedScene(wall.root, 90)
    np.testing.assert_array_equal(same.image(1), wall.image(1))
    np.testing.assert_array_equal(same.disparity(1)[0], wall.disparity(1)[0])


def test_frames_left_out_are_found_again_and_broken_priors_lower_the_score(wall: Scene, tmp_path: Path):
    right = scored(wall)
    assert right["raw", "full"] > right["copy", "full"] + 3
    assert right["raw", "full"] > 25
    assert right["trained", "full"] > 45
    assert right["plane", "full"] > right["copy", "full"] + 3, "the wall is a plane"
    assert right["flow", "full"] > right["copy", "full"] + 3
    message = str((wall.summary("score") or {})["message"])
    assert "Without truth (refit): 1 frames" in message
    assert (wall.score_pictures_dir / "sheet_refit.png").exists()
    broken = wall_scene(tmp_path)
    far = 1 / DEPTH
    for i in range(FRAMES):
        disparity, confidence = broken.disparity(i)
        broken.write_disparity(i, far / 4 + 0 * disparity, confidence)
    assert scored(broken)["raw", "full"] < right["raw", "full"] - 2


def test_no_colour_of_a_frame_left_out_reaches_the_second_training(tmp_path: Path):
    scene = wall_scene(tmp_path)
    settings = refit_settings(config(score={"refit_steps": 6}), FRAMES)
    held = frozenset(held_out_frames(FRAMES, settings.train.hold_out))
    one = train_again(ReducedScene(scene.root, 90, held), settings).state_dict()
    for i in held:
        write_image(scene.image_path(i), np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8))
    other = train_again(ReducedScene(scene.root, 90, held), settings).state_dict()
    assert all(bool((one[name] == other[name]).all()) for name in one)
    seen = train_again(ReducedScene(scene.root, 90), replace_hold_out(settings)).state_dict()
    assert len(seen["static.position"]) != len(one["static.position"])


def replace_hold_out(settings: SceneConfig) -> SceneConfig:
    return settings.model_copy(update={"train": settings.train.model_copy(update={"hold_out": 0})})


def test_settings_of_the_second_training():
    settings = config(score={"refit_steps": 80}, model={"kind": "gaussians", "options": {"thinning": 3.0}})
    short, long = refit_settings(settings, 12), refit_settings(settings, 48)
    assert (short.train.steps, long.train.steps) == (80, 160)
    assert short.model.options == {"thinning": 3.0}
    assert not short.field.features
    planes = refit_settings(config(score={"refit_steps": 80}), 12)
    assert (planes.model.kind, planes.model.options) == ("gaussians", {})


MOVING = {"raw_dynamic": 18.0, "static_dynamic": 16.0}


def rows(**psnr: float) -> list[Row]:
    found = [Row("s", "refit", *name.split("_"), "psnr", value) for name, value in psnr.items()]
    return [*found, Row("s", "refit", "raw", "full", "count", 3.0)]


@pytest.mark.parametrize(
    ("psnr", "verdict", "words"),
    [
        (MOVING | {"raw_full": 28, "copy_full": 20, "trained_full": 31}, "good", "8.00 dB above the frames"),
        (MOVING | {"raw_full": 28, "copy_full": 20, "plane_full": 27}, "good", "8.00 dB above the frames"),
        (MOVING | {"raw_full": 28, "copy_full": 20, "plane_full": 28.5}, "doubtful", "one homography, has 28.50 dB"),
        (MOVING | {"raw_full": 28, "copy_full": 20, "plane_full": 30}, "poor", "depth that was found brings nothing"),
        ({"raw_full": 28, "copy_full": 20, "static_full": 25, "trained_full": 31}, "doubtful", "look at the masks"),
        ({"raw_full": 20.5, "copy_full": 20}, "doubtful", "cameras and depth"),
        ({"raw_full": 19, "copy_full": 20}, "poor", "1.00 dB below the frames"),
        ({"raw_full": 28, "copy_full": 20, "trained_full": 24}, "doubtful", "too short"),
        (
            {"raw_full": 28, "copy_full": 20, "raw_dynamic": 15, "static_dynamic": 16, "copy_dynamic": 14},
            "doubtful",
            "flow and motion masks",
        ),
        ({"raw_full": 28, "copy_full": 20, "raw_dynamic": 18, "static_dynamic": 16}, "good", "2.00 dB above the best"),
    ],
)
def test_verdicts(psnr: dict[str, float], verdict: str, words: str):
    found = describe_refit(rows(**psnr))
    assert found[0] == verdict
    assert words in found[1]


@pytest.mark.parametrize(
    ("psnr", "numbers", "verdict", "words"),
    [
        ({"flow_full": 20.5}, {}, "poor", "it is not the flow of these frames"),
        ({"flow_full": 24}, {}, "good", "above"),
        ({"copy_full": 34, "flow_full": 34.5, "raw_full": 36}, {}, "good", "above"),  # hardly anything changes
        ({}, {"missed_by_masks": 0.6, "moving_off_masks": 0.04}, "doubtful", "60% of what surely moves"),
        ({}, {"missed_by_masks": 0.2, "moving_off_masks": 0.01}, "good", "above"),
        ({"raw_full": 19}, {"missed_by_masks": 0.6, "moving_off_masks": 0.04}, "poor", "look at the motion masks"),
        ({"raw_full": 19}, {"missed_by_masks": 0.9, "moving_off_masks": 0.6}, "poor", "look at cameras and depth"),
    ],
)
def test_causes_that_need_no_training(psnr: dict[str, float], numbers: dict[str, float], verdict: str, words: str):
    found = describe_refit(rows(**(MOVING | {"raw_full": 28, "copy_full": 20} | psnr)), numbers)
    assert found[0] == verdict
    assert words in found[1]


def test_what_moves_off_the_masks_is_missed(wall: Scene, tmp_path: Path):
    """A patch of the wall whose flow leaves the epipolar lines."""
    assert mask_numbers(wall, [2]) == {"moving_off_masks": 0}
    scene = wall_scene(tmp_path)
    patch = np.zeros((HEIGHT, WIDTH), bool)
    patch[10:18, 20:30] = True
    for i in range(FRAMES):
        for j, way in ((i + 1, "fwd"), (i - 1, "bwd")):
            if 0 <= j < FRAMES:
                flow, mask = wall.flow(i, way)
                scene.write_flow(i, way, flow + 2.0 * (j - i) * patch[..., None], mask)
    off = (patch & ~scene.motion_mask(2)).mean()
    found = mask_numbers(scene, [2])
    assert found["moving_off_masks"] == pytest.approx(off, rel=0.2)
    assert found["missed_by_masks"] == pytest.approx(off / patch.mean(), abs=0.1)


def test_nothing_to_score_is_not_good():
    assert describe([], {}, config())[0] == "doubtful"
