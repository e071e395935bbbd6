"""Fewer Gaussians that draw the same pictures."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from nsff.models.gaussians.rasterisers import rasterise
from nsff.splats.scene import SplatScene, SplatSet
from nsff.viewer import condense
from nsff.viewer.condense import condensed, observed, places

sys.path.insert(0, str(Path(__file__).parent))
from scenes import FRAMES, cameras, content

CPU = torch.device("cpu")
MANY = (10**6, 10**6)


def with_hidden_wall(splats: SplatScene) -> SplatScene:
    """A second wall one unit behind the first, which no camera sees."""
    wall = splats.static.chosen(splats.static.objects == 0)
    behind = replace(wall, means=wall.means + np.float32([0, 0, 1]), colours=np.ones_like(wall.colours))
    joined = {name: np.concatenate([array, dict(behind.arrays())[name]]) for name, array in splats.static.arrays()}
    return replace(splats, static=SplatSet(**joined))


def pictures(splats: SplatScene) -> list[np.ndarray]:
    """What all of the scene draws at the clip's cameras."""
    drawn = [(condense._at(splats, time, CPU), camera) for camera, time in places(cameras(), CPU)]
    return [rasterise(own, camera).values.numpy() for own, camera in drawn]


def psnr(a: SplatScene, b: SplatScene) -> float:
    error = np.mean([np.square(x - y).mean() for x, y in zip(pictures(a), pictures(b), strict=True)])
    return float(-10 * np.log10(error))


def test_what_no_camera_sees_is_left_out(monkeypatch):
    """The light of a Gaussian is that of its picture; a wall behind a wall gives next to none."""
    whole = with_hidden_wall(content().splats)
    n, hidden = len(content().splats.static), slice(len(content().splats.static), len(whole.static))
    views, light = observed(whole, cameras(), CPU)
    assert len(views) == FRAMES + FRAMES // 2
    seen = light[np.flatnonzero(whole.static.objects[:n] == 0)]
    threshold = 0.05 * float(np.median(seen[seen > 0]))
    assert light[hidden].max() < threshold
    monkeypatch.setattr(condense, "SEEN", threshold)
    thin = condensed(whole, cameras(), MANY, steps=0)
    assert thin.static.means[:, 2].max() == pytest.approx(4)
    assert len(thin.moving) > 0.3 * len(whole.moving)
    assert psnr(whole, thin) > 30


def test_light_is_counted_in_pixels():
    """One Gaussian alone: the sum of its alpha."""
    one = content().splats.static.chosen(np.array([700]))
    alone = replace(content().splats, static=one, moving=content().splats.moving.chosen(np.zeros(0, int)))
    views, light = observed(alone, cameras(), CPU)
    alphas = [float(rasterise(condense._at(alone, v.time, CPU), v.camera).alpha.sum()) for v in views]
    assert light[0] == pytest.approx(max(alphas), rel=1e-4)
    assert max(alphas) > 1


def test_the_dimmest_are_left_out_where_there_is_no_room():
    """Asked until there is room; of both kinds those go that light least."""
    whole, asked = content().splats, []

    def room(splats: SplatScene) -> float:
        asked.append(len(splats.static) + len(splats.moving))
        return 1000 / asked[-1]

    thin = condensed(whole, cameras(), MANY, 0, room)
    assert 900 < len(thin.static) + len(thin.moving) <= 1000
    assert asked[0] > 1500
    light = observed(whole, cameras(), CPU)[1]
    light = light[light > condense.SEEN]
    least = np.sort(light)[-1000]
    kept = observed(thin, cameras(), CPU)[1]
    assert len(kept) == pytest.approx((light >= least).sum(), rel=0.1)
    assert np.median(kept) > np.median(light)


def test_the_fit_keeps_dark_places_opaque():
    """A wall that is black: on nothing it looks the same with holes, on a light background it does not."""
    splats = content().splats
    dark = replace(splats, static=replace(splats.static, colours=0 * splats.static.colours))
    most = (len(splats.static) // 3, len(splats.moving))
    thin, fitted = (condensed(dark, cameras(), most, steps) for steps in (0, 40))
    opaque = [
        np.mean([rasterise(condense._at(own, v, CPU), c).alpha.mean() for c, v in places(cameras(), CPU)])
        for own in (dark, thin, fitted)
    ]
    assert opaque[2] > opaque[1] + 0.5 * (opaque[0] - opaque[1])


def test_the_fit_makes_up_for_what_is_left_out():
    """With a quarter of its Gaussians the scene after the fit is much nearer to the whole than before."""
    whole = content().splats
    most = (len(whole.static) // 4, len(whole.moving) // 4)
    thin, fitted = (condensed(whole, cameras(), most, steps) for steps in (0, 60))
    assert (len(fitted.static), len(fitted.moving)) == (len(thin.static), len(thin.moving)) == most
    assert np.array_equal(fitted.static.means, thin.static.means)
    assert np.array_equal(fitted.moving.path, thin.moving.path)
    assert psnr(whole, fitted) > psnr(whole, thin) + 3
