"""The CPU rasteriser against the plain twin, values and gradients; threads, float32, and scenes of nothing."""

import numpy as np
import pytest
import torch

from nsff.models.gaussians import cpu, twin
from nsff.models.gaussians.cpu_tiles import by_depth
from nsff.models.gaussians.splats import BLUR, Camera, Splats


def test_as_the_twin(case):
    found, expected = case.drawn(cpu.rasterise), case.drawn(twin.rasterise)
    assert expected["alpha"].max() > 0.01
    for name, value in expected.items():
        # Far below what is promised: 1e-4 of values, 1e-3 of gradients.
        torch.testing.assert_close(found[name], value, rtol=1e-7, atol=1e-9 * float(value.abs().max()), msg=name)


@pytest.mark.parametrize("channels", [3, 4])
def test_results_do_not_depend_on_threads(make_case, monkeypatch, channels):
    case, results = make_case(10, count=400, channels=channels), []
    for threads in (1, 2, 5):
        monkeypatch.setattr(torch, "get_num_threads", lambda count=threads: count)
        results.append(case.drawn(cpu.rasterise))
    for other in results[1:]:
        assert all(torch.equal(other[name], value) for name, value in results[0].items())


@pytest.mark.parametrize("channels", [3, 4])
def test_float32(make_case, channels):
    case = make_case(11, channels=channels).to(torch.float32)
    found, expected = case.drawn(cpu.rasterise), case.to(torch.float64).drawn(twin.rasterise)
    for name, value in expected.items():
        assert (found[name] - value).abs().max() <= 1e-5 * value.abs().max(), name


@pytest.mark.parametrize("channels", [3, 4])
def test_tiles_that_nothing_shines_through_are_left_early(make_case, channels):
    """Hundreds of opaque Gaussians one behind the other: those behind count for nothing."""
    case = make_case(17, count=300, channels=channels, sizes=3.0)
    s = case.splats
    opaque = Splats(s.means, s.quaternions, s.scales, torch.ones_like(s.opacities), s.values)
    found, expected = (rasterise(opaque, case.camera) for rasterise in (cpu.rasterise, twin.rasterise))
    torch.testing.assert_close(found.values, expected.values, rtol=1e-7, atol=1e-9)
    torch.testing.assert_close(found.alpha, expected.alpha, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("count", [0, 5])
def test_nothing_in_view(make_case, count):
    case = make_case(12, count=count)
    V, t = case.camera.world_to_camera.split([3, 1], dim=1)
    behind = t - torch.tensor([[0.0], [0], [100]], dtype=t.dtype)
    camera = Camera(case.camera.K, torch.cat([V, behind], dim=1), 20, 30)
    leaf = case.splats.means.clone().requires_grad_()
    s = case.splats
    drawn = cpu.rasterise(Splats(leaf, s.quaternions, s.scales, s.opacities, s.values), camera)
    assert drawn.values.shape == (20, 30, 3)
    assert not any(picture.any() for picture in (drawn.values, drawn.alpha, drawn.depth))
    (drawn.values.sum() + drawn.depth.sum()).backward()
    assert not leaf.grad.any()


def test_no_channels_and_no_gradients(make_case):
    case = make_case(13, channels=0)
    drawn, expected = cpu.rasterise(case.splats, case.camera), twin.rasterise(case.splats, case.camera)
    assert drawn.values.shape == (37, 51, 0) and not drawn.depth.requires_grad
    torch.testing.assert_close(drawn.depth, expected.depth)


def test_what_is_not_a_number_is_not_drawn(make_case):
    case = make_case(14, count=20)
    s = case.splats
    for name in ("means", "scales", "opacities"):
        fields = {key: getattr(s, key).clone() for key in ("means", "quaternions", "scales", "opacities", "values")}
        fields[name][3] = torch.nan
        kept = torch.arange(20) != 3
        rest = Splats(*(field[kept] for field in fields.values()))
        assert torch.equal(
            cpu.rasterise(Splats(**fields), case.camera).values, cpu.rasterise(rest, case.camera).values
        ), name


def test_the_order_of_depths_is_numpys_and_stable():
    generator = np.random.default_rng(0)
    z = np.exp(generator.normal(0, 6, 3000))
    z[::7] = z[3]
    z[1::7] = z[5] * (1 + 1e-12 * generator.normal(size=len(z[1::7])))  # one number as float32
    z[2::7], z[10] = 0.01, 1e10
    drawn = generator.permutation(5000)[:3000]
    assert np.array_equal(by_depth(drawn, z), drawn[z.argsort(kind="stable")])
    assert len(by_depth(drawn[:0], z[:0])) == 0


def test_other_types_are_refused(make_case):
    case = make_case(15, count=3)
    half = Splats(*(getattr(case.splats, n).half() for n in ("means", "quaternions", "scales", "opacities", "values")))
    with pytest.raises(ValueError, match="float16"):
        cpu.rasterise(half, case.camera)


def test_pictures_that_are_changed_in_place_are_no_wrong_gradients(make_case):
    case = make_case(16, count=20)
    s = case.splats
    values = s.values.clone().requires_grad_()
    drawn = cpu.rasterise(Splats(s.means, s.quaternions, s.scales, s.opacities, values), case.camera)
    with torch.no_grad():
        drawn.values.mul_(2)
    with pytest.raises(RuntimeError, match="inplace"):
        drawn.alpha.sum().backward()


@pytest.mark.parametrize("rasterise", [cpu.rasterise, twin.rasterise], ids=["cpu", "twin"])
@pytest.mark.parametrize("sizes", [0.02, 0.3])
def test_an_enlarged_picture_with_its_blur_has_the_same_ellipses(make_case, rasterise, sizes):
    """The middle one of every three by three pixels is the pixel of the picture of a third of the sides."""
    case = make_case(12, channels=3, sizes=sizes)
    small = case.camera
    K = small.K * torch.tensor([[3.0], [3.0], [1.0]], dtype=small.K.dtype)
    large = Camera(K, small.world_to_camera, 3 * small.height, 3 * small.width, 9 * BLUR)
    with torch.no_grad():
        expected, found = rasterise(case.splats, small), rasterise(case.splats, large)
    assert expected.alpha.max() > 0.1
    torch.testing.assert_close(found.values[1::3, 1::3], expected.values, atol=1e-9, rtol=1e-6)
    sharp = rasterise(case.splats, Camera(K, small.world_to_camera, large.height, large.width))
    assert float(sharp.alpha.mean()) < float(found.alpha.mean())
