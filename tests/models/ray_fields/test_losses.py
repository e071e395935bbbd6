"""Losses: numbers worked out by hand, limits, and gradients against finite differences in float64."""

import math

import pytest
import torch

from nsff.models.ray_fields.terms import depth, division, motion, regularisers
from nsff.models.ray_fields.terms.means import masked_mean, masked_mse
from nsff.models.ray_fields.terms.schedules import decay_factor

D = torch.float64


def tensor(values) -> torch.Tensor:
    return torch.tensor(values, dtype=D)


def random(*shape: int, low: float = 0.0, high: float = 1.0, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand(*shape, dtype=D, generator=generator) * (high - low) + low).requires_grad_()


def ramp(R: int, K: int) -> torch.Tensor:
    """flow (R,K,3) that grows by one per sample in x."""
    flow = torch.zeros(R, K, 3, dtype=D)
    flow[..., 0] = torch.arange(K, dtype=D)
    return flow


# --- helpers ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("step", "factor"), [(0, 1.0), (29_999, 1.0), (30_000, 0.1), (45_000, 0.1), (60_000, 0.01)])
def test_decay_at_the_edges_of_periods(step, factor):
    assert decay_factor(step, 30_000) == pytest.approx(factor)


def test_the_depth_weight_at_step_45000_is_nsffs():
    assert 0.04 * decay_factor(45_000, 30_000) == pytest.approx(0.004)


def test_masked_mean_repeats_the_mask_over_channels():
    # Rows 0 and 2, 3 channels each: (1 + 2 + 3 + 7 + 8 + 9) / 6 = 5.
    value = tensor([[1, 2, 3], [4, 5, 6], [7, 8, 9]])
    assert masked_mean(tensor([1, 0, 1]), value).item() == pytest.approx(5)
    # Fractional masks weigh: (0.5 * 6 + 1 * 24) / (1.5 * 3) = 6.
    assert masked_mean(tensor([0.5, 0, 1]), value).item() == pytest.approx(6)
    assert masked_mean(torch.tensor([False, True, False]), value).item() == pytest.approx(5)


def test_an_empty_mask_gives_zero():
    assert masked_mean(tensor([0, 0]), tensor([[3, 3], [4, 4]])).item() == 0


# --- values by hand --------------------------------------------------------------------------------------------------
def test_mse():
    # Squares: 0.25, 0, 1 | 4, 4, 4; second ray at half weight: (1.25 + 6) / (1.5 * 3).
    prediction, target = tensor([[0.5, 0, 1], [2, 2, 2]]), tensor([[0, 0, 0], [0, 0, 0]])
    assert masked_mse(prediction, target, tensor([1, 0.5])).item() == pytest.approx(7.25 / 4.5)
    assert masked_mse(tensor([1, 3]), tensor([0, 0]), tensor([0, 1])).item() == pytest.approx(9)


def test_depth():
    # Medians 2 and 20; mean deviations (1+0+2)/3 = 1 and (10+0+50)/3 = 20: (-1, 0, 2) against (-0.5, 0, 2.5).
    assert depth.loss_depth(tensor([1, 2, 4]), tensor([10, 20, 70])).item() == pytest.approx((0.25 + 0 + 0.25) / 3)


def test_depth_forgives_scale_and_shift():
    x = random(31)
    assert depth.loss_depth(x, 7 * x - 3).item() == pytest.approx(0, abs=1e-20)
    assert depth.loss_depth(x, -x).item() > 1


def test_depth_of_a_constant_prediction_stays_finite():
    x = torch.full((9,), 0.5, dtype=D, requires_grad=True)
    loss = depth.loss_depth(x, torch.arange(9, dtype=D))
    loss.backward()
    assert math.isfinite(loss.item())
    assert bool(torch.isfinite(x.grad).all())


def test_flow():
    # Valid ray: |3| + |-1| over 2 axes.
    assert motion.loss_flow(
        tensor([[13, 9], [0, 0]]), tensor([[10, 10], [50, 50]]), tensor([1, 0])
    ).item() == pytest.approx(2)


def test_cycle():
    flow = tensor([[[0.1, 0, 0], [0.4, 0, 0]]])
    assert motion.loss_cycle(flow, -flow, tensor([[0, 0]])).item() == 0
    # |0.1| weighs 1, |0.4| weighs 0.25: (0.1 + 0.1) / (1.25 * 3).
    assert motion.loss_cycle(flow, torch.zeros_like(flow), tensor([[0, 0.75]])).item() == pytest.approx(0.2 / 3.75)


def test_scene_flow_axes():
    # Rendered: 0.5 (1, -1, 0) + 0.25 (2, 0, 2) = (1, -0.5, 0.5): mean 2/3. Published: |0.5 * 2|, |0.25 * 4|: mean 1.
    weights, flow = tensor([[0.5, 0.25]]), tensor([[[1, -1, 0], [2, 0, 2]]])
    assert motion.loss_scene_flow(weights, flow, "fixed").item() == pytest.approx(2 / 3)
    assert motion.loss_scene_flow(weights, flow, "reference").item() == pytest.approx(1)


@pytest.mark.parametrize(
    ("published", "cost"), [((0.1, 0.1, 0), 0.2), ((0.1, -0.1, 0), 0), ((0, 0.1, 0.1), 0.2), ((0.1, 0, -0.1), 0)]
)
def test_scene_flow_in_the_published_axes(published, cost):
    """Their y points up, ours down; z' = 1 - 2/depth in both."""
    flow = tensor([[published]]) * tensor([1, -1, 1])
    assert motion.loss_scene_flow(tensor([[1]]), flow, "reference").item() == pytest.approx(cost)


def test_smoothness_takes_the_nearest_95_percent():
    # 20 samples, 19 used: 18 differences of 1 in one of three components.
    flow = ramp(2, 20)
    assert motion.loss_smooth_spatial(flow).item() == pytest.approx(1 / 3)
    flow[:, 19] += 1e6
    assert motion.loss_smooth_spatial(flow).item() == pytest.approx(1 / 3)
    flow[:, 18] += 18
    assert motion.loss_smooth_spatial(flow).item() == pytest.approx((18 + 18 * 3) / (18 * 3))


def test_kinetic_energy_takes_the_nearest_90_percent():
    here = torch.zeros(1, 10, 3, dtype=D)
    step = ramp(1, 10)
    assert motion.loss_kinetic(here - step, here, here + step).item() == 0
    # Velocity changes by 2 in x at each of nine samples: 0.5 * 4 / 3.
    after = here + tensor([2, 0, 0])
    after[:, 9] = 1e6
    assert motion.loss_kinetic(here, here, after).item() == pytest.approx(2 / 3)


@pytest.mark.parametrize("K", [2, 3])
def test_few_samples_are_enough(K):
    flow = ramp(1, K)
    assert motion.loss_smooth_spatial(flow).item() == pytest.approx(1 / 3)
    assert math.isfinite(motion.loss_kinetic(flow, flow, flow).item())


def test_disocclusion_and_entropy():
    assert motion.loss_disocclusion(tensor([[0.25, 0.75]])).item() == pytest.approx(0.5)
    assert division.loss_entropy(tensor([[1 / math.e]])).item() == pytest.approx(1 / math.e)
    assert division.loss_entropy(tensor([[0.0, 1.0]])).item() == pytest.approx(0, abs=1e-7)


def test_mask():
    # -log 0.8 for the moving ray, -log(1 - 0.1) for the still one.
    loss = division.loss_mask(tensor([0.8, 0.1]), torch.tensor([True, False]))
    assert loss.item() == pytest.approx(-(math.log(0.8) + math.log(0.9)) / 2)


def test_mask_is_finite_and_pulls_in_the_right_direction_beyond_its_range():
    opacity = tensor([0.0, 1.0, 1.3, 0.0, 1.0, 1.3]).requires_grad_()
    loss = division.loss_mask(opacity, tensor([1, 1, 1, 0, 0, 0]))
    loss.backward()
    assert math.isfinite(loss.item())
    gradient = opacity.grad
    assert gradient[0] < 0
    assert gradient[2] == 0
    assert gradient[3] > 0
    assert bool((gradient[4:] > 0).all())
    assert bool(torch.isfinite(gradient).all())


def test_perfect_masks_cost_nothing():
    assert division.loss_mask(tensor([1.2, 1.0, 0.0]), tensor([1, 1, 0])).item() == pytest.approx(0)


# --- distortion ------------------------------------------------------------------------------------------------------
def plain_distortion(s: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """The double sum as it is written."""
    total = s.new_zeros(())
    for row, w in zip(s, weights, strict=True):
        edges = [row[0], *((row[1:] + row[:-1]) / 2), row[-1]]
        for i in range(len(row)):
            total = total + w[i] ** 2 * (edges[i + 1] - edges[i]) / 3
            for j in range(len(row)):
                total = total + w[i] * w[j] * (row[i] - row[j]).abs()
    return total / len(s)


def test_distortion_by_hand():
    # Pairs: 2 * 0.5 * 0.25 * 0.4 = 0.1; widths 0.2 each: (0.25 + 0.0625) * 0.2 / 3.
    loss = regularisers.loss_distortion(tensor([[0.2, 0.6]]), tensor([[0.5, 0.25]]))
    assert loss.item() == pytest.approx(0.1 + 0.3125 * 0.2 / 3)


def test_distortion_equals_the_plain_double_sum_in_values_and_gradients():
    s, weights = random(4, 9, seed=1).detach().sort(1).values.requires_grad_(), random(4, 9, seed=2)
    fast, plain = regularisers.loss_distortion(s, weights), plain_distortion(s, weights)
    torch.testing.assert_close(fast, plain)
    for a, b in zip(torch.autograd.grad(fast, (s, weights)), torch.autograd.grad(plain, (s, weights)), strict=True):
        torch.testing.assert_close(a, b)


# --- gradients -------------------------------------------------------------------------------------------------------
CASES = {
    "masked_mse": (masked_mse, lambda: (random(5, 3), random(5, 3, seed=1), random(5, seed=2))),
    "depth": (depth.loss_depth, lambda: (random(7), random(7, seed=1))),
    "flow": (motion.loss_flow, lambda: (random(5, 2), random(5, 2, low=2, high=3), random(5, seed=1))),
    "cycle": (motion.loss_cycle, lambda: (random(2, 4, 3), random(2, 4, 3, seed=1), random(2, 4, seed=2))),
    "fixed": (lambda w, f: motion.loss_scene_flow(w, f, "fixed"), lambda: (random(2, 4), random(2, 4, 3, seed=1))),
    "reference": (
        lambda w, f: motion.loss_scene_flow(w, f, "reference"),
        lambda: (random(2, 4), random(2, 4, 3, seed=1)),
    ),
    "smooth": (motion.loss_smooth_spatial, lambda: (random(2, 6, 3),)),
    "kinetic": (motion.loss_kinetic, lambda: (random(2, 6, 3), random(2, 6, 3, seed=1), random(2, 6, 3, seed=2))),
    "disocclusion": (motion.loss_disocclusion, lambda: (random(2, 6, low=0.1),)),
    "entropy": (division.loss_entropy, lambda: (random(2, 6, low=0.1),)),
    "mask": (lambda o: division.loss_mask(o, torch.tensor([1.0, 0, 1, 0])), lambda: (random(4, low=0.1, high=0.9),)),
    "distortion": (
        regularisers.loss_distortion,
        lambda: (random(3, 6).detach().sort(1).values.requires_grad_(), random(3, 6, seed=1)),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_gradients(name):
    function, make = CASES[name]
    assert torch.autograd.gradcheck(function, make())


# --- matter behind what is seen --------------------------------------------------------------------------------------
def test_hidden_by_hand():
    s = torch.tensor([[0.2, 0.5, 0.8]])
    weights = torch.tensor([[0.0, 0.6, 0.3]])
    probes = torch.tensor([[0.4, 0.55, 0.9]])
    opacity = torch.tensor([[1.0, 0.5, 1.0]])
    # Before 0.4 - 0.1 lies no weight, before 0.45 none, before 0.8 (not at it) 0.6.
    found = division.loss_occluded(probes, opacity, s, weights, 0.1)
    torch.testing.assert_close(found, torch.tensor((0 + 0 + 0.6) / 3))
    found = division.loss_occluded(probes, opacity, s, weights, 0.01)
    torch.testing.assert_close(found, torch.tensor((0 + 0.6 * 0.5 + 0.9) / 3))


def test_hidden_teaches_the_opacity_alone():
    s, weights = torch.tensor([[0.2, 0.5]]), torch.tensor([[0.5, 0.5]], requires_grad=True)
    opacity = torch.tensor([[0.3]], requires_grad=True)
    division.loss_occluded(torch.tensor([[0.9]]), opacity, s, weights, 0.0).backward()
    assert weights.grad is None
    assert opacity.grad.tolist() == [[1.0]]
