"""Pixels with a velocity of their own, seen by cameras that pass on a curve: exact images."""

from __future__ import annotations

import numpy as np
import pytest

from nsff.cameras import Cameras
from nsff.priors.depth.steady_motion import RANGE, triangulate_steady
from nsff.priors.depth.turning import Sight

N, T = 7, 3
K = np.array([[400.0, 0, 160], [0, 400.0, 90], [0, 0, 1]])
DEPTH = np.array([2.8, 2.9, 3.0, 3.1, 3.2])
AT = np.stack([np.linspace(60, 260, 5), np.linspace(40, 140, 5)], axis=1)


def cameras(bend: float, unit: float) -> Cameras:
    """``bend``: 0 on a straight line, at an even pace."""
    steps = np.arange(N) - T
    centres = unit * np.stack([0.1 * steps, bend * steps**2, np.zeros(N)], axis=1)
    poses = np.array([np.column_stack([np.eye(3), -centre]) for centre in centres])
    return Cameras(np.tile(K, (N, 1, 1)), poses, np.tile([unit, 9.0 * unit], (N, 1)), 320, 180)


def seen(world: Cameras, velocity: np.ndarray, unit: float) -> list[Sight]:
    points = world.centres[T] + world.rays(T, AT) * unit * DEPTH[:, None]
    return [
        Sight(j, world[[j]].project(points + (j - T) * unit * velocity)[0][0], np.ones(len(AT), bool), np.zeros(3))
        for j in range(N)
        if j != T
    ]


def found(bend: float, velocity: tuple[float, float, float], speed: float, unit: float = 1.0):
    """Depth and its relative deviation, with all pixels expected at 3."""
    world = cameras(bend, unit)
    sights = seen(world, np.array(velocity), unit)
    poses = world.world_to_camera[[sight.frame for sight in sights]]
    w, deviation = triangulate_steady(world, T, AT, 1 / (3.0 * unit), sights, poses, speed)
    return 1 / w / unit, deviation / w


def test_what_stands_still_is_triangulated():
    depth, deviation = found(0.0, (0, 0, 0), speed=0.05)
    np.testing.assert_allclose(depth, DEPTH, rtol=0.004)
    assert (deviation < 0.05).all()


@pytest.mark.parametrize("unit", [1.0, 200.0])
def test_a_steady_velocity_is_told_from_depth_where_the_camera_turns_off_its_line(unit):
    velocity = (0.06, -0.02, 0.0)
    own, stiff = (np.abs(found(0.3, velocity, speed, unit)[0] / DEPTH - 1).max() for speed in (5.0, 0.01))
    assert own < 0.006
    assert stiff > 0.015


def test_on_a_straight_line_velocity_and_depth_cannot_be_told_apart_and_the_deviation_says_so():
    _, deviation = found(0.0, (0.03, 0, 0), speed=20.0)
    assert (deviation > 0.7 * RANGE).all()


def test_a_pixel_that_nothing_sees_keeps_what_it_had():
    world = cameras(0.05, 1.0)
    sights = [Sight(s.frame, s.to, np.arange(5) > 0, s.way) for s in seen(world, np.zeros(3), 1.0)]
    w, deviation = triangulate_steady(world, T, AT, 0.34, sights, world.world_to_camera[[s.frame for s in sights]], 0.5)
    assert w[0] == pytest.approx(0.34)
    assert deviation[0] == pytest.approx(RANGE * 0.34)
    assert (deviation[1:] < 0.5 * deviation[0]).all()


def test_a_frame_that_is_wrong_hardly_counts():
    world = cameras(0.05, 1.0)
    sights = seen(world, np.zeros(3), 1.0)
    sights[0] = Sight(sights[0].frame, sights[0].to + 40, sights[0].known, sights[0].way)
    w, _ = triangulate_steady(world, T, AT, 1 / 3, sights, world.world_to_camera[[s.frame for s in sights]], 0.5)
    np.testing.assert_allclose(1 / w, DEPTH, rtol=0.01)
