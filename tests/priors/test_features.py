"""Classical descriptors, motion saliency, PCA and the features stage."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from nsff.cameras import Cameras
from nsff.config import DecomposeConfig, FeaturesConfig
from nsff.decompose.clustering import run_cluster
from nsff.errors import ConfigError, StageError
from nsff.files.io import read_json, read_npz, write_image, write_json
from nsff.imaging.filters import guided_filter
from nsff.priors.features.classical import ClassicalFeatures, appearance, orientation_histograms, tensor
from nsff.priors.features.describer import FeatureBackend
from nsff.priors.features.position import image_position
from nsff.priors.features.registry import FEATURES
from nsff.priors.features.stage import fit_basis, run_features
from nsff.priors.motion.saliency import flow_residual, soft_saliency, steady_saliency
from nsff.scene import Scene

HEIGHT, WIDTH, N = 60, 90, 5


def square(i: int) -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[20:42, 20 + 3 * i : 42 + 3 * i] = True
    return mask


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """A checked square moves right by 3 pixels a frame over static noise; masks are dilated as the motion stage
    does."""
    scene = Scene(tmp_path / "scene")
    K = np.array([[80.0, 0, WIDTH / 2], [0, 80, HEIGHT / 2], [0, 0, 1]])
    pose = np.concatenate([np.eye(3), np.zeros((3, 1))], 1)
    Cameras(np.repeat(K[None], N, 0), np.repeat(pose[None], N, 0), np.tile([1.0, 9.0], (N, 1)), WIDTH, HEIGHT).save(
        scene.cameras_path
    )
    write_json(scene.manifest_path, {"n_frames": N, "width": WIDTH, "height": HEIGHT, "frames": []})
    generator = np.random.default_rng(0)
    wall = cv2.resize(generator.integers(40, 160, (12, 18, 3)).astype(np.uint8), (WIDTH, HEIGHT))
    checks = (np.indices((22, 22)).sum(0) // 4 % 2)[..., None] * np.array([190, 30, 30]) + np.array([60, 20, 20])
    for i in range(N):
        image, mask = wall.copy(), square(i)
        image[mask] = checks.reshape(-1, 3)
        scene.write_image(i, image)
        write_image(
            scene.motion_dir / f"{i:05d}.png", cv2.dilate(mask.astype(np.uint8), np.ones((5, 5), np.uint8)) * 255
        )
        for direction, j in (("fwd", i + 1), ("bwd", i - 1)):
            if 0 <= j < N:
                flow = np.zeros((HEIGHT, WIDTH, 2), np.float32)
                flow[mask, 0] = 3 * (j - i)
                scene.write_flow(i, direction, flow, np.ones(mask.shape, bool))
    return scene


def test_stage_writes_features_saliency_and_basis(scene: Scene):
    run_features(scene, FeaturesConfig(components=20, stride=2))
    features, saliency = scene.features()
    assert features.shape == (N, 30, 45, 20)
    assert features.dtype == saliency.dtype == np.float16
    assert isinstance(features, np.memmap)
    basis = read_npz(scene.features_dir / "pca.npz", ["mean", "components"])
    assert basis["components"].shape == (20, len(basis["mean"]))
    np.testing.assert_allclose(basis["components"] @ basis["components"].T, np.eye(20), atol=1e-5)
    # Descriptors have unit length, so that no feature leaves the ball of radius 1 + |mean|.
    assert np.linalg.norm(features.astype(np.float32), axis=-1).max() <= 1 + np.linalg.norm(basis["mean"]) + 1e-2
    for i in range(N):
        inner = cv2.erode(square(i).astype(np.uint8), np.ones((9, 9), np.uint8))[::2, ::2] > 0
        outer = cv2.dilate(square(i).astype(np.uint8), np.ones((13, 13), np.uint8))[::2, ::2] == 0
        assert saliency[i][inner].min() > 0.7
        assert saliency[i][outer].max() < 0.02
    summary = scene.summary("features")
    assert summary["verdict"] == "good"
    assert 0.05 < summary["salient_fraction"] < 0.12
    assert 0.9 < summary["explained_variance"] <= 1
    assert not list(scene.features_dir.glob(".tmp*"))


def test_odd_sizes_round_up(scene: Scene):
    run_features(scene, FeaturesConfig(components=8, stride=7))
    assert scene.features()[0].shape == (N, 9, 13, 8)


def test_clusters_of_the_features_find_the_moving_object(scene: Scene):
    run_features(scene, FeaturesConfig(components=32, stride=1))
    features, saliency = scene.features()
    write_json(
        scene.maps_dir / "views.json", [{"index": i, "split": "training", "camera": i, "time": i} for i in range(N)]
    )
    for i in range(N):
        np.save(scene.maps_dir / f"{i}_features.npy", features[i])
        write_image(scene.maps_dir / f"{i}_sal.png", np.round(saliency[i].astype(np.float32) * 255).astype(np.uint8))
    run_cluster(scene, DecomposeConfig(restarts=3, iterations=50))
    salient = read_json(scene.clusters_dir / "clusters.json")["salient"]
    for i in range(N):
        found = np.isin(cv2.imread(str(scene.clusters_dir / "merged" / f"{i}.png"), -1).astype(int) - 1, salient)
        assert (found & square(i)).sum() / (found | square(i)).sum() > 0.75


def test_too_many_components_is_an_error_with_the_dimensions(scene: Scene):
    with pytest.raises(ConfigError, match=r"features\.components: is 200, but backend 'classical' has 75 dimensions"):
        run_features(scene, FeaturesConfig(backend="classical", components=200))
    assert not scene.features_dir.exists()


def test_unknown_backend_names_the_allowed_ones(scene: Scene):
    with pytest.raises(ConfigError, match="allowed: auto, classical, dino, vgg"):
        run_features(scene, FeaturesConfig.model_construct(backend="sift", saliency="auto", components=8, stride=2))


def test_another_backend_is_one_line_in_the_registry(scene: Scene, monkeypatch: pytest.MonkeyPatch):
    generator = np.random.default_rng(0)

    def open_noise(config: FeaturesConfig, weights: Path | None) -> Callable:
        return lambda scene: (
            lambda i: (generator.normal(size=(30, 45, 12)).astype(np.float32), np.zeros((30, 45), np.float32))
        )

    monkeypatch.setitem(FEATURES.backends, "classical", FeatureBackend("classical", open_noise))
    run_features(scene, FeaturesConfig(backend="classical", components=4))
    summary = scene.summary("features")
    assert summary["verdict"] == "poor"
    assert "motion masks are empty" in summary["message"]


def test_failure_leaves_no_half_written_files(scene: Scene):
    (scene.motion_dir / "00003.png").unlink()
    with pytest.raises(StageError, match=r"00003\.png: missing"):
        run_features(scene, FeaturesConfig(components=8))
    assert not list(scene.features_dir.glob("*")) if scene.features_dir.exists() else True


def test_pca_samples_every_nth_pixel_of_the_whole_list():
    data = np.random.default_rng(0).normal(size=(3, 1, 700, 4)).astype(np.float32)
    basis = fit_basis(lambda i: (data[i], np.zeros((1, 700))), 3, FeaturesConfig(components=3, sample_interval=9))
    unit = data.reshape(-1, 4) / np.linalg.norm(data.reshape(-1, 4), axis=1, keepdims=True)
    np.testing.assert_allclose(basis.mean, unit[::9].mean(0), atol=1e-6)


def test_position_and_motion_weights_add_channels(scene: Scene):
    plain = ClassicalFeatures(scene, FeaturesConfig(motion_weight=0.0))(1)[0]
    full = ClassicalFeatures(scene, FeaturesConfig(motion_weight=3.0, position_weight=1.0))(1)[0]
    assert full.shape[2] == plain.shape[2] + 2
    assert plain[..., -1].max() == 0
    assert full[..., -3].max() == pytest.approx(3, rel=0.1)
    # The typical length of appearance is 1, which makes the weights comparable; averages are a little shorter.
    sharp = ClassicalFeatures(scene, FeaturesConfig(motion_weight=0.0, pooling=0))(1)[0]
    assert np.median(np.linalg.norm(sharp, axis=2)) == pytest.approx(0.85, abs=0.15)
    assert 0.4 < np.median(np.linalg.norm(plain, axis=2)) < 1


def test_pooling_averages_appearance_and_leaves_motion(scene: Scene):
    plain = ClassicalFeatures(scene, FeaturesConfig(stride=2, pooling=0))(0)[0]
    pooled = ClassicalFeatures(scene, FeaturesConfig(stride=2, pooling=8))(0)[0]
    np.testing.assert_array_equal(pooled[..., -1], plain[..., -1])
    # 8 pixels at 288 rows are 0.83 cells here.
    expected = cv2.GaussianBlur(plain[..., 0], (0, 0), 8 * HEIGHT / 288 / 2, borderType=cv2.BORDER_REFLECT)
    np.testing.assert_allclose(pooled[..., 0], expected, atol=1e-6)


def test_appearance_of_a_flat_grey_image_is_finite():
    groups = appearance(np.full((40, 50, 3), 128, np.uint8), 2)
    assert all(np.isfinite(value).all() and value.shape[:2] == (20, 25) for value in groups.values())
    assert sum(value.shape[2] for value in groups.values()) == 74
    with pytest.raises(StageError, match="too small"):
        appearance(np.zeros((8, 50, 3), np.uint8), 1)


def test_tensor_and_histogram_know_the_orientation():
    x = np.tile(np.sin(np.arange(80) / 3), (60, 1)).astype(np.float32)
    gx, gy = cv2.Scharr(x, cv2.CV_32F, 1, 0) / 16, cv2.Scharr(x, cv2.CV_32F, 0, 1) / 16
    _, cosine, sine = list(tensor(gx, gy, 1.0))[:3]
    assert cosine[20:40, 20:60].min() > 0.95  # vertical stripes: gradient at 0°
    assert np.abs(sine[20:40, 20:60]).max() < 0.01
    bins = [value[30, 40] for value in list(orientation_histograms(gx, gy, 1.0))[:8]]
    assert np.argmax(bins) == 0
    rotated = [value[40, 30] for value in list(orientation_histograms(gy.T.copy(), gx.T.copy(), 1.0))[:8]]
    assert np.argmax(rotated) == 4  # 90° is bin 4 of 8


def test_position_has_unit_half_width():
    grid = image_position(2, 4)
    np.testing.assert_allclose(grid[0, :, 0], [-0.75, -0.25, 0.25, 0.75])
    np.testing.assert_allclose(grid[:, 0, 1], [-0.25, 0.25])


def test_flow_residual_is_relative_to_the_surroundings():
    mask = square(1)
    flow = np.full((HEIGHT, WIDTH, 2), [5.0, -2.0], np.float32)
    flow[mask] += [3, 4]
    residual = flow_residual(flow, mask)
    np.testing.assert_allclose(residual[mask], 5, atol=1e-2)
    assert (residual[~mask] == 0).all()
    assert (flow_residual(flow, np.ones_like(mask)) == 0).all()


def test_soft_saliency_without_motion_is_zero_and_undoes_dilation():
    image = np.full((HEIGHT, WIDTH, 3), 0.3, np.float32)
    truth = square(0)
    image[truth] = 0.8
    flow = np.zeros((HEIGHT, WIDTH, 2), np.float32)
    flow[truth, 0] = 4
    assert (soft_saliency(image, np.zeros_like(truth), [flow]) == 0).all()
    dilated = cv2.dilate(truth.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    saliency = soft_saliency(image, dilated, [flow])
    overlap = ((saliency > 0.5) & truth).sum() / ((saliency > 0.5) | truth).sum()
    assert overlap > 0.95 > (dilated & truth).sum() / (dilated | truth).sum()
    assert saliency.min() >= 0
    assert saliency.max() <= 1


def test_guided_filter_is_the_identity_for_affine_signals():
    image = np.random.default_rng(0).random((30, 40, 3)).astype(np.float32)
    signal = (image @ np.array([0.5, -0.2, 0.1]) + 0.3).astype(np.float32)
    np.testing.assert_allclose(guided_filter(image, signal, np.ones_like(signal), 4, 1e-6), signal, atol=2e-3)
    flat = guided_filter(np.full_like(image, 0.5), signal, np.ones_like(signal), 4, 1e-4)
    np.testing.assert_allclose(flat[15, 20], signal[7:24, 12:29].mean(), atol=0.05)


def test_steady_saliency_fills_gaps_and_drops_flashes():
    zero, one = np.zeros((4, 6), np.float32), np.ones((4, 6), np.float32)
    still = (np.zeros((4, 6, 2), np.float32), np.ones((4, 6), bool))
    lost = (np.zeros((4, 6, 2), np.float32), np.zeros((4, 6), bool))
    assert (steady_saliency(zero, [one, one], [still, still]) == 1).all()
    assert (steady_saliency(one, [zero, zero], [still, still]) == 0).all()
    assert (steady_saliency(one, [zero, zero], [still, lost]) == 1).all()
    assert (steady_saliency(one, [zero], [still]) == 0.5).all()
    assert (steady_saliency(one, [], []) == 1).all()
