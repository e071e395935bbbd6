"""The published networks: sizes, layout, time code, axes, and that parts do not see what they must not see."""

import math

import pytest
import torch

from nsff.config import FieldConfig
from nsff.errors import StageError
from nsff.models.ray_fields.build import build_fields
from nsff.models.ray_fields.encodings import positional_encoding, time_code
from nsff.models.ray_fields.field import FieldSamples
from nsff.models.ray_fields.mlp import MlpDynamicField, MlpStaticField
from nsff.models.ray_fields.published import load_published

SAFF = FieldConfig(kind="mlp")
NSFF = FieldConfig(kind="mlp", features=False, saliency=False)
SMALL = FieldConfig(kind="mlp", width=16)


def parameters(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def batch(*shape: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(*shape, 3, generator=generator) * 2 - 1
    d = torch.nn.functional.normalize(torch.randn(*shape, 3, generator=generator), dim=-1)
    return x, d, torch.randint(0, 6, shape, generator=generator).float()


# --- encodings -------------------------------------------------------------------------------------------------------
def test_encoding_order_and_sizes():
    x = torch.tensor([0.5, -0.25])
    expected = [0.5, -0.25]
    for scale in (1, 2):
        expected += [math.sin(scale * v) for v in (0.5, -0.25)] + [math.cos(scale * v) for v in (0.5, -0.25)]
    torch.testing.assert_close(positional_encoding(x, 2), torch.tensor(expected))
    assert positional_encoding(torch.zeros(4), 10).shape == (84,)
    assert positional_encoding(torch.zeros(5, 3), 10).shape == (5, 63)
    assert positional_encoding(torch.zeros(3), 4).shape == (27,)
    assert torch.equal(positional_encoding(x, 0), x)


def test_time_code():
    torch.testing.assert_close(time_code(torch.tensor([0.0, 12.0, 23.0]), 24), torch.tensor([-1.0, 0.0, 1 - 2 / 24]))


# --- sizes of the published models -----------------------------------------------------------------------------------
def test_parameter_counts_are_the_published_ones():
    assert parameters(MlpDynamicField(SAFF, 64, 24)) == 625_357
    assert parameters(MlpStaticField(SAFF, 64, 24)) == 612_806
    assert parameters(MlpDynamicField(NSFF, 64, 24)) == 608_652
    assert parameters(MlpStaticField(NSFF, 64, 24)) == 596_101


def test_parameter_names_are_the_published_ones():
    names = {name.rsplit(".", 1)[0] for name, _ in MlpDynamicField(SAFF, 64, 24).named_parameters()}
    trunk = {f"pts_linears.{i}" for i in range(8)} | {"views_linears.0", "feature_linear", "alpha_linear", "rgb_linear"}
    assert names == trunk | {"dino_linears.0", "sal_linear", "sf_linear", "prob_linear"}
    static = {name.rsplit(".", 1)[0] for name, _ in MlpStaticField(NSFF, 64, 24).named_parameters()}
    assert static == trunk | {"w_linear"}
    deep = MlpStaticField(FieldConfig(kind="mlp", shallow_features=False), 64, 24)
    assert [tuple(layer.weight.shape) for layer in deep.dino_linears] == [(256, 256), (64, 256)]


def test_layer_shapes():
    dynamic = MlpDynamicField(SAFF, 64, 24)
    shapes = [tuple(layer.weight.shape) for layer in dynamic.pts_linears]
    assert shapes == [(256, 84), *[(256, 256)] * 4, (256, 340), (256, 256), (256, 256)]
    assert dynamic.views_linears[0].weight.shape == (128, 283)


@pytest.mark.parametrize("depth", [1, 5, 6])
def test_other_depths_work(depth):
    field = MlpDynamicField(FieldConfig(kind="mlp", depth=depth, width=16), 4, 6)
    assert field.packed(*batch(3)).shape == (3, 4 + 4 + 1 + 8)


# --- what comes out --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("config", "widths"), [(SAFF, (77, 70)), (NSFF, (12, 5))])
def test_packed_widths(config, widths):
    x, d, t = batch(2, 3)
    assert MlpDynamicField(config, 64, 6).packed(x, d, t).shape == (2, 3, widths[0])
    assert MlpStaticField(config, 64, 6).packed(x, d, t).shape == (2, 3, widths[1])


def test_packed_holds_what_forward_returns_in_published_order():
    x, d, t = batch(2, 3)
    dynamic, static = MlpDynamicField(SMALL, 64, 6), MlpStaticField(SMALL, 64, 6)
    vector, samples = dynamic.packed(x, d, t), dynamic(x, d, t)
    torch.testing.assert_close(torch.sigmoid(vector[..., :3]), samples.rgb)
    for part, value in [
        (vector[..., 3], samples.raw_density), (vector[..., 4:68], samples.features),
        (vector[..., 68], samples.saliency),
        (vector[..., 69:72], samples.flow_prev), (vector[..., 72:75], samples.flow_post),
        (vector[..., 75], samples.disocclusion_prev), (vector[..., 76], samples.disocclusion_post),
    ]:  # fmt: skip
        torch.testing.assert_close(part, value)
    assert samples.blending is None
    vector, samples = static.packed(x, d, t), static(x, d, t)
    torch.testing.assert_close(vector[..., 68], samples.saliency)
    torch.testing.assert_close(vector[..., 69], samples.blending)
    assert samples.flow_prev is None
    assert samples.disocclusion_post is None


def test_the_network_written_out():
    """Two rays through the dynamic network, with every layer applied by hand."""
    field = MlpDynamicField(FieldConfig(kind="mlp", width=8, position_frequencies=2, direction_frequencies=1), 4, 5)
    x, d, t = batch(2)
    state = field.state_dict()

    def linear(name: str, value: torch.Tensor) -> torch.Tensor:
        return value @ state[f"{name}.weight"].T + state[f"{name}.bias"]

    p = torch.cat([x, (2 * t / 5 - 1)[:, None]], 1)
    e = torch.cat([p, p.sin(), p.cos(), (2 * p).sin(), (2 * p).cos()], 1)
    h = e
    for i in range(8):
        h = linear(f"pts_linears.{i}", torch.cat([e, h], 1) if i == 5 else h).relu()
    view = torch.cat([linear("feature_linear", h), d, d.sin(), d.cos()], 1)
    rgb = linear("rgb_linear", linear("views_linears.0", view).relu())
    expected = torch.cat([
        rgb, linear("alpha_linear", h), linear("dino_linears.0", h).tanh(), linear("sal_linear", h).sigmoid(),
        linear("sf_linear", h).tanh(), linear("prob_linear", h).sigmoid(),
    ], 1)  # fmt: skip
    torch.testing.assert_close(field.packed(x, d, t), expected)
    torch.testing.assert_close(field.raw_density(x, t), expected[:, 3])


def test_only_colour_sees_the_direction_and_only_the_dynamic_field_sees_time():
    x, d, t = batch(7)
    for make in (MlpStaticField, MlpDynamicField):
        field = make(SMALL, 5, 6)
        here, turned = field(x, d, t), field(x, -d, t)
        assert not torch.allclose(here.rgb, turned.rgb)
        others = [name for name, value in vars(here).items() if value is not None and name != "rgb"]
        assert all(torch.equal(getattr(here, name), getattr(turned, name)) for name in others)
        later = field(x, d, t + 1)
        assert torch.allclose(here.raw_density, later.raw_density) == (make is MlpStaticField)


def test_neighbouring_times_are_two_over_n_apart():
    field = MlpDynamicField(SMALL, 4, 20)
    points = torch.zeros(1, 3)
    assert field.inputs(points, torch.tensor([8.0]))[0, 3] - field.inputs(points, torch.tensor([7.0]))[
        0, 3
    ] == pytest.approx(0.1)


def test_heads_follow_the_configuration():
    x, d, t = batch(4)
    bare = MlpStaticField(FieldConfig(kind="mlp", features=False, saliency=False, composition="additive"), 4, 6)(
        x, d, t
    )
    assert (bare.features, bare.saliency, bare.blending) == (None, None, None)
    assert bare.rgb is not None
    config = FieldConfig(kind="mlp", width=16, feature_tanh=False)
    field = MlpStaticField(config, 4, 6)
    with torch.no_grad():
        field.dino_linears[0].bias.fill_(5.0)
    assert bool((field(x, d, t).features > 1).all())


def test_fields_are_built_from_the_configuration():
    static, dynamic = build_fields(SMALL, torch.tensor([[-1.0] * 3, [1.0] * 3]), 4, 6)
    assert isinstance(static, MlpStaticField)
    assert isinstance(dynamic, MlpDynamicField)
    assert isinstance(dynamic(*batch(2)), FieldSamples)
    assert build_fields(FieldConfig(kind="mlp", width=16, static_only=True), torch.zeros(2, 3), 4, 6)[1] is None


def test_every_parameter_learns():
    x, d, t = batch(16)
    for make in (MlpStaticField, MlpDynamicField):
        field = make(SMALL, 4, 6)
        field.packed(x, d, t).square().sum().backward()
        assert all(p.grad is not None and bool((p.grad != 0).any()) for p in field.parameters())


# --- published checkpoints -------------------------------------------------------------------------------------------
@pytest.mark.parametrize("make", [MlpStaticField, MlpDynamicField])
def test_published_weights_answer_the_same_in_our_axes(make):
    torch.manual_seed(0)
    published, ours = make(SMALL, 4, 6), make(SMALL, 4, 6)
    load_published(ours, {f"module.{name}": value for name, value in published.state_dict().items()})
    x, d, t = batch(9)
    theirs = published(x * torch.tensor([1.0, -1, 1]), d * torch.tensor([1.0, -1, -1]), t)
    mine = ours(x, d, t)
    for name, value in vars(theirs).items():
        if value is not None:
            expected = value * torch.tensor([1.0, -1, 1]) if name.startswith("flow") else value
            torch.testing.assert_close(getattr(mine, name), expected, msg=lambda text, name=name: f"{name}: {text}")


def test_a_checkpoint_of_another_network_is_refused_by_name():
    with pytest.raises(StageError, match="sal_linear"):
        load_published(
            MlpStaticField(SMALL, 4, 6),
            MlpStaticField(FieldConfig(kind="mlp", width=16, saliency=False), 4, 6).state_dict(),
        )


@pytest.mark.gpu
@pytest.mark.parametrize("make", [MlpStaticField, MlpDynamicField])
def test_the_gpu_answers_as_the_cpu(make):
    field, (x, d, t) = make(SAFF, 64, 24), batch(33, 7)
    expected = field.packed(x, d, t)
    found = field.cuda().packed(x.cuda(), d.cuda(), t.cuda())
    torch.testing.assert_close(found.cpu(), expected, atol=1e-4, rtol=1e-4)
