"""Depth on the shared scenes: real output of MiDaS aligned on balloon1, the classical backend against toss's truth."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from nsff.config import CanonicalConfig, DepthConfig, FlowConfig, InputConfig, MotionConfig, SfmConfig
from nsff.datasets.ingest import run_ingest
from nsff.priors.canonical.stage import run_canonical
from nsff.priors.depth.alignment import Anchors, common_scale, depth_errors
from nsff.priors.depth.stage import run_depth
from nsff.priors.depth.static_triangulation import SceneTriangulation, near_motion
from nsff.priors.flow.stage import run_flow
from nsff.priors.motion.stage import run_coarse_masks, run_motion
from nsff.priors.sfm.stage import run_sfm
from nsff.scene import Scene

ROWS = 144


@pytest.fixture(scope="module")
def balloon(shared, tmp_path_factory) -> Scene:
    source = shared / "scenes" / "balloon1"
    if not (source / "disp").is_dir():
        pytest.skip("no balloon1 in ../shared/scenes")
    scene = Scene(tmp_path_factory.mktemp("balloon") / "scene")
    run_ingest(scene, InputConfig(path=str(source), max_height=ROWS))
    run_flow(scene, FlowConfig(), ROWS)
    run_coarse_masks(scene, MotionConfig())
    run_sfm(scene, SfmConfig())
    run_canonical(scene, CanonicalConfig(resize_height=ROWS))
    run_motion(scene, MotionConfig())
    return scene


def test_real_midas_output_is_brought_to_what_is_triangulated(balloon):
    """The wall behind the man is slanted, and MiDaS takes it for an upright one: no scale and shift can mend that, and
    shifts better it by less than half, so there are none.

    A local factor mends it, by anchors that had no part in its fit. What moves does so as fast as the camera: its depth
    is not determined, and is the network's. The balloon, green at its middle, is nearer than the man who holds it, by a
    quarter to a half (0.0345 by the held-out pictures, the man 0.025); with shifts it was as far as he.
    """
    run_depth(balloon, DepthConfig(align_local=False))
    summary = balloon.summary("depth")
    assert summary["frames_fitted_to_triangulation"] == 12
    assert summary["alignment_error_before"] > 0.12
    assert 0.09 < summary["alignment_error"] < 0.15
    assert max(summary["frame_error"]) < 0.25
    assert not any(summary["shift"])
    assert summary["verdict"] == "doubtful"
    # Beyond a tenth it is not called metric, and left as it came.
    assert summary["metric"] is (summary["alignment_error"] <= 0.1)

    run_depth(balloon, DepthConfig())
    summary = balloon.summary("depth")
    assert summary["alignment_error_affine"] > 0.09
    assert summary["alignment_error"] < 0.015
    assert max(summary["frame_error"]) < 0.03
    assert summary["frames_corrected"] == 12
    assert summary["metric"] is True
    assert summary["least_motion_fraction"] < 0.2
    assert "do not tell the depth" in summary["message"]
    for i in range(12):
        red, green, blue = np.moveaxis(balloon.image(i).astype(int), 2, 0)
        surely = (green > red + 25) & (green > blue + 20) & balloon.motion_mask(i)
        near = float(np.median(balloon.disparity(i)[0][surely]))
        assert 0.028 < near < 0.044


def test_the_man_stands_before_the_wall_in_the_real_output(balloon):
    """The sign of the disparity and the anchors, independently: a rank correlation over all static pixels."""
    run_depth(balloon, DepthConfig(align=False))
    triangulation, correlations = SceneTriangulation(balloon, DepthConfig()), []
    for i in (0, 11):
        measured = triangulation(i)
        sure = (measured.confidence > 0.5) & ~near_motion(balloon.motion_mask(i))
        values = np.stack([balloon.disparity(i)[0][sure], measured.inverse_depth[sure]])
        correlations.append(np.corrcoef(values.argsort(1).argsort(1))[0, 1])
    assert min(correlations) > 0.4


@pytest.fixture(scope="module")
def benchmark(repo):
    path = Path(repo) / "scripts" / "benchmarks" / "depth_accuracy.py"
    spec = importlib.util.spec_from_file_location("depth_accuracy", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_plane_of_the_benchmark_is_the_best_plane(benchmark):
    v, u = np.mgrid[:20, :30]
    exact = 0.1 + 0.002 * u + 0.004 * v
    assert benchmark.plane(1 / exact, np.ones((20, 30), bool)) == pytest.approx(exact)


@pytest.mark.slow
@pytest.mark.parametrize(("flow", "bound", "moving"), [("given", 0.01, 0.1), ("dis", 0.02, 0.2)])
def test_classical_depth_of_toss_has_less_than_half_the_error_of_a_plane(
    shared, tmp_path, benchmark, flow, bound, moving
):
    toss = shared / "scenes" / "toss"
    if not (toss / "truth" / "depth").is_dir():
        pytest.skip("no truth of toss in ../shared/scenes")
    scene, _ = benchmark.prepared(toss, tmp_path, flow)
    found = benchmark.measured(scene, toss)
    assert found["plane"] > 0.1
    assert found["static"] <= 0.5 * found["plane"]
    assert found["static"] < bound
    # What moves is placed by least motion, things as a whole, with wrong flow as well.
    summary = scene.summary("depth")
    assert 0.03 < summary["moving_fraction"] < 0.1
    assert found["moving"] < moving, found["moving"]
    assert summary["least_motion_fraction"] > 0.9
    assert "in the air" not in summary["message"]
    assert all((scene.disparity(i)[0] > 0).all() for i in (0, 12, 23))


@pytest.mark.slow
def test_relative_disparity_of_toss_is_aligned_to_its_truth(shared, tmp_path, benchmark):
    """True disparity, disguised by another scale and shift in each frame and wrong on what moves, comes back."""
    toss = shared / "scenes" / "toss"
    if not (toss / "truth" / "depth").is_dir():
        pytest.skip("no truth of toss in ../shared/scenes")
    from nsff.files.io import read_npz, write_npz

    scene, _ = benchmark.prepared(toss, tmp_path, "dis")
    random, true = np.random.default_rng(0), []
    for i in range(scene.n_frames):
        true.append(1 / read_npz(toss / "truth" / "depth" / f"{i:05d}.npz", ["depth"])["depth"].astype(np.float32))
        disguised = (true[i] - 0.03 * random.uniform(-1, 1)) * random.uniform(300, 3000)
        disguised[scene.motion_mask(i)] *= 3
        write_npz(scene.given_dir / "depth" / f"{i:05d}.npz", disparity=disguised)
    run_depth(scene, DepthConfig(backend="given"))
    summary = scene.summary("depth")
    assert summary["metric"] is True
    assert summary["alignment_error"] < 0.01
    for i in (0, 7, 23):
        static = ~near_motion(scene.motion_mask(i))
        one = Anchors(scene.disparity(i)[0][static].astype(float), true[i][static].astype(float), np.ones(static.sum()))
        assert common_scale([one]) == pytest.approx(1, abs=0.01)
        assert np.median(depth_errors(one, 1, 0, 1e-9)) < 0.01
