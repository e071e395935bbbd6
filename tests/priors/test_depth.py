"""Depth stage: exact triangulation, interpolation against a dense solve, ground contact by hand, errors."""

from __future__ import annotations

import numpy as np
import pytest

from nsff.cameras.points import SparsePoints
from nsff.config import DepthConfig
from nsff.errors import StageError
from nsff.files.io import write_image, write_npz
from nsff.geometry.triangulation import solve_pair, triangulate
from nsff.imaging.densify import _smooth_rows, densify
from nsff.imaging.medians import weighted_median
from nsff.priors.depth.ground_contact import Contact, ground_contact, smooth_contacts
from nsff.priors.depth.stage import run_depth
from nsff.priors.depth.static_triangulation import smoothness
from nsff.tracking.chaining import FlowCache, chain_flows
from nsff.tracking.components import label_components
from nsff.tracking.tracklets import link_tracklets


def room(layered):
    return [
        layered.Layer(5.0, colour=(40, 90, 60)),
        layered.Layer(3.5, (-0.9, 0.4), (0.5, 0.7), colour=(150, 60, 60)),
        layered.Layer(2.5, (0.5, -0.3), (0.4, 0.3), colour=(60, 60, 190)),
    ]


# --- triangulation ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", [(0.1, 0, 0), (0.05, -0.08, 0.1)])
def test_exact_flow_gives_exact_inverse_depth(layered, step):
    cameras = layered.make_cameras(2, step, angle=0.02)
    flow, _ = layered.exact_flow(cameras, room(layered), 0, 1)
    w, s, residual = solve_pair(cameras, 0, 1, flow)
    _, _, depth = layered.trace(cameras, room(layered), 0)
    sure = s > 1.0  # near the epipole nothing can be said
    assert sure.mean() > 0.9
    assert np.abs(w * depth - 1)[sure].max() < 1e-4
    assert residual[sure].max() < 1e-4


def test_sensitivity_by_hand(layered):
    # f = 60, baseline 0.1: the shift is f b w pixels, so s = 6 everywhere for a sideways camera.
    cameras = layered.make_cameras(2, (0.1, 0, 0))
    flow, _ = layered.exact_flow(cameras, [layered.Layer(4.0)], 0, 1)
    _, s, _ = solve_pair(cameras, 0, 1, flow)
    assert np.allclose(s, 6.0)
    assert np.allclose(flow, [-1.5, 0], atol=1e-5)


def test_pixel_centres_matter(layered):
    # The ray through the middle of pixel (24, 32) projects back to (32.5, 24.5), not to its corner.
    cameras = layered.make_cameras(1, (0, 0, 0))
    _, points, _ = layered.trace(cameras, [layered.Layer(4.0)], 0)
    uv, _ = cameras.project(points.reshape(-1, 3))
    assert np.allclose(uv[0].reshape(48, 64, 2)[24, 32], [32.5, 24.5])


def test_fusion_is_exact_and_leaves_moving_pixels_out(layered):
    cameras = layered.make_cameras(5, (0.08, 0, 0))
    layers = room(layered)
    link = FlowCache(lambda i, d: layered.exact_flow(cameras, layers, i, i + (1 if d == "fwd" else -1)))
    moving = {j: np.zeros((48, 64), bool) for j in range(5)}
    moving[2][10:20, 10:20] = True
    result = triangulate(cameras, 2, {j: link(2, j) for j in (1, 3)}, moving, (0.1, 1.0), 0.5)
    _, _, depth = layered.trace(cameras, layers, 2)
    known = result.confidence > 0
    assert not known[10:20, 10:20].any()
    assert known.mean() > 0.85
    assert np.abs(result.inverse_depth * depth - 1)[known].max() < 1e-4
    assert result.views.max() == 2
    far = chain_flows(link, 2, [0, 4])
    longer = triangulate(cameras, 2, {**{j: link(2, j) for j in (1, 3)}, **far}, moving, (0.1, 1.0), 0.5)
    both = known & (longer.confidence > 0)
    assert longer.confidence[both].mean() > result.confidence[both].mean()  # a wider base is surer


def test_nothing_is_known_without_parallax(layered):
    cameras = layered.make_cameras(2, (0.001, 0, 0))
    link = layered.exact_flow(cameras, room(layered), 0, 1)
    moving = {j: np.zeros((48, 64), bool) for j in range(2)}
    assert not triangulate(cameras, 0, {1: link}, moving, (0.1, 1.0), 0.5).confidence.any()


def test_weighted_median_by_hand():
    values = np.array([5.0, np.nan, 1.0, 3.0]).reshape(4, 1, 1)
    for weights, expected in (([1, 0, 1, 1], 3.0), ([1, 0, 3, 1], 1.0), ([9, 0, 1, 1], 5.0)):
        assert weighted_median(values, np.array(weights, float).reshape(4, 1, 1))[0, 0] == expected


# --- interpolation ---------------------------------------------------------------------------------------------


def test_rows_are_solved_exactly():
    generator = np.random.default_rng(0)
    values, links = generator.random((3, 7, 2)), generator.random((3, 6)) * 5
    fast = _smooth_rows(values, links)
    for row in range(3):
        L = np.diag(np.r_[links[row], 0] + np.r_[0, links[row]]) - np.diag(links[row], 1) - np.diag(links[row], -1)
        assert np.allclose(np.linalg.solve(np.eye(7) + L, values[row]), fast[row])


def test_interpolation_keeps_constants_fills_gaps_and_respects_edges():
    image = np.full((40, 60, 3), 50, np.uint8)
    image[:, 30:] = 200
    truth = np.where(np.arange(60) < 30, 0.2, 0.5) * np.ones((40, 1))
    confidence = np.zeros((40, 60))
    confidence[::8, ::9] = 1.0
    dense = densify(truth * confidence + 7 * (confidence == 0), confidence, image)
    assert np.abs(dense - truth).max() < 0.005
    assert np.allclose(densify(np.full((40, 60), 0.3), confidence, image), 0.3)
    with pytest.raises(ValueError, match="no pixel"):
        densify(truth, np.zeros((40, 60)), image)


def test_smoothness_falls_at_steps_only():
    disparity = np.full((10, 20), 0.5, np.float32)
    disparity[:, 10:] = 0.25
    disparity[5, 3] = 0  # not measured: 0 itself, harmless to its neighbours
    weight = smoothness(disparity)
    assert weight[:, 8:12].max() < 1e-3
    assert weight[5, 3] == 0
    assert weight[5, 4] == pytest.approx(1, abs=1e-3)


# --- ground contact --------------------------------------------------------------------------------------------


def floor_scene() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """288 rows: floor d = 0.002 (v - 100) below row 120, wall d = 0.04 above; a figure stands with its sole at 200."""
    v = np.arange(288)[:, None] * np.ones((1, 160))
    disparity = np.where(v > 120, 0.002 * (v - 100), 0.04)
    part = np.zeros((288, 160), bool)
    part[90:201, 70:85] = True
    return disparity, np.where(part, 0.0, 1.0), part


def test_a_standing_thing_takes_the_floor_where_it_touches():
    disparity, confidence, part = floor_scene()
    disparity[part] = 0
    contact = ground_contact(part, part, disparity, confidence)
    assert contact.disparity == pytest.approx(0.002 * 100, rel=0.01)  # not the wall's 0.04 behind its head
    assert contact.weight == 1.0


def test_a_thing_before_a_wall_counts_less_and_one_cut_by_the_border_less_still():
    disparity, confidence, part = floor_scene()
    flying = np.roll(part, -150, axis=0) & (np.arange(288)[:, None] < 100)
    assert ground_contact(flying, flying, np.full_like(disparity, 0.04), np.ones_like(confidence)).weight == 0.5
    cut = np.zeros_like(part)
    cut[150:, 70:85] = True
    contact = ground_contact(cut, cut, disparity, np.where(cut, 0.0, 1.0))
    assert contact.weight == 0.3
    assert contact.disparity > 0.002 * 150
    assert ground_contact(part, part, disparity, np.zeros_like(confidence)) == Contact(0.0, 0.0)


def test_components_join_small_gaps_and_drop_specks():
    mask = np.zeros((288, 200), bool)
    mask[50:100, 50:80] = True
    mask[72:74, 50:80] = False
    mask[200:230, 150:170] = True
    mask[10, 10] = True
    labels = label_components(mask)
    assert labels.max() == 2
    assert labels[60, 60] == labels[90, 60] != labels[210, 160]
    assert labels[10, 10] == 0
    assert labels[73, 60] == 0


def test_objects_follow_the_flow_and_their_depth_is_smoothed():
    labels = [np.zeros((40, 120), np.int32) for _ in range(5)]
    for i, frame in enumerate(labels):
        # Two things swap their label numbers from frame to frame.
        first, second = (1, 2) if i % 2 == 0 else (2, 1)
        frame[10:20, 10 + 12 * i : 20 + 12 * i] = first
        frame[25:35, 90:110] = second
    flow = np.zeros((40, 120, 2), np.float32)
    flow[:22, :, 0] = 12
    objects = link_tracklets(labels, lambda i, j: (flow, np.ones((40, 120), bool)))
    walker = [objects[i][1 if i % 2 == 0 else 2] for i in range(5)]
    assert len(set(walker)) == 1
    assert len({identity for frame in objects for identity in frame.values()}) == 2
    # One bad contact and one missing are outvoted by the others of the same object.
    contacts = []
    for i in range(5):
        mine, other = (1, 2) if i % 2 == 0 else (2, 1)
        value = {1: Contact(0.9, 1.0), 3: Contact(0.0, 0.0)}.get(i, Contact(0.2, 1.0))
        contacts.append({mine: value, other: Contact(0.5, 1.0)})
    smoothed = smooth_contacts(contacts, objects)
    for i in range(5):
        mine, other = (1, 2) if i % 2 == 0 else (2, 1)
        assert smoothed[i][mine].disparity == pytest.approx(0.2)
        assert smoothed[i][other].disparity == pytest.approx(0.5)
    assert smoothed[3][1 if 3 % 2 == 0 else 2].weight == 0.2


# --- the stage -------------------------------------------------------------------------------------------------


def with_masks(scene, masks=None):
    for i in range(scene.n_frames):
        mask = np.zeros(scene.size, np.uint8) if masks is None else masks[i].astype(np.uint8) * 255
        write_image(scene.motion_dir / f"{i:05d}.png", mask)
    return scene


def test_classical_depth_of_a_still_room(tmp_path, layered):
    cameras, layers = layered.make_cameras(5, (0.08, 0.02, 0)), room(layered)
    _, seen, _ = layered.trace(cameras, layers, 2)
    xyz = seen[4::8, 4::8].reshape(-1, 3)
    count = len(xyz)
    points = SparsePoints(xyz, np.zeros((count, 3), np.uint8), np.zeros(count), np.arange(count), np.full(count, 2))
    scene = with_masks(layered.make_scene(tmp_path / "scene", cameras, layers, points))
    run_depth(scene, DepthConfig())
    for i in range(5):
        disparity, confidence = scene.disparity(i)
        _, _, depth = layered.trace(cameras, layers, i)
        assert (disparity > 0).all()
        assert np.median(np.abs(disparity * depth - 1)) < 0.002
        assert np.mean(np.abs(disparity * depth - 1)) < 0.03
        assert confidence.min() >= 0
        assert confidence.max() <= 1
    summary = scene.summary("depth")
    assert summary["metric"] is True
    assert summary["triangulated_fraction"] > 0.9
    assert summary["points_depth_error"] < 0.005
    assert summary["moving_fraction"] == 0


def test_a_camera_that_stands_still_is_an_error_that_says_so(tmp_path, layered):
    scene = layered.make_scene(tmp_path / "scene", layered.make_cameras(3, (0, 0, 0)), room(layered))
    with pytest.raises(StageError, match="triangulated"):
        run_depth(with_masks(scene), DepthConfig())
    assert not scene.depth_dir.exists()


def test_a_camera_that_only_turns_gets_one_distance_and_says_so(tmp_path, layered):
    cameras = layered.make_cameras(3, (0, 0, 0), angle=0.05)
    scene = with_masks(layered.make_scene(tmp_path / "scene", cameras, room(layered)))
    run_depth(scene, DepthConfig())
    disparity, confidence = scene.disparity(1)
    assert np.ptp(disparity) == 0 and disparity.min() > 0 and confidence.max() < 0.1
    assert scene.summary("depth")["verdict"] == "poor"
    assert "only turns" in scene.summary("depth")["message"]


def test_given_depth_is_resized_and_its_scale_tested(tmp_path, layered):
    cameras, layers = layered.make_cameras(2, (0.08, 0, 0)), [layered.Layer(4.0)]
    _, seen, _ = layered.trace(cameras, layers, 0)
    xyz = seen[4::8, 4::8].reshape(-1, 3)
    n = len(xyz)
    points = SparsePoints(xyz, np.zeros((n, 3), np.uint8), np.zeros(n), np.arange(n), np.zeros(n))
    scene = with_masks(layered.make_scene(tmp_path / "scene", cameras, layers, points))
    for scale, align, metric in ((1.0, False, True), (3.0, False, False), (1.0, True, True), (3.0, True, True)):
        for i in range(2):
            path = scene.given_dir / "depth" / f"{i:05d}.npz"
            write_npz(path, disparity=np.full((96, 128), 0.25 * scale, np.float32))
        run_depth(scene, DepthConfig(align=align))
        disparity, confidence = scene.disparity(1)
        assert disparity.shape == (48, 64)
        # Frame 1 sees no points: it takes after frame 0, and is trusted less.
        aligned = align and scale != 1
        assert np.allclose(disparity, 0.25 * (1 if aligned else scale))
        assert np.allclose(confidence, 0.5 if aligned else 1)
        assert scene.summary("depth")["metric"] is metric


@pytest.mark.parametrize("damage", ["missing", "corrupt", "not finite"])
def test_bad_given_depth_is_named(tmp_path, layered, damage):
    scene = layered.make_scene(tmp_path / "scene", layered.make_cameras(2, (0.1, 0, 0)), [layered.Layer(4.0)])
    write_npz(scene.given_dir / "depth" / "00000.npz", disparity=np.ones((48, 64)))
    bad = scene.given_dir / "depth" / "00001.npz"
    if damage == "corrupt":
        bad.write_bytes(b"PK\x03\x04 nonsense")
    elif damage == "not finite":
        write_npz(bad, disparity=np.full((48, 64), np.inf))
    with pytest.raises(StageError, match="00001"):
        run_depth(scene, DepthConfig(backend="given"))
    assert not scene.depth_dir.exists()
