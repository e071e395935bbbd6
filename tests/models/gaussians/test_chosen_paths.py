"""Which of two paths is gone: decided by the pictures, for all Gaussians of a frame together."""

import torch

from nsff.models.gaussians.chosen_paths import better_paths
from nsff.models.gaussians.lifting import centres, lift
from nsff.models.gaussians.seeds import Seeds
from tests.models.gaussians.test_motion import H, N, W, still_camera_world

VELOCITY = torch.tensor([0.15, 0.03, 0.05])


def bright_thing():
    """A bright thing before a dark wall: data, depths, its seeds in frame 1, and their true displacements."""
    data, z = still_camera_world(VELOCITY.tolist())
    data.frames = list(range(N))
    data.images = torch.where(data.moving[..., None], 200, 20).expand(N, H, W, 3).to(torch.uint8)
    rows, columns = data.moving[1].nonzero(as_tuple=True)
    position = lift(data, 1, centres(rows, columns), z[1, rows, columns])
    bright = torch.full((len(rows), 3), 200 / 255)
    seeds = Seeds(position, torch.ones_like(rows), torch.ones(len(rows)), bright, None, None)
    return data, z, seeds, (torch.arange(-2, 3)[:, None] * VELOCITY).expand(len(rows), 5, 3)


def test_the_path_that_the_pictures_bear_out():
    data, z, seeds, true = bright_thing()
    wrong = true.clone()
    wrong[:, 3:] += torch.tensor([1.5, 0, 0])
    for first, other in ((wrong, true), (true, wrong)):
        chosen = better_paths(data, z, seeds, first, other)
        assert torch.equal(chosen[:, 1:], true[:, 1:])
        # Column 0 lies before the clip, where nothing is known: the first path stays.
        assert torch.equal(chosen[:, 0], first[:, 0])


def test_a_few_that_fit_better_do_not_decide():
    data, z, seeds, true = bright_thing()
    seeds.colour[:3] = 20 / 255  # three that look like the wall
    onto_the_wall = true + torch.tensor([1.2, 0, 0])
    assert torch.equal(better_paths(data, z, seeds, true, onto_the_wall), true)
