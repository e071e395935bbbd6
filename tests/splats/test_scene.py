"""Gaussians as arrays: what is refused, and what is drawn at a time."""

from dataclasses import replace

import numpy as np
import pytest

from nsff.splats.scene import MovingSplats, SplatSet


def one(**changes):
    """One Gaussian that moves along x, seen around frame 3."""
    values = {
        "means": [[2.0, 0, 0]], "quaternions": [[1.0, 0, 0, 0]], "scales": np.ones((1, 3)), "opacities": [0.5],
        "colours": np.ones((1, 3)), "objects": [2], "reference": [3.0], "span": [1.0], "first": [2],
        "path": [[[1.0, 0, 0], [2, 0, 0], [4, 0, 0]]],
    }  # fmt: skip
    return MovingSplats(**{name: np.array(value) for name, value in (values | changes).items()})


@pytest.mark.parametrize(
    ("time", "x"), [(0, 1), (2, 1), (2.5, 1.5), (3, 2), (3.25, 2.5), (4, 4), (9, 4)]
)  # fmt: skip
def test_places(time, x):
    assert one().places(time)[0].tolist() == [x, 0, 0]


def test_a_path_of_one_place():
    assert one(path=[[[1.0, 2, 3]]]).places(7.5).tolist() == [[1, 2, 3]]


def test_gates():
    assert one().gates(3)[0] == 1
    assert one(span=[2.0]).gates(5)[0] == pytest.approx(np.exp(-0.5))


def test_what_is_drawn(make_scene):
    scene = make_scene(static=20, moving=30)
    for time in (0, 3.4, 11):
        drawn = scene.at(time)
        assert drawn.opacities.min() >= 1 / 255
        moving = scene.moving.at(time)
        seen = np.concatenate([scene.static.opacities, moving.opacities]) >= np.float32(1 / 255)
        assert seen[20:].sum() < 30, "some are out of their span"
        np.testing.assert_array_equal(drawn.means, np.concatenate([scene.static.means, moving.means])[seen])
    assert len(replace(scene, static=SplatSet.empty(), moving=scene.moving.chosen(np.zeros(0, int))).at(1)) == 0


def test_objects(make_scene):
    scene = make_scene()
    assert scene.object_numbers == [1, 2, 3]
    alone = scene.of_object(2)
    assert set(alone.static.objects) == set(alone.moving.objects) == {2}
    assert len(alone.moving) == (scene.moving.objects == 2).sum() == len(alone.moving.path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scales": np.ones((1, 2))}, r"scales \(1, 2\), not \(1, 3\)"),
        ({"opacities": [0.5, 0.5]}, r"opacities \(2,\), not \(1\)"),
        ({"opacities": [1.5]}, "opacities: 1 of 1 values are outside of 0 to 1"),
        ({"colours": [[0, np.nan, 0]]}, "colours has values that are no finite numbers"),
        ({"scales": [[1.0, 0, 1]]}, "scales: 1 of 3 values are not positive"),
        ({"quaternions": np.zeros((1, 4))}, "quaternions: 1 of 1 values have length 0"),
        ({"objects": [40000]}, "objects: 1 of 1"),
        ({"first": [0.5]}, "first: 1 of 1"),
        ({"span": [0.0]}, "span: 1 of 1 values are not positive"),
        ({"path": np.zeros((1, 0, 3))}, "no place"),
        ({"path": np.zeros((1, 3))}, r"path \(1, 3\), not \(1, W, 3\)"),
    ],
)
def test_what_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        one(**changes)


def test_scenes_that_do_not_fit(make_scene):
    scene = make_scene()
    with pytest.raises(ValueError, match="12 cameras, 13 frames"):
        replace(scene, n_frames=13)
    with pytest.raises(ValueError, match="feature_colours"):
        replace(scene, static=make_scene(features=True).static)
    with pytest.raises(ValueError, match="0 frames"):
        replace(scene, n_frames=0)
