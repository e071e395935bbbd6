"""Alignment of relative disparity: known scales and shifts recovered, over time, among outliers and moving things."""

from __future__ import annotations

import numpy as np
import pytest

from nsff.cameras.points import SparsePoints
from nsff.config import DepthConfig
from nsff.files.io import read_npz, write_image, write_npz
from nsff.priors.depth.alignment import Anchors, align, common_scale, depth_errors, fit_affine, fit_scale, smooth
from nsff.priors.depth.stage import run_depth

FLOOR = 1e-3


def anchors(scale: float, shift: float, count: int = 200, seed: int = 0, noise: float = 0.0) -> Anchors:
    """Anchors whose disparity d is such that scale d + shift is the inverse depth, up to relative noise."""
    random = np.random.default_rng(seed)
    w = random.uniform(0.1, 0.6, count)
    return Anchors((w - shift) / scale, w * (1 + noise * random.normal(size=count)), np.ones(count))


@pytest.mark.parametrize(("scale", "shift"), [(0.03, 0.05), (2.0, -0.08), (1e-5, 0.0)])
def test_scale_and_shift_are_exact_without_noise(scale, shift):
    one = anchors(scale, shift)
    assert fit_affine(one.disparity, one.inverse_depth) == pytest.approx((scale, shift), rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("what", ["inverse depth", "disparity", "one-sided", "a second surface"])
def test_thirty_percent_outliers_change_nothing(what):
    one, random = anchors(0.03, 0.05, 300), np.random.default_rng(1)
    d, w = one.disparity.copy(), one.inverse_depth.copy()
    if what == "inverse depth":
        w[:90] = random.uniform(0.02, 3, 90)
    elif what == "disparity":
        d[:90] = random.uniform(0, 60, 90)
    elif what == "one-sided":
        w[:90] *= 2
    else:  # another line altogether, as a moving object would leave it
        w[:90] = 0.9 - 0.02 * d[:90]
    assert fit_affine(d, w) == pytest.approx((0.03, 0.05), rel=1e-6)
    # Plain least squares is far off: the test can fail.
    plain = np.polyfit(d, w, 1)
    assert abs(plain[0] / 0.03 - 1) > 0.1 or abs(plain[1] / 0.05 - 1) > 0.1


def test_noise_of_two_percent_leaves_two_percent():
    one = anchors(0.03, 0.05, 2000, noise=0.02)
    fit = fit_affine(one.disparity, one.inverse_depth)
    assert fit == pytest.approx((0.03, 0.05), rel=0.02)


def test_weights_count():
    # Two lines with as many anchors each; the weights decide.
    first, second = anchors(0.03, 0.05, seed=1), anchors(0.05, 0.02, seed=2)
    d = np.concatenate([first.disparity, second.disparity])
    w = np.concatenate([first.inverse_depth, second.inverse_depth])
    for k, expected in enumerate([(0.03, 0.05), (0.05, 0.02)]):
        weight = np.where((np.arange(400) < 200) == (k == 0), 1.0, 0.02)
        assert fit_affine(d, w, weight) == pytest.approx(expected, rel=0.02)


def test_a_wall_has_a_scale_and_no_shift():
    assert fit_affine(np.full(30, 4.0), np.full(30, 0.2)) == pytest.approx((0.05, 0.0))


@pytest.mark.parametrize("d", [np.linspace(1, 5, 50), np.zeros(50), np.ones(1)])
def test_no_positive_scale_is_no_fit(d):
    w = np.linspace(0.5, 0.1, len(d))  # falls where d grows
    assert fit_affine(d, w) is None


def test_smoothing_by_hand():
    assert smooth(np.array([1.0, 1, 9, 1, 1]), 3, 0) == pytest.approx(np.ones(5))
    assert smooth(np.array([np.nan, 2, np.nan, 4, np.nan]), 1, 0) == pytest.approx([2, 2, 3, 4, 4])
    spread = smooth(np.array([0.0, 0, 0, 1, 0, 0, 0]), 1, 1.0)
    assert spread[3] == pytest.approx(0.399, abs=0.002)  # the Gaussian at 0
    assert spread.sum() == pytest.approx(1, abs=0.02)


def test_common_scale_and_errors_by_hand():
    two = [Anchors(np.array([1.0, 2.0, -1.0]), np.array([0.2, 0.6, 0.5]), np.ones(3)), Anchors.nowhere()]
    assert common_scale(two) == pytest.approx(0.25)  # median of 0.2 and 0.3
    assert depth_errors(two[0], 0.2, 0.0, 0.1) == pytest.approx([0, 0.5, 4])


def test_over_time_drifting_scales_are_followed_and_bad_frames_outvoted():
    frames = np.arange(20)
    scale, shift = 0.03 * 1.02**frames, 0.05 + 0.001 * frames
    every = [anchors(scale[i], shift[i], seed=int(i), noise=0.01) for i in frames]
    every[7] = Anchors.nowhere()  # nothing seen
    every[8] = anchors(scale[8], shift[8], count=5)  # too little
    wrong = anchors(0.08, -0.02, seed=12, noise=0.3)  # noise that fits nothing
    every[12] = Anchors(every[12].disparity, wrong.inverse_depth, wrong.weight)
    found = align(every, np.full(20, FLOOR), min_points=20, median=5, sigma=1.0)
    assert [i for i in frames if not found.fitted[i]] == [7, 8]
    inner = frames[2:-2]
    assert found.scale[inner] / scale[inner] == pytest.approx(np.ones(16), abs=0.05)
    assert found.shift[inner] == pytest.approx(shift[inner], abs=0.004)
    assert np.isnan(found.error[7])
    assert found.error_after < 0.02
    assert found.error_before > 3 * found.error_after


def test_a_scale_that_really_jumps_is_kept():
    scale = np.where(np.arange(10) == 5, 0.06, 0.03)
    every = [anchors(scale[i], 0.05, seed=i) for i in range(10)]
    found = align(every, np.full(10, FLOOR), 20, 5, 1.0)
    assert found.scale == pytest.approx(scale, rel=1e-3)
    assert found.error_after < 1e-3


def test_a_scale_by_hand():
    d, w = np.array([1.0, 2.0, 4.0, -1.0]), np.array([0.2, 0.6, 0.8, 9.0])
    assert fit_scale(d, w, np.ones(4)) == pytest.approx((0.2, 0.0))  # the median of 0.2, 0.3 and 0.2
    assert fit_scale(d, w, np.array([1.0, 9.0, 1.0, 1.0])) == pytest.approx((0.3, 0.0))
    assert fit_scale(-d[:3], w[:3], np.ones(3)) is None


def test_shifts_are_there_where_they_halve_the_error():
    """The same slant, misread by so much that shifts take less than half of the error, and read as it is."""
    random = np.random.default_rng(0)
    misread, right = [], []
    for _ in range(4):
        w = random.uniform(0.1, 0.3, 300)
        across = (w - 0.1) / 0.2  # the wall goes from far to near
        flat = w * (1 - 0.8 * across * (random.random(300) < 0.7))
        misread.append(Anchors(flat / 0.05, w, np.ones(300)))
        right.append(Anchors((w - 0.08) / 0.05, w, np.ones(300)))
    plain = align(misread, np.full(4, FLOOR), 20, 1, 0)
    assert not plain.shifted
    assert not plain.shift.any()
    shifted = align(right, np.full(4, FLOOR), 20, 1, 0)
    assert shifted.shifted
    assert shifted.shift == pytest.approx(np.full(4, 0.08), rel=1e-6)
    assert shifted.error_after < 1e-6


def test_what_lies_before_all_anchors_keeps_its_ratio_without_a_shift(tmp_path, layered):
    """Disparity that is right but for its scale, and a wall that is misread: the board in front of it stays where it is
    beside the wall, and is not pressed against it."""
    scene, layers = given_scene(tmp_path, layered)
    across = np.linspace(1.12, 0.88, scene.size[1])
    for i in range(6):
        index, _, depth = layered.trace(scene.cameras, layers, i)
        disparity = np.where(index == 2, 1.0, across) / depth / (0.2 * 1.05**i)
        write_npz(scene.given_dir / "depth" / f"{i:05d}.npz", disparity=disparity.astype(np.float32))
    run_depth(scene, DepthConfig(align_median=1, align_sigma=0, moving="surroundings"))
    summary = scene.summary("depth")
    assert "a scale for each frame" in summary["message"]
    assert summary["alignment_error"] < 0.01
    for i in range(6):
        index, _, depth = layered.trace(scene.cameras, layers, i)
        assert float(np.median((scene.disparity(i)[0] * depth)[index == 2])) == pytest.approx(1, abs=0.15)


def test_nothing_to_fit_to_is_none():
    assert align([Anchors.nowhere(), anchors(1, 0, count=3)], np.full(2, FLOOR), 20, 5, 1.0) is None


# --- the stage -------------------------------------------------------------------------------------------------


def given_scene(tmp_path, layered, n=6, moving=True, with_points=True):
    """A room with a board that moves, given disparity of another scale and shift in each frame, wrong on the board."""
    cameras = layered.make_cameras(n, (0.08, 0.02, 0))
    layers = [
        layered.Layer(5.0, colour=(40, 90, 60)),
        layered.Layer(3.5, (-0.9, 0.4), (0.6, 0.8), colour=(150, 60, 60)),
        layered.Layer(2.5, (0.5, -0.3), (0.45, 0.5), velocity=(0.05, 0) if moving else (0, 0), colour=(60, 60, 190)),
    ]
    xyz, frames = [], []
    for i in range(n):
        _, seen, _ = layered.trace(cameras, layers, i)
        xyz.append(seen[2::6, 2::6].reshape(-1, 3))
        frames.append(np.full(len(xyz[-1]), i))
    xyz, frames = np.concatenate(xyz), np.concatenate(frames)
    count = len(xyz)
    points = SparsePoints(xyz, np.zeros((count, 3)), np.zeros(count), np.arange(count), frames)
    scene = layered.make_scene(tmp_path / "scene", cameras, layers, points if with_points else None)
    scales, shifts = 0.2 * 1.02 ** np.arange(n), 0.04 + 0.002 * np.arange(n)
    for i in range(n):
        index, _, depth = layered.trace(cameras, layers, i)
        board = index == 2
        write_image(scene.motion_dir / f"{i:05d}.png", (board & moving).astype(np.uint8) * 255)
        disparity = (1 / depth - shifts[i]) / scales[i]
        disparity[board] *= 3 if moving else 1
        write_npz(scene.given_dir / "depth" / f"{i:05d}.npz", disparity=disparity.astype(np.float32))
    return scene, layers


@pytest.mark.parametrize("with_points", [True, False])
def test_maps_become_metric_by_points_or_triangulation_and_moving_pixels_have_no_say(tmp_path, layered, with_points):
    scene, layers = given_scene(tmp_path, layered, with_points=with_points)
    run_depth(scene, DepthConfig(align_median=1, align_sigma=0))
    summary = scene.summary("depth")
    assert summary["metric"] is True
    assert summary["aligned"] is True
    assert summary["verdict"] == "good"
    assert summary["alignment_error"] < 0.005
    assert summary["alignment_error_before"] > 0.05
    source = "frames_fitted_to_points" if with_points else "frames_fitted_to_triangulation"
    assert summary[source] == 6
    for i in range(6):
        disparity, confidence = scene.disparity(i)
        index, _, depth = layered.trace(scene.cameras, layers, i)
        static = index != 2
        assert np.abs(disparity * depth - 1)[static].max() < 0.01
        # What the network says of the board (three times too near) is scaled along, and trusted half.
        assert (disparity * depth)[~static].min() > 2
        assert confidence[~static].max() == pytest.approx(0.5 * confidence[static].max(), rel=0.01)
    record = read_npz(scene.depth_dir / "alignment.npz", ["frame", "inverse_depth", "aligned"])
    assert np.abs(record["aligned"] / record["inverse_depth"] - 1).max() < 0.01


def test_disparity_stays_above_the_floor(tmp_path, layered):
    scene, _ = given_scene(tmp_path, layered, moving=False)
    for i in range(6):
        path = scene.given_dir / "depth" / f"{i:05d}.npz"
        disparity = read_npz(path, ["disparity"])["disparity"]
        disparity[:4, :4] = -5  # far behind infinity
        write_npz(path, disparity=disparity)
    run_depth(scene, DepthConfig())
    assert scene.disparity(2)[0].min() == pytest.approx(0.5 / 6.0)  # half of 1 / far


def test_what_fits_nothing_stays_relative_and_says_so(tmp_path, layered):
    scene, _ = given_scene(tmp_path, layered, moving=False)
    random, before = np.random.default_rng(0), []
    for i in range(6):
        before.append(random.uniform(0.1, 1, scene.size).astype(np.float32))
        write_npz(scene.given_dir / "depth" / f"{i:05d}.npz", disparity=before[i])
    run_depth(scene, DepthConfig())
    summary = scene.summary("depth")
    assert summary["metric"] is False
    assert summary["verdict"] != "good"
    assert "without unit" in summary["message"]
    assert np.allclose(scene.disparity(3)[0], before[3])


def test_depth_that_fits_already_is_left_alone(tmp_path, layered):
    scene, layers = given_scene(tmp_path, layered, moving=False)
    for i in range(6):
        _, _, depth = layered.trace(scene.cameras, layers, i)
        write_npz(scene.given_dir / "depth" / f"{i:05d}.npz", disparity=(1.02 / depth).astype(np.float32))
    run_depth(scene, DepthConfig())
    _, _, depth = layered.trace(scene.cameras, layers, 1)
    assert np.allclose(scene.disparity(1)[0], 1.02 / depth)
    summary = scene.summary("depth")
    assert (summary["metric"], summary["aligned"]) == (True, False)
    assert summary["alignment_error"] == pytest.approx(1 - 1 / 1.02, abs=1e-4)


def test_unaligned_where_nothing_can_be_known(tmp_path, layered):
    cameras = layered.make_cameras(3, (0, 0, 0))
    scene = layered.make_scene(tmp_path / "scene", cameras, [layered.Layer(4.0)])
    for i in range(3):
        write_image(scene.motion_dir / f"{i:05d}.png", np.zeros((48, 64), np.uint8))
        write_npz(scene.given_dir / "depth" / f"{i:05d}.npz", disparity=np.full((48, 64), 7.0, np.float32))
    run_depth(scene, DepthConfig())
    assert scene.summary("depth")["metric"] is False
    assert np.allclose(scene.disparity(0)[0], 7)
