"""What moves at other times is on the masks of all, and what one frame alone says is on none: squares on known flow."""

import numpy as np
import pytest

from nsff.priors.motion.track_evidence import Evidence, moving_by_tracks

SIZE, STEP = (144, 200), 4
PICTURE = np.full((*SIZE, 3), 128, np.uint8)
RADIUS, OPENING = 0, 0


def square(t, size=40):
    """A square that goes STEP pixels a frame to the right."""
    mask = np.zeros(SIZE, bool)
    mask[50 : 50 + size, 20 + STEP * t : 20 + STEP * t + size] = True
    return mask


def link(i, j):
    """The square moves, the rest stands; flow is valid except where the square arrives or has left."""
    flow = np.zeros((*SIZE, 2), np.float32)
    flow[square(i)] = [STEP * (j - i), 0]
    uncovered = (square(i) ^ square(j)) & ~square(i)
    return flow, ~uncovered


def found(evidence, reach, trust=None):
    gathered = Evidence()
    for i, moves in enumerate(evidence):
        gathered.append(moves.astype(np.float32), np.ones(SIZE, np.float32) if trust is None else trust[i])
    return moving_by_tracks(gathered, lambda i: PICTURE, link, reach, RADIUS, OPENING)


def test_a_thing_that_rests_is_kept_moving():
    masks, added, _ = found([square(t) if t not in (3, 4, 5) else np.zeros(SIZE, bool) for t in range(9)], 8)
    for t, mask in enumerate(masks):
        assert not (mask & ~square(t)).any()
        assert (mask & square(t)).sum() > 0.9 * square(t).sum()
    assert added == pytest.approx(3 / 9 * square(0).mean(), rel=0.1)


def test_what_moves_for_a_while_moves_then_and_what_one_frame_alone_says_does_not():
    """Two squares in one place: the evidence of three frames in a row is believed there, that of one is not."""
    of_three = found([square(t) if 6 <= t <= 8 else np.zeros(SIZE, bool) for t in range(20)], 8)[0]
    assert all((of_three[t] & square(t)).sum() > 0.9 * square(t).sum() for t in (6, 7, 8))
    assert not of_three[0].any()
    of_one, _, dropped = found([square(t) if t == 6 else np.zeros(SIZE, bool) for t in range(20)], 8)
    assert not any(mask.any() for mask in of_one)
    assert dropped == pytest.approx(square(6).mean() / 20, rel=0.05)


def test_without_reach_each_frame_stands_alone():
    masks, added, dropped = found([square(t) if t == 4 else np.zeros(SIZE, bool) for t in range(9)], 0)
    np.testing.assert_array_equal(np.stack(masks), np.stack([square(t) & (t == 4) for t in range(9)]))
    assert (added, dropped) == (0, 0)


def test_what_cannot_be_trusted_has_no_say():
    """Frames 3 to 6 see nothing move, but cannot tell."""
    moves = [square(t) if t not in range(3, 7) else np.zeros(SIZE, bool) for t in range(9)]
    trust = [np.full(SIZE, 1.0 if t not in range(3, 7) else 0.02, np.float32) for t in range(9)]
    masks = found(moves, 8, trust)[0]
    assert all((masks[t] & square(t)).sum() > 0.9 * square(t).sum() for t in range(9))


def test_tracks_add_nothing_where_hardly_any_frame_can_be_trusted():
    """The evidence of the single frames stays, which the filter of the picture's edges weighs."""
    moves = [square(t) if t % 4 else np.zeros(SIZE, bool) for t in range(9)]
    trust = [np.full(SIZE, 0.1, np.float32)] * 9
    masks = found(moves, 8, trust)[0]
    assert not any(masks[t].any() for t in (0, 4, 8))
