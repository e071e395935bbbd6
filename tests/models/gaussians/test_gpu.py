"""gsplat against the plain twin, on a CUDA device: float32 against float64."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from nsff.config import resolve_scene
from nsff.models.gaussians import gpu, twin
from nsff.models.gaussians.rasterisers import check_rasteriser
from nsff.models.gaussians.splats import BLUR
from nsff.models.supervision import TrainingData
from nsff.training.run import build_model

pytestmark = pytest.mark.gpu


@pytest.fixture(autouse=True)
def gsplat():
    """Skips where gsplat is not installed; where it is, it has to work."""
    pytest.importorskip("gsplat")
    check_rasteriser(torch.device("cuda"))


def distances(found: dict[str, Tensor], expected: dict[str, Tensor]) -> dict[str, float]:
    """How far drawings lie apart. Of gradients: the norm of the difference, over the norm, of all but two Gaussians.

    Of pictures: the largest difference (over the largest value, where that is above 1) of all but a pixel in a
    thousand. An α may lie on the other side of its cut-off there, which the gradient of its Gaussian shows, too.
    """
    result = {}
    for name, value in expected.items():
        error = found[name] - value
        if name.startswith("gradient"):
            rows = error.flatten(1).norm(dim=1) if error.ndim > 1 else error.abs()
            kept = rows.argsort()[: len(rows) - 2] if len(rows) > 20 else slice(None)
            result[name] = float(error[kept].norm() / value.norm())
        else:
            result[name] = float((error.abs() / value.abs().max().clamp(min=1)).flatten().quantile(0.999))
    return result


@pytest.mark.parametrize("packed", [False, True])
def test_as_the_twin(case, packed):
    case = case.to(torch.float32)
    exact = case.to(torch.float64).drawn(twin.rasterise)
    found = distances(case.to(torch.float32, "cuda").drawn(gpu.rasterise, packed=packed), exact)
    # Where a thing is thousands of times as long as wide, float32 itself is no better. All gradients of such a thing
    # come from one σ, and which of them its rounding reaches most depends on the order of sums.
    rounding = distances(case.drawn(twin.rasterise), exact)
    gradients = max(error for name, error in rounding.items() if name.startswith("gradient"))
    promised = {
        name: max(1e-3, 5 * gradients) if name.startswith("gradient") else max(1e-4, 10 * rounding[name])
        for name in found
    }
    assert not {name: distance for name, distance in found.items() if distance > promised[name]}


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


def test_recorded_terms_and_gradients_are_those_of_kernels_started_one_by_one(tiny_scene):
    scene, found = tiny_scene(4), []
    for recorded in (False, True):
        train = {"device": "cuda", "cuda_graphs": recorded, "steps": 8, "tensorboard": False}
        own = {"input": {"path": "x"}, "model": {"kind": "gaussians"}, "train": train}
        config = resolve_scene("tiny", own, "fast", {})
        data = TrainingData(scene, config.field, config.train, 0.5, torch.device("cuda"))
        model = build_model(scene, config, data).to("cuda")
        model.start_training(data, config)
        for step in range(4):
            batch = model.sample_batch(step, torch.Generator("cuda"))
            terms, monitors = model.losses(batch, step, torch.Generator("cuda"))
            sum(terms.values()).backward()
            named = {**terms, **monitors, "positions": model.static.position.grad, "place": model.moving.position.grad}
            found.append({name: value.detach().double().cpu().clone() for name, value in named.items()})
            model.zero_grad()
    for plain, replayed in zip(found[:4], found[4:], strict=True):
        assert plain.keys() == replayed.keys()
        for name, value in plain.items():
            assert float((replayed[name] - value).norm()) <= 1e-4 * float(value.norm()) + 1e-9, name
