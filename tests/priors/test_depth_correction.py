"""The local factor on aligned disparity: recovered where it is smooth, stopped where it does not help."""

from __future__ import annotations

import numpy as np
import pytest

from nsff.priors.depth.correction import GRID, STEP_SCALED, STEP_SHIFTED, Correction, _weights, correct, held_out

SIZE = (90, 160)


def spread(count: int = 2000, seed: int = 0):
    """Anchors all over the picture with their inverse depth."""
    random = np.random.default_rng(seed)
    at = random.uniform([0, 0], [SIZE[1], SIZE[0]], (count, 2))
    return at, random.uniform(0.1, 0.5, count)


def misread(at: np.ndarray) -> np.ndarray:
    """A board that is 20 % too near on the left, too far on the right."""
    return np.exp(0.2 - 0.4 * at[:, 0] / SIZE[1])


def test_weights_by_hand():
    bounds = (np.log(0.1), np.log(0.4))
    at = np.array([[0.0, 0.0], [80.0, 45.0], [999.0, 45.0]])
    weights = _weights(at, np.array([0.05, 0.2, 9.0]), GRID, SIZE, bounds).toarray().reshape(3, *GRID)
    assert weights.sum((1, 2, 3)) == pytest.approx([1, 1, 1])
    assert weights[0, 0, 0, 0] == 1  # a corner, and farther than all
    assert weights[1, 4, 2, 2] == pytest.approx(0.5)  # half-way between rows 2 and 3 of 6, in the middle of the others
    assert weights[1, 4, 3, 2] == pytest.approx(0.5)
    assert weights[2, 8, 2, 4] == pytest.approx(0.5)


def test_a_constant_field_is_a_constant_factor():
    field = Correction(np.full(GRID, np.log(1.1)), SIZE, (-2.0, -1.0))
    assert field.whole(np.full(SIZE, 0.2)) == pytest.approx(1.1)


@pytest.mark.parametrize("outliers", [0.0, 0.25])
def test_a_misread_slant_is_put_right(outliers):
    at, w = spread()
    aligned = w / misread(at)
    random = np.random.default_rng(1)
    wrong = random.random(len(w)) < outliers
    known = np.where(wrong, w * random.uniform(1.3, 3, len(w)), w)
    found = correct(at, aligned, known, np.ones(len(w)), SIZE)
    assert found is not None
    field, errors = found
    assert np.median(np.abs(aligned / w - 1)) > 0.08
    assert np.median(errors) < (0.01 if not outliers else 0.03)
    assert np.median(np.abs(field(at, aligned) * aligned / w - 1)) < (0.01 if not outliers else 0.03)


def test_a_hole_takes_the_factor_around_it():
    """As under a moving thing, which is nearer than all that is known."""
    at, w = spread(4000)
    hole = (np.abs(at - [80, 45]) < 25).all(1)
    field, _ = correct(at[~hole], w[~hole] / misread(at[~hole]), w[~hole], np.ones((~hole).sum()), SIZE)
    assert field(np.array([[80.0, 45.0]]), np.array([0.9])) == pytest.approx(1.0, abs=0.03)
    assert field(np.array([[60.0, 45.0], [100.0, 45.0]]), np.array([0.9, 0.9])) == pytest.approx(
        np.exp([0.05, -0.05]), abs=0.03
    )


def test_along_depth_it_is_stiff_with_a_shift_and_follows_without():
    """Inverse depth with a shift that was not fitted: the factor varies with depth alone, (d + 0.05) / d."""
    at, w = spread(4000)
    scaled = w - 0.05
    place = np.array([[80.0, 45.0]])
    misses = {}
    for step in (STEP_SHIFTED, STEP_SCALED):
        field, _ = correct(at, scaled, w, np.ones(len(w)), SIZE, step)
        found = [float(field(place, np.array([d]))[0]) * d for d in (0.42, 0.08)]
        misses[step] = np.abs(np.array(found) / [0.47, 0.13] - 1).max()
    assert misses[STEP_SCALED] < 0.03
    assert misses[STEP_SCALED] < 0.5 * misses[STEP_SHIFTED]


def test_what_does_not_help_is_left_out():
    """Noise alone: the held-out anchors do not gain from what was fitted to the others. Too few anchors say nothing."""
    at, w = spread(60)
    noisy = w * np.exp(0.3 * np.random.default_rng(2).standard_normal(60))
    assert correct(at, noisy, w, np.ones(60), SIZE) is None
    assert correct(at[:10], w[:10], w[:10], np.ones(10), SIZE) is None


def test_whole_blocks_are_held_out():
    v, u = np.mgrid[: SIZE[0], : SIZE[1]] + 0.5
    out = held_out(np.stack([u.ravel(), v.ravel()], 1), SIZE).reshape(SIZE)
    assert out.mean() == pytest.approx(0.2, abs=0.05)
    assert out[:11, :11].all()
    assert not out[:11, 11:55].any()
