"""SAFF's cleaning to the pixel: against its procedure on coloured pictures, and pictures worked out by hand."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from skimage import measure, morphology

from nsff.config import DecomposeConfig, resolve_scene
from nsff.decompose.clusters import objects_of
from nsff.decompose.postprocess import cleaner, run_postprocess
from nsff.decompose.published_cleaning import clean_as_published
from nsff.files.io import read_mask, write_image, write_json

# D3's category20 and category20b, as the masks have them, and black.
PALETTE = [
    "1f77b4", "aec7e8", "ff7f0e", "ffbb78", "2ca02c", "98df8a", "d62728", "ff9896", "9467bd", "c5b0d5",
    "8c564b", "c49c94", "e377c2", "f7b6d2", "7f7f7f", "c7c7c7", "bcbd22", "dbdb8d", "17becf", "9edae5",
    "393b79", "5254a3", "6b6ecf", "9c9ede", "637939", "8ca252", "b5cf6b", "cedb9c", "8c6d31", "bd9e39",
    "e7ba52", "e7cb94", "843c39", "ad494a", "d6616b", "e7969c", "7b4173", "a55194", "ce6dbd", "de9ed6",
    "000000",
]  # fmt: skip
COLOURS = np.array([[int(code[i : i + 2], 16) for i in (0, 2, 4)] for code in PALETTE], np.uint8)


def picture(clusters: np.ndarray) -> np.ndarray:
    """A mask as OpenCV reads it from SAFF's file, which OpenCV wrote from the palette as it is; cluster -1 is black."""
    return cv2.imdecode(cv2.imencode(".png", COLOURS[clusters])[1], cv2.IMREAD_COLOR)


def published(image: np.ndarray) -> np.ndarray:
    """The procedure, colour by colour and component by component."""
    seen = sorted({tuple(c) for c in image.reshape(-1, 3).tolist()})
    numbers = np.full(image.shape[:2], -1)
    for number, colour in enumerate(seen):
        if any(colour):
            numbers[image[..., 0] == colour[0]] = number
    grey = numbers
    for _ in range(3):
        grey = morphology.erosion(grey, np.ones((3, 3)))
    grey = morphology.opening(grey)
    for _ in range(3):
        grey = morphology.dilation(grey, np.ones((3, 3)))
    inside = morphology.area_closing(grey, 500) > 0
    numbers = np.where(inside, numbers, 0)
    components = measure.label(numbers, connectivity=2)
    height, width = numbers.shape
    areas = np.unique(components, return_counts=True)[1]
    large = [place for place, area in enumerate(areas.tolist()) if area > 0.01 * height * width]
    result = np.zeros_like(image)
    for number, colour in enumerate(seen):
        result[numbers == number] = colour
    result[[[place not in large for place in row] for row in components.tolist()]] = 0
    return result


def blobs(size: tuple[int, int], clusters: list[int], seed: int, noise: float = 0.01) -> np.ndarray:
    """Clusters in smooth patches with specks of others."""
    generator = np.random.default_rng(seed)
    fields = [cv2.GaussianBlur(generator.normal(size=size), (0, 0), max(size) / 14) for _ in clusters]
    place = np.where(generator.random(size) < noise, generator.integers(0, len(clusters), size), np.argmax(fields, 0))
    return np.array(clusters)[place]


def cleaned(image: np.ndarray, salient: list[int], height: int) -> np.ndarray:
    """Ours, by the preset's settings, as clusters (-1 background)."""
    decompose = resolve_scene("a", {"input": {"path": "x"}}, "saff", {}).decompose
    objects = objects_of(image, salient)
    assert objects.shape[0] == height
    return np.array([-1, *salient])[cleaner(decompose, [objects], salient)(objects)]


KINDS = [
    [-1, 0, 1, 4],
    [-1, 2, 3, 5, 7],
    [-1, 2, 7, 11],
    [0, 1, 4, 9],
    [2, 3, 7],
    [2, 7, 8],
    [6, 34, 10, 25, 28, 39],
    [-1, *range(24)],
    list(range(30)),
]


@pytest.mark.parametrize(
    ("size", "clusters"),
    [(size, kind) for size in ((48, 64), (97, 213)) for kind in KINDS] + [((288, 546), KINDS[k]) for k in (1, 3)],
)
def test_pixels_are_those_of_the_published_procedure(size: tuple[int, int], clusters: list[int]):
    image = blobs(size, clusters, seed=len(clusters) + size[0])
    salient = sorted({c for c in clusters if c >= 0} | {12})  # one that is salient and not seen here
    ours = cleaned(image, salient, size[0])
    np.testing.assert_array_equal(picture(ours), published(picture(image)))
    assert (ours != image).any()


@pytest.mark.parametrize("seed", range(8))
def test_sparse_objects_on_black(seed: int):
    """Objects far apart, holes of all sizes, and thin parts."""
    generator = np.random.default_rng(seed)
    image = np.full((150, 220), -1)
    for _ in range(14):
        y, x, h, w = generator.integers(0, (140, 210, 60, 60))
        image[y : y + h, x : x + w] = generator.choice([-1, 0, 2, 3, 5, 7, 18])
    salient = [0, 2, 3, 5, 7, 18]
    np.testing.assert_array_equal(picture(cleaned(image, salient, 150)), published(picture(image)))


def test_clusters_that_share_their_first_channel_become_the_last_of_them():
    labels = np.zeros((60, 80), np.int64)
    labels[10:50, 5:40], labels[10:50, 40:75] = 3, 4  # clusters 2 (ff7f0e) and 3 (ffbb78)
    expected = np.where(labels > 0, 4, 0)
    for row in (10, 49):
        expected[row, [5, 74]] = 0  # the cross rounds corners
    np.testing.assert_array_equal(clean_as_published(labels), expected)
    # The same numbers of clusters with colours of their own stay apart. Dilation carries the higher number on.
    assert set(np.unique(clean_as_published(labels, [0, 1, 4, 5]))) == {0, 3, 4}


def test_without_black_the_first_colour_is_the_background():
    labels = np.ones((60, 80), np.int64)  # cluster 0 (1f77b4)
    labels[10:50, 40:80] = 5  # cluster 4 (2ca02c) goes over the border, which does not erode
    labels[20:23, 10:13] = 5
    expected = labels.copy()
    expected[20:23, 10:13] = 1
    expected[[10, 49], 40] = 1
    np.testing.assert_array_equal(clean_as_published(labels), expected)


def test_small_components_are_black_and_closed_holes_stay_so():
    labels = np.zeros((100, 200), np.int64)
    labels[10:50, 10:60] = 1
    labels[20:30, 20:30] = 0  # a hole of 100 pixels: closed, but black before
    labels[60:75, 100:114] = 1  # 210 pixels less 4 corners: more than 1 %, 200
    labels[80:94, 100:114] = 1  # 196: black
    expected = labels.copy()
    expected[80:94] = 0
    for box in ((10, 50, 10, 60), (60, 75, 100, 114)):
        expected[np.ix_([box[0], box[1] - 1], [box[2], box[3] - 1])] = 0
    np.testing.assert_array_equal(clean_as_published(labels), expected)


def test_a_whole_frame_of_objects_loses_its_last_large_component():
    """Without background the components' places are one below their numbers."""
    labels = np.ones((60, 80), np.int64)
    labels[20:24, 20:24] = 0  # black, and closed: nothing is background
    np.testing.assert_array_equal(clean_as_published(labels), 0)
    labels[:, 40:] = 5
    # Numbers, row by row: the left half 1, the right half 2, the hole 3. Places of the large ones: 0 and 1.
    np.testing.assert_array_equal(clean_as_published(labels), np.where(labels == 1, 1, 0))


def test_sizes_do_not_follow_the_height():
    labels = np.zeros((432, 320), np.int64)
    labels[100:240, 100:109] = 1
    labels[100:240, 200:300] = 1
    for scale in (True, False):
        decompose = DecomposeConfig(cleaning="published", scale_with_height=scale)
        kept = cleaner(decompose, [labels], [0])(labels)
        assert not kept[:, 100:109].any()  # 1260 pixels are below 1 %
        narrow = cleaner(decompose.model_copy(update={"min_component": 0.0}), [labels], [0])(labels)
        assert narrow[101:239, 100:109].all()  # nine wide: as much as three iterations and the cross leave


def test_stage_cleans_by_the_colours_of_clusters(fake_scene):
    """Clusters 2 and 3 are objects 1 and 2 here: they are one after cleaning as published, and two otherwise."""
    scene = fake_scene(n=2)
    clusters = np.full(scene.size, 0, np.uint8)
    clusters[10:40, 10:30], clusters[10:40, 30:50] = 2, 3
    for i in range(2):
        write_image(scene.clusters_dir / "merged" / f"{i}.png", clusters + 1)
    write_json(scene.clusters_dir / "clusters.json", {"salient": [2, 3]})
    config = resolve_scene("a", {"input": {"path": "x"}}, "saff", {}).decompose
    run_postprocess(scene, config)
    image = np.where(clusters > 0, clusters.astype(int), -1)
    ours = np.array([-1, 2, 3])[read_mask(scene.masks_dir / "0.png")]
    np.testing.assert_array_equal(picture(ours), published(picture(image)))
    assert set(np.unique(ours)) == {-1, 3}
    run_postprocess(scene, config.model_copy(update={"cleaning": "per_object"}))
    assert set(np.unique(read_mask(scene.masks_dir / "0.png"))) == {0, 1, 2}


@pytest.mark.parametrize("preset", ["nsff", "saff"])
@pytest.mark.parametrize("overlays", [[], ["_4"], ["motion_vote"], ["points"], ["images"], ["on_dycheck"]])
def test_presets_of_the_papers_clean_as_published(preset: str, overlays: list[str]):
    config = resolve_scene("a", {"input": {"path": "x"}, "overlays": overlays}, preset, {})
    assert config.decompose.cleaning == "published"
    assert (config.decompose.morphology_iterations, config.decompose.closing_area) == (3, 500)
    assert config.decompose.min_component == 0.01
