"""Losses of Gaussians against other ways to compute them."""

import kornia
import pytest
import torch

from nsff.models.gaussians.depth_edges import beside_steps, sharpened
from nsff.models.gaussians.objective import roughness
from nsff.models.gaussians.similarity import structural_similarity


def test_similarity_is_kornias_and_one_for_equal_pictures():
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.rand(19, 26, 3, generator=generator, dtype=torch.float64) for _ in range(2))
    batch = lambda picture: picture.permute(2, 0, 1)[None]  # noqa: E731
    expected = kornia.metrics.ssim(batch(a), batch(b), 11).mean()
    assert float(structural_similarity(a, b)) == pytest.approx(float(expected), abs=1e-9)
    assert float(structural_similarity(a, a)) == pytest.approx(1, abs=1e-12)


def test_similarity_has_right_gradients():
    generator = torch.Generator().manual_seed(1)
    a, b = (torch.rand(8, 9, 1, generator=generator, dtype=torch.float64) for _ in range(2))
    assert torch.autograd.gradcheck(lambda x: structural_similarity(x, b), a.requires_grad_())


def test_roughness_counts_steps_between_pixels_that_move():
    disparity = torch.zeros(4, 5)
    disparity[:, 3:] = 2.0
    image, moving = torch.full((4, 5, 3), 0.5), torch.ones(4, 5, dtype=torch.bool)
    assert float(roughness(disparity, image, moving)) == pytest.approx(2 * 4 / 20)
    moving[:2] = False
    assert float(roughness(disparity, image, moving)) == pytest.approx(2 * 2 / 20)
    image[:, 3:] = 0.7
    assert float(roughness(disparity, image, moving)) == pytest.approx(2 * 2 / 20 * torch.tensor(-2.0).exp().item())


def test_a_blurred_edge_of_depth_becomes_the_edge_of_the_picture():
    H, W, edge = 180, 120, 57
    column = torch.arange(W, dtype=torch.float32)
    blurred = (1 + (2 - 1) * torch.sigmoid((edge - 0.5 - column) / 0.5)).repeat(H, 1)
    exact = torch.where(column < edge, 2.0, 1.0).repeat(H, 1)
    image = torch.where(column[None, :, None] < edge, 200, 40).repeat(H, 1, 3).to(torch.uint8)
    found = sharpened(blurred[None], image[None])[0]
    assert float((blurred - exact).abs().max()) > 0.25
    assert float((found / exact - 1).abs().max()) < 0.11


def test_sharp_edges_thin_things_and_slanted_surfaces_stay():
    H, W = 90, 120
    disparity = torch.linspace(1.0, 1.3, H)[:, None].repeat(1, W)
    disparity[30:60, 40:80] = 3.0
    disparity[:, 100:102] = 2.0
    image = torch.randint(0, 255, (1, H, W, 3), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    assert torch.equal(sharpened(disparity[None], image)[0], disparity)


def test_pixels_beside_steps_are_told_from_thin_things():
    log_d = torch.zeros(135 * 2, 60)
    log_d[:, 30:] = 0.5
    log_d[:, 10:13] = 0.5
    found = beside_steps(log_d)
    columns = [column for column in range(60) if bool(found[:, column].all())]
    assert columns == [8, 9, 13, 14, 28, 29, 30, 31]
    assert int(found.sum()) == len(columns) * len(log_d)
    steep = torch.linspace(0, 3, 60).repeat(270, 1)
    assert not beside_steps(steep).any()
