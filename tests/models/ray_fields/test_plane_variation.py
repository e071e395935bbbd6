"""The Triton kernels of the variation of planes against their plain twin in float64."""

import os

import pytest
import torch

from nsff.models.ray_fields.plane_variation import plain_variation, variation

pytest.importorskip("triton", reason="Triton is not installed")
INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
DEVICE = "cpu" if INTERPRETED else "cuda"
# (slices, R, C): below, at and above the 1024 numbers of a program
CASES = [(1, 2, 1), (2, 3, 5), (4, 8, 8), (3, 17, 4)]


def planes(slices, r, channels):
    return torch.rand(3, slices, r, r, channels, generator=torch.Generator().manual_seed(0)) + 1


@pytest.mark.gpu
@pytest.mark.parametrize("stays", [False, True])
@pytest.mark.parametrize("case", CASES)
def test_kernels_equal_their_twin(case, stays):
    from nsff.models.ray_fields import variation_kernels

    own, twin = planes(*case).to(DEVICE).requires_grad_(), planes(*case).double().requires_grad_()
    target = torch.full_like(own, 0.5, requires_grad=False) if stays else None
    found, expected = variation_kernels.variation(own, target), plain_variation(twin)
    (3 * found).backward()
    (3 * expected).backward()
    assert float(found) == pytest.approx(float(expected), rel=1e-5)
    gradient = own.grad if target is None else target - 0.5
    assert (own.grad is None) == stays
    torch.testing.assert_close(gradient.cpu().double(), twin.grad, rtol=1e-4, atol=1e-6)


def test_in_the_interpreter(interpreted):
    assert f"{2 * len(CASES)} passed" in interpreted(__file__)


@pytest.mark.gpu
@pytest.mark.skipif(INTERPRETED, reason="of a GPU alone")
def test_a_gpu_takes_the_kernels_for_float32():
    own = planes(2, 4, 8).cuda().requires_grad_()
    assert "_Variation" in variation(own).grad_fn.name()
    assert "_Variation" not in variation(own.detach().double().requires_grad_()).grad_fn.name()
