"""Which of two paths is gone: decided by the pictures, for all Gaussians of a frame together."""

import torch

from nsff.models.gaussians.chosen_paths import better_paths
from nsff.models.gaussians.lifting import centres, lift
from nsff.models.gaussians.seeds import Seeds
from tests.models.gaussians.test_motion import H, N, W, still_camera_world


def test_the_path_that_the_pictures_bear_out():
    velocity = torch.tensor([0.15, 0.03, 0.05])
    data, z = still_camera_world(velocity.tolist())
    data.frames = list(range(N))
    # The thing is bright, the wall dark.
    data.images = torch.where(data.moving[..., None], 200, 20).expand(N, H, W, 3).to(torch.uint8)
    rows, columns = data.moving[1].nonzero(as_tuple=True)
    position = lift(data, 1, centres(rows, columns), z[1, rows, columns])
    bright = torch.full((len(rows), 3), 200 / 255)
    seeds = Seeds(position, torch.ones_like(rows), torch.ones(len(rows)), bright, None, None)
    true = (torch.arange(-2, 3)[:, None] * velocity).expand(len(rows), 5, 3)
    wrong = true.clone()
    wrong[:, 3:] += torch.tensor([1.5, 0, 0])
    for first, other in ((wrong, true), (true, wrong)):
        chosen = better_paths(data, z, seeds, first, other)
        assert torch.equal(chosen[:, 1:], true[:, 1:])
        # Column 0 lies before the clip, where nothing is known: the first path stays.
        assert torch.equal(chosen[:, 0], first[:, 0])


def test_a_few_that_fit_better_do_not_decide():
    velocity = torch.tensor([0.15, 0.03, 0.05])
    data, z = still_camera_world(velocity.tolist())
    data.frames = list(range(N))
    data.images = torch.where(data.moving[..., None], 200, 20).expand(N, H, W, 3).to(torch.uint8)
    rows, columns = data.moving[1].nonzero(as_tuple=True)
    position = lift(data, 1, centres(rows, columns), z[1, rows, columns])
    colour = torch.full((len(rows), 3), 200 / 255)
    colour[:3] = 20 / 255  # three that look like the wall
    seeds = Seeds(position, torch.ones_like(rows), torch.ones(len(rows)), colour, None, None)
    true = (torch.arange(-2, 3)[:, None] * velocity).expand(len(rows), 5, 3)
    onto_the_wall = true + torch.tensor([1.2, 0, 0])
    assert torch.equal(better_paths(data, z, seeds, true, onto_the_wall), true)
