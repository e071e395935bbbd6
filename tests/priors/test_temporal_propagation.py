"""What moves at other times is on the masks of all: squares on known flow."""

import numpy as np
import pytest

from nsff.priors.motion.temporal_propagation import propagate_masks

SIZE, STEP = (288, 320), 6


def square(t, size=60):
    """A square that goes STEP pixels a frame to the right."""
    mask = np.zeros(SIZE, bool)
    mask[100 : 100 + size, 40 + STEP * t : 40 + STEP * t + size] = True
    return mask


def link(i, j):
    """The square moves, the rest stands; flow is valid except where the square arrives or has left."""
    flow = np.zeros((*SIZE, 2), np.float32)
    flow[square(i)] = [STEP * (j - i), 0]
    uncovered = (square(i) ^ square(j)) & ~square(i)
    return flow, ~uncovered


def test_a_thing_that_rests_is_kept_moving():
    masks = [square(t) if t not in (3, 4, 5) else np.zeros(SIZE, bool) for t in range(9)]
    found = propagate_masks(masks, link, 4)
    for t, mask in enumerate(found):
        assert not (mask & ~square(t)).any()
        assert (mask & square(t)).sum() > 0.9 * square(t).sum()


def test_before_it_first_moves_and_after_it_last_does():
    masks = [square(t) if 3 <= t <= 5 else np.zeros(SIZE, bool) for t in range(9)]
    found = propagate_masks(masks, link, 4)
    assert all((found[t] & square(t)).sum() > 0.9 * square(t).sum() for t in range(9))


@pytest.mark.parametrize("reach", [0, 4])
def test_one_frame_alone_is_no_evidence(reach):
    masks = [square(t) if t == 4 else np.zeros(SIZE, bool) for t in range(9)]
    for before, after in zip(masks, propagate_masks(masks, link, reach), strict=True):
        np.testing.assert_array_equal(before, after)


def test_nothing_without_reach():
    masks = [square(t) if t != 4 else np.zeros(SIZE, bool) for t in range(9)]
    assert not propagate_masks(masks, link, 0)[4].any()


def test_specks_and_rims_are_not_carried():
    """The square of frame 4 lacks its rim and has a hole of a few pixels: neither is filled."""
    lacking = np.zeros(SIZE, bool)
    lacking[103:157, 67:121] = True
    lacking[120:125, 90:95] = False
    masks = [square(t) if t != 4 else lacking for t in range(9)]
    np.testing.assert_array_equal(propagate_masks(masks, link, 4)[4], lacking)
