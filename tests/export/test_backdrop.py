"""Gaps of surfaces, through which a model shows its background colour, are closed from behind."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from nsff.export.backdrop import depth_of_gaps, with_backdrop
from nsff.splats.scene import SplatScene
from nsff.viewer.condense import _at, picture_of, places

sys.path.insert(0, str(Path(__file__).parents[1] / "viewer"))
from scenes import WALL, cameras, content

GREEN = np.float32([0.2, 0.6, 0.3])
CPU = torch.device("cpu")


def with_gaps() -> SplatScene:
    """Every fifth column of the wall's Gaussians is missing; what rests before it is whole."""
    splats = content().splats
    column = np.round(splats.static.means[:, 0] / (6.4 / 59))
    return replace(splats, static=splats.static.chosen((splats.static.objects > 0) | (column % 5 != 0)))


def seen(splats: SplatScene, shift: float = 0.0) -> np.ndarray:
    """Colours and alpha at the first frame, from a place to the right of it."""
    camera, _ = places(cameras(), CPU)[0]
    camera.world_to_camera[0, 3] -= shift
    return picture_of(_at(splats, 0.0, CPU), camera).numpy()


def test_gaps_have_the_colour_of_the_background():
    """On any background the picture is the one that the model draws on its own, also from beside the clip's cameras."""
    splats = with_gaps()
    closed = with_backdrop(splats, cameras(), GREEN)
    assert 0 < len(closed.static) - len(splats.static) < 300
    for shift in (0.0, 0.15):
        before, after = seen(splats, shift), seen(closed, shift)
        wanted = before[..., :3] + (1 - before[..., 3:]) * GREEN
        inside = (slice(8, -8), slice(8, -8))
        assert (before[inside][..., 3] < 0.8).mean() > 0.02
        assert after[inside][..., 3].min() > 0.85
        assert np.quantile(np.abs(after[..., :3] - wanted)[inside], 0.99) < 0.05


def test_closed_surfaces_and_open_space_get_nothing():
    splats, own = content().splats, cameras()
    splats = replace(splats, static=replace(splats.static, scales=1.4 * splats.static.scales))
    K, E = own.intrinsics[0].astype(np.float32), own.world_to_camera[0].astype(np.float32)
    depth = depth_of_gaps(splats, 0.0, K, E, own.height, own.width)
    assert not np.isfinite(depth[1:-1, 1:-1]).any()
    ball = replace(splats, static=splats.static.chosen(splats.static.objects == 2))  # nothing is behind it
    assert np.isfinite(depth_of_gaps(ball, 0.0, K, E, own.height, own.width)).mean() < 0.05


def test_what_no_frame_saw_behind_something_that_moves_stays_open():
    """The wall has gaps all over, but where the red ball stands they are not looked for."""
    splats, own = with_gaps(), cameras()
    K, E = own.intrinsics[0].astype(np.float32), own.world_to_camera[0].astype(np.float32)
    larger = replace(splats.moving, scales=3 * splats.moving.scales)
    with_ball, without = (
        np.isfinite(depth_of_gaps(replace(splats, moving=moving), 0.0, K, E, own.height, own.width))
        for moving in (larger, splats.moving.chosen(np.zeros(0, int)))
    )
    assert without.sum() > with_ball.sum() + 3


def test_they_lie_behind_the_surface():
    own, splats = cameras(), with_gaps()
    more = with_backdrop(splats, own, GREEN).static.means[len(splats.static) :]
    assert np.quantile(more[:, 2], 0.1) > WALL  # where an edge is within the block, depth is between both sides
    assert more[:, 2].max() < WALL * 1.05
