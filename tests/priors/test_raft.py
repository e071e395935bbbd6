"""RAFT: key names, an independent forward pass, padding, tiles, the stage, and real weights where they are."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from raft_by_hand import flow_by_hand, random_state
from torch import nn

from nsff.config import FlowConfig
from nsff.errors import StageError, WeightsError
from nsff.files.io import read_image, write_image, write_json
from nsff.imaging.resizing import resize_flow, resize_frame
from nsff.priors.flow.dis import DisFlow
from nsff.priors.flow.raft import RaftFlow, padding
from nsff.priors.flow.raft_weights import load_raft
from nsff.priors.flow.stage import between, run_flow, seen_size
from nsff.priors.flow.tiles import MARGIN, estimate_tiled, tile_weight, tiles
from nsff.scene import Scene, write_flow


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    small = np.random.default_rng(seed).random((height // 6, width // 6, 3), dtype=np.float32)
    return np.clip(cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC) * 255, 0, 255).astype(np.uint8)


# --- weights ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", ["small", "large"])
def test_agrees_with_an_independent_forward_pass(tmp_path, monkeypatch, kind):
    state = random_state(kind)
    torch.save(state, tmp_path / "raft.pth")
    network = load_raft(tmp_path / "raft.pth").double()
    coordinates = "torchvision.models.optical_flow.raft.make_coords_grid"
    monkeypatch.setattr(coordinates, lambda batch, h, w: torch.stack(  # in float64: torchvision's are float32
        torch.meshgrid(torch.arange(w).double(), torch.arange(h).double(), indexing="xy")
    )[None].repeat(batch, 1, 1, 1))  # fmt: skip
    generator = torch.Generator().manual_seed(1)
    first, second = torch.rand(2, 3, 128, 136, generator=generator, dtype=torch.float64) * 2 - 1
    found = network(first[None], second[None], num_flow_updates=2)[-1][0]
    expected = flow_by_hand(state, first, second, 2)
    assert expected.abs().max() > 1
    assert (found - expected).abs().max() < 1e-5 * expected.abs().max()


def test_torchvisions_own_names_load_too(tmp_path):
    torch.save(random_state("small"), tmp_path / "authors.pth")
    network = load_raft(tmp_path / "authors.pth")
    torch.save(network.state_dict(), tmp_path / "torchvision.pth")
    again = load_raft(tmp_path / "torchvision.pth")
    assert again.mask_predictor is None
    for name, value in network.state_dict().items():
        assert torch.equal(again.state_dict()[name], value)
    assert not again.training


@pytest.mark.parametrize("kind", ["small", "large"])
@pytest.mark.parametrize("damage", ["missing", "unknown", "shape"])
def test_every_key_is_used_and_every_parameter_filled(tmp_path, kind, damage):
    state = random_state(kind)
    if damage == "missing":
        del state["module.update_block.flow_head.conv2.bias"]
    elif damage == "unknown":
        state["module.update_block.aggregator.to_v.weight"] = torch.zeros(1)
    else:
        state["module.fnet.conv1.bias"] = torch.zeros(5)
    torch.save(state, tmp_path / "other.pth")
    with pytest.raises(WeightsError, match=r"other\.pth: is no whole RAFT"):
        load_raft(tmp_path / "other.pth")


def test_two_values_of_one_parameter_are_refused(tmp_path):
    state = random_state("large")
    state["module.cnet.layer2.0.norm3.bias"] = state["module.cnet.layer2.0.norm3.bias"] + 1
    torch.save(state, tmp_path / "odd.pth")
    with pytest.raises(WeightsError, match=r"two different values of .*downsample\.1\.bias"):
        load_raft(tmp_path / "odd.pth")


# --- padding ---------------------------------------------------------------------------------------------------------
class Coordinates(nn.Module):
    """As flow, the indices of its own pixels; keeps what it saw."""

    def forward(self, first, second, num_flow_updates):
        self.seen = (first, second, num_flow_updates)
        rows, columns = torch.meshgrid(*(torch.arange(n).float() for n in first.shape[2:]), indexing="ij")
        return [torch.zeros(1), torch.stack([columns, rows])[None]]


@pytest.mark.parametrize(("height", "width"), [(270, 480), (135, 241), (60, 90), (128, 136)])
def test_padding_is_removed_where_it_was_put(height, width):
    network = Coordinates()
    first, second = noise(height, width), noise(height, width, 1)
    flow = RaftFlow(network, iterations=7).estimate(first, second)
    assert flow.shape == (height, width, 2)
    assert flow.dtype == np.float32
    seen, _, iterations = network.seen
    assert iterations == 7
    assert seen.shape[2] % 8 == seen.shape[3] % 8 == 0
    assert min(seen.shape[2:]) >= 128
    (top, left), (bottom, right) = padding(height, width)
    assert abs(top - bottom) <= 1
    assert abs(left - right) <= 1
    # What the network says of a pixel is found at that pixel: its own index there, less what was added before.
    assert np.array_equal(flow[..., 0] - left, np.tile(np.arange(width), (height, 1)))
    assert np.array_equal(flow[..., 1] - top, np.tile(np.arange(height)[:, None], (1, width)))
    inner = seen[0, :, top : top + height, left : left + width].permute(1, 2, 0).numpy()
    np.testing.assert_allclose(inner, first / 127.5 - 1, atol=1e-6)
    assert torch.equal(seen[..., :, 0], seen[..., :, left])
    assert torch.equal(seen[..., -1, :], seen[..., seen.shape[2] - bottom - 1, :])


# --- tiles -----------------------------------------------------------------------------------------------------------
def local(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """An estimator of small receptive field: it needs MARGIN - 1 pixels around."""
    size = (2 * MARGIN - 1, 2 * MARGIN - 1)
    parts = [
        cv2.blur(image[..., 0].astype(np.float32), size, borderType=cv2.BORDER_REPLICATE) for image in (first, second)
    ]
    return np.stack([parts[0] - parts[1], parts[0]], -1)


@pytest.mark.parametrize(
    ("height", "width", "max_pixels"), [(300, 700, 60_000), (540, 960, 100_000), (250, 260, 50_000)]
)
def test_tiles_agree_with_the_whole(height, width, max_pixels):
    first, second = noise(height, width), noise(height, width, 1)
    sizes = []

    def watched(a, b):
        sizes.append(a.shape[0] * a.shape[1])
        return local(a, b)

    tiled = estimate_tiled(watched, first, second, max_pixels)
    assert len(sizes) > 1
    assert max(sizes) <= max_pixels
    np.testing.assert_allclose(tiled, local(first, second), atol=1e-3)


def test_tiles_are_blended_smoothly():
    """Two neighbouring tiles that disagree by 1 px make no step of more than a few hundredths."""
    values = iter(range(100))
    flow = estimate_tiled(lambda a, b: np.full((*a.shape[:2], 2), next(values) % 2, np.float32), noise(200, 640),
                          noise(200, 640), 70_000)  # fmt: skip
    assert flow.min() == 0
    assert flow.max() == 1
    assert np.abs(np.diff(flow, axis=1)).max() < 0.06


def test_small_pictures_are_seen_whole():
    first = noise(100, 120)
    assert np.array_equal(estimate_tiled(local, first, first, 100 * 120), local(first, first))


@pytest.mark.parametrize(
    ("height", "width", "max_pixels"), [(1080, 1920, 10**6), (4000, 200, 10**5), (300, 301, 16384)]
)
def test_every_pixel_counts(height, width, max_pixels):
    boxes = tiles(height, width, max_pixels)
    total = np.zeros((height, width))
    for box in boxes:
        top, left, h, w = box
        total[top : top + h, left : left + w] += tile_weight(box, height, width)
    assert total.min() > 0.2
    assert len(boxes) < 3 * height * width / min(max_pixels, 192 * 192) + 4


def test_large_frames_may_be_reduced_instead():
    network = Coordinates()
    estimator = RaftFlow(network, max_pixels=160 * 128, large_frames="scale")
    flow = estimator.estimate(noise(256, 320), noise(256, 320, 1))
    assert tuple(network.seen[0].shape[2:]) == (128, 160)
    assert flow.shape == (256, 320, 2)
    # Twice the size, twice the flow: 1 px of the network's from one pixel to the next of its own is 2 px here.
    np.testing.assert_allclose(np.diff(flow[128, 20:300, 0]).mean(), 1, atol=0.01)
    assert flow[128, 200, 0] == pytest.approx(2 * (200 / 2 - 0.25), abs=0.6)


@pytest.mark.parametrize(
    "error",
    [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("DefaultCPUAllocator: can't allocate memory: ...")],
)
def test_short_memory_says_what_to_set(monkeypatch, error):
    def short(*_, **__):
        raise error

    estimator = RaftFlow(Coordinates())
    monkeypatch.setattr(estimator.network, "forward", short)
    with pytest.raises(StageError, match="not enough memory for 38400 pixels") as told:
        estimator.estimate(noise(160, 240), noise(160, 240))
    assert "flow.max_pixels below 38400" in told.value.remedy


# --- sizes and the stage ---------------------------------------------------------------------------------------------
def test_resized_flow_is_in_pixels_of_its_size():
    flow = np.tile(np.float32([4, 3]), (30, 40, 1))
    np.testing.assert_allclose(resize_flow(flow, (15, 80)), np.tile(np.float32([8, 1.5]), (15, 80, 1)))


def test_sizes_that_a_backend_sees():
    assert seen_size((540, 960), 288, FlowConfig(backend="raft", long_side=768)) == (432, 768)
    assert seen_size((270, 480), 288, FlowConfig(backend="raft", long_side=768)) == (432, 768)
    assert seen_size((960, 540), 288, FlowConfig(backend="raft", long_side=None)) == (288, 162)
    assert seen_size((540, 960), 288, FlowConfig(backend="dis", long_side=768)) == (288, 512)


def test_any_two_frames_can_be_compared():
    image = noise(120, 160)
    moved = cv2.warpAffine(image, np.float32([[1, 0, 6], [0, 1, -3]]), (160, 120), borderMode=cv2.BORDER_REFLECT)
    (forward, mask), (backward, _) = between(DisFlow(), image, moved, (60, 80), FlowConfig())
    assert forward.shape == (60, 80, 2)
    np.testing.assert_allclose(np.median(forward, (0, 1)), [3, -1.5], atol=0.05)
    np.testing.assert_allclose(np.median(backward, (0, 1)), [-3, 1.5], atol=0.05)
    assert mask[10:-10, 10:-10].mean() > 0.95


@pytest.fixture
def scene(tmp_path) -> Scene:
    scene = Scene(tmp_path / "scene")
    write_json(scene.manifest_path, {"n_frames": 3})
    scene.given_dir.mkdir(parents=True)
    for i in range(3):
        write_image(scene.frames_dir / f"{i:05d}.png", noise(60, 80, i))
    return scene


@pytest.fixture
def weights(tmp_path, monkeypatch) -> Path:
    """A folder of weights that NSFF_WEIGHTS names, with a random small RAFT; sizes are not those published."""
    folder = tmp_path / "weights"
    folder.mkdir()
    torch.save(random_state("small"), folder / "raft-small.pth")
    monkeypatch.setenv("NSFF_WEIGHTS", str(folder))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("nsff.priors.backends.check_sizes", lambda *_: None)
    return folder


def test_stage_with_weights_on_this_machine(scene, weights):
    run_flow(scene, FlowConfig(iterations=2, long_side=160), 45)
    summary = scene.summary("flow")
    assert summary["backend"] == "raft"
    assert summary["weights"] == "raft-small.pth"
    assert summary["files"] == 4
    flow, _ = scene.raw_flow(1, "fwd")
    assert flow.shape == (45, 60, 2)
    estimator = RaftFlow.from_file(weights / "raft-small.pth", FlowConfig(iterations=2))
    first, second = (resize_frame(scene.frame(i), (120, 160)) for i in (1, 2))
    np.testing.assert_allclose(flow, resize_flow(estimator.estimate(first, second), (45, 60)), atol=1e-4)


def test_given_flow_and_named_files_come_first(scene, weights, tmp_path):
    (weights / "raft-small.pth").rename(tmp_path / "own.pth")
    run_flow(scene, FlowConfig(weights=str(tmp_path / "own.pth"), iterations=1, long_side=None), 60)
    assert scene.summary("flow")["weights"] == "own.pth"
    for name in ("00000_fwd.npz", "00001_bwd.npz", "00001_fwd.npz", "00002_bwd.npz"):
        write_flow(scene.given_dir / "flow" / name, np.zeros((6, 8, 2)), np.ones((6, 8), bool))
    run_flow(scene, FlowConfig(weights=str(tmp_path / "own.pth")), 60)
    assert scene.summary("flow")["backend"] == "given"


# --- real weights ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", ["raft-small", "raft-sintel", "raft-things"])
def test_real_weights_find_a_known_shift(real_weight, name):
    estimator = RaftFlow.from_file(real_weight(f"{name}.pth"), FlowConfig())
    image = noise(128, 160)
    moved = cv2.warpAffine(image, np.float32([[1, 0, 5], [0, 1, -2.5]]), (160, 128), flags=cv2.INTER_CUBIC,
                           borderMode=cv2.BORDER_REFLECT)  # fmt: skip
    flow = estimator.estimate(image, moved)
    assert np.median(np.linalg.norm(flow - np.float32([5, -2.5]), axis=2)[16:-16, 16:-16]) < 0.3


@pytest.mark.gpu
@pytest.mark.parametrize("kind", ["small", "large"])
def test_gpu_agrees_with_cpu(tmp_path, kind):
    torch.save(random_state(kind), tmp_path / "raft.pth")
    first, second = noise(150, 200), noise(150, 200, 1)
    network = load_raft(tmp_path / "raft.pth").float()
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    expected = RaftFlow(network, iterations=3, device=torch.device("cpu")).estimate(first, second)
    found = RaftFlow(network, iterations=3, device=torch.device("cuda")).estimate(first, second)
    assert np.abs(found - expected).max() < 1e-3 * np.abs(expected).max()


@pytest.mark.slow
def test_real_scene_agrees_with_the_flow_that_came_with_it(shared, real_weight):
    """The stored flow is raft-things'; raft-sintel has the same architecture and was trained further."""
    folder = shared / "scenes" / "balloon1"
    estimator = RaftFlow.from_file(real_weight("raft-sintel.pth"), FlowConfig())
    frames = [resize_frame(read_image(folder / "images" / f"00{i}.png"), (432, 768)) for i in (0, 1)]
    flow = resize_flow(estimator.estimate(*frames), (270, 480))
    with np.load(folder / "flow" / "000_fwd.npz", allow_pickle=False) as stored:
        assert np.median(np.linalg.norm(flow - stored["flow"].astype(np.float32), axis=2)) < 0.2
