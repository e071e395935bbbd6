"""A thing that comes out from behind another one while they touch is itself again, by its colours."""

from __future__ import annotations

import numpy as np
import pytest

from nsff.decompose.motion_groups.hidden_parts import with_hidden_parts

HEIGHT, WIDTH, HIDES, OUT = 144, 200, 6, 8
"""The thing behind is hidden from frame HIDES on and comes out in frame OUT, on the other side."""


def passing(behind: tuple[int, int, int], hides: int = HIDES, left: int = 20) -> tuple[list, list, list]:
    """Pictures, labels as grouping gives them, and true labels: object 2 stands ``left`` pixels from the left, object 1
    passes before it, and what comes out behind object 1 is called object 1."""
    noise = np.random.default_rng(0)
    pictures, labels, truth = [], [], []
    for frame in range(11):
        picture = np.full((HEIGHT, WIDTH, 3), 128, np.uint8)
        true = np.zeros((HEIGHT, WIDTH), np.int64)
        true[60:90, left : left + 30] = 2
        picture[true == 2] = behind
        x = {True: 70 - 5 * frame, False: left - 5 if frame < OUT else left - 5 - 12 * (frame - OUT + 1)}[frame < hides]
        x = max(0, x)
        true[50:100, x : x + 40] = 1
        picture[true == 1] = (40, 60, 180)
        pictures.append(np.clip(picture + noise.normal(0, 4, picture.shape), 0, 255).astype(np.uint8))
        labels.append(np.where((true > 0) & (frame >= hides), 1, true))
        truth.append(true)
    return pictures, labels, truth


def test_what_comes_out_from_behind_has_its_number_again():
    pictures, labels, truth = passing((200, 160, 60))
    assert (truth[HIDES] != 2).all(), "it is hidden"
    found = with_hidden_parts(labels, pictures)
    for frame in (OUT, OUT + 1):
        shown = truth[frame] == 2
        assert shown.sum() > 150
        assert (found[frame][shown] == 2).mean() > 0.8
        assert (found[frame][truth[frame] == 1] == 2).mean() < 0.05
    for frame in range(OUT):
        np.testing.assert_array_equal(found[frame], labels[frame])


@pytest.mark.parametrize("colour", [(40, 60, 180), (44, 58, 176)])
def test_like_colours_tell_nothing(colour):
    pictures, labels, _ = passing(colour)
    for before, after in zip(labels, with_hidden_parts(labels, pictures), strict=True):
        np.testing.assert_array_equal(after, before)


def test_colours_far_from_where_it_was_are_not_taken_for_it():
    """The other shows the colours of the missing thing, but at the other end of the picture."""
    pictures, labels, _ = passing((200, 160, 60))
    for frame in range(HIDES, 11):
        labels[frame][:] = 0
        labels[frame][50:100, 150:190] = 1
        pictures[frame][60:90, 155:185] = (200, 160, 60)
    found = with_hidden_parts(labels, pictures)
    assert not any((one == 2).any() for one in found[HIDES : HIDES + 1])


def test_no_object_or_one_alone_stays_as_it_is():
    empty = [np.zeros((32, 32), np.int64)] * 3
    pictures = [np.zeros((32, 32, 3), np.uint8)] * 3
    assert not any(one.any() for one in with_hidden_parts(empty, pictures))
    single = [np.ones((32, 32), np.int64), np.zeros((32, 32), np.int64)]
    np.testing.assert_array_equal(with_hidden_parts(single, pictures)[1], single[1])
