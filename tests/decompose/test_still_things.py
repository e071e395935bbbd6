"""Near things at the lower border that one static point each explains are no objects; those that move are."""

from __future__ import annotations

import numpy as np
import pytest

from nsff.cameras import Cameras
from nsff.decompose.motion_groups.still_things import static_errors, without_still_things
from nsff.tracking.point_tracks import PointTracks

HEIGHT, WIDTH, FRAMES, FOCAL = 144, 200, 10, 150.0


def sideways() -> Cameras:
    """Cameras that move to the right by a tenth of a unit a frame."""
    K = np.array([[FOCAL, 0, WIDTH / 2], [0, FOCAL, HEIGHT / 2], [0, 0, 1]])
    poses = np.tile(np.concatenate([np.eye(3), np.zeros((3, 1))], axis=1), (FRAMES, 1, 1))
    poses[:, 0, 3] = -0.1 * np.arange(FRAMES)
    return Cameras(np.tile(K, (FRAMES, 1, 1)), poses, np.tile([1.0, 9.0], (FRAMES, 1)), WIDTH, HEIGHT)


def thing(velocity: tuple[float, float], rows: tuple[int, int], depth: float = 2.0) -> tuple[list, PointTracks]:
    """Labels and trajectories of an upright board of points between two rows of the first picture, at a depth, which
    moves by ``velocity`` (right, down) in units a frame squared: steady motion alone may look still."""
    v, u = np.mgrid[rows[0] : rows[1] : 6, 80:120:6].reshape(2, -1)
    X = np.stack([(u + 0.5 - WIDTH / 2) * depth / FOCAL, (v + 0.5 - HEIGHT / 2) * depth / FOCAL], axis=-1)
    labels, positions = [], []
    for i in range(FRAMES):
        at = X + np.array(velocity) * i**2 - [0.1 * i, 0]
        x = at * FOCAL / depth + [WIDTH / 2 - 0.5, HEIGHT / 2 - 0.5]
        inside = (x[:, 0] >= 0) & (x[:, 0] <= WIDTH - 1) & (x[:, 1] >= 0) & (x[:, 1] <= HEIGHT - 1)
        positions.append(np.where(inside[:, None], x, np.nan))
        label = np.zeros((HEIGHT, WIDTH), np.int64)
        low, high = np.floor(x.min(0)).astype(int), np.ceil(x.max(0)).astype(int)
        label[max(0, low[1]) : high[1] + 7, max(0, low[0]) : max(0, high[0] + 2)] = 1
        labels.append(label)
    return labels, PointTracks(np.array(positions, np.float32))


def test_a_static_point_explains_what_stands_still_alone():
    cameras = sideways()
    still = static_errors(thing((0, 0), (100, 142))[1].positions, cameras)
    moves = static_errors(thing((0.01, 0), (100, 142))[1].positions, cameras)
    assert (still < 1e-3).all()
    assert (moves > 1.5).all()
    backwards = PointTracks(-thing((0, 0), (100, 142))[1].positions[::-1] + 150)
    assert len(static_errors(backwards.positions, cameras)) == len(still)


@pytest.mark.parametrize(
    ("velocity", "rows", "stays"),
    [((0, 0), (100, 142), False), ((0.02, 0), (100, 142), True), ((0, 0), (40, 80), True)],
    ids=["a beam below", "a thing below that moves", "a still thing farther up"],
)
def test_only_still_things_at_the_lower_border_are_left_out(velocity, rows, stays):
    labels, tracks = thing(velocity, rows)
    other = [one.copy() for one in labels]
    for one in other:
        one[10:20, 10:30] = 2
    found = without_still_things(other, tracks, sideways())
    assert any((one == 1).any() for one in found)
    assert (max(int(one.max()) for one in found) == 2) is stays
    kept = found[0][15, 15]
    assert kept == (2 if stays else 1), "numbers follow each other"


def test_a_thing_behind_the_camera_is_no_still_one():
    """Points that would have to lie behind the camera, since they move as nothing in front of it does."""
    cameras = sideways()
    positions = thing((0, 0), (100, 142))[1].positions
    mirrored = positions.copy()
    mirrored[..., 0] = 2 * positions[:1, :, 0] - positions[..., 0]
    assert np.isinf(static_errors(mirrored, cameras)).all()
