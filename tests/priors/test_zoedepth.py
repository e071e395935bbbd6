"""ZoeDepth as a backend of depth, on a small network with random weights in a folder as save_pretrained leaves it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from random_networks import picture, randomised, still_room
from transformers import BeitConfig, ZoeDepthConfig, ZoeDepthForDepthEstimation, ZoeDepthImageProcessor

from nsff.config import DepthConfig
from nsff.errors import StageError
from nsff.priors.depth.learned import resize
from nsff.priors.depth.registry import DEPTH
from nsff.priors.depth.stage import run_depth


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    backbone = BeitConfig(
        hidden_size=16, num_hidden_layers=4, num_attention_heads=2, intermediate_size=24, image_size=64, patch_size=16,
        use_relative_position_bias=True, reshape_hidden_states=False,
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )  # fmt: skip
    config = ZoeDepthConfig(
        backbone_config=backbone, neck_hidden_sizes=[6, 8, 10, 12], fusion_hidden_size=8, num_relative_features=4,
        bottleneck_features=8, num_attractors=[4, 2, 2, 1], bin_embedding_dim=8,
        bin_configurations=[{"n_bins": 8, "min_depth": 0.1, "max_depth": 10.0}],
    )  # fmt: skip
    randomised(ZoeDepthForDepthEstimation(config)).save_pretrained(tmp_path / "model")
    size = {"height": 64, "width": 96}
    ZoeDepthImageProcessor(size=size, ensure_multiple_of=32).save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def settings(folder: Path, **more) -> DepthConfig:
    return DepthConfig(backend="zoedepth", model=str(folder), **more)


def opened(folder: Path, **more):
    from nsff.priors.depth.backends.zoedepth import open_network

    return open_network(settings(folder, **more), folder)


def test_disparity_is_the_inverse_of_the_librarys_depth(folder: Path):
    """Independent: the library's own padding, network and removal of the padding."""
    image = picture(60, 90)
    model = ZoeDepthForDepthEstimation.from_pretrained(folder).eval()
    processor = ZoeDepthImageProcessor.from_pretrained(folder)
    with torch.no_grad():
        outputs = model(**processor(images=image, return_tensors="pt"))
    expected = processor.post_process_depth_estimation(outputs, source_sizes=[(60, 90)])[0]["predicted_depth"].numpy()
    assert expected.min() > 0.01 and expected.std() > 1e-3 * expected.mean()
    found = opened(folder)(image)
    assert found.shape == (60, 90)
    np.testing.assert_allclose(found, 1 / expected, rtol=1e-4)


def test_the_whole_stage(folder: Path, tmp_path: Path, layered):
    scene = still_room(tmp_path, layered)
    run_depth(scene, settings(folder, align=False))
    disparity, confidence = scene.disparity(2)
    expected = resize(opened(folder)(scene.image(2)), (48, 64), "bicubic")
    np.testing.assert_allclose(disparity, expected, rtol=1e-5)
    assert np.allclose(confidence, 0.5)
    assert scene.summary("depth")["backend"] == "zoedepth"
    run_depth(scene, settings(folder))
    assert scene.summary("depth")["verdict"] in ("good", "doubtful", "poor")
    assert scene.disparity(2)[0].min() >= 0


def test_sizes_of_pictures(folder: Path):
    image = picture(60, 90)
    # Padded by 16 rows and 20 columns on either side to 92x130.
    assert opened(folder).picture(image).shape == (1, 3, 64, 96)
    assert opened(folder, long_side=160).picture(image).shape == (1, 3, 128, 160)
    (folder / "preprocessor_config.json").unlink()
    assert opened(folder).picture(image).shape == (1, 3, 352, 512)
    assert opened(folder, long_side=96)(image).shape == (60, 90)


def test_another_family_is_refused(folder: Path):
    config = (folder / "config.json").read_text().replace('"zoedepth"', '"dpt"')
    (folder / "config.json").write_text(config)
    with pytest.raises(StageError, match="holds a model of type 'dpt', not 'zoedepth'"):
        DEPTH.open(settings(folder))
