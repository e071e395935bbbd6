"""Samples along rays: sorted, in range, and where the weight is."""

import torch

from nsff.models.ray_fields import sampling


def test_stratified_without_generator_is_uniform():
    assert sampling.stratified(2, 5, None, "cpu").tolist() == [[0, 0.25, 0.5, 0.75, 1]] * 2


def test_stratified_jitter_stays_between_midpoints():
    s = sampling.stratified(1000, 5, torch.Generator().manual_seed(0), "cpu")
    lower, upper = torch.tensor([0, 0.125, 0.375, 0.625, 0.875]), torch.tensor([0.125, 0.375, 0.625, 0.875, 1])
    assert bool((s >= lower).all()) and bool((s <= upper).all())
    # Uniform within each bin: the mean is the bin's middle.
    torch.testing.assert_close(s.mean(0), (lower + upper) / 2, atol=0.01, rtol=0)


def test_importance_gathers_at_the_peak():
    s = torch.linspace(0, 1, 33).expand(4, 33)
    weights = torch.zeros(4, 33)
    weights[:, 16] = 1.0
    fine = sampling.importance(s, weights, 64, torch.Generator().manual_seed(0))
    assert bool((fine[:, 1:] >= fine[:, :-1]).all())
    assert bool((fine >= 0).all()) and bool((fine <= 1).all())
    assert float(((fine - 0.5).abs() < 0.1).float().mean()) > 0.9


def test_importance_of_uniform_weights_is_uniform():
    s = torch.linspace(0, 1, 17).expand(1, 17)
    fine = sampling.importance(s, torch.full((1, 17), 1 / 17), 1000, None)
    quantiles = torch.quantile(fine[0], torch.tensor([0.1, 0.5, 0.9]))
    # End intervals are half as wide and weigh as much as the others, hence not exactly 0.1 and 0.9.
    torch.testing.assert_close(quantiles, torch.tensor([0.1, 0.5, 0.9]), atol=0.05, rtol=0)


def test_importance_never_ignores_a_part_of_the_ray():
    s = torch.linspace(0, 1, 33).expand(1, 33)
    weights = torch.zeros(1, 33)
    weights[:, 2] = 1.0
    fine = sampling.importance(s, weights, 4000, torch.Generator().manual_seed(0), floor=0.05)
    assert float((fine > 0.5).float().mean()) > 0.01
