"""gsplat against the plain twin, on a CUDA device: float32 against float64."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from nsff.models.gaussians import gpu, twin
from nsff.models.gaussians.rasterisers import check_rasteriser
from nsff.models.gaussians.splats import BLUR

pytestmark = pytest.mark.gpu


@pytest.fixture(autouse=True)
def gsplat():
    """Skips where gsplat is not installed; where it is, it has to work."""
    pytest.importorskip("gsplat")
    check_rasteriser(torch.device("cuda"))


def distances(found: dict[str, Tensor], expected: dict[str, Tensor]) -> dict[str, float]:
    """How far drawings lie apart. Of gradients: the norm of the difference, over the norm.

    Of pictures: the largest difference (over the largest value, where that is above 1) of all but a pixel in a
    thousand, as there an α may lie on the other side of its cut-off.
    """
    result = {}
    for name, value in expected.items():
        error = found[name] - value
        if name.startswith("gradient"):
            result[name] = float(error.norm() / value.norm())
        else:
            result[name] = float((error.abs() / value.abs().max().clamp(min=1)).flatten().quantile(0.999))
    return result


@pytest.mark.parametrize("packed", [False, True])
def test_as_the_twin(case, packed, request):
    case = case.to(torch.float32)
    exact = case.to(torch.float64).drawn(twin.rasterise)
    found = distances(case.to(torch.float32, "cuda").drawn(gpu.rasterise, packed=packed), exact)
    # Where a thing is thousands of times as long as wide, float32 itself is no better: then ten times its error.
    rounding = distances(case.drawn(twin.rasterise), exact)
    promised = {name: max(1e-3 if name.startswith("gradient") else 1e-4, 10 * rounding[name]) for name in found}
    far = {name: distance for name, distance in found.items() if distance > promised[name]}
    if far and packed and "needles" in request.node.callspec.id:
        pytest.xfail(f"packed needles of four channels lie farther apart than promised (open, docs/plan.md): {far}")
    assert not far


@pytest.mark.parametrize("packed", [False, True])
def test_nothing_in_view(make_case, packed):
    case = make_case(12, count=5)
    case.camera.world_to_camera[2, 3] -= 100
    drawn = case.to(torch.float32, "cuda").drawn(gpu.rasterise, packed=packed)
    assert not any(tensor.any() for tensor in drawn.values())


def test_the_blur_of_enlarged_pictures(make_case):
    case = make_case(14, sizes=0.1).to(torch.float32)
    drawn = []
    for device, rasterise, dtype in (("cuda", gpu.rasterise, torch.float32), ("cpu", twin.rasterise, torch.float64)):
        own = case.to(dtype, device)
        drawn.append(rasterise(own.splats, replace(own.camera, blur=9 * BLUR)).values.detach().double().cpu())
    assert float((drawn[0] - drawn[1]).abs().flatten().quantile(0.999)) < 1e-4 * max(1.0, float(drawn[1].abs().max()))


def test_no_channels_and_no_gaussians(make_case):
    case = make_case(13, channels=0).to(torch.float32, "cuda")
    drawn = gpu.rasterise(case.splats, case.camera)
    assert drawn.values.shape == (37, 51, 0) and drawn.depth.max() > 0
    drawn = make_case(13, count=0).to(torch.float32, "cuda").drawn(gpu.rasterise)
    assert drawn["values"].shape == (37, 51, 3) and not drawn["alpha"].any()


def test_other_types_are_refused(make_case):
    case = make_case(15, count=3).to(torch.float64, "cuda")
    with pytest.raises(ValueError, match="float64"):
        gpu.rasterise(case.splats, case.camera)
