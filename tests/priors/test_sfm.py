"""Structure from motion on filmed planes: known cameras found, masks kept out, reasons of failure, repeatable."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from nsff.cameras import Cameras
from nsff.cameras.align import pose_errors
from nsff.config import SfmConfig
from nsff.errors import StageError
from nsff.files.io import read_json, write_image
from nsff.priors.sfm.features import exhaustive_pairs, extract, sequential_pairs, working_size
from nsff.priors.sfm.stage import run_sfm
from nsff.scene import Scene

pycolmap = pytest.importorskip("pycolmap")
FAST = SfmConfig(image_height=240)


def read(scene: Scene) -> tuple[Any, Cameras]:
    """The model's lens, and its cameras (without the distortion), frames in order."""
    model = pycolmap.Reconstruction(str(scene.sfm_dir / "sparse"))
    images = sorted(model.images.values(), key=lambda image: image.name)
    lens = next(iter(model.cameras.values()))
    K = np.tile(lens.calibration_matrix(), (len(images), 1, 1))
    poses = np.array([image.cam_from_world().matrix() for image in images])
    return lens, Cameras(K, poses, np.ones((len(images), 2)), lens.width, lens.height)


@pytest.fixture(scope="module")
def solved(travelling: Any, tmp_path_factory: pytest.TempPathFactory) -> Scene:
    scene = travelling.save(tmp_path_factory.mktemp("sfm") / "arc")
    run_sfm(scene, FAST)
    return scene


def test_cameras_and_lens_are_found(solved: Scene, travelling: Any):
    lens, cameras = read(solved)
    errors = pose_errors(cameras, travelling.cameras)
    assert errors.position_rmse < 0.01 and errors.rotation_mean < 0.2
    assert abs(errors.focal) < 0.04
    assert lens.params[3] == pytest.approx(travelling.k, abs=0.02)


def test_the_model_is_at_frame_size_and_its_world_is_the_first_camera(solved: Scene):
    lens, cameras = read(solved)
    assert (lens.width, lens.height) == (320, 240)
    np.testing.assert_allclose(cameras.world_to_camera[0], np.eye(4)[:3], atol=1e-9)
    model = pycolmap.Reconstruction(str(solved.sfm_dir / "sparse"))
    # Observations were rescaled along: they are where the points project, within the error that the model states.
    residuals, depths = [], []
    for image in model.images.values():
        for point in image.points2D:
            if point.has_point3D():
                xyz = model.points3D[point.point3D_id].xyz
                residuals.append(np.linalg.norm(image.project_point(xyz) - point.xy))
                depths.append((image.cam_from_world() * xyz)[2])
    summary = solved.summary("sfm")
    assert np.median(residuals) < 0.5
    assert np.mean(residuals) == pytest.approx(summary["reprojection_error_frame"], rel=0.5)
    assert np.percentile(depths, 5) == pytest.approx(1, abs=0.02)


def test_summary(solved: Scene):
    summary = solved.summary("sfm")
    assert summary == read_json(solved.sfm_dir / "summary.json")
    assert summary["verdict"] == "good" and "9 of 9 frames" in summary["message"]
    assert summary["unregistered"] == [] and summary["attempt"] == "sequential global" and not summary["masked"]
    assert summary["focal"] == pytest.approx(288, rel=0.04)
    assert not [path for path in solved.root.iterdir() if path.name.startswith(".tmp")]


def test_the_same_again(solved: Scene, travelling: Any, tmp_path: Path):
    scene = travelling.save(tmp_path / "again")
    run_sfm(scene, FAST)
    for name in ("cameras.bin", "images.bin", "points3D.bin"):
        assert (scene.sfm_dir / "sparse" / name).read_bytes() == (solved.sfm_dir / "sparse" / name).read_bytes()


def test_a_known_lens_stays(travelling: Any, tmp_path: Path):
    scene = travelling.save(tmp_path / "known")
    run_sfm(scene, SfmConfig(image_height=240, focal=288.0, principal_point=(160.0, 120.0), distortion=-0.12))
    lens, cameras = read(scene)
    np.testing.assert_allclose(lens.params, [288, 160, 120, -0.12], atol=1e-9)
    errors = pose_errors(cameras, travelling.cameras)
    assert errors.position_rmse < 0.005 and errors.rotation_mean < 0.1


def test_a_known_lens_stays_in_incremental_mapping(travelling: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("nsff.priors.sfm.stage.map_globally", lambda *_: [])
    scene = travelling.save(tmp_path / "incremental")
    run_sfm(scene, SfmConfig(image_height=240, focal=288.0, distortion=-0.12, attempts=["exhaustive"]))
    lens, cameras = read(scene)
    np.testing.assert_allclose(lens.params, [288, 160, 120, -0.12], atol=1e-9)
    assert scene.summary("sfm")["attempt"] == "exhaustive incremental"
    assert pose_errors(cameras, travelling.cameras).position_rmse < 0.01


def test_given_cameras_need_nothing(travelling: Any, tmp_path: Path):
    scene = travelling.save(tmp_path / "given", given_cameras=True)
    run_sfm(scene, SfmConfig(refine_given=False))
    assert not (scene.sfm_dir / "sparse").exists()
    assert scene.summary("sfm") == read_json(scene.sfm_dir / "summary.json")
    assert scene.summary("sfm")["source"] == "given" and "given" in scene.summary("sfm")["message"]


def test_no_features_in_masks(travelling: Any, tmp_path: Path):
    scene = travelling.save(tmp_path / "masked")
    mask = np.zeros((240, 320), np.uint8)
    mask[:, :160] = 255
    for i in range(len(travelling.frames)):
        write_image(scene.coarse_masks_dir / f"{i:05d}.png", mask)
    for use_masks in (True, False):
        database = extract(scene, SfmConfig(image_height=240, use_masks=use_masks), tmp_path / f"features{use_masks}")
        with database.opened() as opened:
            keypoints = opened.read_keypoints(1)
        if not isinstance(keypoints, np.ndarray):
            keypoints = np.asarray(pycolmap.keypoints_to_matrix(keypoints))
        assert len(keypoints) > 100
        assert (keypoints[:, 0] >= 159).all() == use_masks


def test_bare_walls_have_too_little_texture(travelling: Any, tmp_path: Path):
    bare = travelling.frames.copy()
    for frame in bare:
        cv2.GaussianBlur(frame, (0, 0), 12, dst=frame)
    scene = type(travelling)(bare, travelling.cameras, 0.0).save(tmp_path / "bare")
    with pytest.raises(StageError, match=r"too little texture: a frame has \d+ features") as error:
        run_sfm(scene, FAST)
    assert "larger" in error.value.problem and "sharper" in error.value.remedy
    assert not scene.sfm_dir.exists() and scene.summary("sfm") is None


def test_a_turning_camera_has_too_little_parallax(filmed: SimpleNamespace, tmp_path: Path):
    scene = filmed.film(np.zeros((6, 3)), np.linspace(-0.2, 0.2, 6)).save(tmp_path / "turn")
    with pytest.raises(StageError, match=r"too little parallax: the camera only turns .*median triangulation angle 0"):
        run_sfm(scene, FAST)


def test_a_still_camera_has_too_little_parallax(filmed: SimpleNamespace, tmp_path: Path):
    scene = filmed.film(np.zeros((3, 3)), np.zeros(3)).save(tmp_path / "still")
    with pytest.raises(StageError, match="too little parallax: the camera hardly moves"):
        run_sfm(scene, SfmConfig(image_height=240, attempts=["sequential"]))


def test_unrelated_frames_do_not_register(filmed: SimpleNamespace, tmp_path: Path):
    generator = np.random.default_rng(0)
    frames = np.stack(
        [cv2.resize(generator.integers(0, 256, (60, 80, 3), dtype=np.uint8), (320, 240)) for _ in range(4)]
    )
    film = filmed.film(np.zeros((1, 3)), np.zeros(1))
    scene = type(film)(frames, film.cameras, 0.0).save(tmp_path / "cuts")
    with pytest.raises(StageError, match="too few registered: no two frames have enough matches"):
        run_sfm(scene, SfmConfig(image_height=240, attempts=["sequential"]))


def test_two_frames_are_too_few(filmed: SimpleNamespace, tmp_path: Path):
    scene = filmed.film(np.array([[0, 0, 0], [0.5, 0, 0]]), np.zeros(2)).save(tmp_path / "two")
    with pytest.raises(StageError, match="too few frames: 2"):
        run_sfm(scene, FAST)


def test_nothing_is_left_of_a_run_that_fails(travelling: Any, tmp_path: Path):
    scene = travelling.save(tmp_path / "left")
    write_image(scene.frames_dir / "00003.png", travelling.frames[3][:200])
    with pytest.raises(StageError):
        run_sfm(scene, FAST)
    assert not list(scene.root.glob(".tmp*"))


def test_frames_of_two_sizes_are_named(travelling: Any, tmp_path: Path):
    scene = travelling.save(tmp_path / "sizes")
    write_image(scene.frames_dir / "00003.png", travelling.frames[3][:200])
    with pytest.raises(StageError, match=r"00003\.png: is 320x200, the first frame 320x240"):
        run_sfm(scene, FAST)


def test_pairs():
    assert sequential_pairs(4, 2) == [(0, 1), (0, 2), (1, 2), (1, 3), (2, 3)]
    assert (0, 16) in sequential_pairs(20) and (0, 11) not in sequential_pairs(20)
    assert len(exhaustive_pairs(24)) == 24 * 23 // 2
    assert len(exhaustive_pairs(2000)) < 50_000  # a long clip gets neighbours instead of 2 million pairs
    assert set(sequential_pairs(500)) <= set(exhaustive_pairs(500))


@pytest.mark.parametrize(
    ("size", "height", "enlarge", "expected"),
    [
        ((180, 320), None, 1.0, (540, 960)),
        ((720, 1280), None, 1.0, (720, 1280)),
        ((2160, 3840), None, 1.0, (1080, 1920)),
        ((180, 320), 240, 1.0, (240, 427)),
        ((180, 320), None, 1.5, (810, 1440)),
    ],
)
def test_working_size(size: tuple, height: int | None, enlarge: float, expected: tuple):
    assert working_size(size, height, enlarge) == expected


def test_the_sources_own_focal_length_is_tried_first(travelling: Any, tmp_path: Path):
    from nsff.files.io import write_json
    from nsff.priors.sfm.mapping import START_FOCALS, Known
    from nsff.priors.sfm.stage import Ladder

    scene = travelling.save(tmp_path / "guess")
    write_json(scene.manifest_path, {**scene.manifest, "focal_guess": 300.0})
    ladder = Ladder(scene, SfmConfig(image_height=480), tmp_path / "work", Known(), 300.0)
    assert ladder.focals() == [600.0, *(640 * ratio for ratio in START_FOCALS)]
    assert Ladder(scene, SfmConfig(image_height=480), tmp_path / "none", Known()).focals() == ladder.focals()[1:]
    # What matches tell is computed again only where there are more of them.
    assert (before := ladder.evidence()) is ladder.evidence()
    ladder.database.match([(0, 1)])
    assert ladder.evidence() is not before
    given = SfmConfig(image_height=480, focal=288.0)
    assert Ladder(scene, given, tmp_path / "known", Known(focal=True), 300.0).focals() == [576.0]
    scene = Scene(scene.root)
    run_sfm(scene, FAST)
    summary = scene.summary("sfm")
    assert summary["focal_guess"] == 300 and summary["focal"] == pytest.approx(288, rel=0.04)
