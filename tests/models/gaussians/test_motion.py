"""Where Gaussians begin, the paths that they go: on worlds whose answers are known."""

from types import SimpleNamespace

import pytest
import torch

from nsff.models.gaussians.advection import paths
from nsff.models.gaussians.cloud import MovingCloud
from nsff.models.gaussians.lifting import lift

F, H, W, N = 40.0, 24, 32, 6


def still_camera_world(velocity, unit=1.0):
    """A flat thing at depth 4 units that moves by ``velocity`` a frame, before a wall at 8; the camera stands still."""
    velocity = torch.tensor(velocity)
    moving = torch.zeros(N, H, W, dtype=torch.bool)
    z = torch.full((N, H, W), 8.0 * unit)
    post, prev = torch.zeros(N, H, W, 2), torch.zeros(N, H, W, 2)
    K = torch.tensor([[F, 0, W / 2], [0, F, H / 2], [0, 0, 1.0]])
    rows, columns = torch.meshgrid(torch.arange(H) + 0.5, torch.arange(W) + 0.5, indexing="ij")
    for t in range(N):
        centre = torch.tensor([-0.6, 0, 4.0]) + t * velocity
        depth = centre[2]
        x, y = (columns - W / 2) / F * depth - centre[0], (rows - H / 2) / F * depth - centre[1]
        moving[t] = (x.abs() < 0.5) & (y.abs() < 0.5)
        for sign, flow in ((1, post), (-1, prev)):
            there = depth + sign * velocity[2]
            flow[t, ..., 0] = F * (x + centre[0] + sign * velocity[0]) / there + W / 2 - columns
            flow[t, ..., 1] = F * (y + centre[1] + sign * velocity[1]) / there + H / 2 - rows
        z[t][moving[t]] = depth * unit
    pose = torch.eye(4)[:3].expand(N, 3, 4)
    return SimpleNamespace(
        n_frames=N, device=torch.device("cpu"), height=H, width=W, intrinsics=K.expand(N, 3, 3),
        world_to_camera=pose, moving=moving, flow_post=post, flow_prev=prev, valid_post=moving, valid_prev=moving,
    ), z  # fmt: skip


@pytest.mark.parametrize("unit", [0.01, 1.0, 100.0])
def test_paths_follow_the_thing_both_ways(unit):
    velocity = (0.15, 0.03, 0.05)
    data, z = still_camera_world(velocity, unit)
    start = lift(data, 2, torch.tensor([[W / 2 - 3.0, H / 2]]), torch.tensor([4.1 * unit]))
    path = paths(data, z, start, torch.tensor([2]), reach=4, neighbours=8, seed=0)[0] / unit
    for offset in range(-2, 4):
        expected = offset * torch.tensor(velocity)
        torch.testing.assert_close(path[4 + offset], expected, atol=0.02, rtol=0)
    assert torch.equal(path[:3], path[2:3].expand(3, 3))  # before the clip it stays where it was first


def test_where_a_gaussian_is_and_how_much_of_it():
    cloud = MovingCloud(1, 0, False, 5)
    cloud.reference[:] = 3
    cloud.first[:] = 1
    cloud.path[0, :, 0] = torch.tensor([-4.0, -1, 0, 2, 6])
    at = lambda time: float(cloud.displacement_of(torch.tensor([0]), time)[0, 0])  # noqa: E731
    assert [at(t) for t in (-5, 1, 1.5, 3, 4.25, 5, 9)] == [-4, -4, -2.5, 0, 3, 6, 6]
    with torch.no_grad():
        cloud.log_span[:] = torch.log(torch.tensor(0.5))
    assert float(cloud.presence(3.0)) == 1
    assert float(cloud.presence(3.5)) == pytest.approx(0.6065, abs=1e-4)
