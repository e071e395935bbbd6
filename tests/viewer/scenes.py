"""A small scene of Gaussians: a chequered wall, a red ball that moves, a blue one that rests."""

from __future__ import annotations

import numpy as np

from nsff.cameras import Cameras
from nsff.splats.scene import MovingSplats, SplatScene, SplatSet
from nsff.viewer.html import PageContent, jpeg

FRAMES, WIDTH, HEIGHT, FOCAL = 8, 160, 90, 140.0
WALL, NEAR = 4.0, 2.5
"""Depths of the wall and of the balls."""
RED, BLUE = (0.9, 0.1, 0.1), (0.1, 0.2, 0.9)


def cameras() -> Cameras:
    """The camera moves a little to the right and looks forward."""
    K = np.array([[FOCAL, 0, WIDTH / 2], [0, FOCAL, HEIGHT / 2], [0, 0, 1]])
    poses = np.tile(np.eye(4)[:3], (FRAMES, 1, 1))
    poses[:, 0, 3] = -np.linspace(-0.1, 0.1, FRAMES)
    return Cameras(np.tile(K, (FRAMES, 1, 1)), poses, np.tile([2.0, 5.0], (FRAMES, 1)), WIDTH, HEIGHT)


def splats(wall: int = 60, ball: int = 400) -> SplatScene:
    """Object 1 is the red ball, which goes from x = -0.8 to 0.8; object 2 the blue one, at x = 0.5 below."""
    rng = np.random.default_rng(7)
    x, y = (v.ravel() for v in np.meshgrid(np.linspace(-3.2, 3.2, wall), np.linspace(-1.8, 1.8, wall * 9 // 16)))
    chequered = ((np.floor(x * 2) + np.floor(y * 2)) % 2)[:, None]
    back = dict(means=np.stack([x, y, np.full_like(x, WALL)], 1), colours=0.35 + 0.4 * chequered * np.ones(3))
    directions = rng.normal(size=(ball, 3))
    sphere = 0.25 * directions / np.linalg.norm(directions, axis=1, keepdims=True)
    rest = dict(means=sphere + np.array([0.5, 0.45, NEAR]), colours=np.tile(BLUE, (ball, 1)))
    still = _set(
        np.concatenate([back["means"], rest["means"]]), np.concatenate([back["colours"], rest["colours"]]),
        np.repeat([0, 2], [len(x), ball]), np.repeat([4.0 / wall, 0.05], [len(x), ball]),
    )  # fmt: skip
    way = np.stack([np.linspace(-0.8, 0.8, FRAMES), np.full(FRAMES, -0.2), np.full(FRAMES, NEAR)], 1)
    path = sphere[:, None] + way[None]
    moving = MovingSplats(
        **vars(_set(path[:, 0], np.tile(RED, (ball, 1)), np.ones(ball), np.full(ball, 0.05))),
        reference=np.full(ball, 3.5), span=np.full(ball, 1e4), first=np.zeros(ball), path=path,
    )  # fmt: skip
    return SplatScene(FRAMES, still, moving, 8.0, object_names={1: "Red ball"})


def _set(means: np.ndarray, colours: np.ndarray, objects: np.ndarray, sizes: np.ndarray) -> SplatSet:
    turn = np.tile([1.0, 0, 0, 0], (len(means), 1))
    opacities = np.full(len(means), 0.95)
    return SplatSet(means, turn, np.repeat(sizes[:, None], 3, 1), opacities, colours, objects, colours[:, ::-1].copy())


def content() -> PageContent:
    """The scene with input frames that are green, so that they are told from renderings."""
    green = np.full((HEIGHT, WIDTH, 3), (20, 200, 40), np.uint8)
    return PageContent("balls", splats(), cameras(), [jpeg(green, WIDTH)] * FRAMES)
