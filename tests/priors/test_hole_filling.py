"""Gaps in motion masks are filled by colour: a striped thing before walls of other colours, and of its own."""

import numpy as np
import pytest

from nsff.imaging.morphology import close_by_distance, dilate_by_distance
from nsff.priors.motion.hole_filling import CELLS, colours, fill_holes

SIZE = (288, 320)
GREEN, STRIPE, WALL, COAT = (60, 180, 70), (30, 110, 50), (150, 140, 130), (40, 40, 60)


def thing():
    """A square of 120 pixels, and what of it is seen to move: without a bay of 40 pixels and a hole of 20."""
    whole = np.zeros(SIZE, bool)
    whole[80:200, 100:220] = True
    seen = whole.copy()
    seen[80:140, 140:180] = False
    seen[160:180, 120:140] = False
    return whole, seen


def picture(whole, behind=WALL, seed=0):
    """A green thing with stripes before a wall, with noise."""
    image = np.zeros((*SIZE, 3), np.float64)
    image[:] = behind
    image[whole] = GREEN
    image[whole & (np.arange(SIZE[1]) % 20 < 6)] = STRIPE
    image += np.random.default_rng(seed).normal(0, 4, image.shape)
    return image.clip(0, 255).astype(np.uint8)


def test_a_hole_and_a_bay_of_its_colours_are_filled():
    whole, seen = thing()
    images = [picture(whole, seed=t) for t in range(3)]
    for mask in fill_holes([seen] * 3, images.__getitem__, 24):
        assert not (mask & ~whole).any()
        assert (mask & whole).sum() > 0.975 * whole.sum()
        assert (mask | ~seen).all()


def test_what_is_seen_through_it_stays_open():
    """The gaps show a man's coat that is seen beside the thing as well."""
    whole, seen = thing()
    image = picture(seen)
    image[~seen & whole] = COAT
    image[60:240, 60:95] = COAT
    # But for corners, where the blur takes in what is beside them.
    assert (fill_holes([seen], lambda _: image, 24)[0] ^ seen).sum() < 12


def test_nothing_is_filled_before_a_wall_of_its_own_colour():
    _, seen = thing()
    image = picture(np.ones(SIZE, bool))
    np.testing.assert_array_equal(fill_holes([seen], lambda _: image, 24)[0], seen)


@pytest.mark.parametrize("radius", [0, 4])
def test_gaps_wider_than_the_disk_are_left(radius):
    whole, seen = thing()
    found = fill_holes([seen], lambda _: picture(whole), radius)[0]
    assert not found[90:130, 150:170].any()
    assert (found == seen).all() or radius > 0


def test_empty_masks_and_full_ones_are_kept():
    whole, _ = thing()
    for mask in (np.zeros(SIZE, bool), np.ones(SIZE, bool)):
        np.testing.assert_array_equal(fill_holes([mask], lambda _: picture(whole), 24)[0], mask)


def test_nothing_lies_beyond_the_border():
    mask = np.zeros(SIZE, bool)
    mask[100:140, 10:60] = True
    np.testing.assert_array_equal(close_by_distance(mask, 24), mask)


def test_a_disk_by_hand():
    mask = np.zeros((9, 9), bool)
    mask[4, 4] = True
    v, u = np.mgrid[-4:5, -4:5]
    np.testing.assert_array_equal(dilate_by_distance(mask, 3), v**2 + u**2 <= 9)


def test_cells_of_lab_space():
    image = np.array([[[0, 0, 0], [255, 255, 255], [255, 255, 255]]], np.uint8)
    black, white, again = colours(image)[0]
    assert black == (0 * CELLS + 8) * CELLS + 8
    assert white == (15 * CELLS + 8) * CELLS + 8
    assert again == white
