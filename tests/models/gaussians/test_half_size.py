"""Steps with pictures of half the size: they see the same rays, and only the first part of the training has them."""

import pytest
import torch

from nsff.config import resolve_scene
from nsff.models.base import Camera
from nsff.models.clock import Clock
from nsff.models.gaussians import learning
from nsff.models.gaussians.learning import Learning, Seen, halved
from nsff.models.supervision import TrainingData
from nsff.training.run import build_model


def test_a_pixel_looks_between_the_four_that_it_stands_for():
    K = torch.tensor([[40.0, 0, 15.2], [0, 42, 8.9], [0, 0, 1]])
    whole = Camera(K, torch.eye(4)[:3], height=18, width=31)
    half = halved(whole)
    assert (half.height, half.width) == (9, 15)

    def slope(camera, row, column):
        return torch.linalg.solve(camera.intrinsics, torch.tensor([column + 0.5, row + 0.5, 1.0]))

    four = [slope(whole, 2 * 3 + i, 2 * 5 + j) for i in (0, 1) for j in (0, 1)]
    torch.testing.assert_close(slope(half, 3, 5), torch.stack(four).mean(0))


def test_what_is_seen_is_the_mean_of_four():
    generator = torch.Generator().manual_seed(0)
    image, disparity = torch.rand(7, 9, 3, generator=generator), torch.rand(7, 9, generator=generator)
    moving, confidence = torch.zeros(7, 9, dtype=torch.bool), torch.ones(7, 9)
    moving[2, 4] = moving[3, 5] = moving[4, 2] = True
    confidence[5, 7] = 0
    half = Seen(image, moving, disparity, confidence).halved()
    torch.testing.assert_close(half.image[1, 2], image[2:4, 4:6].mean((0, 1)))
    torch.testing.assert_close(half.disparity[2, 3], disparity[4:6, 6:8].mean())
    assert half.moving.nonzero().tolist() == [[1, 2]]  # two of four move there, one of four at (2, 1)
    assert (half.confidence == 0).nonzero().tolist() == [[2, 3]]


@pytest.mark.parametrize(("half_size", "expected"), [(0.0, [1, 1, 1]), (0.5, [2, 2, 1])])
def test_the_first_part_of_the_training_draws_at_half_the_size(tiny_scene, monkeypatch, half_size, expected):
    scene, heights = tiny_scene(4), []
    own = {"input": {"path": "x"}, "model": {"kind": "gaussians", "options": {"half_size": half_size}},
           "train": {"steps": 10, "steps_for_frames": 0, "device": "cpu"},
           "field": {"features": False, "saliency": False}}  # fmt: skip
    config = resolve_scene("tiny", own, "fast", {})
    data = TrainingData(scene, config.field, config.train, 0.5, torch.device("cpu"))
    model = build_model(scene, config, data)
    taught, drawn = Learning(model, data, config), learning.Picture

    def picture(static, moving, background, camera, *more, **named):
        heights.append(camera.height)
        return drawn(static, moving, background, camera, *more, **named)

    monkeypatch.setattr(learning, "Picture", picture)
    errors = [float(taught.losses(taught.sample_batch(0, 0), step, Clock())[1]["mse"]) for step in (0, 4, 5)]
    assert heights == [data.height // factor for factor in expected]
    # The same frame: half of it is as well explained as all of it.
    assert errors[0] == pytest.approx(errors[2], rel=0.6)
