"""What flow says about cameras: the world in which the picture stands still, and broken twins of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nsff.cameras import Cameras
from nsff.geometry.epipolar import pixel_centres
from nsff.geometry.static_world import check_world
from nsff.priors.canonical.verdict import world_doubts
from nsff.tracking.flow_pairs import flow_pairs

H, W, F, N = 72, 128, 120.0, 6
K = np.array([[F, 0, W / 2], [0, F, H / 2], [0, 0, 1.0]])


def cameras(step=(0.3, 0.0, 0.0)) -> Cameras:
    """A path along ``step``, while the camera turns half a degree a frame."""
    poses = []
    for i in range(N):
        angle = np.radians(0.5 * i)
        R = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
        poses.append(np.column_stack([R, -R @ (i * np.asarray(step))]))
    return Cameras(np.tile(K, (N, 1, 1)), np.array(poses), np.tile([4.0, 20.0], (N, 1)), W, H)


def flow_between(found: Cameras, i: int, j: int) -> tuple[np.ndarray, np.ndarray]:
    """Flow of ground 1.5 below the camera and a wall at 20, with noise."""
    x = pixel_centres(H, W)
    rays = found.rays(i, x.reshape(-1, 2)).reshape(H, W, 3)
    depth = np.minimum(20.0, 1.5 * F / np.maximum(x[..., 1] - H / 2, 1e-3))
    points = found.centres[i] + rays / (rays @ found.world_to_camera[i, 2, :3])[..., None] * depth[..., None]
    there = (points @ found.world_to_camera[j, :, :3].T + found.world_to_camera[j, :, 3]) @ K.T
    flow = there[..., :2] / there[..., 2:] - x + np.random.default_rng(i).normal(0, 0.03, (H, W, 2))
    return flow.astype(np.float32), np.ones((H, W), bool)


def with_mover(found: Cameras, share: float):
    """The flow, and on a centred part of the picture that of a thing which falls."""

    def link(i: int, j: int) -> tuple[np.ndarray, np.ndarray]:
        flow, mask = flow_between(found, i, j)
        h, w = (round(side * np.sqrt(share) / 2) for side in (H, W))
        flow[H // 2 - h : H // 2 + h, W // 2 - w : W // 2 + w] = (0, 2 * (j - i))
        return flow, mask

    return link


def test_the_right_world_stands_still_and_its_ground_is_near():
    check = check_world(cameras(), flow_pairs(lambda i, j: flow_between(cameras(), i, j), N))
    assert check.static > 0.98
    assert check.border > 0.98
    assert check.order > 0.5
    assert check.spread == pytest.approx(20 / (1.5 * F / (H / 2)), rel=0.3)
    assert world_doubts(check) == ("good", [])


@pytest.mark.parametrize("share", [0.1, 0.25])
def test_a_mover_in_the_middle_leaves_the_border_still(share):
    check = check_world(cameras(), flow_pairs(with_mover(cameras(), share), N))
    assert check.static == pytest.approx(1 - share, abs=0.06)
    assert check.border > 0.98
    assert world_doubts(check)[0] == "good"


def broken(kind: str) -> Cameras:
    found = cameras()
    if kind == "inverted":  # the camera goes the other way: all depth is behind infinity
        poses = found.world_to_camera.copy()
        poses[:, :, 3] *= -1
        return replace(found, world_to_camera=poses)
    if kind == "follows the mover":  # the camera stands still, as it does against a thing that stays in the picture
        return replace(found, world_to_camera=np.tile(found.world_to_camera[:1], (N, 1, 1)))
    poses = found.world_to_camera.copy()
    poses[:, :, 3] += np.random.default_rng(0).normal(0, 0.1, (N, 3))
    return replace(found, world_to_camera=poses)


@pytest.mark.parametrize("kind", ["inverted", "follows the mover", "jittered"])
def test_cameras_of_no_still_world_are_not_good(kind):
    check = check_world(broken(kind), flow_pairs(with_mover(cameras(), 0.25), N))
    assert world_doubts(check)[0] in ("poor", "doubtful"), check


def test_no_flow_says_nothing():
    nothing = np.zeros((H, W, 2), np.float32), np.zeros((H, W), bool)
    check = check_world(cameras(), flow_pairs(lambda i, j: nothing, N))
    assert np.isnan([check.static, check.border, check.order, check.spread]).all()
    assert world_doubts(check) == ("good", [])
