"""The traps in published metrics, one golden test for each: the quirk reproduced in ``*_reference``, and the standard
number beside it (docs/protocols.md, Metrics).

Pictures are formulas, masks are written by hand, and every number is hand-computed or from scikit-image, OpenCV or the
lpips package. The layout of SAFF has 3 times here: views 0 to 2 train, 4 and 5 are camera 0 at times 1 and 2, 7 and 8
are cameras 1 and 2 at time 0.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from nsff.decompose.colours import colour_labels
from nsff.files.io import write_image
from nsff.metrics.folder import score_folder
from nsff.metrics.image import psnr, psnr_8bit
from nsff.metrics.lpips import Lpips
from nsff.metrics.measure import image_scores
from nsff.metrics.protocols import DYNAMICNERF, NSFF, SAFF, get_protocol
from nsff.metrics.table import Record, average

FULL = {"full": None}
H, W = 40, 48


def picture(phase: float) -> np.ndarray:
    """Waves of another length and direction in each channel, (40,48,3) uint8."""
    v, u = np.mgrid[:H, :W]
    waves = [np.sin(u / 3 + phase), np.cos(v / 4 - u / 9 + 2 * phase), np.sin((u + v) / 5 + 3 * phase)]
    return np.round(127.5 + 100 * np.stack(waves, -1)).astype(np.uint8)


def unit(image: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(image.copy()).permute(2, 0, 1)[None].float() / 255


@pytest.fixture(scope="module")
def networks() -> tuple[Lpips, Any]:
    """Ours, and the lpips package's with the same random weights."""
    package = pytest.importorskip("lpips")
    torch.manual_seed(0)
    network = Lpips()
    theirs = package.LPIPS(net="alex", version="0.1", pretrained=False, pnet_rand=True, verbose=False)
    convolutions = [m for m in theirs.net.modules() if isinstance(m, torch.nn.Conv2d)]
    with torch.no_grad():
        for mine, conv in zip(network.features.values(), convolutions, strict=True):
            conv.load_state_dict(mine.state_dict())
        for i, layer in enumerate(network.linear):
            layer.weight.abs_()
            getattr(theirs, f"lin{i}").model[1].load_state_dict(layer.state_dict())
    return network, theirs


def package_says(theirs: Any, a: torch.Tensor, b: torch.Tensor, scaled: bool) -> float:
    """The package's distance; without input scaling as its version 0.0 has none, with the layers of 0.1."""
    theirs.version = "0.1" if scaled else "0.0"
    with torch.no_grad():
        return float(theirs(a, b))


# --- structural similarity and PSNR ----------------------------------------------------------------------------------
@pytest.mark.parametrize("reference", [NSFF, SAFF])
def test_ssim_of_float_pictures_has_data_range_2(reference) -> None:
    metrics = pytest.importorskip("skimage.metrics")
    a, b = picture(0), picture(0.3)
    scores = image_scores(a, b, FULL, reference)["full"]
    for name, data_range in (("ssim", 1.0), ("ssim_reference", 2.0)):
        expected = metrics.structural_similarity(a / 255, b / 255, channel_axis=2, data_range=data_range)
        assert scores[name] == pytest.approx(expected, abs=1e-4)
    assert scores["ssim_reference"] > scores["ssim"] + 1e-3


def test_psnr_and_ssim_of_8_bit_pictures() -> None:
    """DynamicNeRF: half a grey level vanishes in 8 bits, where float pictures score 54.2 dB."""
    metrics = pytest.importorskip("skimage.metrics")
    a = torch.full((8, 8, 3), 100 / 255)
    assert float(psnr(a, a + 0.499 / 255)) == pytest.approx(-20 * math.log10(0.499 / 255), abs=0.01)
    assert float(psnr_8bit(a, a + 0.499 / 255)) == pytest.approx(
        cv2.PSNR(*[np.zeros((8, 8, 3), np.uint8)] * 2), abs=0.01
    )
    first, second = picture(0), picture(0.3)
    scores = image_scores(first, second, FULL, DYNAMICNERF)["full"]
    assert scores["psnr_reference"] == pytest.approx(cv2.PSNR(first, second), abs=1e-4)
    eight_bits = metrics.structural_similarity(first, second, channel_axis=2)
    assert scores["ssim_reference"] == pytest.approx(eight_bits, abs=1e-4)


def test_identical_pictures_score_361_db_and_a_masked_error_of_zero_scores_0_db() -> None:
    a, b = picture(0), picture(0)
    b[:, :10] = 255 - b[:, :10]
    right = np.zeros((H, W), bool)
    right[:, 20:] = True
    assert image_scores(a, a, FULL, DYNAMICNERF)["full"]["psnr_reference"] == pytest.approx(361.2, abs=0.05)
    dynamic = image_scores(a, b, {"dynamic": right}, NSFF)["dynamic"]
    assert (dynamic["psnr"], dynamic["psnr_reference"]) == (100.0, 0.0)
    # The 0 enters the mean: 0 and 20 dB make 10.
    records = [
        Record("nsff24", "prediction", i, "heldout", 0, "dynamic", "psnr_reference", v)
        for i, v in enumerate((0.0, 20.0))
    ]
    (row,) = average(records, get_protocol("nsff24"), "scene")
    assert row.value == 10.0


# --- LPIPS -----------------------------------------------------------------------------------------------------------
def test_lpips_on_pictures_in_0_1(networks) -> None:
    """SAFF feeds [0,1] to a network for [-1,1]."""
    network, theirs = networks
    a, b = picture(0), picture(0.3)
    scores = image_scores(a, b, FULL, SAFF, network)["full"]
    assert scores["lpips"] == pytest.approx(package_says(theirs, 2 * unit(a) - 1, 2 * unit(b) - 1, True), abs=1e-4)
    assert scores["lpips_reference"] == pytest.approx(package_says(theirs, unit(a), unit(b), False), abs=1e-4)
    assert abs(scores["lpips"] - scores["lpips_reference"]) > 1e-3


def test_lpips_input_scaling_is_skipped(networks) -> None:
    network, theirs = networks
    a, b = picture(0), picture(0.3)
    scores = image_scores(a, b, FULL, NSFF, network)["full"]
    unscaled = package_says(theirs, 2 * unit(a) - 1, 2 * unit(b) - 1, False)
    assert scores["lpips_reference"] == pytest.approx(unscaled, abs=1e-4)
    assert abs(scores["lpips"] - unscaled) > 1e-4


def test_lpips_in_bgr_order(networks) -> None:
    network, theirs = networks
    a, b = picture(0), picture(0.3)
    scores = image_scores(a, b, FULL, DYNAMICNERF, network)["full"]
    swapped = package_says(theirs, 2 * unit(a[..., ::-1]) - 1, 2 * unit(b[..., ::-1]) - 1, True)
    assert scores["lpips_reference"] == pytest.approx(swapped, abs=1e-4)
    assert abs(scores["lpips"] - swapped) > 1e-4


def test_dynamic_lpips_is_a_masked_average_at_every_layer(networks) -> None:
    """With the package's stages; input scaling is skipped here too (NSFF)."""
    network, theirs = networks
    a, b = (picture(phase).repeat(2, 0).repeat(2, 1) for phase in (0, 0.3))
    mask = np.zeros((2 * H, 2 * W), bool)
    mask[10:60, 16:56] = True
    expected = 0.0
    with torch.no_grad():
        stages = [theirs.net(2 * unit(v) - 1) for v in (a, b)]
        for i, (x, y) in enumerate(zip(*stages, strict=True)):
            x, y = (v / (v.square().sum(1, keepdim=True).sqrt() + 1e-10) for v in (x, y))
            distance = getattr(theirs, f"lin{i}").model[1]((x - y) ** 2)[0, 0]
            small = torch.nn.functional.interpolate(
                torch.from_numpy(mask)[None, None].float(), distance.shape, mode="nearest"
            )[0, 0]  # fmt: skip
            expected += float((small * distance).sum() / small.sum())
    found = image_scores(a, b, {"dynamic": mask}, NSFF, network)["dynamic"]["lpips_reference"]
    assert found == pytest.approx(expected, abs=1e-4)
    assert abs(found - image_scores(a, b, FULL, NSFF, network)["full"]["lpips_reference"]) > 1e-4


# --- whole folders ---------------------------------------------------------------------------------------------------
@pytest.fixture
def layout(tmp_path: Path) -> Path:
    """SAFF's masks and NSFF's pictures; camera c at time t shows picture(t + c / 4)."""
    root = tmp_path / "truth"
    names = [f"training_{t:2d}" for t in range(3)]
    names += [f"nv_spatial_{i:2d}" for i in (4, 5)] + [f"nv_static_{i:2d}" for i in (7, 8)]
    for name in names:
        labels = np.zeros((H, W), np.uint8)
        labels[5:15, 5:15], labels[20:35, 20:40] = 100, 200
        write_image(root / "gt_masks" / f"{name}.png", labels)
    for time in range(3):
        for camera in range(12):
            place = root / "mv_images" / f"{time:05d}" / f"cam{camera + 1:02d}.png"
            write_image(place, picture(time + camera / 4))
    return root


SHOWN = {0: (0, 0), 1: (1, 1), 2: (2, 2), 4: (0, 1), 5: (0, 2), 7: (1, 0), 8: (2, 0)}
"""(camera, time) by view."""


def test_held_out_splits_of_saff_are_compared_one_off(layout: Path, tmp_path: Path) -> None:
    """A perfect render: view 4 (time 1) is held against time 0, view 7 (camera 1) against camera 0."""
    for view, (camera, time) in SHOWN.items():
        write_image(tmp_path / "made" / f"{view}_rgb.png", picture(time + camera / 4))
    _, records, _ = score_folder(tmp_path / "made", layout, "saff")
    found = {(r.view, r.metric): r.value for r in records if r.variant == "prediction"}
    for view, (camera, time) in {4: (0, 0), 5: (0, 1), 7: (0, 0), 8: (1, 0)}.items():
        own = SHOWN[view]
        expected = cv2.PSNR(picture(own[1] + own[0] / 4), picture(time + camera / 4))
        assert found[view, "psnr_reference"] == pytest.approx(expected, abs=1e-3)
        assert found[view, "psnr"] == 100.0
    assert found[1, "psnr_reference"] == math.inf


def test_label_colours_are_told_apart_by_channel_0(layout: Path, tmp_path: Path) -> None:
    """Objects 3 and 4 (palette 2 and 3) share red 255: two true objects in them are one for SAFF's evaluator."""
    labels = np.zeros((H, W), int)
    labels[5:15, 5:15], labels[20:35, 20:40] = 3, 4
    write_image(tmp_path / "made" / "0.png", np.ascontiguousarray(colour_labels(labels)[..., ::-1]))
    _, records, _ = score_folder(tmp_path / "made", layout, "saff")
    found = {r.metric: r.value for r in records}
    assert (found["ari"], found["fg_ari"], found["jaccard"]) == (1.0, 1.0, 1.0)
    from sklearn.metrics import adjusted_rand_score

    assert found["ari_reference"] == pytest.approx(adjusted_rand_score(labels.ravel(), (labels > 0).ravel()))
    assert found["fg_ari_reference"] == 0.0


def test_names_of_true_masks_are_padded_with_a_space(layout: Path, tmp_path: Path) -> None:
    assert (layout / "gt_masks" / "training_ 0.png").exists()
    write_image(tmp_path / "made" / "0.png", np.ones((H, W), np.uint8))
    _, records, _ = score_folder(tmp_path / "made", layout, "saff")
    # 100 + 300 pixels of 1920.
    assert {r.metric: r.value for r in records}["jaccard"] == pytest.approx(400 / 1920)


@pytest.mark.parametrize(("protocol", "differs"), [("saff", True), ("nsff24", False)])
def test_truth_is_resized_by_area_and_by_saff_to_the_nearest(tmp_path: Path, protocol: str, differs: bool) -> None:
    """Truth of twice the size, in each 2x2 one pixel of 0 and three of 200: 150 by area, 0 to the nearest."""
    block = np.full((2 * H, 2 * W, 3), 200, np.uint8)
    block[::2, ::2] = 0
    for time in range(2):
        for camera in range(12):
            write_image(tmp_path / "truth" / "mv_images" / f"{time:05d}" / f"cam{camera + 1:02d}.png", block)
            mask = np.full((2 * H, 2 * W), 255, np.uint8)
            write_image(tmp_path / "truth" / "mv_masks" / f"{time:05d}" / f"cam{camera + 1:02d}.png", mask)
        write_image(tmp_path / "truth" / "images" / f"{time:05d}.png", block)
        write_image(tmp_path / "truth" / "gt_masks" / f"training_{time:2d}.png", mask)
    write_image(tmp_path / "made" / "0_rgb.png", np.full((H, W, 3), 150, np.uint8))
    _, records, _ = score_folder(tmp_path / "made", tmp_path / "truth", protocol)
    found = {(r.region, r.metric): r.value for r in records if r.variant == "prediction"}
    assert found["full", "psnr"] == 100.0
    expected = -20 * math.log10(150 / 255) if differs else math.inf
    assert found["full", "psnr_reference"] == pytest.approx(expected)
    if protocol == "nsff24":  # mv_masks are read by `nsff score` too
        assert found["dynamic", "psnr"] == 100.0
