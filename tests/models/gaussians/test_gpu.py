"""gsplat against the plain twin, on a CUDA device: float32 against float64."""

import pytest
import torch

from nsff.models.gaussians import gpu, twin
from nsff.models.gaussians.rasterisers import check_rasteriser

pytestmark = pytest.mark.gpu


@pytest.fixture(autouse=True)
def gsplat():
    """Skips where gsplat is not installed; where it is, it has to work."""
    pytest.importorskip("gsplat")
    check_rasteriser(torch.device("cuda"))


@pytest.mark.parametrize("packed", [False, True])
def test_as_the_twin(case, packed):
    found = case.to(torch.float32, "cuda").drawn(gpu.rasterise, packed=packed)
    expected = case.to(torch.float32).to(torch.float64).drawn(twin.rasterise)
    for name, value in expected.items():
        error = found[name] - value
        if name.startswith("gradient"):
            assert error.norm() <= 1e-3 * value.norm(), name
        else:
            # A pixel in a thousand may have an α on the other side of its cut-off.
            assert (error.abs() > 1e-4 * value.abs().max().clamp(min=1)).double().mean() <= 1e-3, name


@pytest.mark.parametrize("packed", [False, True])
def test_nothing_in_view(make_case, packed):
    case = make_case(12, count=5)
    case.camera.world_to_camera[2, 3] -= 100
    drawn = case.to(torch.float32, "cuda").drawn(gpu.rasterise, packed=packed)
    assert not any(tensor.any() for tensor in drawn.values())


def test_no_channels(make_case):
    case = make_case(13, channels=0).to(torch.float32, "cuda")
    drawn = gpu.rasterise(case.splats, case.camera)
    assert drawn.values.shape == (37, 51, 0) and drawn.depth.max() > 0


def test_other_types_are_refused(make_case):
    case = make_case(15, count=3).to(torch.float64, "cuda")
    with pytest.raises(ValueError, match="float64"):
        gpu.rasterise(case.splats, case.camera)
