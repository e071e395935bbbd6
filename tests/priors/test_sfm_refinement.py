"""Given poses refined: planted errors are found, exact poses stay, and the stage writes what the next one reads."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from nsff.cameras import Cameras
from nsff.cameras.align import extent, rotation_angle
from nsff.config import CanonicalConfig, FlowConfig, SfmConfig
from nsff.priors.canonical.stage import run_canonical
from nsff.priors.flow.stage import run_flow
from nsff.priors.sfm.refinement import Observations, _Problem, refine_given, refine_poses
from nsff.priors.sfm.stage import run_sfm

N, POINTS = 7, 300


def rig() -> Cameras:
    s = np.linspace(-1, 1, N)
    R = Rotation.from_rotvec(np.outer(0.1 * s, [0, 1, 0])).as_matrix()
    centres = np.stack([2 * s, 0.4 * s**2, 0.2 * s], axis=1)
    poses = np.concatenate([R, -np.einsum("nij,nj->ni", R, centres)[:, :, None]], axis=2)
    K = np.array([[500.0, 0, 320], [0, 500, 180], [0, 0, 1]])
    return Cameras(np.tile(K, (N, 1, 1)), poses, np.tile([5.0, 20.0], (N, 1)), 640, 360)


def changed(cameras: Cameras, turns: np.ndarray, shifts: np.ndarray) -> Cameras:
    R = Rotation.from_rotvec(turns).as_matrix() @ cameras.world_to_camera[:, :, :3]
    centres = cameras.centres + shifts * extent(cameras.centres)
    poses = np.concatenate([R, -np.einsum("nij,nj->ni", R, centres)[:, :, None]], axis=2)
    return replace(cameras, world_to_camera=poses)


def seen(cameras: Cameras, noise: float, wrong: float = 0.0) -> Observations:
    """A slanted wall and things before it, as these cameras see them, with noise in pixels and a share of outliers."""
    generator = np.random.default_rng(0)
    points = generator.uniform([-6, -3, 0], [6, 3, 1], (POINTS, 3))
    points[:, 2] = np.where(np.arange(POINTS) < 200, 12 + 0.5 * points[:, 0], 7 + points[:, 2])
    at, _ = cameras.project(points)
    camera, point = (index.ravel() for index in np.indices((N, POINTS)))
    at = at.reshape(-1, 2) + noise * generator.normal(size=(N * POINTS, 2))
    at[generator.random(len(at)) < wrong] += 30
    return Observations(camera, point, at, points + 0.01 * generator.normal(size=points.shape))


def planted() -> tuple[Cameras, Cameras]:
    generator = np.random.default_rng(1)
    true = rig()
    turns, shifts = 1e-3 * generator.normal(size=(N, 3)), 5e-4 * generator.normal(size=(N, 3))
    return true, changed(true, turns, shifts)


@pytest.mark.parametrize("wrong", [0.0, 0.05])
def test_planted_errors_are_found(wrong: float):
    true, given = planted()
    found = refine_poses(given, given, seen(true, 0.2, wrong))
    assert found.cameras is not None and found.after < (0.9 if wrong else 0.6) * found.before
    turned = [
        rotation_angle(
            np.einsum("nij,nkj->nik", cameras.world_to_camera[:, :, :3], true.world_to_camera[:, :, :3])
        ).mean()
        for cameras in (given, found.cameras)
    ]
    assert turned[1] < 0.7 * turned[0]
    assert found.cameras.near_far is given.near_far and found.points == POINTS
    assert 0 < found.moved < 0.01 and 0 < found.turned < 1


def test_exact_poses_stay():
    true = rig()
    found = refine_poses(true, true, seen(true, 0.5))
    assert found.cameras is None and not found.reason
    assert found.after > 0.97 * found.before


def test_pixels_of_another_size_give_the_same():
    true, given = planted()
    half = seen(true.resized(180, 320), 0.0)
    cameras = refine_poses(given, given.resized(180, 320), half).cameras
    whole = refine_poses(given, given, seen(true, 0.0)).cameras
    assert cameras is not None and whole is not None
    assert (cameras.width, cameras.height) == (640, 360)
    np.testing.assert_allclose(cameras.centres, whole.centres, atol=5e-3)


def test_the_derivative_is_that_of_the_residuals():
    true, given = planted()
    problem = _Problem(given, seen(true, 0.2))
    start = np.r_[np.zeros(6 * N), seen(true, 0.2).points.ravel()]
    matrix = problem.derivative(start).toarray()
    generator = np.random.default_rng(2)
    for column in generator.choice(len(start), 40, replace=False).tolist() + list(range(6 * N)):
        step = np.zeros(len(start))
        step[column] = 1e-6
        numeric = (problem.residuals(start + step) - problem.residuals(start - step)) / 2e-6
        np.testing.assert_allclose(matrix[:, column], numeric, rtol=1e-4, atol=1e-3)


# --- the stage -------------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def rough(filmed: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    """A filmed scene whose given cameras are turned at random by a tenth of a degree, and the true ones."""
    pytest.importorskip("pycolmap")
    s = np.linspace(-1, 1, 6)
    film = filmed.film(np.stack([0.9 * s, -0.25 * s**2, 0.2 * s], 1), 0.12 * s)
    turns = 2e-3 * np.random.default_rng(3).normal(size=(6, 3))
    given = replace(film, cameras=changed(film.cameras, turns, np.zeros((6, 3))))
    return given.save(tmp_path_factory.mktemp("rough") / "scene", given_cameras=True), film.cameras


def test_the_stage_refines_and_cameras_follow(rough: tuple[Any, Any]):
    scene, true = rough
    run_sfm(scene, SfmConfig(refine_given=False))
    assert not (scene.sfm_dir / "cameras.json").exists()
    assert "nothing was estimated" in scene.summary("sfm")["message"]
    run_sfm(scene, SfmConfig(image_height=240))
    summary = scene.summary("sfm")
    assert (
        summary["source"] == "given" and summary["refined"] and summary["error_after"] < 0.7 * summary["error_before"]
    )
    assert not [path for path in scene.root.iterdir() if path.name.startswith(".tmp")]
    given = Cameras.load(scene.given_dir / "cameras.json")
    refined = Cameras.load(scene.sfm_dir / "cameras.json")

    def off(cameras: Cameras) -> float:
        turns = np.einsum("nij,nkj->nik", cameras.world_to_camera[:, :, :3], true.world_to_camera[:, :, :3])
        relative = np.einsum("nij,kj->nik", turns, turns[0])
        return float(rotation_angle(relative).mean())

    assert off(refined) < 0.5 * off(given)
    run_flow(scene, FlowConfig(backend="dis"), 240)
    run_canonical(scene, CanonicalConfig(resize_height=240))
    np.testing.assert_allclose(scene.cameras.world_to_camera, refined.world_to_camera)


def test_lenses_of_their_own_stay(rough: tuple[Any, Any], tmp_path: Path):
    scene, _ = rough
    given = Cameras.load(scene.given_dir / "cameras.json")
    K = given.intrinsics.copy()
    K[2, 0, 0] *= 1.05
    found = refine_given(scene, replace(given, intrinsics=K), SfmConfig(), tmp_path / "work")
    assert found.cameras is None and "lens of its own" in found.reason
    few = refine_given(scene, given[:2], SfmConfig(), tmp_path / "work")
    assert few.cameras is None and "fewer than three" in few.reason
