"""A rigid thing that turns: two faces that meet in an edge, before cameras that pass, with exact flow."""

from __future__ import annotations

import numpy as np
import pytest

from nsff.cameras import Cameras
from nsff.priors.depth.relief import add_relief
from nsff.priors.depth.turning import Sight, rotation, straight_cost, turning_of, vector
from nsff.tracking.tracklets import Nodes

N, HEIGHT, WIDTH = 7, 72, 96
MIDDLE, HALF, SLOPE = np.array([0.05, 0.0, 3.0]), 0.35, 0.7
"""The faces are z = SLOPE |x|, |x| and |y| up to HALF, about the middle."""


def cameras(unit: float = 1.0) -> Cameras:
    K = np.array([[240.0, 0, WIDTH / 2], [0, 240.0, HEIGHT / 2], [0, 0, 1]])
    centres = unit * np.stack([0.04 * np.arange(N), 0.02 * np.sin(np.arange(N)), np.zeros(N)], axis=1)
    poses = np.array([np.column_stack([np.eye(3), -centre]) for centre in centres])
    return Cameras(np.tile(K, (N, 1, 1)), poses, np.tile([unit, 7.0 * unit], (N, 1)), WIDTH, HEIGHT)


def turned(t: int, rate: float) -> np.ndarray:
    return rotation(np.array([0, np.radians(rate) * (t - 3), 0]))


def seen(world: Cameras, t: int, rate: float, unit: float, bend: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Depth of the thing, NaN beside it, and where flow leads its pixels in the next frame; ``bend``: how much steeper
    the faces become with each frame."""
    v, u = np.meshgrid(np.arange(HEIGHT) + 0.5, np.arange(WIDTH) + 0.5, indexing="ij")
    ray = world.rays(t, np.stack([u, v], -1).reshape(-1, 2))
    R, slope = turned(t, rate), SLOPE + bend * t
    start, along = (world.centres[t] / unit - MIDDLE) @ R, ray @ R
    depth = np.full(len(ray), np.inf)
    for sign in (1.0, -1.0):
        far = (sign * slope * start[0] - start[2]) / (along[:, 2] - sign * slope * along[:, 0])
        at = start + far[:, None] * along
        on = (sign * at[:, 0] >= 0) & (np.abs(at[:, :2]) <= HALF).all(1) & (far > 0)
        depth = np.where(on & (far < depth), far, depth)
    own = start + np.where(np.isfinite(depth), depth, 1)[:, None] * along
    flow = np.zeros((len(ray), 2))
    if t + 1 < N:
        own[:, 2] += bend * np.abs(own[:, 0])
        later = unit * (own @ turned(t + 1, rate).T + MIDDLE)
        inside = later @ world.world_to_camera[t + 1, :, :3].T + world.world_to_camera[t + 1, :, 3]
        image = inside @ world.intrinsics[t + 1].T
        flow = image[:, :2] / image[:, 2:] - np.stack([u, v], -1).reshape(-1, 2)
    depth[~np.isfinite(depth)] = np.nan
    return unit * depth.reshape(HEIGHT, WIDTH), flow.reshape(HEIGHT, WIDTH, 2)


class Seen:
    """A clip with one thing; flow backwards is read where flow forwards ends."""

    def __init__(self, rate: float, unit: float = 1.0, bend: float = 0.0) -> None:
        self.cameras = cameras(unit)
        frames = [seen(self.cameras, t, rate, unit, bend) for t in range(N)]
        self.depth = [depth for depth, _ in frames]
        self.forward = [flow for _, flow in frames]
        maps = [np.where(np.isfinite(depth), t, -1).astype(np.int32) for t, depth in enumerate(self.depth)]
        self.nodes = Nodes(maps, np.arange(N), np.zeros(N, int))
        self.flat = [np.where(np.isfinite(d), 1 / np.nanmedian(d), 0.1).astype(np.float32) for d in self.depth]
        self.flows = {(t, t + 1): (self.forward[t], np.isfinite(self.depth[t])) for t in range(N - 1)}
        for t in range(N - 1):
            self.flows[t + 1, t] = self._backward(t, rate, unit, bend)

    def _backward(self, t: int, rate: float, unit: float, bend: float) -> tuple[np.ndarray, np.ndarray]:
        """Flow from t + 1 to t by the same geometry."""
        world, known = self.cameras, np.isfinite(self.depth[t + 1])
        v, u = np.nonzero(known)
        at = np.stack([u, v], 1) + 0.5
        points = world.centres[t + 1] + world.rays(t + 1, at) * self.depth[t + 1][v, u][:, None]
        own = (points / unit - MIDDLE) @ turned(t + 1, rate)
        own[:, 2] -= bend * np.abs(own[:, 0])
        before = unit * (own @ turned(t, rate).T + MIDDLE)
        inside = before @ world.world_to_camera[t, :, :3].T + world.world_to_camera[t, :, 3]
        image = inside @ world.intrinsics[t].T
        flow = np.zeros((HEIGHT, WIDTH, 2))
        flow[v, u] = image[:, :2] / image[:, 2:] - at
        return flow, known

    def link(self, i: int, j: int) -> tuple[np.ndarray, np.ndarray]:
        flow, known = self.flows[i, j]
        return flow.astype(np.float32), known

    def error(self, disparity: list[np.ndarray]) -> float:
        """Mean relative error of the relief, the place as a whole left out."""
        parts = []
        for depth, found in zip(self.depth, disparity, strict=True):
            on = np.isfinite(depth)
            off = np.log(found[on] * depth[on])
            parts.append(np.abs(off - np.median(off)).mean())
        return float(np.mean(parts))


def sights(clip: Seen, t: int) -> tuple[np.ndarray, list[Sight]]:
    """Exact sights of the thing of frame t in its two neighbours on either side."""
    v, u = np.nonzero(np.isfinite(clip.depth[t]))
    at, found = np.stack([u, v], 1) + 0.5, []
    for j in (t - 1, t + 1):
        flow, known = clip.flows[t, j]
        found.append(Sight(j, at + flow[v, u], known[v, u], np.zeros(3)))
    return at, found


@pytest.mark.parametrize(("rate", "unit"), [(7.0, 1.0), (-7.0, 1.0), (7.0, 300.0)])
def test_the_relief_of_a_thing_that_turns_is_found(rate, unit):
    clip = Seen(rate, unit)
    found = add_relief(clip.cameras, clip.nodes, np.ones(N, bool), clip.flat, clip.link).maps
    assert clip.error(clip.flat) > 0.01
    assert clip.error(found) < 0.35 * clip.error(clip.flat)


def test_the_turning_is_found_and_not_its_mirror_image():
    clip = Seen(7.0)
    at, views = sights(clip, 3)
    w0 = 1 / float(np.nanmedian(clip.depth[3]))
    turning = turning_of(clip.cameras, 3, at, w0, views, expected=0.1)
    for R, view in zip(turning.rotations, views, strict=True):
        np.testing.assert_allclose(np.degrees(vector(R)) / (view.frame - 3), [0, 7, 0], atol=1.5)
    assert turning.cost < 0.2 * straight_cost(clip.cameras, 3, at, w0, views, expected=0.1)


def test_the_motion_makes_a_pose_from_which_the_thing_stands_still():
    clip = Seen(7.0)
    at, views = sights(clip, 3)
    turning = turning_of(clip.cameras, 3, at, 1 / float(np.nanmedian(clip.depth[3])), views, expected=0.1)
    point = np.array([0.1, -0.05, 3.1])
    for k, view in enumerate(views):
        pose = clip.cameras.world_to_camera[view.frame]
        carried = turning.rotations[k] @ (point - turning.middle) + turning.middle + turning.ways[k]
        moved = turning.moved(k, pose)
        np.testing.assert_allclose(moved[:, :3] @ point + moved[:, 3], pose[:, :3] @ carried + pose[:, 3], atol=1e-12)


def test_a_thing_that_bends_is_left_to_translation(monkeypatch):
    clip = Seen(0.0, bend=0.25)
    found = add_relief(clip.cameras, clip.nodes, np.ones(N, bool), clip.flat, clip.link).maps
    monkeypatch.setattr("nsff.priors.depth.relief._turnings", lambda cameras, things: [None] * len(things))
    straight = add_relief(clip.cameras, clip.nodes, np.ones(N, bool), clip.flat, clip.link).maps
    np.testing.assert_array_equal(found, straight)
