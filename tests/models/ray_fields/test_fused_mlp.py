"""The fused networks against the plain ones: values and every gradient, in float64; the kernels against their twins."""

import pytest
import torch

from nsff.config import FieldConfig
from nsff.models.ray_fields import fused_mlp
from nsff.models.ray_fields.mlp import MlpDynamicField, MlpField, MlpStaticField

SMALL = {"kind": "mlp", "width": 32, "position_frequencies": 3, "direction_frequencies": 2}
KINDS = [
    (MlpStaticField, {}),
    (MlpDynamicField, {}),
    (MlpDynamicField, {"features": False, "saliency": False}),
    (MlpDynamicField, {"shallow_features": False, "feature_tanh": False}),
    (MlpStaticField, {"composition": "additive"}),
]


def build(kind: type[MlpField], changes: dict) -> MlpField:
    torch.manual_seed(0)
    field = kind(FieldConfig(**SMALL | changes), 5, 7).double()
    # Biases that matter, and activations that neither grow nor vanish from layer to layer.
    for parameter in field.parameters():
        torch.nn.init.normal_(parameter, std=0.2 * (32 / field.config.width) ** 0.5)
    return field


def inputs(rays: int = 6, samples: int = 4, dtype=torch.float64, device="cpu"):
    generator = torch.Generator().manual_seed(1)
    x = torch.rand(rays, samples, 3, generator=generator, dtype=torch.float64) * 2 - 1
    d = torch.nn.functional.normalize(torch.randn(rays, 1, 3, generator=generator, dtype=torch.float64), dim=-1)
    time = torch.randint(0, 7, (rays, 1), generator=generator).double().expand(rays, samples)
    return x.to(device, dtype), d.to(device, dtype), time.to(device, dtype)


def gradients(field: MlpField, function, x, d, time):
    """All outputs, and the gradients of a weighted sum of them at the positions and at every parameter."""
    x = x.clone().requires_grad_()
    out = function(x, d, time)
    generator = torch.Generator().manual_seed(2)
    total = sum((v * torch.randn(v.shape, generator=generator, dtype=torch.float64).to(v)).sum() for v in out.values())
    names = [name for name, _ in field.named_parameters()]
    found = torch.autograd.grad(total, [x, *field.parameters()])
    return out, dict(zip(["positions", *names], found, strict=True))


@pytest.mark.parametrize(("kind", "changes"), KINDS)
def test_same_as_layer_by_layer(kind, changes):
    field = build(kind, changes)
    fused = lambda *a: fused_mlp.outputs(field, *a, torch.float64)  # noqa: E731
    expected, expected_gradients = gradients(field, field.plain_outputs, *inputs())
    found, found_gradients = gradients(field, fused, *inputs())
    assert list(found) == list(expected)
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value)
    for name, value in expected_gradients.items():
        torch.testing.assert_close(found_gradients[name], value, msg=lambda text, n=name: f"{n}: {text}")


def test_a_direction_for_every_sample_is_the_same():
    field = build(*KINDS[1])
    x, d, time = inputs()
    once = fused_mlp.outputs(field, x, d, time, torch.float64)["rgb"]
    every = fused_mlp.outputs(field, x, d.expand_as(x), time, torch.float64)["rgb"]
    torch.testing.assert_close(once, every)
    torch.testing.assert_close(field.plain_outputs(x, d, time)["rgb"], every)


def test_positions_that_need_no_gradient_get_none():
    field = build(*KINDS[0])
    x, d, time = inputs()
    fused_mlp.outputs(field, x, d, time, torch.float64)["density"].sum().backward()
    assert x.grad is None
    assert field.pts_linears[0].weight.grad.abs().sum() > 0


def test_encoding_by_hand():
    x = torch.tensor([[0.5, -0.25]], dtype=torch.float64)
    found = fused_mlp.encode(x, 1, 16, torch.float64)[0]
    expected = [0.5, -0.25, 0.479425538604203, -0.2474039592545229, 0.8775825618903728, 0.9689124217106447]
    torch.testing.assert_close(found, torch.tensor(expected + [0.0] * 10, dtype=torch.float64))
    ones = torch.ones(1, 16, dtype=torch.float64)
    # 1 + cos x - sin x
    expected = torch.tensor([[1 + 0.8775825618903728 - 0.479425538604203, 1 + 0.9689124217106447 + 0.2474039592545229]])
    torch.testing.assert_close(fused_mlp.encode_backward(x, ones, 1), expected.double())


def test_relu_backward_by_hand():
    output = torch.tensor([[1.0, 0.0], [2.0, 3.0]])
    gradient, sums = fused_mlp.relu_backward(torch.tensor([[5.0, 7.0], [-1.0, 2.0]]), output)
    assert gradient.tolist() == [[5.0, 0.0], [-1.0, 2.0]]
    assert sums.tolist() == [4.0, 2.0]


@pytest.mark.gpu
@pytest.mark.parametrize(("dtype", "bound"), [(torch.float32, 1e-6), (torch.bfloat16, 4e-3)])
def test_kernels_against_their_twins(dtype, bound):
    kernels = pytest.importorskip("nsff.models.ray_fields.mlp_kernels")
    generator = torch.Generator("cuda").manual_seed(0)
    for count, D, octaves in ((1, 3, 10), (1000, 4, 10), (4097, 3, 0)):
        x = torch.randn(count, D, device="cuda", generator=generator)
        columns = fused_mlp.padded(D * (2 * octaves + 1))
        exact = fused_mlp.encode(x.double(), octaves, columns, torch.float64)
        found = kernels.encode(x, octaves, columns, dtype)
        assert float((found.double() - exact).norm() / exact.norm()) < bound
        arriving = torch.randn(count, columns, device="cuda", generator=generator).to(dtype)
        expected = fused_mlp.encode_backward(x.double(), arriving.double(), octaves)
        found = kernels.encode_backward(x, arriving, octaves)
        assert float((found.double() - expected).norm() / expected.norm()) < 1e-5
    for count in (1, 300, 100_000):
        wide = torch.randn(count, 320, device="cuda", generator=generator).to(dtype)
        arriving = torch.randn(count, 256, device="cuda", generator=generator).to(dtype)
        expected, sums = fused_mlp.relu_backward(arriving.double(), wide[:, 64:].double())
        found, found_sums = kernels.relu_backward(arriving.clone(), wide[:, 64:])
        assert torch.equal(found.double(), expected)
        assert float((found_sums.double() - sums).norm() / sums.norm()) < 1e-5


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
@pytest.mark.parametrize(("kind", "changes"), KINDS)
def test_rounded_as_in_float64(kind, changes, device):
    torch.set_float32_matmul_precision("highest")
    field = build(kind, changes | {"width": 256})
    expected, expected_gradients = gradients(field, field.plain_outputs, *inputs(100, 20))
    field = field.float().to(device)
    x, d, time = inputs(100, 20, torch.float32, device)
    # Gradients differ more than values: rounding turns some units off that float64 leaves on.
    for dtype, bound, loose in ((torch.float32, 1e-5, 1e-2), (torch.bfloat16, 0.03, 0.3)):
        fused = lambda *a, t=dtype: fused_mlp.outputs(field, *a, t)  # noqa: E731
        found, found_gradients = gradients(field, fused, x, d, time)
        for name, value in expected.items():
            assert float((found[name].detach().cpu() - value).norm() / value.norm()) < bound, name
        for name, value in expected_gradients.items():
            assert float((found_gradients[name].cpu() - value).norm() / value.norm()) < loose, name
