"""Shadows are told from dark things by the texture of the ground: on pictures of which every pixel is known."""

import numpy as np
import pytest

from nsff.decompose.motion_groups.clean_plate import CleanPlate
from nsff.decompose.motion_groups.shadow_texture import (
    CELLS,
    ShadowFactors,
    darkened,
    factor_cells,
    texture_evidence,
)

HEIGHT, WIDTH = 90, 160
SHADOW, THING = np.s_[20:60, 20:60], np.s_[20:60, 100:140]
FACTORS = np.float32([0.4, 0.45, 0.55])


@pytest.fixture
def ground():
    """Ground with a fine texture."""
    generator = np.random.default_rng(0)
    colour = 0.5 + generator.normal(0, 0.05, (HEIGHT, WIDTH, 1)).astype(np.float32) * np.ones(3, np.float32)
    return CleanPlate(colour, np.zeros((HEIGHT, WIDTH), np.float32), np.ones((HEIGHT, WIDTH), bool))


def picture_of(plate, noise=0.02, thing=FACTORS, seed=1):
    """The ground with a shadow, and a thing of one colour that is as dark, with the noise of a camera."""
    generator = np.random.default_rng(seed)
    picture = plate.colour.copy()
    picture[SHADOW] *= FACTORS
    picture[THING] = 0.5 * thing
    return np.clip(picture + generator.normal(0, noise, picture.shape), 0, 1).astype(np.float32)


def odds_of(plate, *pictures):
    factors = ShadowFactors()
    near = np.zeros((HEIGHT, WIDTH), bool)
    near[10:70] = True
    for picture in pictures:
        dark = darkened(picture, plate)
        factors.add(picture, plate, dark, factor_cells(picture, plate, dark), near)
    cells = [factor_cells(picture, plate, darkened(picture, plate)) for picture in pictures]
    return [np.where(of >= 0, factors.log_odds()[of], np.nan) for of in cells]


def test_what_the_light_leaves_out_is_darkened_and_the_rest_is_not(ground):
    picture = picture_of(ground, noise=0)
    dark = darkened(picture, ground)
    assert dark[SHADOW].all() and dark[THING].all()
    assert not dark[:, 70:90].any()
    cells = factor_cells(picture, ground, dark)
    assert (cells[~dark] == -1).all()
    # -log(0.4) / 0.2 lies in the fifth cell, -log(0.45) / 0.2 in the fourth, -log(0.55) / 0.2 in the third.
    assert np.bincount(cells[SHADOW].ravel()).argmax() == (4 * CELLS + 3) * CELLS + 2


def test_factors_of_shadows_are_told_from_those_of_things(ground):
    other = np.float32([0.6, 0.4, 0.3])
    (odds,) = odds_of(ground, picture_of(ground, thing=other))
    assert np.nanmedian(odds[SHADOW]) > 1
    assert np.nanmedian(odds[THING]) < -2


def test_where_both_are_as_dark_factors_leave_it_open_and_texture_tells(ground):
    picture = picture_of(ground)
    (odds,) = odds_of(ground, picture)
    assert -2 < np.nanmedian(odds[SHADOW]) < 2
    texture = texture_evidence(picture, ground, darkened(picture, ground), 13)
    inner, thing = np.s_[28:52, 28:52], np.s_[28:52, 108:132]
    assert np.median(texture[inner]) > 2
    assert np.median(texture[thing]) < -1


def test_even_ground_tells_nothing_and_few_pixels_are_a_thing(ground):
    even = CleanPlate(np.full_like(ground.colour, 0.5), ground.deviation, ground.known)
    picture = picture_of(even)
    texture = texture_evidence(picture, even, darkened(picture, even), 13)
    assert np.abs(texture[np.s_[28:52, 28:52]]).max() < 0.5
    (odds,) = odds_of(even, picture)
    assert np.nanmedian(odds[SHADOW]) < -2
    assert (ShadowFactors().log_odds() < -3).all()
