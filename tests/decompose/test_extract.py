"""Objects taken out in 3-D, point clouds, clusters in space and motion, in a world of boxes whose answers are known."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from nsff.config import DecomposeConfig, ExtractConfig, FieldConfig, RenderConfig, SamplingConfig
from nsff.decompose.clustering import run_cluster
from nsff.decompose.clusters import Clusters
from nsff.decompose.extract import extract_view, run_extract
from nsff.decompose.point_clusters import run_points
from nsff.decompose.surfaces import near_surfaces
from nsff.decompose.view_points import draw_by_saliency
from nsff.decompose.views import read_motion, read_views
from nsff.errors import StageError
from nsff.files.io import read_mask, write_image
from nsff.models.ray_fields.scene_model import Model
from nsff.models.ray_fields.space_samples import space_samples
from nsff.rendering.maps import run_maps

ROOT = Path(__file__).resolve().parents[2]
FOCAL, CENTRE = 60.0, (32.0, 24.0)


def silhouette(left: float, right: float, top: float, depth: float, shift: float = 0.0) -> np.ndarray:
    """Pixels (48,64) whose centre a box's front face covers; a rim of one pixel is left undecided as None."""
    u, v = np.meshgrid(np.arange(64) + 0.5, np.arange(48) + 0.5)
    x, y = (u - CENTRE[0]) / FOCAL * depth, (v - CENTRE[1]) / FOCAL * depth
    pixel = depth / FOCAL
    inner = (x > left + shift + pixel) & (x < right + shift - pixel) & (abs(y) < top - pixel)
    outer = (x > left + shift - 2 * pixel) & (x < right + shift + 2 * pixel) & (abs(y) < top + 2 * pixel)
    return np.where(inner, 1, np.where(outer, -1, 0))


def moving(time: float) -> np.ndarray:
    return silhouette(-0.4, 0.4, 0.3, 2.0, 0.05 * time)


RESTING = silhouette(0.2, 1.2, 0.4, 3.0)


def clusters() -> Clusters:
    """One centroid for each kind of thing: wall, resting box, moving box; both boxes are salient."""
    return Clusters(np.eye(4, dtype=np.float32)[:3], np.arange(3), [1, 2])


# --- samples ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("options", [
    {}, {"composition": "additive"}, {"dynamic_only": True}, {"static_only": True}, {"kind": "planes"},
])  # fmt: skip
def test_light_times_opacity_is_the_models_weight(tiny_cameras_model, options):
    model, rays = tiny_cameras_model(**options)
    found = space_samples(model, rays)
    T, evaluation = found.transmittance, found.evaluation
    torch.testing.assert_close(T * found.a_static, evaluation.static_weights, atol=1e-6, rtol=1e-4)
    if evaluation.dynamic_weights is not None:
        torch.testing.assert_close(T * found.a_dynamic, evaluation.dynamic_weights, atol=1e-6, rtol=1e-4)
    torch.testing.assert_close(found.sum("rgb", T).sum(1), model.composited(evaluation, "rgb"), atol=1e-5, rtol=1e-4)
    features = (T[..., None] * found.features(model)).sum(1)
    torch.testing.assert_close(features, model.features_of(evaluation), atol=1e-5, rtol=1e-4)


@pytest.fixture
def tiny_cameras_model(box_world):
    def make(**options):
        _, renderer = box_world(n=3)
        torch.manual_seed(1)
        config = FieldConfig(
            **{"kind": "mlp", "width": 16, "plane_resolutions": [8], "dynamic_resolutions": [8]} | options
        )
        model = Model(renderer.model.space, config, SamplingConfig(kind="stratified", samples=16), 4, 3)
        rays = model.frame_rays(renderer.camera(np.diag([6.0, 6, 1]), np.eye(4)[:3], 3, 4), 1.0)
        return model.eval().requires_grad_(False), rays

    return make


def test_samples_near_surfaces_lie_on_the_boxes(box_world):
    scene, renderer = box_world(n=3)
    found = near_surfaces(renderer, scene, read_views(scene)[1], 0.2)
    depth = found.points[:, 2]
    assert ((abs(depth - 2.15) < 0.16) | (abs(depth - 3.15) < 0.16) | (abs(depth - 4.15) < 0.16)).all()
    red = found.rgb[:, 0] > 0.9
    np.testing.assert_array_equal(red, abs(depth - 2.15) < 0.16)
    assert found.features[red, 2] == pytest.approx(1)
    assert found.saliency[red] == pytest.approx(0.9)
    seen = np.bincount(found.pixel[red], minlength=48 * 64).reshape(48, 64) > 0
    assert seen[moving(1) == 1].all()
    assert not seen[moving(1) == 0].any()


def test_points_are_drawn_with_odds_by_saliency(box_world):
    scene, renderer = box_world(n=3)
    found = near_surfaces(renderer, scene, read_views(scene)[0], 0.2)
    found.saliency[found.rgb[:, 0] > 0.9] = 0.2
    config = DecomposeConfig(point_interval=1)
    drawn = draw_by_saliency(found, config, np.random.default_rng(0))
    salient = np.count_nonzero(found.saliency > 0)
    assert len(drawn) == salient
    assert (drawn.saliency > 0).all()
    red, green = (np.count_nonzero(found.rgb[:, c] > 0.9) for c in (0, 1))
    share = np.mean(drawn.rgb[:, 0] > 0.9)
    assert share == pytest.approx(0.2 * red / (0.2 * red + 0.8 * green), abs=0.03)
    assert len(draw_by_saliency(found, DecomposeConfig(point_interval=200), np.random.default_rng(0))) == -(
        -salient // 200
    )
    again = draw_by_saliency(found, config, np.random.default_rng(0))
    np.testing.assert_array_equal(drawn.pixel, again.pixel)


# --- extraction ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("composition", ["blending", "additive"])
def test_an_object_alone_is_whole_where_another_hides_it(box_world, composition):
    scene, renderer = box_world(composition, n=3)
    view = read_views(scene)[2]
    found = extract_view(renderer, scene, view, clusters())
    green, red, both = found.rgba[1], found.rgba[2], found.rgba[0]
    front = moving(2)
    assert red[front == 1] == pytest.approx(np.broadcast_to([1.0, 0, 0, 1], (np.sum(front == 1), 4)), abs=1e-3)
    assert (red[front == 0][:, 3] < 1e-3).all()
    hidden = (RESTING == 1) & (front == 1)
    assert hidden.sum() > 20
    whole = np.broadcast_to([0, 1.0, 0, 1], (np.sum(RESTING == 1), 4))
    assert green[RESTING == 1] == pytest.approx(whole, abs=1e-3)
    assert (green[RESTING == 0][:, 3] < 1e-3).all()
    # Together, what is in front hides the rest, and alpha is 1 on either and 0 on the wall.
    assert both[front == 1] == pytest.approx(red[front == 1], abs=1e-3)
    beside = (RESTING == 1) & (front == 0)
    assert both[beside] == pytest.approx(np.broadcast_to([0, 1.0, 0, 1], (beside.sum(), 4)), abs=1e-3)
    assert (both[(RESTING == 0) & (front == 0)][:, 3] < 1e-3).all()
    assert found.depth[front == 1] == pytest.approx(2.1, abs=0.15)
    assert found.depth[beside] == pytest.approx(3.1, abs=0.15)
    assert (found.depth[(RESTING == 0) & (front == 0)] == 0).all()


def test_without_the_hidden_an_object_is_what_is_seen_of_it(box_world):
    scene, renderer = box_world(n=3)
    view = read_views(scene)[2]
    found = extract_view(renderer, scene, view, clusters(), occluded=False)
    green, front = found.rgba[1], moving(2)
    assert (green[(RESTING == 1) & (front == 1)][:, 3] < 1e-3).all()
    beside = (RESTING == 1) & (front == 0)
    assert green[beside] == pytest.approx(np.broadcast_to([0, 1.0, 0, 1], (beside.sum(), 4)), abs=1e-3)
    # Both share the picture's light between them: their alphas add up to that of both together.
    alphas = [found.rgba[n][..., 3] for n in (0, 1, 2)]
    np.testing.assert_allclose(alphas[1] + alphas[2], alphas[0], atol=1e-3)
    assert found.seen == pytest.approx(1, abs=0.01)
    # The wall alone, taken out whole, lies behind both boxes.
    wall = Clusters(np.eye(4, dtype=np.float32)[:3], np.arange(3), [0])
    share = extract_view(renderer, scene, view, wall).seen
    least, most = ((RESTING == 1) | (front == 1)).mean(), ((RESTING != 0) | (front != 0)).mean()
    assert 1 - most < share < 1 - least


def test_colours_are_straight_where_alpha_is_small(box_world, monkeypatch):
    """A box of little density keeps its colour; only its alpha is small."""
    from nsff.models.ray_fields import scene_model as module

    scene, renderer = box_world(n=3)
    original = module.space_samples

    def thin(model, rays):
        found = original(model, rays)
        dense = torch.minimum(found.opacity, torch.tensor(0.1))
        return type(found)(found.a_static.clamp(max=0.1), found.a_dynamic.clamp(max=0.1), dense, found.evaluation)

    monkeypatch.setattr(module, "space_samples", thin)
    red = extract_view(renderer, scene, read_views(scene)[0], clusters()).rgba[2][moving(0) == 1]
    assert red[:, :3] == pytest.approx(np.broadcast_to([1.0, 0, 0], red[:, :3].shape), abs=1e-3)
    assert (red[:, 3] > 0.05).all()
    assert (red[:, 3] < 0.9).all()
    # n samples of opacity 0.1: 1 - 0.9^n for a whole n.
    n = np.log(1 - red[:, 3]) / np.log(0.9)
    assert n == pytest.approx(np.round(n), abs=1e-3)


def test_the_stage(box_world, read_ply):
    scene, _ = box_world(n=4, extra=2)
    run_maps(scene, RenderConfig(canonical_views="saff"))
    run_cluster(scene, DecomposeConfig(restarts=2))
    stored = json.loads((scene.clusters_dir / "clusters.json").read_text())
    assert len(stored["salient"]) == 2
    summary = run_extract(scene, ExtractConfig())
    assert summary["verdict"] == "good"
    assert scene.summary("extract") == summary
    folder = scene.extracted_dir
    views = read_views(scene)
    assert len(list(folder.glob("*_rgba.png"))) == len(list((folder / "object_1").glob("*.png"))) == len(views) == 12
    picture = cv2.imread(str(folder / "3_rgba.png"), cv2.IMREAD_UNCHANGED)
    assert picture[moving(3) == 1][:, [2, 3]].min() == 255
    disparity = read_mask(folder / "3_depth.png")
    scale = json.loads((folder / "scale.json").read_text())["disparity_of_65535"]
    assert 1 / (disparity[moving(3) == 1] / 65535 * scale) == pytest.approx(2.1, abs=0.15)
    clouds = {path.name: read_ply(path) for path in (folder / "points").glob("*.ply")}
    assert sorted(clouds) == sorted(f"{i:05d}_{k}.ply" for i in (0, 2, 3) for k in ("colour", "saliency", "clusters"))
    cloud = clouds["00003_colour.ply"]
    red = (cloud["red"] == 255) & (cloud["green"] == 0)
    np.testing.assert_array_equal(red, cloud["z"] < 2.5)
    assert len(np.unique(cloud["object"][red])) == 1
    assert set(np.unique(cloud["object"])) == {0, 1, 2}
    assert clouds["00003_saliency.ply"]["red"][red] == pytest.approx(round(0.9 * 255), abs=1)


def test_nothing_salient_is_said(box_world):
    scene, _ = box_world(n=3)
    run_maps(scene, RenderConfig())
    run_cluster(scene, DecomposeConfig(restarts=1, saliency_threshold=0.99, keep_best=False))
    assert run_extract(scene, ExtractConfig())["verdict"] == "poor"
    assert cv2.imread(str(scene.extracted_dir / "0_rgba.png"), cv2.IMREAD_UNCHANGED)[..., 3].max() == 0


# --- motion (docs/methods.md#the-motion-vote) -------------------------------------------------------------------------
def test_motion_maps_show_what_moves_in_the_same_camera(box_world):
    scene, _ = box_world(n=4)
    run_maps(scene, RenderConfig())
    motion = np.load(scene.maps_dir / "1_motion.npy")
    # 60 pixels at depth 1, box at 2 to 2.3, 0.05 a frame: 1.5 to 1.3 pixels, both ways.
    assert motion[moving(1) == 1] == pytest.approx(1.4, abs=0.12)
    assert (motion[moving(1) == 0] == 0).all()
    assert (np.load(scene.maps_dir / "0_motion.npy")[..., 1] == 0).all()
    assert (np.load(scene.maps_dir / "3_motion.npy")[..., 0] == 0).all()
    scaled = read_motion(scene, read_views(scene)[1])
    assert scaled.min() == 0
    assert scaled.max() == 1


def test_a_vote_may_ask_for_motion(box_world):
    scene, _ = box_world(n=4)
    run_maps(scene, RenderConfig())
    run_cluster(scene, DecomposeConfig(restarts=2))
    assert len(json.loads((scene.clusters_dir / "clusters.json").read_text())["salient"]) == 2
    run_cluster(scene, DecomposeConfig(restarts=2, motion_threshold=0.07))
    salient = json.loads((scene.clusters_dir / "clusters.json").read_text())["salient"]
    assert len(salient) == 1
    merged = read_mask(scene.clusters_dir / "merged" / "2.png") == salient[0] + 1
    assert merged[moving(2) == 1].all()
    assert not merged[moving(2) == 0].any()
    (scene.maps_dir / "1_motion.npy").unlink()
    with pytest.raises(StageError, match=r"1_motion\.npy: missing"):
        run_cluster(scene, DecomposeConfig(restarts=1, motion_threshold=0.07))


# --- clusters in space (docs/methods.md#clusters-in-space) ------------------------------------------------------------
def test_two_stages_in_space_find_both_boxes(box_world):
    scene, _ = box_world(n=4)
    run_maps(scene, RenderConfig())
    config = DecomposeConfig(source="points", restarts=2, point_interval=5, saliency_threshold=0.11)
    assert run_points(scene, config)["verdict"] == "good"
    run_cluster(scene, config)
    found = Clusters.load(scene)
    assert found.fine is not None
    assert len(found.salient) == 2
    assert min(found.salient) >= len(found.centroids)
    for i in range(4):
        merged = read_mask(scene.clusters_dir / "merged" / f"{i}.png").astype(int) - 1
        raw = read_mask(scene.clusters_dir / "raw" / f"{i}.png").astype(int) - 1
        np.testing.assert_array_equal(merged, found.merge[raw])
        front = merged[moving(i) == 1]
        assert len(np.unique(front)) == 1
        assert front[0] in found.salient
        beside = merged[(RESTING == 1) & (moving(i) == 0)]
        assert len(np.unique(beside)) == 1
        assert beside[0] in set(found.salient) - {front[0]}
    numbers = scene.summary("cluster")
    assert numbers["salient_labels"] == 2
    assert numbers["passed_vote"]


def test_points_with_position_time_and_motion(box_world):
    scene, _ = box_world(n=4)
    run_maps(scene, RenderConfig())
    config = DecomposeConfig(
        source="points", restarts=2, point_interval=5, saliency_threshold=0.11, use_position=True, use_time=True,
        motion_threshold=0.07,
    )  # fmt: skip
    run_points(scene, config)
    run_cluster(scene, config)
    found = Clusters.load(scene)
    assert found.extra == 4
    assert found.centroids.shape[1] == 8
    assert found.has_position
    assert found.has_time
    assert run_extract(scene, ExtractConfig(clouds=1))["alpha"]


def test_a_transparent_scene_has_no_points(box_world):
    scene, renderer = box_world(n=3)
    run_maps(scene, RenderConfig())
    renderer.model.static.boxes, renderer.model.dynamic.boxes = [], []
    assert run_points(scene, DecomposeConfig())["verdict"] == "poor"
    with pytest.raises(StageError, match="no sample has an opacity"):
        run_cluster(scene, DecomposeConfig(source="points"))
    (scene.surface_points_dir / "1.npz").write_bytes(b"nothing")
    with pytest.raises(StageError, match=r"1\.npz"):
        run_cluster(scene, DecomposeConfig(source="points"))


# --- position and time, input frames (docs/methods.md#clusters-of-the-input-frames) -----------------------------------
def test_position_tells_things_of_the_same_feature_apart(box_world):
    from nsff.cameras.spaces import make_space
    from nsff.decompose.descriptors import Descriptors, normalised_positions

    scene, renderer = box_world(n=4)
    run_maps(scene, RenderConfig())
    views = read_views(scene)
    plain = Descriptors(scene, DecomposeConfig()).of_view(views[3])
    wide = Descriptors(scene, DecomposeConfig(use_position=True, use_time=True)).of_view(views[3])
    assert wide.shape == (48, 64, 8)
    np.testing.assert_array_equal(wide[..., :4], plain)
    np.testing.assert_allclose(np.linalg.norm(wide[..., 4:7], axis=2), 1, rtol=1e-5)
    # A pixel of the moving box: its point in normalised space, scaled to length 1.
    u, v, depth = 34, 24, 2.1
    X = torch.tensor([[(u + 0.5 - 32) / 60 * depth, (v + 0.5 - 24) / 60 * depth, depth]])
    expected = torch.nn.functional.normalize(renderer.model.space.from_world(X), dim=-1)[0].numpy()
    np.testing.assert_allclose(wide[v, u, 4:7], expected, atol=0.15)
    for kind in ("ndc", "contraction"):
        space = make_space(kind, scene.cameras)
        points = np.random.default_rng(0).normal(size=(50, 3)) * 3 + [0, 0, 5]
        np.testing.assert_allclose(
            normalised_positions(points, space.to_dict()), space.from_world(torch.from_numpy(points)), rtol=1e-9
        )
    # Time codes 2k/4 - 1 of four frames: -1, -0.5, 0, 0.5; of one number only the sign is left.
    signs = [Descriptors(scene, DecomposeConfig(use_time=True)).of_view(view)[0, 0, -1] for view in views]
    assert signs == [-1, -1, 0, 1]


def test_position_and_time_do_not_take_part_in_merging(box_world):
    scene, _ = box_world(n=4)
    run_maps(scene, RenderConfig())
    run_cluster(scene, DecomposeConfig(restarts=2, use_position=True, use_time=True))
    found = Clusters.load(scene)
    assert found.extra == 4
    # Whatever place and time made of it, there are three features, and so three labels.
    assert len(np.unique(found.merge)) == 3


def test_input_frames_alone(box_world, tmp_path):
    scene, _ = box_world(n=4)
    run_maps(scene, RenderConfig(canonical_views="saff"))
    # Features of the frames say something else than the rendered ones: left and right.
    features = np.zeros((4, 24, 32, 4), np.float32)
    features[:, :, :16, 0] = features[:, :, 16:, 1] = 1
    saliency = np.zeros((4, 24, 32), np.float32)
    saliency[:, :, 16:] = 0.5
    scene.write_features(features, saliency)
    run_cluster(scene, DecomposeConfig(source="images", restarts=2))
    names = sorted(path.name for path in (scene.clusters_dir / "merged").glob("*.png"))
    assert names == [f"{i}.png" for i in range(4)]
    found = Clusters.load(scene)
    merged = read_mask(scene.clusters_dir / "merged" / "1.png")
    assert set(np.unique(merged[:, 34:])) == {found.salient[0] + 1}
    assert found.salient[0] + 1 not in merged[:, :30]
    from nsff.config import CrfConfig
    from nsff.decompose.crf import run_crf
    from nsff.decompose.postprocess import run_postprocess

    run_postprocess(scene, DecomposeConfig(cleaning="none"))
    run_crf(scene, CrfConfig(backend="own", iterations=1))
    assert len(list(scene.masks_crf_dir.glob("[0-9]*.png"))) == 4


# --- merge chains (docs/methods.md#merging-and-the-saliency-vote) -----------------------------------------------------
def test_unresolved_chains_lose_what_they_pass_on(fake_scene):
    from nsff.decompose.voting import merge_map

    # Cosines: 1-0 and 2-1 above one half, 2-0 below it.
    angles = np.radians([0, 50, 100])
    centroids = np.stack([np.cos(angles), np.sin(angles)], 1)
    assert merge_map(centroids, 0.5).tolist() == [0, 0, 0]
    assert merge_map(centroids, 0.5, "one_step").tolist() == [0, 0, 1]
    scene = fake_scene(n=3)
    for i in range(3):
        features = np.zeros((48, 64, 2), np.float32)
        for k in range(3):
            features[16 * k : 16 * k + 16] = centroids[k]
        np.save(scene.maps_dir / f"{i}_features.npy", features)
        write_image(scene.maps_dir / f"{i}_sal.png", np.full((48, 64), 128, np.uint8))
    # Whatever order k-means finds them in, with a chain all three are one salient label, and unresolved one is lost.
    fixed = DecomposeConfig(restarts=2, max_clusters=3, merge_chains="resolved")
    run_cluster(scene, fixed)
    whole = Clusters.load(scene)
    run_cluster(scene, fixed.model_copy(update={"merge_chains": "one_step"}))
    broken = Clusters.load(scene)
    assert whole.salient == broken.salient == [0]
    assert (whole.merge == 0).all()
    chained = (broken.merge != 0).any()
    lost = [np.isin(read_mask(scene.clusters_dir / "merged" / f"{i}.png"), [2]).mean() for i in range(3)]
    assert lost == pytest.approx([1 / 3 if chained else 0] * 3)


def test_clustering_does_without_torch():
    """Its environment has none (envs/objects.yaml)."""
    rooms = ", ".join(f"nsff.decompose.{name}" for name in ("clustering", "point_clusters", "postprocess", "crf"))
    code = f"import sys; sys.modules['torch'] = None\nimport {rooms}"
    subprocess.run([sys.executable, "-c", code], check=True, env=os.environ | {"PYTHONPATH": str(ROOT)})
