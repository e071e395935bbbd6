"""DINO features: every count of the published pyramid, timm's own forward pass with hooks, authors' key names."""

from __future__ import annotations

import itertools
import subprocess
import sys
import textwrap
from pathlib import Path

import cv2
import numpy as np
import pytest
import timm
import torch
from torch.nn import functional

from nsff.cameras import Cameras
from nsff.config import FeaturesConfig
from nsff.errors import ConfigError, StageError
from nsff.files.io import write_image, write_json
from nsff.priors.features.basis import Basis, Moments
from nsff.priors.features.dino import DinoFeatures, minmax
from nsff.priors.features.dino_network import DinoNetwork, build, load_weights, resample_positions
from nsff.priors.features.dino_variants import VARIANTS
from nsff.priors.features.pyramid import (
    Level,
    average,
    crop,
    nearest,
    network_size,
    offline_levels,
    online_levels,
    sample_rows,
    starts,
    windows,
)
from nsff.priors.features.registry import FEATURES
from nsff.priors.features.stage import choose_backend, run_features
from nsff.scene import Scene

# --- the published counts (docs/methods.md#numbers-to-check-against) -------------------------------------------


@pytest.mark.parametrize(
    ("size", "network", "tokens", "count"),
    [
        ((288, 546), (128, 242), (31, 59), 21),
        ((288, 512), (128, 227), (31, 55), 21),
        ((400, 306), (167, 128), (40, 31), 21),
        ((256, 256), (128, 128), (31, 31), 10),
        ((240, 424), (128, 226), (31, 55), 10),
    ],
)
def test_network_size_tokens_and_online_windows(size, network, tokens, count):
    assert network_size(*size) == network
    assert tuple(1 + (n - 8) // 4 for n in network) == tokens
    assert sum(len(level.windows) for level in online_levels(*size)) == count


def test_online_windows_of_288x546_by_hand():
    whole, large, small = (level.windows for level in online_levels(288, 546))
    assert list(whole) == [(0, 0, 288, 546)]
    assert list(large) == [(v, u, 256, 484) for v in (0, 31) for u in (0, 61)]
    assert list(small) == [(v, u, 128, 242) for v in (0, 64, 128, 159) for u in (0, 121, 242, 303)]


def test_offline_windows_reach_the_border():
    whole, large, small = (level.windows for level in offline_levels(288, 546))
    assert list(whole) == [(0, 0, 288, 546)]
    assert list(large) == [(v, u, 256, 484) for v in (0, 32) for u in (0, 62)]
    assert list(small) == [(v, u, 128, 242) for v in (0, 64, 128, 160) for u in (0, 121, 242, 304)]


def test_online_leaves_the_last_row_and_column_to_the_whole_frame():
    covered = np.zeros((288, 546), int)
    for level in online_levels(288, 546):
        for v, u, h, w in level.windows:
            covered[v : v + h, u : u + w] += 1
    assert (covered[-1] == 1).all()
    assert (covered[:, -1] == 1).all()
    assert covered[:-1, :-1].min() >= 3  # at least one vote of each level
    assert covered.max() == 1 + 4 + 9  # the last small windows lie closer together, so that three overlap


@pytest.mark.parametrize(("length", "window"), [(128, 128), (100, 128), (129, 128), (300, 128), (1000, 7)])
def test_starts_hold_for_any_length(length, window):
    published, covering = starts(length, window, False), starts(length, window, True)
    assert bool(published) == (length > window)
    assert bool(covering) == (length >= window)
    for found in (published, covering):
        assert found == sorted(set(found))
        assert all(b - a <= window // 2 for a, b in itertools.pairwise(found))
    if covering:
        assert covering[-1] + window == length


@pytest.mark.parametrize("size", [(288, 546), (288, 512), (400, 306)])
def test_offline_windows_count_16_4_and_1(size):
    assert [len(level.windows) for level in offline_levels(*size)] == [1, 4, 16]


def test_networks_have_the_published_shape():
    small = build(VARIANTS["dino_vits8"])
    assert len(small.blocks) == 12
    assert small.blocks[-1].attn.num_heads == 6
    assert small.pos_embed.shape == (1, 1 + 28 * 28, 384)
    network = DinoNetwork(small, 4)
    assert network.patch == 8
    assert network.grid(128, 242) == (31, 59)
    assert VARIANTS["dino_vits8"].heads == (0, 2, 4, 5)


# --- an independent forward pass -------------------------------------------------------------------------------

SMALL = {
    "dino": {"name": "vit_small_patch8_224", "depth": 3, "img_size": 56},
    "dino base": {"name": "vit_base_patch8_224", "depth": 2, "img_size": 56},
    "dinov2 registers": {"name": "vit_small_patch14_reg4_dinov2", "depth": 3, "img_size": 70},
    "dinov3": {"name": "vit_small_patch16_dinov3_qkvb", "depth": 3},
}


def random_model(kind: str, **more) -> torch.nn.Module:
    """A published architecture with fewer blocks and random weights, none of them zero or one."""
    options = dict(SMALL[kind])
    torch.manual_seed(0)
    model = timm.create_model(options.pop("name"), pretrained=False, num_classes=0, **options, **more).eval()
    generator = torch.Generator().manual_seed(1)
    for parameter in model.parameters():
        parameter.data += 0.05 * torch.randn(parameter.shape, generator=generator)
    return model


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("kind", SMALL)
def test_keys_and_attention_agree_with_hooks_in_timms_forward(kind, exact):
    """timm's forward in float64, its patches made to overlap, its position table replaced; keys and attention hooked
    out of the last block."""
    generator = torch.Generator().manual_seed(2)
    picture = torch.rand((2, 3, 61, 83), generator=generator)
    heads = (0, 2, 4, 5)
    patch = random_model(kind).patch_embed.patch_size[0]
    network = DinoNetwork(random_model(kind), patch // 2, heads, exact_positions=exact)
    keys, attention = network(picture)

    model = random_model(kind, dynamic_img_size=True, dynamic_img_pad=False).double()
    stride, grid = patch // 2, tuple(1 + (n - patch) // (patch // 2) for n in (61, 83))
    model.patch_embed.proj.stride = (stride, stride)
    model.patch_embed.dynamic_img_pad = True
    model.patch_embed.patch_size = (1, 1)  # it would pad, and count tokens, by its own size otherwise
    if model.pos_embed is not None:
        prefix = 0 if model.no_embed_class else model.num_prefix_tokens
        table = model.pos_embed.data
        side = int((table.shape[1] - prefix) ** 0.5)
        square = table[:, prefix:].unflatten(1, (side, side)).permute(0, 3, 1, 2)
        if exact:
            square = functional.interpolate(square, size=grid, mode="bicubic", antialias=True)
        else:
            scale = tuple((n + 0.1) / side for n in grid)
            square = functional.interpolate(square, scale_factor=scale, mode="bicubic")
        rows = square.permute(0, 2, 3, 1).flatten(1, 2)
        model.pos_embed.data = torch.cat([table[:, :prefix], rows], 1)
        model.patch_embed.grid_size = grid
    last = model.blocks[-1].attn
    last.fused_attn = False
    seen = {}
    last.k_norm.register_forward_hook(lambda module, args, out: seen.update(keys=out))
    last.attn_drop.register_forward_hook(lambda module, args, out: seen.update(attention=out))
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    with torch.no_grad():
        model.forward_features(((picture - mean[:, None, None]) / deviation[:, None, None]).double())
    count = model.num_prefix_tokens
    expected = seen["attention"][:, list(heads), 0, count:].mean(1).unflatten(1, grid)
    assert (attention - expected).abs().max() < 1e-5 * expected.abs().max()
    # (B,heads,T,d), before positions turn them; the head runs fastest in ours.
    expected_keys = seen["keys"][:, :, count:].permute(0, 2, 3, 1).flatten(2).unflatten(1, grid)
    assert keys.shape == expected_keys.shape
    assert (keys - expected_keys).abs().max() < 1e-5 * expected_keys.abs().max()


def test_saliency_takes_the_named_heads_and_sums_to_less_than_one():
    model = random_model("dino")
    picture = torch.rand(1, 3, 64, 64)
    single = [DinoNetwork(model, 4, (head,))(picture)[1] for head in range(6)]
    torch.testing.assert_close(
        DinoNetwork(model, 4, (0, 2, 4, 5))(picture)[1], (single[0] + single[2] + single[4] + single[5]) / 4
    )
    torch.testing.assert_close(DinoNetwork(model, 4)(picture)[1], sum(single) / 6)
    assert all(0 < float(value.sum()) < 1 for value in single)  # the class token attends to itself as well


def test_raw_colours_are_the_published_behaviour():
    model = random_model("dino")
    picture = torch.rand(1, 3, 40, 40)
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    prepared = (picture - mean[:, None, None]) / deviation[:, None, None]
    torch.testing.assert_close(DinoNetwork(model, 4)(picture), DinoNetwork(model, 4, normalise=False)(prepared))
    assert not torch.allclose(DinoNetwork(model, 4)(picture)[0], DinoNetwork(model, 4, normalise=False)(picture)[0])


def test_position_table_stays_at_its_own_size_and_keeps_constants():
    table = torch.randn(1, 49, 5)
    assert resample_positions(table, (7, 7)) is table
    assert resample_positions(torch.full((1, 49, 5), 2.5), (31, 59)).shape == (1, 31 * 59, 5)
    torch.testing.assert_close(resample_positions(torch.full((1, 49, 5), 2.5), (31, 59)), torch.full((1, 1829, 5), 2.5))


# --- pyramid averages ------------------------------------------------------------------------------------------


def test_nearest_indices_are_torchs():
    for n_in, n_out in ((31, 128), (59, 484), (546, 242), (288, 128), (7, 7)):
        values = torch.arange(n_in, dtype=torch.float32)[None, None]
        expected = functional.interpolate(values, size=n_out, mode="nearest")[0, 0].numpy()
        np.testing.assert_array_equal(nearest(n_in, n_out), expected)


def test_average_equals_the_published_loop():
    """Upsample every window to its size, sum into full-size arrays, divide by the counter."""
    generator = np.random.default_rng(0)
    size = (60, 90)
    levels = online_levels(*size, short_side=24)
    boxes = [window for level in levels for window in level.windows]
    grids = [generator.normal(size=(6, 9, 3)).astype(np.float32) for _ in boxes]
    total, counter = torch.zeros(3, *size), torch.zeros(size)
    for grid, (v, u, h, w) in zip(grids, boxes, strict=True):
        picture = torch.from_numpy(grid).permute(2, 0, 1)[None]
        total[:, v : v + h, u : u + w] += functional.interpolate(picture, size=(h, w), mode="nearest")[0]
        counter[v : v + h, u : u + w] += 1
    expected = (total / counter).permute(1, 2, 0).numpy()
    np.testing.assert_allclose(average(grids, levels, size, size), expected, atol=1e-6)
    coarse = average(grids, levels, size, (30, 45))
    np.testing.assert_allclose(coarse, expected[sample_rows(60, 30)[:, None], sample_rows(90, 45)], atol=1e-6)


def test_level_weights_by_hand():
    levels = [
        Level([(0, 0, 4, 4)], 0.5),
        Level(windows(4, 4, (2, 2), True), 0.25),
        Level([(0, 0, 2, 2), (0, 0, 2, 2)], 0.25),
    ]
    grids = [np.full((1, 1, 1), v, np.float32) for v in (1, *[3] * 9, 7, 9)]
    result = average(grids, levels, (4, 4), (4, 4))[..., 0]
    assert result[0, 0] == pytest.approx(0.5 * 1 + 0.25 * 3 + 0.25 * 8)
    # Where the last level has no window the other two count for it.
    assert result[3, 3] == pytest.approx((0.5 * 1 + 0.25 * 3) / 0.75)


def test_crops_are_nearest_as_published_or_averaged():
    image = np.random.default_rng(0).integers(0, 255, (288, 546, 3)).astype(np.uint8)
    window = (31, 61, 256, 484)
    picture = torch.from_numpy(image[31:287, 61:545]).permute(2, 0, 1)[None].float()
    expected = functional.interpolate(picture, size=(128, 242), mode="nearest")[0].permute(1, 2, 0).numpy()
    np.testing.assert_array_equal(crop(image, window, (128, 242), antialias=False), expected)
    averaged = crop(image, window, (128, 242), antialias=True).astype(float)
    assert averaged.std() < 0.6 * expected.std()
    assert averaged.mean() == pytest.approx(expected.mean(), abs=1)
    np.testing.assert_array_equal(crop(image, (0, 0, 128, 242), (128, 242), False), image[:128, :242])
    flat = np.full((288, 546, 3), 77, np.uint8)
    assert (crop(flat, (0, 0, 288, 546), (128, 242), True) == 77).all()


# --- the stage -------------------------------------------------------------------------------------------------


def make_scene(root: Path, height: int = 64, width: int = 96, n: int = 3) -> Scene:
    scene = Scene(root)
    K = np.array([[80.0, 0, width / 2], [0, 80, height / 2], [0, 0, 1]])
    pose = np.concatenate([np.eye(3), np.zeros((3, 1))], 1)
    Cameras(np.repeat(K[None], n, 0), np.repeat(pose[None], n, 0), np.tile([1.0, 9.0], (n, 1)), width, height).save(
        scene.cameras_path
    )
    write_json(scene.manifest_path, {"n_frames": n, "width": width, "height": height, "frames": []})
    generator = np.random.default_rng(0)
    for i in range(n):
        scene.write_image(i, cv2.resize(generator.integers(0, 255, (8, 12, 3)).astype(np.uint8), (width, height)))
        write_image(scene.motion_dir / f"{i:05d}.png", np.zeros((height, width), np.uint8))
        for direction, j in (("fwd", i + 1), ("bwd", i - 1)):
            if 0 <= j < n:
                scene.write_flow(i, direction, np.zeros((height, width, 2)), np.ones((height, width), bool))
    return scene


@pytest.fixture
def weights(tmp_path, monkeypatch) -> Path:
    """A folder of weights with a random ViT-S/8 under the authors' name, of two blocks."""
    folder = tmp_path / "weights"
    folder.mkdir()
    monkeypatch.setenv("NSFF_WEIGHTS", str(folder))
    monkeypatch.setenv("HOME", str(tmp_path))
    model = timm.create_model("vit_small_patch8_224", pretrained=False, num_classes=0, depth=2)
    torch.save(model.state_dict(), folder / "dino_deitsmall8_pretrain.pth")
    monkeypatch.setattr(
        "nsff.priors.features.dino.build",
        lambda variant: timm.create_model(variant.timm_name, pretrained=False, num_classes=0, depth=2).eval(),
    )
    return folder


@pytest.mark.parametrize("pyramid", ["online", "offline", "single"])
def test_stage_with_weights_on_this_machine(tmp_path, weights, pyramid):
    scene = make_scene(tmp_path / "scene")
    config = FeaturesConfig(components=16, stride=3, short_side=32, pyramid=pyramid, batch=5)
    assert choose_backend(config) == "dino"
    run_features(scene, config)
    features, saliency = scene.features()
    assert features.shape == (3, 22, 32, 16)
    assert features.dtype == saliency.dtype == np.float16
    assert 0 <= saliency.min() < 0.2
    assert 0.8 < saliency.max() <= 1
    # The stored basis gives the stored features again.
    basis = Basis.load(scene.features_dir / "pca.npz")
    descriptors, _ = FEATURES.open(config)(scene)(1)
    np.testing.assert_allclose(basis.project(descriptors), features[1], atol=2e-3)
    summary = scene.summary("features")
    assert (summary["backend"], summary["saliency"], summary["dimensions"]) == ("dino", "attention", 384)
    assert not list(scene.root.glob(".tmp*"))


def test_windows_pass_the_network_once(tmp_path, weights, monkeypatch):
    scene = make_scene(tmp_path / "scene")
    passed = []
    forward = DinoNetwork.forward
    monkeypatch.setattr(DinoNetwork, "forward", lambda self, x: passed.append(len(x)) or forward(self, x))
    run_features(scene, FeaturesConfig(components=8, stride=4, short_side=32, batch=4))
    levels = online_levels(64, 96, short_side=32)
    assert sum(passed) == 3 * sum(len(level.windows) for level in levels)
    assert max(passed) == 4


def test_motion_saliency_is_a_switch(tmp_path, weights):
    scene = make_scene(tmp_path / "scene")
    run_features(scene, FeaturesConfig(components=8, stride=4, short_side=32, saliency="motion"))
    assert (scene.features()[1] == 0).all()  # nothing moves
    assert scene.summary("features")["saliency"] == "motion"


def test_larger_patches_see_enlarged_windows(tmp_path):
    scene = make_scene(tmp_path / "scene")
    network = DinoNetwork(random_model("dinov2 registers"), 7)
    describe = DinoFeatures(scene, FeaturesConfig(stride=2, short_side=32), network)
    assert describe.input_size == (56, 84)
    assert network.grid(*describe.input_size) == (7, 11)  # a patch of 8 at stride 4 has 7 x 11 of 32 x 48
    descriptors, saliency = describe(0)
    assert descriptors.shape == (32, 48, 384)
    assert np.isfinite(descriptors).all()
    assert saliency.max() <= 1


def seen(network: DinoNetwork, picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Keys (P,D) of one picture at the network's size, and its attention (th,tw) from 0 to 1."""
    keys, attention = network(torch.tensor(picture).permute(2, 0, 1)[None].float() / 255)
    attention = attention[0].numpy()
    return keys[0].flatten(0, 1).numpy(), (attention - attention.min()) / (attention.max() - attention.min())


def enlarged(grid: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return functional.interpolate(torch.from_numpy(grid)[None, None], size=size, mode="nearest")[0, 0].numpy()


@pytest.mark.parametrize("pyramid", ["online", "offline"])
def test_saliency_may_have_weights_of_its_own(tmp_path, pyramid):
    """SAFF's _6, features of three levels and saliency of the whole frame; and any other three weights, written out."""
    scene, network = make_scene(tmp_path / "scene"), DinoNetwork(random_model("dino"), 4)
    size, weights = scene.size, (0.2, 0.3, 0.5)
    settings = {"stride": 1, "short_side": 32, "pyramid": pyramid, "pyramid_weights": (0.5, 0.25, 0.25)}
    plain, whole, mixed = (
        DinoFeatures(scene, FeaturesConfig(**settings, saliency_weights=own), network)(1)
        for own in (None, (0, 0, 1), weights)
    )
    for other in (whole, mixed):
        np.testing.assert_array_equal(other[0], plain[0])
        assert np.abs(other[1] - plain[1]).max() > 0.05
    image, antialias = scene.image(1), pyramid == "offline"
    expected, of = np.zeros(size), np.zeros(size)
    for k, weight in ((4, 0.5), (2, 0.3), (1, 0.2)):
        total, count = np.zeros(size), np.zeros(size)
        boxes = [(0, 0, *size)] if k == 4 else windows(*size, (32 * k, 48 * k), antialias)
        for v, u, h, w in boxes:
            attention = seen(network, crop(image, (v, u, h, w), (32, 48), antialias))[1]
            if k == 4:
                np.testing.assert_allclose(whole[1], enlarged(attention, size), atol=1e-4)
            total[v : v + h, u : u + w] += enlarged(attention, (h, w))
            count[v : v + h, u : u + w] += 1
        expected += weight * total / np.maximum(count, 1)
        of += weight * (count > 0)
    np.testing.assert_allclose(mixed[1], expected / of, atol=1e-4)


@pytest.mark.parametrize("baseline", [False, True])
def test_features_of_the_whole_frame_are_fit_on_all_tokens(tmp_path, monkeypatch, baseline):
    """SAFF without a pyramid, and its 2-D baseline: unit tokens of all frames, scikit-learn's PCA, nearest neighbour.
    The baseline's pictures are prepared by torchvision on Pillow's, as its library prepares them."""
    from PIL import Image
    from sklearn.decomposition import PCA
    from torchvision.transforms import InterpolationMode, Resize

    scene, model = make_scene(tmp_path / "scene"), random_model("dino")
    monkeypatch.setattr(
        "nsff.priors.features.dino.open_network",
        lambda config, weights: DinoNetwork(model, 4, normalise=config.imagenet_normalisation),
    )
    (tmp_path / "any.pth").touch()
    config = FeaturesConfig(
        backend="dino", components=8, stride=1, short_side=32, pyramid="single", imagenet_normalisation=baseline,
        weights=str(tmp_path / "any.pth"),
    )  # fmt: skip
    run_features(scene, config)
    network, tokens, saliency = DinoNetwork(model, 4, normalise=baseline), [], []
    resize = Resize(32, interpolation=InterpolationMode.LANCZOS)
    for i in range(3):
        image = scene.image(i)
        picture = (
            np.asarray(resize(Image.fromarray(image))) if baseline else crop(image, (0, 0, 64, 96), (32, 48), False)
        )
        keys, attention = seen(network, picture)
        tokens.append(keys / np.linalg.norm(keys, axis=1, keepdims=True))
        saliency.append(enlarged(attention, scene.size))
    pca = PCA(8, svd_solver="full").fit(np.concatenate(tokens))
    features, found = scene.features()
    np.testing.assert_allclose(found, saliency, atol=2e-3)
    for i in range(3):
        expected = pca.transform(tokens[i]).reshape(7, 11, 8)
        expected = np.stack([enlarged(expected[..., c].astype(np.float32), scene.size) for c in range(8)], axis=2)
        sign = np.sign((expected * features[i].astype(np.float32)).sum((0, 1)))
        np.testing.assert_allclose(features[i], sign * expected, atol=2e-3 * np.abs(expected).max())


def test_minmax():
    np.testing.assert_allclose(minmax(np.array([[2.0, 4.0], [3.0, 2.0]])), [[0, 1], [0.5, 0]])
    assert (minmax(np.full((2, 2), 0.3)) == 0).all()


# --- weights ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["plain", "teacher", "module", "safetensors"])
def test_authors_and_timms_files_load(tmp_path, form):
    source, target = random_model("dino"), random_model("dino")
    for parameter in target.parameters():
        parameter.data.zero_()
    state, path = source.state_dict(), tmp_path / "weights.pth"
    if form == "teacher":
        state = {
            "teacher": {f"module.backbone.{k}": v for k, v in state.items()} | {"module.head.mlp.0.bias": torch.ones(3)}
        }
    elif form == "module":
        state = {f"module.{k}": v for k, v in state.items()}
    if form == "safetensors":
        from safetensors.torch import save_file

        path = tmp_path / "weights.safetensors"
        save_file(state, path)
    else:
        torch.save(state, path)
    load_weights(target, path)
    for name, value in source.state_dict().items():
        assert torch.equal(target.state_dict()[name], value)


def test_missing_wrong_and_dangerous_weights_are_named(tmp_path, monkeypatch):
    monkeypatch.setenv("NSFF_WEIGHTS", str(tmp_path / "nothing"))
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(StageError, match=r"dino_deitsmall8_pretrain\.pth.*not found(.|\n)*NSFF_WEIGHTS"):
        FEATURES.open(FeaturesConfig(backend="dino"))
    assert choose_backend(FeaturesConfig()) == "classical"
    with pytest.raises(ConfigError, match=r"features\.saliency"):
        choose_backend(FeaturesConfig(saliency="attention"))
    path = tmp_path / "weights.pth"
    torch.save(random_model("dinov2 registers").state_dict(), path)
    with pytest.raises(StageError, match=r"weights\.pth"):
        FEATURES.open(FeaturesConfig(backend="dino", weights=str(path)))
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(StageError, match="not readable as a file of tensors"):
        FEATURES.open(FeaturesConfig(backend="dino", weights=str(path)))
    touched = tmp_path / "touched"

    class Dangerous:
        def __reduce__(self):
            return (Path.touch, (touched,))

    torch.save({"x": Dangerous()}, path)
    with pytest.raises(StageError, match="not readable as a file of tensors"):
        FEATURES.open(FeaturesConfig(backend="dino", weights=str(path)))
    assert not touched.exists()


# --- the basis, and memory -------------------------------------------------------------------------------------


def test_moments_give_the_principal_components_of_all_frames_together():
    from sklearn.decomposition import PCA

    data = np.random.default_rng(0).normal(size=(4, 500, 12)).astype(np.float32) * np.arange(1, 13) + 3
    moments = Moments(12)
    for frame in data:
        moments.add(frame)
    basis = moments.basis(5)
    expected = PCA(5, svd_solver="full").fit(data.reshape(-1, 12).astype(np.float64))
    np.testing.assert_allclose(basis.mean, expected.mean_, rtol=1e-5)
    np.testing.assert_allclose(basis.explained_variance_ratio, expected.explained_variance_ratio_, rtol=1e-5)
    signs = np.sign((basis.components * expected.components_).sum(1))
    np.testing.assert_allclose(basis.components * signs[:, None], expected.components_, atol=1e-5)
    assert (basis.components[np.arange(5), np.abs(basis.components).argmax(1)] > 0).all()


def test_memory_does_not_grow_with_the_number_of_frames(tmp_path):
    """The same frames 4 and 40 times over: the peak grows by far less than the 36 frames' features (32 MB)."""
    code = """
        import resource, sys
        import numpy as np
        from pathlib import Path
        from nsff.config import FeaturesConfig
        from nsff.files.io import write_json
        from nsff.priors.features import stage as features
        from nsff.priors.features.describer import FeatureBackend
        from nsff.priors.features.registry import FEATURES
        from nsff.scene import Scene

        scene = Scene(Path(sys.argv[1]))
        frame = np.random.default_rng(0).normal(size=(72, 96, 96)).astype(np.float32)
        FEATURES.backends["classical"] = FeatureBackend(
            "classical", lambda config, weights: lambda scene: lambda i: (frame * (1 + i), frame[..., 0])
        )
        features.run_features(scene, FeaturesConfig(backend="classical", components=64, stride=1))
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    """
    peaks = []
    for n in (4, 40):
        scene = Scene(tmp_path / f"scene{n}")
        write_json(scene.manifest_path, {"n_frames": n, "width": 96, "height": 72, "frames": []})
        pose = np.tile(np.eye(4)[:3], (n, 1, 1))
        Cameras(np.tile(np.eye(3), (n, 1, 1)), pose, np.tile([1.0, 9.0], (n, 1)), 96, 72).save(scene.cameras_path)
        command = [sys.executable, "-c", textwrap.dedent(code), str(scene.root)]
        result = subprocess.run(command, capture_output=True, text=True, check=True)
        peaks.append(int(result.stdout.split()[-1]) / 1024)
        assert scene.features()[0].shape == (n, 72, 96, 64)
    assert peaks[1] - peaks[0] < 8, peaks
