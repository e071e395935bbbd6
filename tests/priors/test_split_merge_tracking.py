"""Things that touch for a while stay apart: two squares that pass by on known flow."""

import numpy as np
import pytest

from nsff.tracking.components import moving_components
from nsff.tracking.split_merge_tracking import separate_merged
from nsff.tracking.tracklets import link_tracklets

SIZE = (120, 300)


def left(t):
    mask = np.zeros(SIZE, bool)
    mask[40:80, 20 + 10 * t : 60 + 10 * t] = True
    return mask


def right(t):
    mask = np.zeros(SIZE, bool)
    mask[30:70, 130:180] = True
    return mask & ~left(t)


def link(i, j):
    flow = np.zeros((*SIZE, 2), np.float32)
    flow[left(i)] = [10 * (j - i), 0]
    return flow, ~(right(i) & left(j))  # what is hidden in j cannot be followed


def touching(t):
    return left(t).any() and bool((np.roll(left(t), 3, axis=1) & right(t)).any())


def whole(labels, truth):
    """The share of a thing's pixels that have its most frequent label, and the label."""
    values, counts = np.unique(labels[truth], return_counts=True)
    return counts.max() / truth.sum(), int(values[counts.argmax()])


@pytest.mark.parametrize("order", [range(12), range(11, -1, -1)], ids=["they meet", "they part"])
def test_two_things_that_touch(order):
    """From frame 7 on the left square is before the right one, whose visible part shrinks."""
    times = list(order)
    masks = np.stack([left(t) | right(t) for t in times])

    def own(i, j):
        return link(times[i], times[j])

    labels = moving_components(masks, own)
    objects = link_tracklets(labels, own)
    assert any(touching(t) for t in times)
    found = set()
    for i, t in enumerate(times):
        (share, a), (other, b) = whole(labels[i], left(t)), whole(labels[i], right(t))
        assert min(share, other) > 0.95
        assert a != b
        found.add((objects[i][a], objects[i][b]))
    assert len(found) == 1  # the same two things all the time


def test_what_was_apart_for_a_moment_is_no_thing():
    parts = [np.where(left(0), 1, 0) + np.where(right(0), 2, 0) for _ in range(2)]
    together = [np.where(left(0) | right(0), 1, 0) for _ in range(5)]
    labels = [np.asarray(one, np.int32) for one in together + parts + together]

    def still(i, j):
        return np.zeros((*SIZE, 2), np.float32), np.ones(SIZE, bool)

    result = separate_merged(labels, still)
    for before, after in zip(labels, result, strict=True):
        np.testing.assert_array_equal(before, after)


def test_nothing_moves():
    empty = [np.zeros(SIZE, np.int32)] * 4
    assert not np.any(separate_merged(empty, link))
