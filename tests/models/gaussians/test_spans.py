"""How long dynamic Gaussians are seen, and the training without those of the frame itself."""

from types import SimpleNamespace

import torch

from nsff.models.gaussians.cloud import MovingCloud
from nsff.models.gaussians.drawing import present
from nsff.models.gaussians.learning import Learning
from nsff.models.gaussians.lifting import centres, lift
from nsff.models.gaussians.seeds import Seeds
from nsff.models.gaussians.spans import colour_errors, spans_of
from tests.models.gaussians.test_motion import still_camera_world

RED, GREY = torch.tensor([255, 0, 0]), torch.tensor([128, 128, 128])
REACH = 4


def seed_of_the_thing(unit=1.0, velocity=(0.15, 0.0, 0.0)):
    """A red thing before a grey wall, the seed of its middle at frame 2, and where it is at each frame of its path."""
    data, z = still_camera_world(velocity, unit)
    data.images = torch.where(data.moving[..., None], RED, GREY).to(torch.uint8)
    data.frames = range(data.n_frames)
    row, column = data.moving[2].nonzero().float().mean(0).long()[:, None]
    depth = z[2][row, column]
    position = lift(data, 2, centres(row, column), depth)
    seeds = Seeds(position, torch.tensor([2]), depth / 40, RED[None] / 255, None, None)
    offsets = torch.arange(-REACH, REACH + 1)[:, None] * torch.tensor(velocity) * unit
    return data, z, seeds, offsets[None]


def test_a_right_path_keeps_its_colour():
    for unit in (0.01, 1.0, 100.0):
        data, z, seeds, path = seed_of_the_thing(unit)
        errors = colour_errors(data, z, seeds, path)
        assert errors[0, REACH - 2 : REACH + 4].max() < 0.02
        assert errors[0, : REACH - 2].isnan().all()  # before the clip
        assert spans_of(errors, 0.1, 0.7, 9.0).item() > 1.9


def test_a_path_that_leaves_the_thing_has_the_least_span():
    data, z, seeds, path = seed_of_the_thing(velocity=(0.6, 0.0, 0.0))
    errors = colour_errors(data, z, seeds, torch.zeros_like(path))
    assert errors[0, REACH] == 0
    assert errors[0, REACH + 1] > 0.3
    assert spans_of(errors, 0.1, 0.7, 9.0).item() == torch.tensor(0.7).item()


def test_what_is_hidden_says_nothing():
    data, z, seeds, path = seed_of_the_thing()
    z[3] *= 0.5
    errors = colour_errors(data, z, seeds, path)
    assert errors[0, REACH + 1].isnan()
    assert not errors[0, REACH + 2].isnan()


def test_spans_end_where_errors_begin():
    nan = torch.nan
    errors = torch.tensor([[0, 0, 0, 0, 0.0], [0.9, 0, 0, 0, nan], [nan, 0, 0, nan, nan], [0.3, nan, 0, nan, 0.0]])
    torch.testing.assert_close(spans_of(errors, 0.1, 0.5, 9.0), torch.tensor([4 / 3, 2 / 3, 2 / 3, 0.5]))
    assert spans_of(errors, 0.1, 0.5, 1.0).max() == 1


def test_others_are_those_of_other_frames():
    cloud = MovingCloud(4, 0, False, 5)
    cloud.reference[:] = torch.tensor([2.0, 3, 2, 4])
    with torch.no_grad():
        cloud.opacity_logit[:] = 2.0
    assert present(cloud, 2.0).rows.tolist() == [0, 1, 2, 3]
    assert present(cloud, 2.0, others=True).rows.tolist() == [1, 3]
    assert present(cloud, 2.5, others=True).rows.tolist() == [0, 1, 2, 3]


def test_steps_without_the_frame_itself_are_as_many_as_asked_and_always_the_same():
    learning = SimpleNamespace(options=SimpleNamespace(leave_out=0.3), train=SimpleNamespace(seed=4))
    chosen = [Learning.leaves_out(learning, step) for step in range(1000)]
    assert 250 < sum(chosen) < 350
    assert chosen == [Learning.leaves_out(learning, step) for step in range(1000)]
    learning.options.leave_out = 0.0
    assert not any(Learning.leaves_out(learning, step) for step in range(100))
