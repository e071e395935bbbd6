"""SAFF's dense CRF to the pixel: against its sequence of calls on its files, and a result worked out once."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import cv2
import numpy as np
import pytest

from nsff.config import CrfConfig, resolve_scene
from nsff.decompose.colours import PALETTE
from nsff.decompose.crf import crf_labels, refine, run_crf
from nsff.decompose.views import View, read_depth
from nsff.files.io import read_mask, write_image, write_json

needs_pydensecrf = pytest.mark.skipif(
    importlib.util.find_spec("pydensecrf") is None, reason="pydensecrf2 is not installed"
)
SIZES = [(48, 64), (97, 150), (200, 120), (288, 546)]


def settings(preset: str = "saff", **changes) -> CrfConfig:
    return resolve_scene("a", {"input": {"path": "x"}, "crf": changes}, preset, {}).crf


def material(size: tuple[int, int], clusters: list[int], seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Clusters (-1 background) with noise, rgb and grey depth."""
    generator = np.random.default_rng(seed)
    smooth = lambda depth: cv2.GaussianBlur(generator.normal(size=(*size, depth)), (0, 0), max(size) / 16)  # noqa: E731
    place = smooth(len(clusters)).argmax(2)
    place = np.where(generator.random(size) < 0.06, generator.integers(0, len(clusters), size), place)
    rgb, depth = smooth(3) + 0.03 * place[..., None], smooth(1)
    stretched = [np.uint8(255 * (v - v.min()) / np.ptp(v)) for v in (rgb, depth)]
    return np.array(clusters)[place], stretched[0], stretched[1].reshape(size)


def published(folder: Path, clusters: np.ndarray, rgb: np.ndarray, depth: np.ndarray, reach=(20, 10, 40, 40)):
    """The colours that SAFF writes for a mask, a rendering and a depth picture, all of them files."""
    import pydensecrf.densecrf as densecrf
    from pydensecrf.utils import create_pairwise_bilateral, create_pairwise_gaussian, unary_from_labels

    folder.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(folder / "0.png"), PALETTE[clusters])
    cv2.imwrite(str(folder / "0_rgb.png"), rgb[..., ::-1])
    cv2.imwrite(str(folder / "0_depth.png"), depth)
    picture, guide, depth = (cv2.imread(str(folder / name)) for name in ("0.png", "0_rgb.png", "0_depth.png"))
    grey = cv2.imread(str(folder / "0.png"), cv2.IMREAD_GRAYSCALE)
    colours = np.unique(picture.reshape(-1, 3), axis=0)
    levels, labels = np.unique(grey, return_inverse=True)
    unary = unary_from_labels(labels, len(levels), gt_prob=0.7, zero_unsure=False)
    model = densecrf.DenseCRF2D(grey.shape[1], grey.shape[0], len(levels))
    model.setUnaryEnergy(unary)
    kind = {"kernel": densecrf.DIAG_KERNEL, "normalization": densecrf.NORMALIZE_SYMMETRIC}
    model.addPairwiseEnergy(create_pairwise_gaussian(sdims=(3, 3), shape=grey.shape), compat=15, **kind)
    for image, compat, reach_of in ((depth, reach[0], reach[2]), (guide, reach[1], reach[3])):
        terms = create_pairwise_bilateral(sdims=(reach_of,) * 2, schan=(13, 13, 13), img=image, chdim=2)
        model.addPairwiseEnergy(terms, compat=compat, **kind)
    chosen = np.argmax(model.inference(5), axis=0)
    return colours[chosen].reshape(picture.shape)


def objects(clusters: np.ndarray) -> tuple[np.ndarray, list[int]]:
    """Object numbers of clusters, and the salient clusters by object; one of them is not seen."""
    salient = sorted({int(c) for c in np.unique(clusters) if c >= 0} | {12})
    return np.searchsorted([-1, *salient], clusters), salient


def partition(image: np.ndarray) -> np.ndarray:
    """Each pixel's first pixel of the same colour or label: equal for equal partitions, whatever the names."""
    flat = image.reshape(-1, image.shape[2]) if image.ndim == 3 else image.reshape(-1, 1)
    _, first, inverse = np.unique(flat, axis=0, return_index=True, return_inverse=True)
    return first[inverse.ravel()]


KINDS = [[-1, 0, 1], [-1, 3, 4, 6, 8], [-1, 0, 14, 5, 9], [2, 21, 18, 23, 4], list(range(12))]


@needs_pydensecrf
@pytest.mark.parametrize(
    ("size", "clusters"), [(size, kind) for size in SIZES[:3] for kind in KINDS] + [(SIZES[3], KINDS[1])]
)
def test_no_pixel_differs_from_the_published_one(tmp_path: Path, size: tuple[int, int], clusters: list[int]):
    image, rgb, depth = material(size, clusters, seed=size[1] + len(clusters))
    theirs = published(tmp_path, image, rgb, depth)
    labels, salient = objects(image)
    ours = refine(labels, rgb, depth, settings(), "pydensecrf", salient)
    np.testing.assert_array_equal(partition(ours), partition(theirs))
    assert (ours != labels).any()
    named = refine(labels, rgb, depth, settings(labels="permuted"), "pydensecrf", salient)
    np.testing.assert_array_equal(PALETTE[np.array([-1, *salient])[named]], theirs)


@needs_pydensecrf
def test_released_masks_have_their_own_reach(tmp_path: Path):
    image, rgb, depth = material((97, 150), [-1, 0, 1, 4], 7)
    config = resolve_scene("a", {"input": {"path": "x"}, "overlays": ["released_masks"]}, "saff", {}).crf
    labels, salient = objects(image)
    ours = refine(labels, rgb, depth, config, "pydensecrf", salient)
    np.testing.assert_array_equal(
        partition(ours), partition(published(tmp_path, image, rgb, depth, reach=(30, 20, 40, 20)))
    )


@needs_pydensecrf
@pytest.mark.parametrize("size", SIZES)
def test_own_implementation_differs_on_next_to_no_pixel(tmp_path: Path, size: tuple[int, int]):
    """pydensecrf computes in single precision, and that is all (measured in docs/differences.md)."""
    image, rgb, depth = material(size, KINDS[1], seed=size[0])
    labels, salient = objects(image)
    ours = refine(labels, rgb, depth, settings(), "own", salient)
    assert (ours != refine(labels, rgb, depth, settings(), "pydensecrf", salient)).mean() < 1e-4


def small_world() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels, rgb and depth of 18×30 pixels, in whole numbers alone: a square and a bar on a ramp, with specks."""
    y, x = np.mgrid[:18, :30]
    truth = np.where((y > 3) & (y < 12) & (x > 4) & (x < 14), 1, 0)
    truth[(y > 5) & (x > 19) & (x < 26)] = 2
    labels = np.where((7 * x + 11 * y) % 4 == 0, (x + y) % 3, truth)
    texture = (x * x + 3 * x * y + 7 * y * y) % 23
    rgb = np.stack([40 + 10 * truth + 2 * x, 90 + 10 * truth - 2 * y + texture, 200 - 10 * truth - texture], 2)
    return labels, rgb.astype(np.uint8), (20 + 10 * truth + 2 * y + x + texture).astype(np.uint8)


GOLDEN = """
000000000000000000000000000000
000000000000000000000000000000
000000000000000000000000000000
000000000000000000000000000000
000000000000000000000000000000
000000000000000000000000000000
000000000000000000000002220000
000000000000000000000002220000
000000000000000000002000220000
000000000000000000000022200000
000000000000000000002002220000
000000000000000000002022220000
000000000000000000002222220000
000000000000000000002222222200
000000000000000000002222220020
000000000000000000000222222002
000000000000000000002222220200
000000000000000000002222220202
"""


def test_golden_picture():
    """pydensecrf's answer to small_world, called as SAFF calls it, which the own implementation finds alone."""
    rows = GOLDEN.split()
    golden = np.array([[int(c) for c in row] for row in rows])
    assert golden.shape == (18, 30)
    labels, rgb, depth = small_world()
    np.testing.assert_array_equal(refine(labels, rgb, depth, settings(), "own"), golden)
    # Some of what the lattice gives is its own: exact sums, and features in another order, have another answer.
    assert (refine(labels, rgb, depth, settings(exact_pixels=10**6), "own") != golden).any()
    assert (refine(labels, rgb[..., ::-1], depth, settings(), "own") != golden).any()


def test_grey_values_make_labels():
    """Clusters 0 and 14, 5 and 9 have one grey value; 2 and 21, 18 and 23 as OpenCV reads PNG files, rounded down."""
    clusters = [0, 2, 5, 9, 14, 18, 21, 23]
    numbers = np.arange(9)[None]
    index, names = crf_labels(numbers, "grey", clusters)
    assert names.tolist() == [0, 2, 1, 6, 3]  # black, 107, 127, 176, 189
    assert index.tolist() == [[0, 2, 1, 4, 4, 2, 3, 1, 3]]
    # In the order of red: black, clusters 18 (17), 0 (1f), 21 (52), 14 (7f); the list is longer than the labels.
    assert crf_labels(numbers, "permuted", clusters)[1].tolist() == [0, 6, 1, 7, 5]
    assert crf_labels(numbers, "numbers", clusters)[1].tolist() == list(range(9))
    # Without clusters, object k has the colour of cluster k-1.
    assert crf_labels(np.array([[0, 1, 15, 3]]), "grey")[1].tolist() == [0, 3, 1]


def test_the_stage_takes_clusters_for_colours(fake_scene):
    """Objects 1 and 2 are clusters 0 and 14, one label by their grey value."""
    scene = fake_scene(n=2)
    mask = np.zeros(scene.size, np.uint8)
    mask[10:40, 10:30], mask[10:40, 30:50] = 1, 2
    for i in range(2):
        write_image(scene.masks_dir / f"{i}.png", mask)
    for salient, seen in (([0, 14], {0, 1}), ([0, 1], {0, 1, 2})):
        write_json(scene.clusters_dir / "clusters.json", {"salient": salient})
        run_crf(scene, settings(backend="own", depth_weight=0, rgb_weight=0))
        assert set(np.unique(read_mask(scene.masks_crf_dir / "0.png"))) == seen


def test_depth_guide(fake_scene):
    """NDC's own picture where the maps have one; else 255 (1 - 0.9 near/z) from the disparity."""
    scene, view = fake_scene(n=2), View(0, "training", 0, 0.0)
    disparity = np.array([20000, 50000]) / 65535 * 0.5  # scale.json of the fake scene; its nearest depth is 1
    found = np.unique(read_depth(scene, view, scene.size, "ndc"))
    assert found.tolist() == sorted(np.rint(255 * (1 - 0.9 * disparity)).astype(int))
    assert np.unique(read_depth(scene, view, scene.size)).tolist() == [78, 195]
    own = np.arange(48 * 64).reshape(48, 64).astype(np.uint8)
    write_image(scene.maps_dir / "0_ndc.png", own)
    np.testing.assert_array_equal(read_depth(scene, view, scene.size, "ndc"), own)


@pytest.mark.parametrize("preset", ["nsff", "saff"])
def test_presets_of_the_papers(preset: str):
    crf = settings(preset)
    assert (crf.depth_guide, crf.labels, crf.guidance, crf.scale_with_height) == ("ndc", "grey", "rendered", False)
    assert (crf.gaussian_weight, crf.depth_weight, crf.rgb_weight, crf.iterations) == (15, 20, 10, 5)
    for other in ("demo", "fast"):
        assert (settings(other).depth_guide, settings(other).labels) == ("disparity", "numbers")
