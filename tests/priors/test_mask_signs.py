"""Signs of masks on known flow: a square that moves before a ground that stands still."""

import numpy as np
import pytest

from nsff.priors.motion.mask_signs import FINAL, Signs, Sure, judged_by_signs, mask_signs
from nsff.priors.motion.rims import without_smooth_parts

SIZE, STEP = (288, 320), 6


def square(t, grow=0):
    mask = np.zeros(SIZE, bool)
    mask[100 - grow : 160 + grow, 60 - grow + STEP * t : 120 + grow + STEP * t] = True
    return mask


def link(i, j):
    flow = np.zeros((*SIZE, 2), np.float32)
    flow[square(i)] = [STEP * (j - i), 0]
    return flow, np.ones(SIZE, bool)


def test_masks_of_a_thing_stay_on_it_and_end_where_flow_jumps():
    signs = mask_signs([square(t) for t in range(6)], link)
    assert signs.carried > 0.9  # less what the square newly covers
    assert signs.rim == 1
    assert judged_by_signs({"verdict": "good", "message": "Fine."}, signs, FINAL)["verdict"] == "good"


def test_masks_that_come_and_go_are_not_carried():
    signs = mask_signs([square(t) if t % 2 else np.roll(square(t), 90, axis=0) for t in range(6)], link)
    assert signs.carried < 0.1
    summary = judged_by_signs({"verdict": "good", "message": "Fine."}, signs, FINAL)
    assert summary["verdict"] == "doubtful"
    assert "come" in summary["message"]


@pytest.mark.parametrize("masks", [[square(t, 20) for t in range(6)], [np.roll(square(0), -90, axis=0)] * 6])
def test_flow_does_not_jump_at_rims_beside_the_thing(masks):
    """Masks that are too large, and masks on the ground, which flow carries very well."""
    signs = mask_signs(masks, link)
    assert signs.carried > 0.8
    assert signs.rim < 0.3


def test_parts_that_end_without_a_jump_of_flow_are_left_out():
    """A square that moves, and a smooth error of the cameras in a corner that is as large as its motion."""

    def smooth(i, j):
        flow, mask = link(i, j)
        rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
        error = 6 * np.exp(-((rows - SIZE[0]) ** 2 + (columns - SIZE[1]) ** 2) / (2 * 60**2))
        return flow + (error * ~square(i))[..., None].astype(np.float32), mask

    masks = [square(t) for t in range(4)]
    corner = np.zeros(SIZE, bool)
    corner[230:, 260:] = True
    found = without_smooth_parts([mask | corner for mask in masks], smooth)
    np.testing.assert_array_equal(np.stack(found), np.stack(masks))


def part(columns):
    """The masks without what lies right of so many columns, which go along."""
    return [square(t) & (np.arange(SIZE[1]) < columns + STEP * t) for t in range(6)]


def sure(i):
    return Sure(square(i), ~square(i, 6))


@pytest.mark.parametrize(
    ("masks", "verdict", "missed", "resting", "words"),
    [
        ([square(t) for t in range(6)], "good", 0, 0, None),
        (part(105), "doubtful", 0.25, 0, "25% of what surely moves"),
        (part(75), "poor", 0.75, 0, "75% of what surely moves"),
        ([square(t, 30) for t in range(6)], "poor", 0, 0.64, "of what is on the masks surely stands still"),
    ],
)  # fmt: skip
def test_what_surely_moves_belongs_on_the_masks_and_what_rests_does_not(masks, verdict, missed, resting, words):
    signs = mask_signs(masks, link, sure)
    assert (signs.missed, signs.resting) == pytest.approx((missed, resting), abs=0.01)
    summary = judged_by_signs({"verdict": "good", "message": ""}, signs, FINAL)
    assert summary["verdict"] == verdict
    assert summary["support"] == signs.support
    assert words is None or words in summary["message"]


def test_masks_that_were_grown_on_purpose_are_judged_as_they_were_before():
    masks = [square(t, 8) for t in range(6)]
    assert mask_signs(masks, link, sure).rim < 0.9
    signs = mask_signs(masks, link, sure, grown=8)
    assert signs.rim == 1
    assert signs.missed == signs.resting == 0


def test_a_few_sure_pixels_say_nothing_of_what_is_missed():
    speck = np.zeros(SIZE, bool)
    speck[:3, :3] = True
    signs = mask_signs([np.zeros(SIZE, bool)] * 3, link, lambda i: Sure(speck, ~speck))
    assert np.isnan(signs.missed)
    assert signs.support == 1


def test_nothing_masked_has_no_signs_and_a_poor_verdict_stays_poor():
    assert np.isnan([mask_signs([np.zeros(SIZE, bool)] * 3, link).carried, mask_signs([square(0)], link).rim]).all()
    assert judged_by_signs({"verdict": "poor", "message": ""}, Signs(0.1, 0.1), FINAL)["verdict"] == "poor"
    written = judged_by_signs({"verdict": "doubtful", "message": ""}, Signs(np.nan, np.nan), FINAL)
    assert written["signs"] == {"carried": None, "rim": None, "missed": None, "resting": None}
    assert written["verdict"] == "doubtful"
