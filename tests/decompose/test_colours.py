"""The palette, and reading SAFF's colour-coded masks without its channel-0 bug."""

from __future__ import annotations

import numpy as np
import pytest

from nsff.decompose.colours import PALETTE, colour_labels, labels_from_colours, overlay
from nsff.decompose.stability import area_jitter, warped_overlap
from nsff.errors import InputError


def test_palette_is_that_of_saff():
    assert PALETTE.shape == (41, 3)
    assert len({tuple(c) for c in PALETTE.tolist()}) == 41
    assert PALETTE[0].tolist() == [31, 119, 180]
    assert PALETTE[20].tolist() == [57, 59, 121]
    assert PALETTE[40].tolist() == [0, 0, 0]


def test_all_labels_come_back_in_either_channel_order():
    labels = np.arange(41).reshape(1, 41)
    image = colour_labels(labels)
    np.testing.assert_array_equal(labels_from_colours(image), labels)
    np.testing.assert_array_equal(labels_from_colours(image[..., ::-1]), labels)
    np.testing.assert_array_equal(labels_from_colours(image[..., ::-1], "bgr"), labels)


def test_labels_that_share_channel_zero_stay_apart():
    # docs/methods.md#numbers-to-check-against: among the first 24 palette entries 2, 3 and 7 have the same red.
    values = PALETTE[:24, 0].tolist()
    assert {i for i, v in enumerate(values) if values.count(v) > 1} == {2, 3, 7}
    labels = np.array([[3, 4, 8, 0]])
    assert labels_from_colours(colour_labels(labels)[..., ::-1]).tolist() == [[3, 4, 8, 0]]


def test_grey_collisions_stay_apart():
    labels = np.array([[1, 15, 6, 10]])  # palette entries (0, 14) and (5, 9) have nearly the same grey value
    assert labels_from_colours(colour_labels(labels)).tolist() == labels.tolist()


def test_unknown_colours_are_refused():
    image = colour_labels(np.zeros((4, 4), int))
    image[1, 1] = (1, 2, 3)
    with pytest.raises(InputError, match="1 of 16 pixels"):
        labels_from_colours(image)
    with pytest.raises(InputError, match="expected"):
        labels_from_colours(np.zeros((4, 4), np.uint8))


def test_overlay_leaves_background():
    image = np.full((1, 2, 3), 100, np.uint8)
    assert overlay(np.array([[0, 1]]), image).tolist() == [[[100, 100, 100], [66, 110, 140]]]


def test_warped_overlap_follows_the_flow():
    first, second = np.zeros((20, 20), int), np.zeros((20, 20), int)
    first[5:10, 5:10], second[5:10, 8:13] = 1, 1
    valid = np.ones((20, 20), bool)
    flow = np.zeros((20, 20, 2), np.float32)
    assert warped_overlap(first, second, (flow, valid)) == pytest.approx(10 / 40)
    flow[..., 0] = 3
    assert warped_overlap(first, second, (flow, valid)) == 1
    assert warped_overlap(first, 2 * second, (flow, valid)) == 0
    assert warped_overlap(first * 0, second * 0, (flow, valid)) is None


def test_area_jitter():
    assert area_jitter([100, 100, 100]) == 0
    assert area_jitter([100, 50]) == 0.5
    assert area_jitter([0, 0, 10]) == 1
    assert area_jitter([0]) == 0
