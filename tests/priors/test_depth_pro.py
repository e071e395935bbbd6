"""Depth Pro as a backend of depth, on a small network with random weights in a folder as save_pretrained leaves it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from random_networks import picture, randomised, still_room
from transformers import DepthProConfig, DepthProForDepthEstimation, DepthProImageProcessor, Dinov2Config

from nsff.config import DepthConfig
from nsff.errors import ConfigError, StageError
from nsff.priors.depth.learned import resize
from nsff.priors.depth.registry import DEPTH
from nsff.priors.depth.stage import run_depth


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    encoder = Dinov2Config(
        hidden_size=16, num_hidden_layers=4, num_attention_heads=2, intermediate_size=24, image_size=16, patch_size=4,
        reshape_hidden_states=False,
    )  # fmt: skip
    config = DepthProConfig(
        patch_size=16, fusion_hidden_size=8, intermediate_hook_ids=[3, 1], intermediate_feature_dims=[6, 6],
        scaled_images_feature_dims=[8, 8, 6], merge_padding_value=0, use_fov_model=True,
        image_model_config=encoder.to_dict(), patch_model_config=encoder.to_dict(), fov_model_config=encoder.to_dict(),
    )  # fmt: skip
    model = randomised(DepthProForDepthEstimation(config))
    with torch.no_grad():  # the field of view, in degrees, is what the last layer's bias says
        model.fov_model.head.layers[-1].bias.fill_(50.0)
    model.save_pretrained(tmp_path / "model")
    DepthProImageProcessor(size={"height": 64, "width": 64}).save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def settings(folder: Path, **more) -> DepthConfig:
    return DepthConfig(backend="depth_pro", model=str(folder), **more)


def opened(folder: Path, **more):
    from nsff.priors.depth.backends.depth_pro import open_network

    return open_network(settings(folder, **more), folder)


def test_disparity_is_that_of_the_librarys_metric_depth_up_to_a_scale(folder: Path):
    """Independent: the library's own depth in metres, by its own field of view, at the network's size."""
    image = picture(60, 90)
    model = DepthProForDepthEstimation.from_pretrained(folder).eval()
    processor = DepthProImageProcessor.from_pretrained(folder)
    with torch.no_grad():
        outputs = model(**processor(images=image, return_tensors="pt"))
    found = opened(folder)(image)
    metric = processor.post_process_depth_estimation(outputs, target_sizes=[found.shape])[0]
    assert 1 < float(metric["field_of_view"]) < 179
    inverse = 1 / metric["predicted_depth"].numpy()
    known = found > 1e-2
    assert known.mean() > 0.05 and found[known].std() > 0.01 * found.max()
    ratio = inverse[known] / found[known]
    assert np.median(ratio) > 0
    np.testing.assert_allclose(ratio, np.median(ratio), rtol=1e-3)


def test_the_whole_stage(folder: Path, tmp_path: Path, layered):
    scene = still_room(tmp_path, layered)
    run_depth(scene, settings(folder, align=False))
    disparity, confidence = scene.disparity(2)
    np.testing.assert_allclose(disparity, resize(opened(folder)(scene.image(2)), (48, 64), "bicubic"), rtol=1e-5)
    assert np.allclose(confidence, 0.5)
    assert scene.summary("depth")["backend"] == "depth_pro"
    run_depth(scene, settings(folder))
    assert scene.summary("depth")["verdict"] in ("good", "doubtful", "poor")
    assert scene.disparity(2)[0].min() >= 0


def test_pictures_have_the_one_size_of_the_model(folder: Path):
    assert opened(folder).picture(picture(60, 90)).shape == (1, 3, 64, 64)
    assert opened(folder, long_side=64).picture(picture(60, 90)).shape == (1, 3, 64, 64)
    with pytest.raises(ConfigError, match=r"depth\.long_side: is 640, but .* 64x64 alone"):
        opened(folder, long_side=640)


def test_another_family_is_refused(folder: Path):
    config = (folder / "config.json").read_text().replace('"depth_pro"', '"dpt"')
    (folder / "config.json").write_text(config)
    with pytest.raises(StageError, match="holds a model of type 'dpt', not 'depth_pro'"):
        DEPTH.open(settings(folder))
