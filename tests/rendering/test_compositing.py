"""Volume rendering against numbers worked out by hand."""

import math

import pytest
import torch

from nsff.models.ray_fields import compositing as c


def test_single_weights_by_hand():
    # Opacities 1/2 and 3/4: weights 1/2 and 1/2·3/4.
    densities = torch.tensor([[math.log(2.0), math.log(4.0)]], dtype=torch.float64)
    weights = c.single_weights(densities, torch.ones(1, 2, dtype=torch.float64))
    torch.testing.assert_close(weights, torch.tensor([[0.5, 0.375]], dtype=torch.float64))


def test_blending_of_two_opaque_fields_sums_to_more_than_one():
    # v = 1/2 on opaque samples: first sample gives 1/2 + 1/2, a quarter of the light passes, and so on: 1, 1/4, ...
    opaque = torch.full((1, 2), 1e3, dtype=torch.float64)
    static, dynamic = c.blended_weights(opaque, opaque, torch.full_like(opaque, 0.5), torch.ones_like(opaque))
    torch.testing.assert_close(static + dynamic, torch.tensor([[1.0, 0.25]], dtype=torch.float64), atol=1e-8, rtol=0)
    torch.testing.assert_close(static, dynamic)


def test_blending_weight_of_one_is_the_dynamic_field_alone():
    g = torch.Generator().manual_seed(0)
    static, dynamic, deltas = (torch.rand(5, 9, generator=g, dtype=torch.float64) for _ in range(3))
    weights_static, weights_dynamic = c.blended_weights(static, dynamic, torch.ones_like(static), deltas)
    assert float(weights_static.abs().max()) == 0
    torch.testing.assert_close(weights_dynamic, c.single_weights(dynamic, deltas), atol=1e-8, rtol=1e-6)


def test_additive_weights_share_one_field():
    g = torch.Generator().manual_seed(1)
    static, dynamic, deltas = (torch.rand(5, 9, generator=g, dtype=torch.float64) * 3 for _ in range(3))
    a, b = c.additive_weights(static, dynamic, deltas)
    torch.testing.assert_close(a + b, c.single_weights(static + dynamic, deltas))
    torch.testing.assert_close(b / (a + b), dynamic / (static + dynamic))
    assert float((a + b).sum(1).max()) <= 1 + 1e-9


@pytest.mark.parametrize("composition", ["additive", "blended"])
def test_gradients(composition):
    g = torch.Generator().manual_seed(2)
    values = [torch.rand(2, 4, generator=g, dtype=torch.float64).requires_grad_() for _ in range(3)]
    deltas = torch.rand(2, 4, generator=g, dtype=torch.float64)
    if composition == "additive":
        assert torch.autograd.gradcheck(lambda s, d, v: c.additive_weights(s, d, deltas), values)
    else:
        assert torch.autograd.gradcheck(lambda s, d, v: c.blended_weights(s, d, v, deltas), values)


def test_distances_end_at_infinity():
    positions = torch.tensor([[[0.0, 0, 0], [0, 3, 4], [0, 3, 5]]])
    torch.testing.assert_close(c.distances(positions), torch.tensor([[5.0, 1.0, 1e10]]))


def test_accumulate_scalars_and_vectors():
    weights = torch.tensor([[0.25, 0.5]])
    assert c.accumulate(weights, torch.tensor([[4.0, 2.0]])).tolist() == [2.0]
    assert c.accumulate(weights, torch.tensor([[[4.0, 0.0], [2.0, 2.0]]])).tolist() == [[2.0, 1.0]]
