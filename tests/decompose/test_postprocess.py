"""Cleaning of masks: sizes that follow the height, thin parts, holes, components, several objects."""

from __future__ import annotations

import numpy as np
import pytest

from nsff.config import DecomposeConfig
from nsff.decompose.clustering import run_cluster
from nsff.decompose.postprocess import (
    clean,
    close_holes,
    object_limits,
    open_mask,
    run_postprocess,
    scaled_sizes,
    small_components,
)
from nsff.files.io import read_image, read_mask

OPEN = (0.0, 0.0)


def walker(height: int, width: int) -> np.ndarray:
    """A body of 50×20 pixels with two legs 4 pixels wide and 30 long, at 180 rows."""
    labels = np.zeros((height, width), np.int64)
    labels[60:110, 150:170] = 1
    labels[110:140, 152:156] = 1
    labels[110:140, 164:168] = 1
    return labels


@pytest.mark.parametrize(("height", "iterations"), [(288, 3), (576, 6), (180, 1), (270, 2), (96, 0), (400, 4)])
def test_iterations_never_remove_what_stays_at_288_rows(height: int, iterations: int):
    found, area = scaled_sizes(DecomposeConfig(), height)
    assert found == iterations
    assert area == pytest.approx(500 * (height / 288) ** 2)
    assert 2 * found + 1 <= 7 * height / 288 or found == 0
    assert scaled_sizes(DecomposeConfig(scale_with_height=False), height) == (3, 500)


def test_legs_survive_at_180_rows_when_scaled_and_not_as_published_for_288():
    labels = walker(180, 320)
    legs = np.zeros(labels.shape, bool)
    legs[114:140] = labels[114:140] > 0
    for cleaning, scaled, kept in (("gentle", True, 1.0), ("gentle", False, 1.0), ("published", False, 0.0)):
        decompose = DecomposeConfig(cleaning=cleaning, scale_with_height=scaled, min_component=0.0)
        iterations, closing = scaled_sizes(decompose, 180)
        limits = object_limits([labels], closing, decompose.min_component, cleaning)
        cleaned = clean(labels, iterations, limits, cleaning == "gentle")
        assert (cleaned[legs] > 0).mean() == pytest.approx(kept), (cleaning, scaled)


def test_opening_width():
    # n iterations and the cross keep nothing narrower than 2n+3 pixels, and all of what is as wide.
    for n in (1, 2, 3):
        for width in range(1, 12):
            mask = np.zeros((40, 60), bool)
            mask[:, 20 : 20 + width] = True
            assert open_mask(mask, n).any() == (width >= 2 * n + 3)
            if width >= 2 * n + 3:
                np.testing.assert_array_equal(open_mask(mask, n), mask)


def test_opening_never_grows_and_zero_iterations_change_nothing():
    mask = np.random.default_rng(0).random((50, 50)) > 0.3
    assert not (open_mask(mask, 1) & ~mask).any()
    np.testing.assert_array_equal(open_mask(mask, 0), mask)


def test_holes_are_closed_below_the_area_and_not_at_it():
    mask = np.ones((20, 20), bool)
    mask[5:8, 5:8] = False
    assert close_holes(mask, 10).all()
    np.testing.assert_array_equal(close_holes(mask, 9), mask)
    # Two cells that touch at a corner are two holes with 4-connectivity.
    mask = np.ones((20, 20), bool)
    mask[4, 4] = mask[5, 5] = False
    assert close_holes(mask, 2).all()


def test_components_up_to_the_area_are_small():
    mask = np.zeros((20, 20), bool)
    mask[0, :4] = True
    mask[1, 4] = True  # touches at a corner: one component of 5
    mask[10:12, 10:13] = True  # 6
    assert small_components(mask, 5).sum() == 5
    assert small_components(mask, 4).sum() == 0
    assert small_components(mask, 6).sum() == 11


def test_low_numbers_survive_beside_high_ones():
    # With grey morphology erosion and dilation let label values spread into each other.
    labels = np.zeros((60, 80), np.int64)
    labels[10:50, 5:40] = 1
    labels[10:50, 40:75] = 7
    cleaned = clean(labels, 3, {1: OPEN, 7: OPEN}, False)
    assert set(np.unique(cleaned)) == {0, 1, 7}
    changed = np.argwhere(cleaned != labels)  # the cross rounds the four corners of each rectangle, no more
    assert sorted(map(tuple, changed.tolist())) == [(r, c) for r in (10, 49) for c in (5, 39, 40, 74)]
    np.testing.assert_array_equal(clean(labels, 3, {1: OPEN, 7: OPEN}, True), labels)


def test_hole_with_another_object_stays_that_object():
    labels = np.full((40, 40), 1, np.int64)
    labels[15:25, 15:25] = 2
    labels[2:4, 2:4] = 0
    cleaned = clean(labels, 1, {1: (500.0, 0.0), 2: (500.0, 0.0)}, False)
    assert (cleaned[16:24, 16:24] == 2).all()
    assert (cleaned == 2).sum() == 96  # its corners are rounded
    assert (cleaned[2:4, 2:4] == 1).all()


def test_specks_go_and_limits_follow_the_object():
    labels = walker(180, 320)
    labels[10:13, 10:13] = 1
    published = object_limits([labels], 195.0, 0.01, "published")
    gentle = object_limits([labels], 195.0, 0.01, "gentle")
    area = 50 * 20 + 2 * 4 * 30 + 9
    assert published[1] == (195.0, pytest.approx(576.0))
    assert gentle[1] == (pytest.approx(0.03 * area), pytest.approx(0.03 * area))
    cleaned = clean(labels, 1, gentle, True)
    np.testing.assert_array_equal(cleaned, walker(180, 320))


def test_stage_writes_labels_colours_and_preview(fake_scene, moving_square):
    scene = fake_scene(extra=1)
    run_cluster(scene, DecomposeConfig(restarts=2))
    run_postprocess(scene, DecomposeConfig())
    for i in range(6):
        mask = read_mask(scene.masks_dir / f"{i}.png", scene.size)
        np.testing.assert_array_equal(mask, moving_square(i).astype(np.uint8))
        colour = read_image(scene.masks_dir / "colour" / f"{i}.png", scene.size)
        assert tuple(colour[moving_square(i)][0]) == (31, 119, 180)
        assert not colour[~moving_square(i)].any()
    assert read_image(scene.masks_dir / "preview.png").shape == (96, 192, 3)
    summary = scene.summary("postprocess")
    assert summary["verdict"] == "good"
    assert summary["n_objects"] == 1
    assert summary["area_fractions"]["1"] == pytest.approx(196 / 3072)


def test_nothing_salient_gives_empty_masks_with_words(fake_scene):
    scene = fake_scene(salient=0.0)
    run_cluster(scene, DecomposeConfig(restarts=1))
    run_postprocess(scene, DecomposeConfig())
    assert not read_mask(scene.masks_dir / "0.png").any()
    assert scene.summary("postprocess")["verdict"] == "poor"
