"""The motion of the background of two frames: analytic scenes with movers of a tenth to six tenths of the picture."""

from __future__ import annotations

import numpy as np
import pytest

from nsff.geometry.epipolar import pixel_centres
from nsff.geometry.robust_fit import fit_fundamental, fit_homography, gric, line_distance, transfer_distance
from nsff.priors.motion.background import background

H, W, F = 90, 160, 150.0
K = np.array([[F, 0, W / 2], [0, F, H / 2], [0, 0, 1.0]])


def rotation(degrees: float) -> np.ndarray:
    """About the vertical axis."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])


def depth(relief: bool) -> np.ndarray:
    """A wall, with relief: ground below and three posts before it."""
    x = pixel_centres(H, W)
    z = np.full((H, W), 10.0)
    if relief:
        below = np.maximum(x[..., 1] - H / 2, 1e-3)
        z = np.minimum(z, 1.5 * F / below)  # a camera 1.5 above the ground
        for left, near in ((5, 4.0), (118, 6.0), (146, 3.0)):
            z[10:70, left : left + 10] = near
    return z


def scene(share: float, relief: bool, R: np.ndarray, t: tuple[float, float, float], velocity=(0.0, 0.0)):
    """Flow of a static world, and a rectangle in the middle of the picture, ``share`` of it, that moves by
    ``velocity`` pixels beside; where it is."""
    x = pixel_centres(H, W)
    points = np.concatenate([x, np.ones((H, W, 1))], -1) @ np.linalg.inv(K).T * depth(relief)[..., None]
    there = (points @ R.T + t) @ K.T
    flow = there[..., :2] / there[..., 2:] - x
    mover = np.zeros((H, W), bool)
    h, w = (round(side * np.sqrt(share)) for side in (H, W))
    top, left = (H - h) // 2, (W - w) // 2
    mover[top : top + h, left : left + w] = True
    if share:
        flow[mover] = np.median(flow[mover], axis=0) + velocity
    noise = np.random.default_rng(0).normal(0, 0.05, flow.shape)
    return (flow + noise).astype(np.float32), mover


def distances(flow: np.ndarray) -> tuple[np.ndarray, str]:
    x = pixel_centres(H, W)
    found = background(flow, np.ones((H, W), bool), 1.0, 0)
    return found.distance(x, x + flow), found.kind


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.6])
def test_a_camera_that_turns_takes_a_homography_whatever_moves(share):
    flow, mover = scene(share, True, rotation(2.0), (0, 0, 0), velocity=(-4.0, 0.5))
    distance, kind = distances(flow)
    assert kind == "homography"
    assert np.quantile(distance[~mover], 0.95) < 0.5
    assert (distance[mover] > 1).mean() > 0.95


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5])
def test_parallax_takes_a_fundamental_matrix_that_the_mover_has_not_shaped(share):
    """The rectangle moves down while all epipolar lines are level."""
    flow, mover = scene(share, True, rotation(0.5), (0.3, 0, 0), velocity=(0.0, 3.0))
    distance, kind = distances(flow)
    assert kind == "fundamental"
    assert np.quantile(distance[~mover], 0.95) < 0.5
    assert (distance[mover] > 1).mean() > 0.95


def test_a_mover_alone_makes_no_parallax():
    """Before a wall, an epipole in the direction in which the mover goes would explain the mover, too."""
    flow, mover = scene(0.2, False, rotation(0.5), (0.1, 0, 0), velocity=(2.0, 2.0))
    distance, kind = distances(flow)
    assert kind == "homography"
    assert distance[~mover].max() < 0.5
    assert distance[mover].min() > 1


def test_a_static_world_has_no_movers():
    flow, _ = scene(0.0, True, rotation(1.0), (0.2, 0.05, 0.1))
    distance, kind = distances(flow)
    assert kind == "fundamental"
    assert np.quantile(distance, 0.98) < 0.5


def test_fits_and_their_choice():
    """Matches of a plane choose the homography, those of two planes the fundamental matrix."""
    x = pixel_centres(H, W)[::6, ::6].reshape(-1, 2)
    for relief, kind in ((False, "homography"), (True, "fundamental")):
        flow, _ = scene(0.0, relief, rotation(1.0), (0.3, 0, 0))
        x_other = x + flow[::6, ::6].reshape(-1, 2)
        M, E = fit_homography(x, x_other, 0.5), fit_fundamental(x, x_other, 0.5)
        assert M is not None
        assert E is not None
        values = {
            "homography": gric(transfer_distance(M, x, x_other), "homography", 0.1),
            "fundamental": gric(line_distance(E, x, x_other), "fundamental", 0.1),
        }
        assert min(values, key=values.__getitem__) == kind


def test_nothing_is_said_without_matches_or_geometry():
    flow, mask = np.zeros((H, W, 2), np.float32), np.zeros((H, W), bool)
    assert background(flow, mask, 1.0, 0).kind == "none"
    noise = np.random.default_rng(0).uniform(-20, 20, (H, W, 2)).astype(np.float32)
    assert background(noise, ~mask, 1.0, 0).kind == "none"


@pytest.mark.parametrize("share", [0.1, 0.3])
def test_what_moves_along_its_epipolar_line_needs_a_depth_that_nothing_else_has(share):
    """The rectangle moves level, as everything does, by several times the parallax of the nearest post."""
    flow, mover = scene(share, True, rotation(0.5), (0.3, 0, 0), velocity=(-60.0, 0.0))
    distance, kind = distances(flow)
    assert kind == "fundamental"
    assert np.quantile(distance[~mover], 0.95) < 0.5
    assert (distance[mover] > 1).mean() > 0.95
