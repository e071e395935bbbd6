"""No model without parallax: turning, zooming, still and shaking cameras are refused; short good clips are not."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from nsff.config import FlowConfig, InputConfig, MotionConfig, SfmConfig
from nsff.datasets.ingest import run_ingest
from nsff.errors import StageError
from nsff.files.io import write_image
from nsff.layout import frame_name
from nsff.priors.flow.stage import run_flow
from nsff.priors.motion.stage import run_coarse_masks
from nsff.priors.sfm.features import extract, sequential_pairs
from nsff.priors.sfm.parallax import parallax, unexplained
from nsff.priors.sfm.stage import run_sfm
from nsff.scene import Scene

pycolmap = pytest.importorskip("pycolmap")
FAST = SfmConfig(image_height=240)


def turned(picture: np.ndarray, yaw: float, zoom: float = 1.0, pitch: float = 0.0) -> np.ndarray:
    """A view of 320x240 of a picture infinitely far away: degrees, and the factor on the focal length."""
    height, width = picture.shape[:2]
    far = np.array([[1.1 * width, 0, width / 2], [0, 1.1 * width, height / 2], [0, 0, 1]])
    near = np.array([[zoom * 640, 0, 160], [0, zoom * 640, 120], [0, 0, 1]])
    R = Rotation.from_euler("yx", [yaw, pitch], degrees=True).as_matrix()
    return cv2.warpPerspective(picture, near @ R @ np.linalg.inv(far), (320, 240), flags=cv2.INTER_AREA)


def noisy(frames: list[np.ndarray], deviation: float = 3.0) -> np.ndarray:
    generator = np.random.default_rng(0)
    return np.stack(
        [np.clip(frame + generator.normal(0, deviation, frame.shape), 0, 255).astype(np.uint8) for frame in frames]
    )


CLIPS: dict[str, tuple[Callable[[np.ndarray], list[np.ndarray]], str]] = {
    "pan": (lambda p: [turned(p, -8 + 2 * i, pitch=0.3 * np.sin(i)) for i in range(9)], "only turns"),
    "short pan": (lambda p: [turned(p, 2.0 * i) for i in range(4)], "only turns"),
    "zoom": (lambda p: [turned(p, 0, 1 + 0.07 * i) for i in range(8)], "only turns"),
    "shake": (lambda p: [turned(p, np.sin(5 * i), pitch=np.cos(3 * i)) for i in range(7)], "only turns"),
    "tripod": (lambda p: [turned(p, 0) for _ in range(6)], "hardly moves"),
    "tripod, three frames": (lambda p: [turned(p, 0) for _ in range(3)], "hardly moves"),
    "mover": (lambda p: [with_mover(turned(p, 0), i) for i in range(7)], "hardly moves"),
}


def with_mover(frame: np.ndarray, i: int, side: int = 100) -> np.ndarray:
    """A textured square that crosses the picture."""
    board = cv2.resize(np.random.default_rng(3).integers(0, 256, (20, 20, 3), dtype=np.uint8), (side, side))
    frame[70 : 70 + side, 20 + 24 * i : 20 + side + 24 * i] = board
    return frame


@pytest.fixture(scope="module")
def picture(filmed: SimpleNamespace) -> np.ndarray:
    """A picture (480,640,3) with detail."""
    return filmed.film(np.zeros((1, 3)), np.zeros(1), height=480, width=640, focal=576.0).frames[0]


@pytest.mark.parametrize("name", CLIPS)
def test_cameras_that_do_not_change_place_are_refused(filmed: Any, picture: np.ndarray, tmp_path: Path, name: str):
    make, reason = CLIPS[name]
    frames = noisy(make(picture))
    film = filmed.film(np.zeros((1, 3)), np.zeros(1))
    scene = type(film)(frames, film.cameras, 0.0).save(tmp_path / "scene")
    with pytest.raises(StageError, match=f"too little parallax: the camera {reason}") as error:
        run_sfm(scene, FAST)
    assert "moving position" in error.value.remedy
    assert not scene.sfm_dir.exists()


@pytest.mark.parametrize(("turning", "step"), [("accept", 2), ("refuse", 2), ("accept", 0)])
def test_a_camera_at_one_place_is_of_use_where_something_moves(
    filmed: Any, picture: np.ndarray, tmp_path: Path, turning: Any, step: int
):
    """It turns by ``step`` degrees a frame, or stands still."""
    frames = noisy([with_mover(turned(picture, (i - 3) * step), i, 40) for i in range(7)])
    film = filmed.film(np.zeros((1, 3)), np.zeros(1))
    scene = type(film)(frames, film.cameras, 0.0).save(tmp_path / "scene")
    for i in range(7):
        mask = np.zeros((240, 320), np.uint8)
        mask[65:115, 15 + 24 * i : 65 + 24 * i] = 255
        write_image(scene.coarse_masks_dir / frame_name(i), mask)
    sfm = SfmConfig(image_height=240, turning=turning, still="accept")
    if turning == "refuse":
        with pytest.raises(StageError, match="too little parallax: the camera only turns"):
            run_sfm(scene, sfm)
        return
    run_sfm(scene, sfm)
    summary = scene.summary("sfm")
    assert summary["attempt"] == "turning" and summary["registered"] == 7 and summary["verdict"] == "doubtful"
    assert ("only turns" if step else "stands still") in summary["message"]
    found = pycolmap.Reconstruction(str(scene.sparse_model_dir))
    poses = [image.cam_from_world() for image in sorted(found.images.values(), key=lambda image: image.name)]
    angles = [np.degrees(pose.rotation.angle()) for pose in poses]
    np.testing.assert_allclose(angles, step * np.arange(7), atol=0.8)
    assert max(np.linalg.norm(pose.translation) for pose in poses) < 1e-9


def test_a_real_picture_that_is_panned_over(shared: Path, filmed: Any, tmp_path: Path):
    path = shared / "scenes" / "davis-camel" / "images" / "00000.jpg"
    real = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
    film = filmed.film(np.zeros((1, 3)), np.zeros(1))
    frames = noisy([turned(real, -6 + 2 * i) for i in range(7)])
    with pytest.raises(StageError, match="too little parallax: the camera only turns"):
        run_sfm(type(film)(frames, film.cameras, 0.0).save(tmp_path / "pan"), FAST)


def test_turning_through_a_bent_lens_is_explained_and_moving_is_not():
    generator = np.random.default_rng(1)
    x = np.concatenate([generator.uniform([-0.5, -0.35], [0.5, 0.35], (200, 2)), np.ones((200, 1))], 1)
    R = Rotation.from_euler("yx", [9, -4], degrees=True).as_matrix()

    def seen(world: np.ndarray, focal: float) -> np.ndarray:
        plane = world[:, :2] / world[:, 2:]
        return focal * plane * (1 - 0.15 * (plane**2).sum(1, keepdims=True))

    first = seen(x, 800)
    assert np.quantile(unexplained(first, seen(x @ R.T, 950), 960), 0.95) < 0.2
    deep = x * generator.uniform(3, 9, (200, 1))
    assert np.quantile(unexplained(first, seen((deep - [0.4, 0, 0]) @ R.T, 800), 960), 0.8) > 8


def test_a_short_good_clip_passes(filmed: SimpleNamespace, tmp_path: Path):
    s = np.linspace(-1, 1, 4)
    scene = filmed.film(np.stack([0.5 * s, -0.1 * s**2, 0.1 * s], 1), 0.05 * s).save(tmp_path / "short")
    run_sfm(scene, FAST)
    summary = scene.summary("sfm")
    assert summary["registered"] == 4 and summary["verdict"] == "good" and summary["overlay"] is None
    assert summary["parallax"] > 3 * FAST.min_parallax


def test_the_bound_is_a_setting(filmed: SimpleNamespace, tmp_path: Path):
    s = np.linspace(-1, 1, 4)
    scene = filmed.film(np.stack([0.5 * s, -0.1 * s**2, 0.1 * s], 1), 0.05 * s).save(tmp_path / "short")
    with pytest.raises(StageError, match=r"only turns or zooms.* 500 of parallax are needed \(sfm.min_parallax\)"):
        run_sfm(scene, SfmConfig(image_height=240, min_parallax=500))


def test_the_case_static_camera(shared: Path, repo: Path, tmp_path: Path):
    scene = prepared(shared, repo, tmp_path, "static_camera")
    with pytest.raises(StageError, match="too little parallax: the camera hardly moves") as error:
        run_sfm(scene, SfmConfig())
    assert "moving position" in error.value.remedy


def prepared(shared: Path, repo: Path, folder: Path, case: str) -> Scene:
    """A case of ../shared/cases up to structure from motion."""
    make = shared / "cases" / case / "make.py"
    subprocess.run([sys.executable, str(make), str(folder / "in")], check=True, cwd=repo)
    scene = Scene(folder / "scene")
    run_ingest(scene, InputConfig(path=str(folder / "in")))
    run_flow(scene, FlowConfig(backend="dis"), 288)
    run_coarse_masks(scene, MotionConfig())
    return scene


@pytest.mark.slow
@pytest.mark.parametrize("frames", [3, 6])
def test_parts_of_the_demo_show_parallax(repo: Path, tmp_path: Path, frames: int):
    """Measured: three neighbouring frames 6.9 px, six 15 px; pans over a real picture 0.6 to 0.9 px."""
    scene = Scene(tmp_path / "demo")
    run_ingest(scene, InputConfig(path=str(repo / "demo" / "video.mp4"), end=frames))
    database = extract(scene, SfmConfig(), tmp_path / "work")
    database.match(sequential_pairs(frames))
    found = parallax(database)
    assert found is not None and found.residual > 2 * SfmConfig().min_parallax
