"""Paths by flow between frames further apart, on a world whose answers are known."""

import pytest
import torch

from nsff.models.gaussians.advection import paths
from nsff.models.gaussians.far_paths import far_paths
from nsff.models.gaussians.lifting import lift
from tests.models.gaussians.test_motion import F, H, N, W, still_camera_world

VELOCITY = torch.tensor([0.15, 0.03, 0.05])


def far_flow(data, i, j, keep=slice(None)):
    """Exact flow from frame i to j of the pixels of the thing, or of some of them."""
    pixels = data.moving[i].nonzero()[keep]
    uv = pixels.flip(1) + 0.5
    before, after = torch.tensor([-0.6, 0, 4.0]) + i * VELOCITY, torch.tensor([-0.6, 0, 4.0]) + j * VELOCITY
    place = (uv - torch.tensor([W / 2, H / 2])) / F * before[2] + (after - before)[:2]
    return pixels, F * place / after[2] + torch.tensor([W / 2, H / 2]) - uv


def drifting_world():
    """Flow between neighbours is wrong by a pixel to the right at each step."""
    data, z = still_camera_world(VELOCITY.tolist())
    data.flow_post[..., 0] += 1
    data.flow_prev[..., 0] += 1
    data.far = {}
    return data, z


def start(data, x=-0.6, y=0.0):
    return lift(data, 0, torch.tensor([[F * x / 4 + W / 2, F * y / 4 + H / 2]]), torch.tensor([4.0]))


def test_direct_flow_takes_the_drift_away():
    data, z = drifting_world()
    arguments = (data, z, start(data), torch.tensor([0]), 5, 8, 0)
    assert abs(float(paths(*arguments)[0, 5 + 4, 0]) - 4 * 0.15) > 0.3
    data.far = {(i, j): far_flow(data, i, j) for i in range(N) for j in range(N) if abs(i - j) in (2, 4)}
    path = far_paths(*arguments)[0]
    for k, error in ((0, 0.001), (1, 0.15), (2, 0.02), (3, 0.15), (4, 0.02), (5, 0.15)):
        torch.testing.assert_close(path[5 + k], k * VELOCITY, atol=error, rtol=0)
    assert torch.equal(path[:5], torch.zeros(5, 3))  # before the clip it stays


@pytest.mark.parametrize("last", [10, 0])
def test_those_without_direct_flow_follow_those_around_them(last):
    data, z = drifting_world()
    pixels = data.moving[0].nonzero()
    position = torch.cat([lift(data, 0, pixels[:, [1, 0]] + 0.5, torch.full((len(pixels),), 4.0))])
    # Direct flow of the upper rows alone, or of none at all.
    keep = pixels[:, 0] < pixels[:, 0].min() + (len(pixels[:, 0].unique()) * last) // 20
    data.far = {(0, 4): tuple(values[keep] for values in far_flow(data, 0, 4))}
    path = far_paths(data, z, position, torch.zeros(len(pixels), dtype=torch.long), 4, 8, 0)
    lowest = path[pixels[:, 0] == pixels[:, 0].max(), 4 + 4, 0].mean()
    assert float(lowest) == pytest.approx(4 * 0.15, abs=0.03) if last else float(lowest) > 4 * 0.15 + 0.3


def test_without_far_pairs_it_is_the_chain():
    data, z = still_camera_world(VELOCITY.tolist())
    data.far = {}
    arguments = (data, z, start(data), torch.tensor([0]), 5, 8, 0)
    assert torch.equal(far_paths(*arguments), paths(*arguments))
