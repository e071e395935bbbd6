"""PSNR, SSIM and LPIPS against scikit-image, torchmetrics, OpenCV and the lpips package, and hand-computed numbers."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from nsff.errors import StageError
from nsff.metrics.image import PSNR_CAP, psnr, psnr_8bit, ssim, ssim_maps
from nsff.metrics.lpips import CHANNELS, Lpips, load_lpips
from nsff.metrics.measure import image_scores
from nsff.metrics.protocols import DYNAMICNERF, NSFF, SAFF


def damaged(kind: str) -> tuple[torch.Tensor, torch.Tensor]:
    """A smooth random picture and the same with noise, blurred, or shifted by (2, 1) pixels."""
    generator = np.random.default_rng(3)
    a = cv2.GaussianBlur(generator.random((50, 67, 3)).astype(np.float32), (0, 0), 1.5)
    b = {
        "noisy": np.clip(a + 0.05 * generator.standard_normal(a.shape).astype(np.float32), 0, 1),
        "blurred": cv2.GaussianBlur(a, (0, 0), 2.0),
        "shifted": np.roll(a, (1, 2), (0, 1)),
    }[kind]
    return torch.from_numpy(a), torch.from_numpy(b)


@pytest.fixture
def pair() -> tuple[torch.Tensor, torch.Tensor]:
    return damaged("noisy")


every_damage = pytest.mark.parametrize("kind", ["noisy", "blurred", "shifted"])


def test_psnr_by_hand() -> None:
    a = torch.zeros(8, 8, 3)
    assert float(psnr(a, a + 0.1)) == pytest.approx(20.0, abs=1e-4)
    mask = torch.zeros(8, 8, dtype=torch.bool)
    mask[:2] = True
    b = a.clone()
    b[:2] = 0.1
    b[2:] = 0.9
    assert float(psnr(a, b, mask)) == pytest.approx(20.0, abs=1e-4)
    # One channel of three off by 0.3: the masked error divides by pixels times channels.
    b[:2] = torch.tensor([0.3, 0.0, 0.0])
    assert float(psnr(a, b, mask)) == pytest.approx(-10 * math.log10(0.03), abs=1e-4)


def test_identical_pictures_have_a_documented_score() -> None:
    a = torch.rand(9, 9, 3, generator=torch.Generator().manual_seed(0))
    mask = torch.ones(9, 9, dtype=torch.bool)
    assert float(psnr(a, a)) == pytest.approx(PSNR_CAP)
    assert float(psnr(a, a, mask)) == pytest.approx(PSNR_CAP)
    assert float(psnr(a, a, variant="reference")) == math.inf
    assert float(psnr(a, a, mask, "reference")) == 0.0
    assert float(psnr_8bit(a, a)) == pytest.approx(361.2, abs=0.05)
    assert float(ssim(a, a)) == pytest.approx(1.0)


def test_empty_mask_is_nan(pair: tuple[torch.Tensor, torch.Tensor]) -> None:
    nothing = torch.zeros(50, 67, dtype=torch.bool)
    assert math.isnan(float(psnr(*pair, nothing)))
    assert math.isnan(float(ssim(*pair, nothing)))


@every_damage
@pytest.mark.parametrize(("variant", "data_range"), [("standard", 1.0), ("reference", 2.0)])
def test_against_scikit_image(kind: str, variant: str, data_range: float) -> None:
    pair = damaged(kind)
    metrics = pytest.importorskip("skimage.metrics")
    a, b = (v.numpy() for v in pair)
    value, full = metrics.structural_similarity(a, b, channel_axis=2, data_range=data_range, full=True)
    assert float(ssim(*pair, variant=variant)) == pytest.approx(value, abs=1e-4)
    np.testing.assert_allclose(ssim_maps(*pair, [data_range])[0].numpy(), full, atol=1e-4)
    assert float(psnr(*pair)) == pytest.approx(metrics.peak_signal_noise_ratio(a, b, data_range=1), abs=1e-4)
    mask = torch.zeros(50, 67)
    mask[5:20, 30:50] = 1
    masked = (full * mask.numpy()[..., None]).sum() / (3 * mask.sum())
    assert float(ssim(*pair, mask, variant)) == pytest.approx(float(masked), abs=1e-4)


def test_against_torchmetrics() -> None:
    functional = pytest.importorskip("torchmetrics.functional.image")
    for kind in ("noisy", "blurred", "shifted"):
        pair = damaged(kind)
        a, b = (v.permute(2, 0, 1)[None] for v in pair)
        expected = functional.peak_signal_noise_ratio(a, b, data_range=1.0)
        assert float(psnr(*pair)) == pytest.approx(float(expected), abs=1e-4)


def test_8bit_psnr_is_opencv(pair: tuple[torch.Tensor, torch.Tensor]) -> None:
    a, b = ((v * 255).round().to(torch.uint8).numpy() for v in pair)
    assert float(psnr_8bit(*pair)) == pytest.approx(cv2.PSNR(a, b), abs=1e-4)


def test_differentiable(pair: tuple[torch.Tensor, torch.Tensor]) -> None:
    a = pair[0].clone().requires_grad_(True)
    (psnr(a, pair[1]) + ssim(a, pair[1])).backward()
    assert a.grad is not None
    assert bool(torch.isfinite(a.grad).all())
    # A step along the gradient makes both better.
    with torch.no_grad():
        better = a + 1e-3 * a.grad / a.grad.norm()
    assert float(psnr(better, pair[1])) > float(psnr(a.detach(), pair[1]))


def test_wrong_shapes_are_refused(pair: tuple[torch.Tensor, torch.Tensor]) -> None:
    with pytest.raises(ValueError, match="disagree"):
        psnr(pair[0], pair[1][:-1])
    with pytest.raises(ValueError, match="at least 7"):
        ssim(pair[0][:5], pair[1][:5])


# --- LPIPS -----------------------------------------------------------------------------------------------------------
def random_lpips() -> Lpips:
    """A network with random convolutions and positive linear layers, the same every time."""
    torch.manual_seed(0)
    network = Lpips()
    with torch.no_grad():
        for layer in network.linear:
            layer.weight.abs_()
    return network


@pytest.mark.filterwarnings("ignore:The parameter 'pretrained'", "ignore:Arguments other than a weight enum")
@torch.no_grad()
def test_lpips_is_the_packages(pair: tuple[torch.Tensor, torch.Tensor]) -> None:
    package = pytest.importorskip("lpips")
    network = random_lpips()
    theirs = package.LPIPS(net="alex", version="0.1", pretrained=False, pnet_rand=True, verbose=False)
    own = {f"{i}": layer for i, layer in network.features.items()}
    convolutions = [m for m in theirs.net.modules() if isinstance(m, torch.nn.Conv2d)]
    assert [c.weight.shape for c in convolutions] == [c.weight.shape for c in own.values()]
    for conv, mine in zip(convolutions, own.values(), strict=True):
        conv.load_state_dict(mine.state_dict())
    for i, layer in enumerate(network.linear):
        getattr(theirs, f"lin{i}").model[1].load_state_dict(layer.state_dict())
    a, b = (2 * v.permute(2, 0, 1)[None] - 1 for v in pair)
    expected = float(theirs(a, b))
    assert expected > 1e-3
    assert network.compare(*pair) == pytest.approx(expected, abs=1e-4)
    for kind in ("blurred", "shifted"):
        x, y = (2 * v.permute(2, 0, 1)[None] - 1 for v in damaged(kind))
        assert network.compare(*damaged(kind)) == pytest.approx(float(theirs(x, y)), abs=1e-4)
    assert network.compare(pair[0], pair[0]) == 0.0
    # Skipped input scaling, as NSFF's copy has it, is the package's version 0.0 input with the same layers.
    theirs.version = "0.0"
    assert network.compare(*pair, input_scaling=False) == pytest.approx(float(theirs(a, b)), abs=1e-4)
    assert network.compare(*pair, symmetric=False, input_scaling=False) == pytest.approx(
        float(theirs((a + 1) / 2, (b + 1) / 2)), abs=1e-4
    )


def test_masked_lpips(pair: tuple[torch.Tensor, torch.Tensor]) -> None:
    network = random_lpips()
    everything, nothing = torch.ones(50, 67), torch.zeros(50, 67)
    assert network.compare(*pair, everything) == pytest.approx(network.compare(*pair), rel=1e-5)
    assert math.isnan(network.compare(*pair, nothing))
    # Pictures that differ on the left only: a mask on the far right sees almost nothing of it.
    a = pair[0]
    b = a.clone()
    b[:, :16] = 1 - b[:, :16]
    left, right = nothing.clone(), nothing.clone()
    left[:, :16], right[:, 60:] = 1, 1
    assert network.compare(a, b, left) > 3 * network.compare(a, b, right)


def test_masked_lpips_by_layer() -> None:
    """Each stage's average is over the mask resized to it by nearest neighbour."""
    network = random_lpips()
    generator = torch.Generator().manual_seed(1)
    a, b = (2 * torch.rand(1, 3, 64, 64, generator=generator) - 1 for _ in range(2))
    mask = torch.zeros(1, 1, 64, 64)
    mask[..., 10:40, 20:60] = 1
    total = 0.0
    scaled = [(v - network.shift) / network.scale for v in (a, b)]
    for x, y, layer in zip(*(network.stages(v) for v in scaled), network.linear, strict=True):
        d = layer((x - y) ** 2)[0, 0]
        h, w = d.shape
        rows, columns = torch.arange(h) * 64 // h, torch.arange(w) * 64 // w
        m = mask[0, 0][rows[:, None], columns]
        total += float((m * d).sum() / m.sum())
    assert float(network(a, b, mask)) == pytest.approx(total, rel=1e-5)


def write_weights(folder: Path, network: Lpips) -> None:
    torch.save({f"features.{k}": v for k, v in network.features.state_dict().items()}, folder / "alexnet_features.pth")
    linear = {f"lin{i}.model.1.weight": layer.weight.detach().clone() for i, layer in enumerate(network.linear)}
    torch.save(linear, folder / "alexnet_lpips_lin.pth")


def test_loading(tmp_path: Path, pair: tuple[torch.Tensor, torch.Tensor], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NSFF_WEIGHTS", str(tmp_path))
    assert load_lpips() is None
    network = random_lpips()
    write_weights(tmp_path, network)
    loaded = load_lpips()
    assert loaded is not None
    assert loaded.compare(*pair) == pytest.approx(network.compare(*pair), rel=1e-6)
    (tmp_path / "alexnet_features.pth").write_bytes(b"broken")
    with pytest.raises(StageError, match="alexnet_features"):
        load_lpips()
    torch.save({"features.0.weight": torch.zeros(1)}, tmp_path / "alexnet_features.pth")
    with pytest.raises(StageError, match="does not fit"):
        load_lpips()


def test_linear_layers_of_the_package(tmp_path: Path) -> None:
    package = pytest.importorskip("lpips")
    write_weights(tmp_path, random_lpips())
    (tmp_path / "alexnet_lpips_lin.pth").unlink()
    loaded = load_lpips(tmp_path)
    assert loaded is not None
    shipped = torch.load(Path(package.__file__).parent / "weights/v0.1/alex.pth", map_location="cpu", weights_only=True)
    assert [layer.weight.shape[1] for layer in loaded.linear] == list(CHANNELS)
    torch.testing.assert_close(loaded.linear[2].weight.detach(), shipped["lin2.model.1.weight"])


def test_official_lpips_values(real_weight: Callable[[str], Path]) -> None:
    """The numbers the authors print for their example images, where the weights and the images are there."""
    weights = real_weight("alexnet_features.pth").parent
    network = load_lpips(weights)
    folder = weights / "lpips_examples"
    if network is None or not (folder / "ex_ref.png").exists():
        pytest.skip("LPIPS weights or the authors' example images (ex_ref, ex_p0, ex_p1) are not here")
    read = lambda name: torch.from_numpy(cv2.imread(str(folder / name))[..., ::-1].copy()).float() / 255  # noqa: E731
    assert network.compare(read("ex_ref.png"), read("ex_p0.png")) == pytest.approx(0.722, abs=1e-3)
    assert network.compare(read("ex_ref.png"), read("ex_p1.png")) == pytest.approx(0.138, abs=1e-3)


WHOLE = {"full": None}


# --- all scores of a view --------------------------------------------------------------------------------------------
def test_reference_scores_differ_as_documented(pair: tuple[torch.Tensor, torch.Tensor]) -> None:
    a, b = ((v * 255).round().to(torch.uint8).numpy() for v in pair)
    network = random_lpips()
    nsff = image_scores(a, b, WHOLE, NSFF, network)["full"]
    assert nsff["psnr"] == pytest.approx(nsff["psnr_reference"])
    assert nsff["ssim_reference"] > nsff["ssim"] + 0.01
    assert abs(nsff["lpips_reference"] - nsff["lpips"]) > 1e-5
    saff = image_scores(a, b, WHOLE, SAFF, network)["full"]
    assert abs(saff["lpips_reference"] - nsff["lpips_reference"]) > 1e-5
    dynamicnerf = image_scores(a, b, WHOLE, DYNAMICNERF, network)["full"]
    assert dynamicnerf["psnr_reference"] == pytest.approx(cv2.PSNR(a, b), abs=1e-4)
    assert dynamicnerf["ssim_reference"] == pytest.approx(dynamicnerf["ssim"], abs=1e-6)
    assert dynamicnerf["lpips_reference"] == pytest.approx(
        network.compare(torch.from_numpy(a[..., ::-1].copy()) / 255, torch.from_numpy(b[..., ::-1].copy()) / 255),
        abs=1e-6,
    )
    other = image_scores(a, b, WHOLE, SAFF, None, reference_truth=a)["full"]
    assert other["psnr_reference"] == math.inf
    assert other["psnr"] == pytest.approx(saff["psnr"])
    assert "lpips" not in other


def test_regions(pair: tuple[torch.Tensor, torch.Tensor]) -> None:
    a, b = ((v * 255).round().to(torch.uint8).numpy() for v in pair)
    mask = np.zeros((50, 67), bool)
    mask[10:30, 10:30] = True
    scores = image_scores(a, b, {"full": None, "dynamic": mask, "nothing": ~mask & mask}, NSFF, random_lpips())
    x, y = (torch.from_numpy(v).float() / 255 for v in (a, b))
    m = torch.from_numpy(mask)
    assert scores["dynamic"]["psnr"] == pytest.approx(float(psnr(x, y, m)))
    assert scores["dynamic"]["ssim_reference"] == pytest.approx(float(ssim(x, y, m, "reference")))
    assert scores["dynamic"]["lpips"] == pytest.approx(random_lpips().compare(x, y, m), rel=1e-5)
    # An empty mask has no score; NSFF's code counts it as 0 in its means.
    nothing = scores["nothing"]
    assert all(math.isnan(nothing[name]) for name in ("psnr", "ssim", "lpips"))
    assert [nothing[f"{name}_reference"] for name in ("psnr", "ssim", "lpips")] == [0, 0, 0]
    # SAFF's evaluator has no dynamic-only scores, so there is nothing to reproduce.
    assert not any(name.endswith("_reference") for name in image_scores(a, b, {"dynamic": mask}, SAFF)["dynamic"])
