"""Instances in motion masks: planted detections by hand, and torchvision's own Mask R-CNN with random weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from nsff.config import MotionConfig
from nsff.errors import StageError
from nsff.files.io import write_image, write_npz
from nsff.geometry.epipolar import pixel_centres
from nsff.priors.motion.detector import Detections
from nsff.priors.motion.instances import Instances, open_instances, select_detections
from nsff.priors.motion.mask_rcnn import MaskRcnn
from nsff.priors.motion.stage import run_motion
from nsff.scene import Scene

FILE = "maskrcnn_resnet50_fpn_coco-bf2d0c1e.pth"


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of weights."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NSFF_WEIGHTS", str(tmp_path / "weights"))
    (tmp_path / "weights").mkdir()
    return tmp_path / "weights"


def box(rows: slice, columns: slice, size: tuple[int, int] = (96, 128), value: float = 0.9) -> np.ndarray:
    mask = np.zeros(size, np.float32)
    mask[rows, columns] = value
    return mask


def map_of(scene: Scene, size: tuple[int, int], factor: float) -> None:
    write_npz(scene.pixel_map_path, map=(pixel_centres(*size) * factor).astype(np.float32), frame_size=np.array(size))


def test_category_score_and_mask_level_decide():
    masks = np.stack([box(slice(0, 4), slice(0, 4), value=value) for value in (0.9, 0.9, 0.9, 0.4)])
    found = Detections(np.array([1, 3, 1, 18]), np.array([0.9, 0.9, 0.5, 0.8]), masks)
    kept = select_detections(found, [1, 18], 0.5)  # a car is not asked for; a score of exactly 0.5 does not count
    assert [int(mask.sum()) for mask in kept] == [16, 0]  # 0.4 is below the level of a mask


def test_masks_come_from_enlarged_frames_to_canonical_pixels_and_grow(tmp_path: Path):
    """Frames of 48x64, canonical pixels 24x32 of them, detected on at 96x128."""
    scene = Scene(tmp_path / "scene")
    write_image(scene.frames_dir / "00000.png", np.zeros((48, 64, 3), np.uint8))
    map_of(scene, (24, 32), 2.0)
    seen = []

    def detect(picture: np.ndarray) -> Detections:
        seen.append(picture.shape)
        mask = box(slice(16, 24), slice(32, 48))
        return Detections(np.array([1]), np.array([0.99]), mask[None])

    for growth, expected in ((0, 2 * 4), (1, 2 * 4 + 2 * (2 + 4))):
        config = MotionConfig(instance_long_side=128, instance_growth=growth)
        (mask,) = Instances(scene, config, detect)(0)
        assert mask.shape == (24, 32)
        assert mask[4:6, 8:12].all()
        assert mask.sum() == expected
    assert seen == [(96, 128, 3)] * 2


def planted(scene: Scene, config: MotionConfig, rows: slice, columns: slice) -> Instances:
    map_of(scene, (48, 64), 1.0)
    mask = box(rows, columns, (48, 64))
    return Instances(scene, config, lambda picture: Detections(np.array([1]), np.array([0.9]), mask[None]))


@pytest.mark.parametrize(("share", "added"), [(0.0, True), (0.05, False)])
def test_what_stands_still_is_added_only_where_asked_for(tmp_path: Path, layered, share: float, added: bool):
    cameras = layered.make_cameras(3, (0.05, 0, 0))
    scene = layered.make_scene(tmp_path / "scene", cameras, [layered.Layer(4.0)])
    config = MotionConfig(instance_long_side=64, instance_growth=0, instance_moving=share, dilation_radius=0)
    run_motion(scene, config, planted(scene, config, slice(10, 20), slice(10, 30)))
    assert scene.motion_masks()[:, 10:20, 10:30].all() == added
    assert scene.motion_masks().sum() == 3 * 200 * added
    summary = scene.summary("motion")
    assert (summary["instances_kept"], summary["instances_still"]) == ((3, 0) if added else (0, 3))
    assert summary["instances_added_fraction"] == pytest.approx(200 / (48 * 64) * added)


def test_instances_complete_what_moves_and_are_dilated_along(tmp_path: Path, layered):
    """Half of a person moves: flow finds that half, the detection the rest; the union grows by the disk of radius 2."""
    cameras = layered.make_cameras(5, (0.05, 0, 0))
    layers = [layered.Layer(5.0), layered.Layer(2.5, (0.2, -0.2), (0.35, 0.35), (0.0, 0.07), colour=(230, 220, 80))]
    scene = layered.make_scene(tmp_path / "scene", cameras, layers)
    plain = MotionConfig(instances="off")
    run_motion(scene, plain)
    flow_alone = scene.motion_masks()
    rows, columns = np.where(flow_alone[2])
    top, left, right = rows.min(), columns.min(), columns.max() + 1
    config = MotionConfig(instance_long_side=64, instance_growth=0, dilation_radius=2)
    run_motion(scene, config, planted(scene, config, slice(top, 48), slice(left, right)))
    both = scene.motion_masks()[2]
    assert both[top:48, left:right].all()
    assert both[30, left - 2] and not both[30, left - 3]
    assert both[flow_alone[2]].all()


def test_missing_weights_are_an_error_only_where_asked_for(tmp_path: Path, nowhere: Path, layered):
    scene = layered.make_scene(tmp_path / "scene", layered.make_cameras(3, (0.05, 0, 0)), [layered.Layer(4.0)])
    assert open_instances(scene, MotionConfig()) == (None, "no weights of Mask R-CNN on this machine")
    assert open_instances(scene, MotionConfig(instances="off")) == (None, "off")
    with pytest.raises(
        StageError,
        match=rf"{FILE}: weights maskrcnn, which motion.instances asks for, are not found(.|\n)*NSFF_WEIGHTS",
    ):
        run_motion(scene, MotionConfig(instances="on"))
    with pytest.raises(StageError, match=r"motion\.instance_weights: no such file: /nowhere/file\.pth"):
        run_motion(scene, MotionConfig(instances="on", instance_weights="/nowhere/file.pth"))
    assert not scene.motion_dir.exists()
    run_motion(scene, MotionConfig())
    assert scene.summary("motion")["instances"] == "no weights of Mask R-CNN on this machine"
    map_of(scene, (48, 64), 1.0)
    torch.save({"something": torch.zeros(3)}, nowhere / FILE)
    with pytest.raises(StageError, match=rf"{FILE}: holds no weights of maskrcnn_resnet50_fpn"):
        run_motion(scene, MotionConfig())


def reference() -> torch.nn.Module:
    """torchvision's own network, trainable batch normalisation and all, that takes everything for a person."""
    from torchvision.models.detection import maskrcnn_resnet50_fpn

    torch.manual_seed(0)
    model = maskrcnn_resnet50_fpn(weights=None, weights_backbone=None, min_size=64, max_size=128)
    generator = torch.Generator().manual_seed(1)
    for name, values in model.state_dict().items():
        if "running_var" in name or name.endswith(("bn1.weight", "bn2.weight", "bn3.weight")):
            values.copy_(0.5 + torch.rand(values.shape, generator=generator))
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eps = 0.0  # as the published weights want it
    model.roi_heads.box_predictor.cls_score.weight.data *= 0.01
    model.roi_heads.box_predictor.cls_score.bias.data[1] += 6
    model.roi_heads.mask_predictor.mask_fcn_logits.weight.data *= 30
    return model.eval()


def test_the_file_of_torchvisions_network_gives_torchvisions_detections(
    tmp_path: Path, nowhere: Path, layered, monkeypatch: pytest.MonkeyPatch
):
    model = reference()
    torch.save(model.state_dict(), nowhere / FILE)
    network = MaskRcnn(nowhere / FILE)
    network.model.transform.min_size, network.model.transform.max_size = (64,), 128
    picture = np.random.default_rng(0).integers(0, 255, (48, 64, 3)).astype(np.uint8)
    found = network(picture)
    with torch.no_grad():
        expected = model([torch.from_numpy(picture).permute(2, 0, 1) / 255])[0]
    assert len(found.labels) == len(expected["labels"]) > 0
    np.testing.assert_array_equal(found.labels, expected["labels"].numpy())
    np.testing.assert_allclose(found.scores, expected["scores"].numpy(), atol=1e-4)
    np.testing.assert_allclose(found.masks, expected["masks"][:, 0].numpy(), atol=1e-3)
    assert 1 in found.labels and 0.1 < (found.masks > 0.5).mean() < 0.9

    # The stage finds the file by itself; the union holds what torchvision says of the frame.
    scene = layered.make_scene(tmp_path / "scene", layered.make_cameras(3, (0.05, 0, 0)), [layered.Layer(4.0)])
    map_of(scene, (48, 64), 1.0)
    build = "nsff.priors.motion.mask_rcnn.build"
    monkeypatch.setattr(build, lambda: network.model)
    config = MotionConfig(instance_long_side=64, instance_growth=0, instance_moving=0.0)
    run_motion(scene, config)
    with torch.no_grad():
        frame = torch.from_numpy(scene.frame(1).copy()).permute(2, 0, 1) / 255
        seen = model([frame])[0]
    taken = (seen["labels"] == 1) & (seen["scores"] > 0.5)
    expected_mask = (seen["masks"][taken, 0] > 0.5).any(0).numpy()
    assert expected_mask.any()
    assert (scene.motion_mask(1) != expected_mask).mean() < 0.01  # rounding at the level of a mask
    assert scene.summary("motion")["instances"] == FILE


def test_the_networks_names_are_those_of_torchvisions_file():
    """The published file has no counters of batches: everything else under the same name and shape."""
    from torchvision.models.detection import maskrcnn_resnet50_fpn

    from nsff.priors.motion.mask_rcnn import build

    theirs = maskrcnn_resnet50_fpn(weights=None, weights_backbone=None).state_dict()
    shapes = {key: value.shape for key, value in theirs.items() if "num_batches_tracked" not in key}
    assert {key: value.shape for key, value in build().state_dict().items()} == shapes
    assert (
        "roi_heads.mask_predictor.mask_fcn_logits.weight" in shapes and "backbone.fpn.inner_blocks.0.0.weight" in shapes
    )
