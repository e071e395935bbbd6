"""Relief of things that move without turning: two boards at two depths that move as one, fast or hardly."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nsff.cameras import Cameras
from nsff.priors.depth.relief import add_relief, believed
from nsff.tracking.chaining import FlowCache
from nsff.tracking.tracklets import Nodes

N = 7
VELOCITY = (0.06, -0.03)


def cameras() -> Cameras:
    K = np.array([[80.0, 0, 48], [0, 80.0, 36], [0, 0, 1]])
    centres = np.stack([0.16 * np.arange(N), 0.35 * np.sin(0.9 * np.arange(N)), np.zeros(N)], axis=1)
    poses = np.array([np.column_stack([np.eye(3), -centre]) for centre in centres])
    return Cameras(np.tile(K, (N, 1, 1)), poses, np.tile([1.0, 7.0], (N, 1)), 96, 72)


@pytest.fixture
def boards(tmp_path, layered):
    return made(tmp_path, layered, VELOCITY)


def made(tmp_path, layered, velocity: tuple[float, float]):
    """A wall, and before it a thing of two boards, at 2.4 and 2.8, beside each other; true depths; one node a frame."""
    layers = [
        layered.Layer(5.0),
        layered.Layer(2.8, (0.55, 0.1), (0.35, 0.35), velocity),
        layered.Layer(2.4, (0.0, 0.1), (0.30, 0.30), velocity),
    ]
    scene = layered.make_scene(tmp_path / "scene", cameras(), layers)
    seen = [layered.trace(cameras(), layers, i) for i in range(N)]
    maps = [np.where(index > 0, i, -1).astype(np.int32) for i, (index, _, _) in enumerate(seen)]
    nodes = Nodes(maps, np.arange(N), np.zeros(N, int))
    flat = []
    for (_, _, depth), node in zip(seen, maps, strict=True):
        disparity = (1 / depth).astype(np.float32)
        disparity[node >= 0] = np.median(disparity[node >= 0])
        flat.append(disparity)
    return scene, nodes, [depth for *_, depth in seen], flat


def errors(nodes: Nodes, depth: list[np.ndarray], disparity: list[np.ndarray]) -> float:
    return float(
        np.mean([np.abs(d * w - 1)[m >= 0].mean() for d, w, m in zip(depth, disparity, nodes.maps, strict=True)])
    )


def test_two_depths_are_found_and_the_rest_stays(boards):
    scene, nodes, depth, flat = boards
    found = add_relief(scene.cameras, nodes, np.ones(N, bool), flat, FlowCache(scene.flow, keep=40)).maps
    assert errors(nodes, depth, found) < 0.5 * errors(nodes, depth, flat)
    for node, before, after in zip(nodes.maps, flat, found, strict=True):
        np.testing.assert_array_equal(after[node < 0], before[node < 0])
        assert np.median(after[node >= 0]) == pytest.approx(np.median(before[node >= 0]), rel=0.1)


def test_what_is_not_used_stays_flat(boards):
    scene, nodes, _, flat = boards
    used = np.arange(N) != 3
    found = add_relief(scene.cameras, nodes, used, flat, FlowCache(scene.flow, keep=40)).maps
    np.testing.assert_array_equal(found[3], flat[3])
    assert not np.array_equal(found[2], flat[2])


def test_what_hardly_moves_is_triangulated_where_it_is(tmp_path, layered):
    scene, nodes, depth, flat = made(tmp_path, layered, (0.004, -0.002))
    wrong = [
        np.where(node >= 0, 1.08 * one, one).astype(np.float32) for one, node in zip(flat, nodes.maps, strict=True)
    ]
    found = add_relief(scene.cameras, nodes, np.ones(N, bool), wrong, FlowCache(scene.flow, keep=40))
    assert found.placed.all()
    assert errors(nodes, depth, found.maps) < 0.4 * errors(nodes, depth, wrong)
    fast, *_ = made(tmp_path / "fast", layered, VELOCITY)
    assert not add_relief(fast.cameras, nodes, np.ones(N, bool), flat, FlowCache(fast.flow, keep=40)).placed.any()


def test_cameras_that_stand_still_tell_nothing(boards):
    scene, nodes, _, flat = boards
    still = replace(scene.cameras, world_to_camera=np.tile(scene.cameras.world_to_camera[:1], (N, 1, 1)))
    found = add_relief(still, nodes, np.ones(N, bool), flat, FlowCache(scene.flow, keep=40)).maps
    for before, after in zip(flat, found, strict=True):
        assert np.isfinite(after).all()
        np.testing.assert_allclose(after, before, rtol=0.3)


def test_a_relief_deeper_than_the_thing_is_wide_is_drawn_back():
    relief = np.random.default_rng(0).normal(size=200)
    relief /= relief.std()
    np.testing.assert_array_equal(believed(relief, 1.5), relief)
    np.testing.assert_allclose(believed(relief, 0.5), relief / 4)
    np.testing.assert_array_equal(believed(np.zeros(5), 0.5), np.zeros(5))
