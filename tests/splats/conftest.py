"""Small scenes of random Gaussians."""

from collections.abc import Callable

import numpy as np
import pytest

from nsff.splats.scene import MovingSplats, SplatCameras, SplatScene, SplatSet


def random_set(count: int, rng: np.random.Generator, features: bool = False) -> SplatSet:
    """Gaussians in a box of the size of a room, and one in a hundred far beyond."""
    means = rng.normal(size=(count, 3)) * [2, 1, 2] + [0, 0, 5]
    means[::100] *= 50
    return SplatSet(
        means, rng.normal(size=(count, 4)), np.exp(rng.normal(size=(count, 3)) - 4), rng.random(count),
        rng.random((count, 3)), rng.integers(0, 4, count), rng.random((count, 3)) if features else None,
    )  # fmt: skip


def random_scene(static: int = 500, moving: int = 300, n_frames: int = 12, features: bool = False) -> SplatScene:
    """Gaussians that rest and others that wander, with cameras side by side."""
    rng = np.random.default_rng(3)
    still, start = random_set(static, rng, features), random_set(moving, rng, features)
    window = 5
    path = start.means[:, None] + rng.normal(size=(moving, window, 3)).cumsum(axis=1) * 0.1
    first = rng.integers(0, n_frames - window + 1, moving)
    arrays = dict(start.arrays()) | {"means": path[:, 2]}
    moved = MovingSplats(
        **arrays, reference=first + 2.0, span=np.exp(rng.normal(size=moving)), first=first, path=path
    )  # fmt: skip
    poses = np.tile(np.eye(4)[:3], (n_frames, 1, 1))
    poses[:, 0, 3] = np.arange(n_frames) * 0.1
    cameras = SplatCameras(np.tile(np.diag([50.0, 50, 1]), (n_frames, 1, 1)), poses, height=36, width=64)
    return SplatScene(n_frames, still, moved, 25.0, cameras, {1: "ball"})


@pytest.fixture(scope="session")
def make_scene() -> Callable[..., SplatScene]:
    """The function random_scene(static, moving, n_frames, features)."""
    return random_scene
