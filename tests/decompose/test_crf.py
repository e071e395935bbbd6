"""Dense CRF: unary energies, the lattice against its exact twin and pydensecrf, and the stage."""

from __future__ import annotations

import numpy as np
import pytest

from nsff.config import CrfConfig
from nsff.decompose import crf as crf_module
from nsff.decompose import mean_field as field
from nsff.decompose.crf import marginals_own, marginals_pydensecrf, refine, run_crf, sigmas
from nsff.decompose.permutohedral import PermutohedralLattice, simplices
from nsff.errors import ConfigError, StageError
from nsff.files.io import write_image

EXACT, LATTICE = CrfConfig(backend="own", exact_pixels=10**6), CrfConfig(backend="own", exact_pixels=0)


def picture(seed: int = 0, height: int = 54, width: int = 72) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Noisy labels, rgb, depth and the true labels of two blobs on a shaded background."""
    generator = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    truth = np.zeros((height, width), int)
    truth[(y - 25) ** 2 + (x - 22) ** 2 < 144] = 1
    truth[12:44, 46:62] = 2
    colours = np.array([[90, 110, 80], [200, 80, 60], [60, 70, 190]])
    rgb = colours[truth] + 20 * np.sin(x / 11)[..., None] + generator.normal(0, 5, (height, width, 3))
    depth = np.array([60.0, 140.0, 200.0])[truth] + 10 * y / height
    noisy = np.where(generator.random(truth.shape) < 0.08, generator.integers(0, 3, truth.shape), truth)
    return noisy, np.clip(rgb, 0, 255).astype(np.uint8), depth.astype(np.float32), truth


@pytest.mark.parametrize(("n", "other"), [(2, 1.204), (4, 2.303)])
def test_unary_energies(n: int, other: float):
    energy = field.unary_from_labels(np.array([[1, 0]]), n, 0.7)
    assert energy.shape == (2, n)
    assert energy[0, 1] == pytest.approx(0.3567, abs=1e-4)
    assert energy[1, 0] == pytest.approx(0.3567, abs=1e-4)
    assert np.delete(energy[0], 1) == pytest.approx([other] * (n - 1), abs=1e-3)
    np.testing.assert_allclose(np.exp(-energy).sum(1), 1)


def test_mean_field_by_hand():
    # Two pixels, two labels, a kernel that is the 2×2 identity: Q = softmax(-U + w Q0) after one step.
    unary = -np.log(np.array([[0.7, 0.3], [0.4, 0.6]]))
    marginals = field.mean_field(unary, [(2.0, lambda q: q)], 1)
    odds = 0.7 / 0.3 * np.exp(2 * (0.7 - 0.3))
    assert marginals[0, 0] == pytest.approx(odds / (1 + odds))
    np.testing.assert_allclose(field.mean_field(unary, [], 5), np.exp(-unary))


def test_gaussian_kernel_is_the_exact_one():
    values = np.random.default_rng(0).random((15 * 20, 2))
    grid = np.stack(np.mgrid[:15, :20][::-1], 2).reshape(-1, 2) / 1.7
    # scipy samples the Gaussian and cuts it at five deviations; what is cut is below 4e-6 of the peak.
    np.testing.assert_allclose(field.gaussian_kernel(15, 20, 1.7)(values), field.exact_kernel(grid)(values), atol=1e-4)


def test_exact_kernel_by_hand_and_in_chunks():
    features = np.array([[0.0], [1.0]])
    k = np.exp(-0.5)
    # Both rows of K add up to 1 + k, so the normalised kernel is K / (1 + k).
    result = field.exact_kernel(features)(np.array([[1.0], [0.0]]))
    np.testing.assert_allclose(result[:, 0], [1 / (1 + k), k / (1 + k)])
    points = np.random.default_rng(1).normal(size=(70, 3))
    values = np.random.default_rng(2).random((70, 4))
    np.testing.assert_allclose(field.exact_kernel(points, 16)(values), field.exact_kernel(points)(values))


@pytest.mark.parametrize("dimensions", [1, 2, 3, 5])
def test_simplices_enclose_their_points(dimensions: int):
    points = np.random.default_rng(dimensions).normal(0, 3, (500, dimensions))
    keys, weights = simplices(points)
    assert (weights > -1e-9).all()
    np.testing.assert_allclose(weights.sum(1), 1)
    assert (keys.sum(2) == 0).all()  # in the plane
    remainder = keys % (dimensions + 1)
    assert (remainder == remainder[:, :, :1]).all()  # lattice points: all coordinates congruent modulo d+1
    # The barycentric mean of the vertices is the elevated point; distances in the plane are those of the features.
    elevated = (keys * weights[..., None]).sum(1)
    scale = np.sqrt(2 / 3) * (dimensions + 1)
    ours = np.linalg.norm(elevated[:250] - elevated[250:], axis=1)
    np.testing.assert_allclose(ours, scale * np.linalg.norm(points[:250] - points[250:], axis=1), rtol=1e-9)


def test_lattice_filter_is_close_to_the_gaussian():
    points = np.random.default_rng(0).uniform(0, 3, (3000, 2))
    values = np.stack([points[:, 0], np.sin(2 * points[:, 1])], 1)
    exact, lattice = field.exact_kernel(points)(values), field.lattice_kernel(points)(values)
    assert np.abs(exact - lattice).max() < 0.06 * np.ptp(values)
    assert np.corrcoef(exact.ravel(), lattice.ravel())[0, 1] > 0.998


def test_lattice_refuses_an_extent_it_cannot_code():
    with pytest.raises(OverflowError, match="larger deviations"):
        PermutohedralLattice(np.random.default_rng(0).normal(0, 1e6, (50, 5)))


@pytest.mark.parametrize("seed", [0, 1])
def test_lattice_agrees_with_exact(seed: int):
    labels, rgb, depth, truth = picture(seed)
    exact, lattice = (marginals_own(labels, 3, rgb, depth, config) for config in (EXACT, LATTICE))
    assert (exact.argmax(1) == lattice.argmax(1)).mean() >= 0.99
    assert np.abs(exact - lattice).mean() < 0.01
    assert (exact.argmax(1).reshape(truth.shape) == truth).mean() > (labels == truth).mean()


@pytest.mark.parametrize("config", [EXACT, LATTICE], ids=["exact", "lattice"])
def test_agrees_with_pydensecrf(config: CrfConfig):
    pytest.importorskip("pydensecrf.densecrf", reason="pydensecrf2 is not installed")
    labels, rgb, depth, _ = picture(2)
    ours, theirs = marginals_own(labels, 3, rgb, depth, config), marginals_pydensecrf(labels, 3, rgb, depth, config)
    assert (ours.argmax(1) == theirs.argmax(1)).mean() >= 0.99
    assert np.abs(ours - theirs).mean() < 0.01


def test_refine_keeps_object_numbers_and_cleans_noise():
    labels, rgb, depth, truth = picture()
    numbers = np.array([0, 4, 9])
    refined = refine(numbers[labels], rgb, depth, LATTICE)
    assert set(np.unique(refined)) <= {0, 4, 9}
    assert (refined == numbers[truth]).mean() > 0.985


def test_refine_passes_one_label_through_and_zero_weights_change_nothing():
    labels, rgb, depth, _ = picture()
    np.testing.assert_array_equal(refine(np.full_like(labels, 3), rgb, depth, LATTICE), 3)
    plain = CrfConfig(gaussian_weight=0, depth_weight=0, rgb_weight=0)
    np.testing.assert_array_equal(refine(labels, rgb, depth, plain), labels)


def test_depth_alone_separates():
    labels, rgb, depth, truth = picture()
    flat = np.full_like(rgb, 128)
    with_depth = refine(labels, flat, depth, CrfConfig(rgb_weight=0, exact_pixels=0))
    assert (with_depth == truth).mean() > 0.985


def test_sigmas_scale_with_height():
    assert sigmas(CrfConfig(), 288) == (3, 40, 40)
    assert sigmas(CrfConfig(), 180) == pytest.approx((1.875, 25, 25))
    assert sigmas(CrfConfig(scale_with_height=False), 180) == (3, 40, 40)


@pytest.mark.parametrize("backend", ["own", "auto"])
def test_stage(fake_scene, moving_square, backend: str):
    scene = fake_scene(extra=1)
    for i in range(7):
        mask = moving_square(i if i < 6 else 0).astype(np.uint8)
        mask[10, 40] = 1  # a speck
        write_image(scene.masks_dir / f"{i}.png", mask * 0 if i == 3 else mask)
    run_crf(scene, CrfConfig(backend=backend, exact_pixels=0))
    for i in (0, 1, 5):
        refined = crf_module.read_mask(scene.masks_crf_dir / f"{i}.png", scene.size)
        assert refined[10, 40] == 0
        assert (refined == moving_square(i)).mean() > 0.99
    assert not crf_module.read_mask(scene.masks_crf_dir / "3.png").any()
    summary = scene.summary("crf")
    assert summary["views_passed_through"] == 1
    assert summary["verdict"] in ("good", "doubtful")
    assert (scene.masks_crf_dir / "colour" / "6.png").exists()


def test_frames_guide_their_own_views(fake_scene, moving_square):
    """Where renderings show nothing, the input frame's edges pull the mask to the object; elsewhere they do not."""
    scene = fake_scene(n=3, extra=1)
    wide = np.zeros(scene.size, np.uint8)
    wide[12:34, 6:30] = 1  # the square of rows 16 to 30 and its surroundings
    for i in range(4):
        flat = np.full((*scene.size, 3), 90, np.uint8)
        write_image(scene.maps_dir / f"{i}_rgb.png", flat)
        write_image(scene.maps_dir / f"{i}_depth.png", np.full(scene.size, 20000, np.uint16))
        write_image(scene.masks_dir / f"{i}.png", wide)
        if i < 3:
            scene.write_image(i, np.where(moving_square(i)[..., None], 220, flat).astype(np.uint8))

    def overlap(i: int) -> float:
        found, true = crf_module.read_mask(scene.masks_crf_dir / f"{i}.png", scene.size) > 0, moving_square(i % 3)
        return (found & true).sum() / (found | true).sum()

    # Strong colours, so that they decide against a mask that is wrong on more than half of its pixels.
    config = CrfConfig(backend="own", exact_pixels=0, rgb_weight=60, rgb_sigma=60, iterations=10, depth_weight=0)
    run_crf(scene, config)
    assert min(overlap(i) for i in range(3)) > 0.95
    assert overlap(3) < 0.7
    run_crf(scene, config.model_copy(update={"guidance": "rendered"}))
    assert max(overlap(i) for i in range(3)) < 0.7


def test_lost_objects_are_reported(fake_scene):
    scene = fake_scene(n=3)
    for i in range(3):
        mask = np.zeros(scene.size, np.uint8)
        mask[5, 5] = 1  # one pixel, which no smoothness term keeps
        write_image(scene.masks_dir / f"{i}.png", mask)
    run_crf(scene, CrfConfig(backend="own", exact_pixels=0))
    assert scene.summary("crf")["verdict"] == "poor"
    assert "Object 1 vanished" in scene.summary("crf")["message"]


def test_missing_backend_and_missing_masks_are_named(fake_scene, monkeypatch):
    scene = fake_scene(n=3)
    with pytest.raises(StageError, match=r"masks/0\.png: missing"):
        run_crf(scene, CrfConfig(backend="own", exact_pixels=0))
    monkeypatch.setattr(crf_module.importlib.util, "find_spec", lambda name: None)
    assert crf_module.choose_backend(CrfConfig()) == "own"
    with pytest.raises(ConfigError, match="not installed"):
        run_crf(scene, CrfConfig(backend="pydensecrf"))
