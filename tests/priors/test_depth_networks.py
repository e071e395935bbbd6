"""Networks for depth: exact names of parameters, independent forward passes in float64, input sizes, clear errors.

The networks are small and random, written to disk as their authors' files are.
"""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from random_networks import picture, randomised, still_room
from torch.nn import functional

from nsff.config import DepthConfig
from nsff.errors import ConfigError, StageError
from nsff.imaging.imagenet import IMAGENET_DEVIATION, IMAGENET_MEAN
from nsff.priors.backends import Backend
from nsff.priors.depth.backends.midas21 import WEIGHTS as MIDAS_WEIGHTS
from nsff.priors.depth.learned import resize
from nsff.priors.depth.midas import MidasDepth, network_size
from nsff.priors.depth.midas_network import Midas21, load_midas
from nsff.priors.depth.registry import DEPTH
from nsff.priors.depth.stage import choose_backend, run_depth
from nsff.priors.depth.transformers_depth import TransformersDepth, predicted

MIDAS_FILE = MIDAS_WEIGHTS[0].location
SMALL = {"layers": (1, 2, 1, 1), "groups": 4, "width_per_group": 2, "features": 8}


@pytest.fixture(autouse=True)
def no_weights_of_this_machine(tmp_path, monkeypatch):
    monkeypatch.setenv("NSFF_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


# --- MiDaS v2.1 ------------------------------------------------------------------------------------------------


def published_names() -> set[str]:
    """Names of the parameters in midas_v21-f6b98070.pt, written out by the rules of its parts."""

    def normalisation(name):
        return [f"{name}.{part}" for part in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")]

    names = ["pretrained.layer1.0.weight", *normalisation("pretrained.layer1.1")]
    for stage, blocks in zip(("layer1.4", "layer2", "layer3", "layer4"), (3, 4, 23, 3), strict=True):
        for block in range(blocks):
            prefix = f"pretrained.{stage}.{block}"
            for k in (1, 2, 3):
                names += [f"{prefix}.conv{k}.weight", *normalisation(f"{prefix}.bn{k}")]
            if block == 0:
                names += [f"{prefix}.downsample.0.weight", *normalisation(f"{prefix}.downsample.1")]
    for k in range(1, 5):
        names.append(f"scratch.layer{k}_rn.weight")
        for unit in (1, 2):
            for conv in (1, 2):
                for part in ("weight", "bias"):
                    names.append(f"scratch.refinenet{k}.resConfUnit{unit}.conv{conv}.{part}")
    return {*names, *(f"scratch.output_conv.{k}.{part}" for k in (0, 2, 4) for part in ("weight", "bias"))}


def test_names_and_shapes_are_those_of_the_released_file():
    with torch.device("meta"):
        state = Midas21().state_dict()
    assert set(state) == published_names()
    assert state["pretrained.layer1.4.0.conv2.weight"].shape == (256, 8, 3, 3)  # 32 groups of 8
    assert state["pretrained.layer4.2.conv3.weight"].shape == (2048, 2048, 1, 1)
    assert state["scratch.layer4_rn.weight"].shape == (256, 2048, 3, 3)
    assert state["scratch.output_conv.0.weight"].shape == (128, 256, 3, 3)
    assert state["scratch.output_conv.4.weight"].shape == (1, 32, 1, 1)
    learned = sum(v.numel() for k, v in state.items() if "running" not in k and "num_batches" not in k)
    assert 105e6 < learned < 106e6


def independent_midas(state: dict[str, torch.Tensor], x: torch.Tensor, layers, groups: int) -> torch.Tensor:
    """MiDaS v2.1 from its state dictionary alone, without modules."""

    def normalised(x, name):
        mean, variance = state[f"{name}.running_mean"], state[f"{name}.running_var"]
        scale = state[f"{name}.weight"] / torch.sqrt(variance + 1e-5)
        return (x - mean[:, None, None]) * scale[:, None, None] + state[f"{name}.bias"][:, None, None]

    def bottleneck(x, name, stride):
        y = torch.relu(normalised(functional.conv2d(x, state[f"{name}.conv1.weight"]), f"{name}.bn1"))
        y = functional.conv2d(y, state[f"{name}.conv2.weight"], stride=stride, padding=1, groups=groups)
        y = normalised(
            functional.conv2d(torch.relu(normalised(y, f"{name}.bn2")), state[f"{name}.conv3.weight"]), f"{name}.bn3"
        )
        if f"{name}.downsample.0.weight" in state:
            x = functional.conv2d(x, state[f"{name}.downsample.0.weight"], stride=stride)
            x = normalised(x, f"{name}.downsample.1")
        return torch.relu(x + y)

    def conv(x, name):
        return functional.conv2d(x, state[f"{name}.weight"], state.get(f"{name}.bias"), padding=1)

    def unit(x, name):
        x = torch.relu(x)  # in place in the authors' code: the sum below has it too
        return conv(torch.relu(conv(x, f"{name}.conv1")), f"{name}.conv2") + x

    def doubled(x, corners):
        """Bilinear, by matrices of interpolation weights."""

        def matrix(n):
            at = torch.linspace(0, n - 1, 2 * n, dtype=x.dtype) if corners else (torch.arange(2 * n) + 0.5) / 2 - 0.5
            distance = (at.clamp(0, n - 1)[:, None] - torch.arange(n)[None]).abs().to(x.dtype)
            return (1 - distance).clamp(min=0)

        return matrix(x.shape[2]) @ x @ matrix(x.shape[3]).T

    x = functional.conv2d(x, state["pretrained.layer1.0.weight"], stride=2, padding=3)
    x = functional.max_pool2d(torch.relu(normalised(x, "pretrained.layer1.1")), 3, 2, 1)
    stages = []
    for k, (stage, blocks) in enumerate(zip(("layer1.4", "layer2", "layer3", "layer4"), layers, strict=True), 1):
        for block in range(blocks):
            x = bottleneck(x, f"pretrained.{stage}.{block}", 2 if k > 1 and block == 0 else 1)
        stages.append(conv(x, f"scratch.layer{k}_rn"))
    path = doubled(unit(stages[3], "scratch.refinenet4.resConfUnit2"), True)
    for k in (3, 2, 1):
        path = path + unit(stages[k - 1], f"scratch.refinenet{k}.resConfUnit1")
        path = doubled(unit(path, f"scratch.refinenet{k}.resConfUnit2"), True)
    head = doubled(conv(path, "scratch.output_conv.0"), False)
    head = torch.relu(conv(head, "scratch.output_conv.2"))
    last = functional.conv2d(head, state["scratch.output_conv.4.weight"], state["scratch.output_conv.4.bias"])
    return torch.relu(last)[:, 0]


@pytest.fixture(scope="module")
def midas_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("midas") / MIDAS_FILE
    torch.save(randomised(Midas21(**SMALL)).state_dict(), path)
    return path


def test_midas_agrees_with_an_independent_pass_in_float64(midas_file):
    model = load_midas(midas_file, Midas21(**SMALL)).double()
    state = {k: v.double() for k, v in torch.load(midas_file, weights_only=True).items()}
    x = torch.randn(2, 3, 64, 96, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    expected = independent_midas(state, x, SMALL["layers"], SMALL["groups"])
    with torch.no_grad():
        found = model(x)
    assert found.shape == (2, 64, 96)
    assert (expected > 0).double().mean() > 0.2
    assert expected.std() > 0.1 * expected.abs().max()
    assert (found - expected).abs().max() < 1e-5 * min(1, expected.abs().max())


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda s: s.pop("scratch.layer1_rn.weight"), "1 parameters missing, 0 unknown .*layer1_rn.weight missing"),
        (lambda s: s.update(extra=torch.zeros(1)), "0 parameters missing, 1 unknown .*extra unknown"),
        (lambda s: s.update({"scratch.layer1_rn.weight": torch.zeros(8, 1, 3, 3)}), r"has shape \(8, 1, 3, 3\)"),
        (lambda s: s.update(extra="text"), "no state dictionary"),
    ],
)
def test_other_files_are_refused_by_name(midas_file, tmp_path, damage, message):
    state = torch.load(midas_file, weights_only=True)
    damage(state)
    path = tmp_path / "other.pt"
    torch.save(state, path)
    with pytest.raises(StageError, match=message) as caught:
        load_midas(path, Midas21(**SMALL))
    assert "other.pt" in str(caught.value)


class Harmful:
    def __reduce__(self):
        return (print, ("unpickled",))


def test_nothing_but_tensors_is_unpickled(tmp_path, capsys):
    torch.save({"a": Harmful()}, tmp_path / "bad.pt")
    (tmp_path / "text.pt").write_text("no weights")
    for name in ("bad.pt", "text.pt"):
        with pytest.raises(StageError, match=f"{name}.*not readable as a file of tensors"):
            load_midas(tmp_path / name)
    assert "unpickled" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("size", "long_side", "rule", "expected"),
    [
        ((288, 512), 384, "midas", (224, 384)),  # 216 is nearer to 224 than to 192
        ((288, 546), 384, "midas", (192, 384)),
        ((540, 960), 640, "nsff", (352, 640)),  # 360 -> 11.25 multiples
        ((288, 546), 640, "nsff", (320, 640)),  # 338 -> 10.55, but 352 would be above 338
        ((288, 546), 640, "midas", (352, 640)),
        ((640, 360), 384, "midas", (384, 224)),
        ((1000, 20), 384, "midas", (384, 32)),  # never nothing
    ],
)
def test_network_size(size, long_side, rule, expected):
    assert network_size(*size, long_side, rule) == expected


def test_input_is_resized_and_normalised(midas_file):
    estimate = MidasDepth(DepthConfig(long_side=96), load_midas(midas_file, Midas21(**SMALL)))
    grey = estimate.picture(np.full((100, 150, 3), 255, np.uint8))
    assert grey.shape == (64, 96, 3)
    assert grey[0, 0] == pytest.approx((1 - np.array(IMAGENET_MEAN)) / np.array(IMAGENET_DEVIATION), abs=1e-5)
    assert estimate(picture()).shape == (64, 96)


def test_upsampling_by_hand():
    values = np.array([[0.0, 4.0]], np.float32)
    assert resize(values, (1, 4), "nearest").tolist() == [[0, 0, 4, 4]]
    assert resize(values, (1, 4), "bilinear").tolist() == [[0, 1, 3, 4]]
    assert resize(values, (1, 4), "bicubic").min() == 0  # it overshoots, and disparity is not negative


# --- models of transformers ------------------------------------------------------------------------------------


def save_dpt(folder) -> None:
    from transformers import DPTConfig, DPTForDepthEstimation, DPTImageProcessor

    config = DPTConfig(
        hidden_size=16, num_hidden_layers=4, num_attention_heads=2, intermediate_size=24, image_size=32, patch_size=16,
        backbone_out_indices=[0, 1, 2, 3], neck_hidden_sizes=[6, 8, 10, 12], fusion_hidden_size=8, is_hybrid=False,
        use_auxiliary_head=False,
    )  # fmt: skip
    randomised(DPTForDepthEstimation(config)).save_pretrained(folder)
    size = {"height": 64, "width": 64}
    DPTImageProcessor(
        size=size, keep_aspect_ratio=False, ensure_multiple_of=32, image_mean=[0.5] * 3, image_std=[0.5] * 3
    ).save_pretrained(folder)


def save_depth_anything(folder, kind: str = "relative") -> None:
    from transformers import DepthAnythingConfig, DepthAnythingForDepthEstimation, Dinov2Config

    backbone = Dinov2Config(
        hidden_size=16, num_hidden_layers=4, num_attention_heads=2, image_size=56, patch_size=14,
        out_features=["stage1", "stage2", "stage3", "stage4"], reshape_hidden_states=False, apply_layernorm=True,
    )  # fmt: skip
    config = DepthAnythingConfig(
        backbone_config=backbone, reassemble_hidden_size=16, patch_size=14, neck_hidden_sizes=[6, 8, 10, 12],
        fusion_hidden_size=8, head_hidden_size=8, depth_estimation_type=kind, max_depth=20 if kind == "metric" else 1,
    )  # fmt: skip
    randomised(DepthAnythingForDepthEstimation(config)).save_pretrained(folder)


SAVE = {"dpt": save_dpt, "depth_anything": save_depth_anything}


@pytest.fixture(params=SAVE)
def model_folder(request, tmp_path):
    folder = tmp_path / "model"
    SAVE[request.param](folder)
    return folder


def settings(folder, **more) -> DepthConfig:
    return DepthConfig(backend="transformers", model=str(folder), **more)


def renamed(key: str) -> str:
    """Names in files, which stay, and those that newer versions of transformers have in memory."""
    for old, new in (
        ("attention.attention.query", "attention.q_proj"),
        ("attention.attention.key", "attention.k_proj"),
        ("attention.attention.value", "attention.v_proj"),
        ("attention.output.dense", "attention.o_proj"),
    ):
        key = key.replace(old, new)
    return key


def test_a_folder_is_loaded_and_agrees_with_the_library_in_float64(model_folder):
    """Independent: the class of the model itself, its weights read from the file by safetensors."""
    import transformers
    from safetensors.torch import load_file

    estimate = TransformersDepth(settings(model_folder))
    config = json.loads((model_folder / "config.json").read_text())
    kind = getattr(transformers, config["architectures"][0])
    reference = kind(transformers.AutoConfig.from_pretrained(model_folder)).double().eval()
    names = reference.state_dict().keys()
    state = {
        key if key in names else renamed(key): value.double()
        for key, value in load_file(model_folder / "model.safetensors").items()
    }
    reference.load_state_dict(state, strict=True)
    image = picture(60, 90)
    seen = estimate.picture(image)
    with torch.no_grad():
        expected = reference(pixel_values=seen.double()).predicted_depth[0].numpy()
    assert expected.std() > 1e-3 * np.abs(expected).max()
    estimate.model.double()
    assert np.abs(estimate(image) - expected).max() < 1e-5 * max(1, np.abs(expected).max())


def test_input_with_and_without_an_image_processor(tmp_path):
    folder = tmp_path / "dpt"
    save_dpt(folder)
    image = np.full((60, 90, 3), 255, np.uint8)
    # A DPT with the plain vision transformer takes square pictures alone; 0.5 and 0.5 make white 1.
    assert tuple(TransformersDepth(settings(folder)).picture(image).shape) == (1, 3, 64, 64)
    assert TransformersDepth(settings(folder)).picture(image).max() == pytest.approx(1)
    assert tuple(TransformersDepth(settings(folder, long_side=128)).picture(image).shape) == (1, 3, 128, 128)
    assert TransformersDepth(settings(folder, long_side=128))(image).shape == (128, 128)
    (folder / "preprocessor_config.json").unlink()
    own = TransformersDepth(settings(folder))
    assert own.processor is None
    assert tuple(own.picture(image).shape) == (1, 3, 384, 384)
    assert own.picture(image).max() == pytest.approx(1)
    anything = tmp_path / "anything"
    save_depth_anything(anything)
    seen = TransformersDepth(settings(anything)).picture(image)
    assert tuple(seen.shape) == (1, 3, 350, 518)  # multiples of 14
    assert seen[0, :, 0, 0].numpy() == pytest.approx((1 - np.array(IMAGENET_MEAN)) / IMAGENET_DEVIATION, abs=1e-5)


def test_metric_models_are_inverted(tmp_path):
    save_depth_anything(tmp_path / "metric", "metric")
    estimate = TransformersDepth(settings(tmp_path / "metric", long_side=56))
    assert estimate.output == "depth"
    with torch.no_grad():
        estimate.model.head.conv3.weight.mul_(1e-3)  # away from the ends of the sigmoid
        depth = estimate.model(pixel_values=estimate.picture(picture())).predicted_depth[0].numpy()
    assert 0.1 < depth.min() < depth.max() < 20
    assert estimate(picture()) == pytest.approx(1 / depth, rel=1e-5)


def test_unknown_families_must_say_what_they_predict():
    class Other:
        model_type = "zoedepth"

    with pytest.raises(ConfigError, match=r"depth.model_output.*zoedepth"):
        predicted(Other(), "auto")
    assert predicted(Other(), "depth") == "depth"


def rewrite(folder, change) -> None:
    from safetensors.torch import load_file, save_file

    state = load_file(folder / "model.safetensors")
    change(state)
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: rewrite(f, lambda s: s.pop(max(k for k in s if k.startswith("head.")))), "1 missing"),
        (lambda f: rewrite(f, lambda s: s.update({"head.more": torch.zeros(2)})), "1 unexpected.*head.more"),
        (lambda f: (f / "model.safetensors").unlink(), "no model that can be used"),
        (lambda f: (f / "model.safetensors").write_bytes(b"\x00" * 40), "no model that can be used"),
        (lambda f: (f / "config.json").unlink(), "has no config.json"),
    ],
    ids=["missing", "unexpected", "no weights", "corrupt", "no config"],
)
def test_damaged_folders_are_named(model_folder, damage, message):
    damage(model_folder)
    with pytest.raises(StageError, match=message) as caught:
        TransformersDepth(settings(model_folder))
    assert str(model_folder) in str(caught.value)


def test_pickled_weights_are_not_read(tmp_path):
    from safetensors.torch import load_file

    save_dpt(tmp_path / "model")
    state = load_file(tmp_path / "model" / "model.safetensors")
    (tmp_path / "model" / "model.safetensors").unlink()
    torch.save(state, tmp_path / "model" / "pytorch_model.bin")
    with pytest.raises(StageError, match="no model that can be used"):
        TransformersDepth(settings(tmp_path / "model"))


def test_other_shapes_are_refused(tmp_path):
    save_dpt(tmp_path / "model")
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    config["fusion_hidden_size"] = 16
    (tmp_path / "model" / "config.json").write_text(json.dumps(config))
    with pytest.raises(StageError, match="model"):
        TransformersDepth(settings(tmp_path / "model"))


@pytest.mark.parametrize(
    ("model", "revision", "kind", "message"),
    [
        (None, None, ConfigError, "depth.model: is null"),
        ("no/such", None, ConfigError, "commit has to be named"),
        ("no/such", "main", ConfigError, "commit has to be named"),
        ("no/such", "0" * 40, StageError, "local cache at 0000"),
        ("/no/such/folder", None, StageError, "no such folder"),
    ],
)
def test_models_that_are_not_there(model, revision, kind, message):
    with pytest.raises(kind, match=message):
        TransformersDepth(DepthConfig(backend="transformers", model=model, revision=revision))


def test_a_pinned_commit_is_found_in_the_local_cache(tmp_path, monkeypatch):
    from huggingface_hub import constants

    commit = "0123456789abcdef" * 2 + "01234567"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    save_dpt(tmp_path / "hub" / "models--someone--dpt" / "snapshots" / commit)
    estimate = TransformersDepth(DepthConfig(backend="transformers", model="someone/dpt", revision=commit))
    assert estimate.folder.name == commit
    assert estimate(picture()).shape == (64, 64)
    with pytest.raises(StageError, match="local cache at ffff"):
        TransformersDepth(DepthConfig(backend="transformers", model="someone/dpt", revision="f" * 40))


# --- the stage -------------------------------------------------------------------------------------------------


def test_the_stage_with_a_learned_backend(tmp_path, layered, model_folder):
    scene = still_room(tmp_path, layered)
    run_depth(scene, settings(model_folder, long_side=56, align=False))
    disparity, confidence = scene.disparity(2)
    estimate = TransformersDepth(settings(model_folder, long_side=56))
    assert disparity == pytest.approx(resize(estimate(scene.image(2)), (48, 64), "bicubic"), rel=1e-5)
    assert np.allclose(confidence, 0.5)
    summary = scene.summary("depth")
    assert (summary["backend"], summary["metric"]) == ("transformers", False)
    # Aligned: random numbers fit nothing, or a wall; the stage says which.
    run_depth(scene, settings(model_folder, long_side=56))
    assert scene.summary("depth")["verdict"] in ("good", "doubtful", "poor")
    assert scene.disparity(2)[0].min() >= 0


def test_estimates_that_cannot_be_used_are_named(tmp_path, layered, monkeypatch):
    from nsff.priors.depth.learned import by_network

    scene = still_room(tmp_path, layered)
    for value, message in ((np.nan, "not finite"), (0.0, "no disparity above 0")):
        constant = np.full((32, 32), value, np.float32)
        backend = Backend("midas21", lambda depth, weights, c=constant: by_network("midas21", lambda image: c))
        monkeypatch.setitem(DEPTH.backends, "midas21", backend)
        with pytest.raises(StageError, match=f"frame 0.*{message}"):
            run_depth(scene, DepthConfig(backend="midas21"))
        assert not scene.depth_dir.exists()


def test_auto_takes_given_then_learned_then_classical(tmp_path, layered, midas_file):
    scene = still_room(tmp_path, layered)
    assert choose_backend(scene, DepthConfig()) == "classical"
    weights = tmp_path / "weights"
    weights.mkdir()
    (weights / MIDAS_FILE).write_bytes(midas_file.read_bytes())
    assert DEPTH.choose(DepthConfig()) == ("midas21", weights / MIDAS_FILE)
    assert choose_backend(scene, DepthConfig()) == "midas21"
    assert choose_backend(scene, DepthConfig(model="folder")) == "transformers"
    assert choose_backend(scene, DepthConfig(auto_order=["given", "classical"])) == "classical"  # preset demo
    (scene.given_dir / "depth").mkdir(parents=True)
    assert choose_backend(scene, DepthConfig()) == "given"
    assert choose_backend(scene, DepthConfig(auto_order=["learned", "given"])) == "midas21"
    (weights / MIDAS_FILE).unlink()
    with pytest.raises(ConfigError, match="none of these is there"):
        choose_backend(scene, DepthConfig(auto_order=["learned"]))
    with pytest.raises(
        StageError, match=f"{MIDAS_FILE}: weights midas-v21, which depth.backend asks for, are not found"
    ):
        run_depth(scene, DepthConfig(backend="midas21"))


def test_the_demo_preset_stays_classical(tmp_path):
    from nsff.config import resolve_scene

    demo = resolve_scene("a", {"input": {"path": "clip.mp4"}}, "demo_planes", {})
    assert "learned" not in demo.depth.auto_order
    published = resolve_scene("a", {"input": {"path": "clip.mp4"}}, "nsff", {}).depth
    assert (published.long_side, published.input_rule, published.upsampling) == (640, "nsff", "nearest")
