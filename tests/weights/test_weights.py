"""The registry, the search for weights and the checks of files, on files made here; no network."""

from __future__ import annotations

import hashlib
import struct
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from nsff.cli import main
from nsff.config import FeaturesConfig, FlowConfig
from nsff.config.project import resolve_scene
from nsff.errors import WeightsError
from nsff.priors.features.stage import choose_backend as choose_features
from nsff.priors.flow.stage import choose_backend as choose_flow
from nsff.priors.registries import known_weights, weight_files
from nsff.weights import File, Weight, find, folders, hugging_face, locate, only, weight_named
from nsff.weights.check import check_sizes, verify
from nsff.weights.tensors import digest, read_tensors

KNOWN = known_weights()


@pytest.fixture(autouse=True)
def machine(tmp_path, monkeypatch) -> Path:
    """A machine without weights: an empty home and an empty folder named by NSFF_WEIGHTS, which is returned."""
    folder = tmp_path / "named"
    folder.mkdir()
    monkeypatch.setenv("NSFF_WEIGHTS", str(folder))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr("nsff.weights.search.CACHE", "~/.cache/nsff")
    return folder


def sparse(path: Path, size: int) -> Path:
    """A file of that many zeros that takes no room."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as stream:
        stream.truncate(size)
    return path


# --- the registry ----------------------------------------------------------------------------------------------------
def test_names_locations_and_hashes_are_well_formed():
    assert list(KNOWN) == [weight.name for weight in KNOWN.values()]
    assert len({weight.location for weight in KNOWN.values()}) == len(KNOWN)
    for weight in KNOWN.values():
        assert weight.licence and weight.source.startswith("https://") and weight.citation and weight.used_by
        for file in weight.files:
            for value in filter(None, (file.sha256, file.sha256_prefix, file.tensors_sha256)):
                assert set(value) <= set("0123456789abcdef")
                assert len(value) == (8 if value == file.sha256_prefix else 64)
            # Digits that a publisher put into the name are those that are checked.
            if file.sha256_prefix:
                assert file.name.rpartition("-")[2].startswith(file.sha256_prefix)
            assert file.url is None or file.url.startswith("https://")
            assert file.url or weight.note, "without an address the reader must be told what to do"


def test_torchvisions_files_are_torchvisions():
    from torchvision.models import VGG16_Weights
    from torchvision.models.detection import MaskRCNN_ResNet50_FPN_Weights
    from torchvision.models.optical_flow import Raft_Large_Weights, Raft_Small_Weights

    urls = {
        "raft-large-skht": Raft_Large_Weights.C_T_SKHT_V2, "raft-large-things": Raft_Large_Weights.C_T_V2,
        "raft-small-things": Raft_Small_Weights.C_T_V2, "vgg16": VGG16_Weights.IMAGENET1K_V1,
        "maskrcnn": MaskRCNN_ResNet50_FPN_Weights.COCO_V1,
    }  # fmt: skip
    for name, published in urls.items():
        assert KNOWN[name].files[0].url == published.url
        assert KNOWN[name].about_mib == pytest.approx(published.meta["_file_size"], abs=0.1)


def test_every_configured_model_has_an_entry():
    for name in FlowConfig.model_fields["raft_model"].annotation.__args__:
        assert name == "auto" or "raft" in KNOWN[name].used_by
    for name in FeaturesConfig.model_fields["dino_model"].annotation.__args__:
        assert name in KNOWN[name.replace("_", "-")].used_by


def test_unknown_names_bring_the_nearest():
    with pytest.raises(WeightsError, match="did you mean raft-things"):
        weight_named("raft-thing", KNOWN)


# --- search ----------------------------------------------------------------------------------------------------------
def test_the_named_folder_comes_before_the_cache(machine, tmp_path, monkeypatch):
    cache = tmp_path / "home" / ".cache" / "nsff"
    assert folders() == [machine, cache]
    assert find("a.pth") is None
    cached = sparse(cache / "a.pth", 1)
    assert find("a.pth") == cached
    named = sparse(machine / "a.pth", 1)
    assert find("a.pth") == named
    monkeypatch.delenv("NSFF_WEIGHTS")
    assert find("a.pth") == cached


def test_only_what_is_named_is_seen(machine, tmp_path):
    file = KNOWN["raft-small"].location
    sparse(machine / file, 1)
    other = sparse(tmp_path / "elsewhere" / file, 1)
    with only([]):
        assert locate(KNOWN["raft-small"]) is None
    with only([other]):
        assert locate(KNOWN["raft-small"]) == other
    assert locate(KNOWN["raft-small"]) == machine / file


# --- checks ----------------------------------------------------------------------------------------------------------
def entry(path: Path, **known) -> Weight:
    return Weight("net", (File(path.name, url="https://example.org/net.pth", **known),), "", "", "", "")


@pytest.fixture
def saved(machine) -> Path:
    torch.manual_seed(0)
    torch.save({"features.0": torch.rand(3, 4), "other": torch.arange(5)}, machine / "net.pth")
    return machine / "net.pth"


def test_what_agrees_is_said(saved):
    content = saved.read_bytes()
    sha256 = hashlib.sha256(content).hexdigest()
    whole = verify(entry(saved, size=len(content), sha256=sha256), saved)
    assert whole == "size and sha256 as recorded, tensors only"
    assert "first 8 digits" in verify(entry(saved, sha256_prefix=sha256[:8]), saved)
    assert verify(entry(saved), saved).startswith("no published hash")


def test_wrong_hashes_and_sizes_name_both_values(saved):
    sha256 = hashlib.sha256(saved.read_bytes()).hexdigest()
    size = saved.stat().st_size
    for known, message in (
        ({"sha256": "0" * 64}, [sha256, "0" * 64]),
        ({"sha256_prefix": "12345678"}, [sha256[:8], "12345678"]),
        ({"size": size + 7}, [str(size), str(size + 7), "truncated"]),
        ({"size": size - 7}, [str(size), str(size - 7), "another file"]),
        ({"tensors_sha256": "0" * 64}, ["tensors", "0" * 64]),
    ):
        with pytest.raises(WeightsError) as error:
            verify(entry(saved, **known), saved)
        assert error.value.subject == str(saved)
        for word in message:
            assert word in error.value.problem
        assert str(saved.parent) in error.value.remedy
        assert "https://example.org/net.pth" in error.value.remedy


def test_digest_by_hand(tmp_path):
    value = torch.tensor([[1.0, -2.0]])
    expected = hashlib.sha256(b"a torch.float32 (1, 2)\n" + struct.pack("<2f", 1, -2))
    assert digest({"b": torch.zeros(1), "a": value}, "a") == expected.hexdigest()
    torch.save({"a": value}, tmp_path / "a.pth")
    save_file({"a": value}, tmp_path / "a.safetensors")
    assert digest(read_tensors(tmp_path / "a.pth")) == digest(read_tensors(tmp_path / "a.safetensors"))
    assert digest({"a": value.t().contiguous()}) != expected.hexdigest()


def test_other_objects_than_tensors_are_refused_and_not_made(machine, tmp_path):
    touched, path = tmp_path / "touched", machine / "net.pth"

    class Dangerous:
        def __reduce__(self):
            return (Path.touch, (touched,))

    torch.save({"x": Dangerous()}, path)
    with pytest.raises(WeightsError, match="not readable as a file of tensors"):
        verify(entry(path), path)
    assert not touched.exists()
    torch.save([torch.zeros(2)], path)
    with pytest.raises(WeightsError, match="holds a list"):
        verify(entry(path), path)


def test_a_folder_is_checked_file_by_file(machine):
    files = [File("config.json"), File("model.safetensors", size=10)]
    weight = hugging_face("depth-x", "someone/depth-x", "0123abc", files, "depth", "MIT", "")
    assert weight.files[1].url == "https://huggingface.co/someone/depth-x/resolve/0123abc/model.safetensors"
    folder = machine / "depth-x"
    sparse(folder / "config.json", 3)
    assert locate(weight) == folder
    with pytest.raises(WeightsError, match=r"model\.safetensors: no such file"):
        check_sizes(weight, folder)
    sparse(folder / "model.safetensors", 9)
    with pytest.raises(WeightsError, match="9 bytes, expected 10"):
        check_sizes(weight, folder)
    save_file({"a": torch.zeros(2)}, folder / "model.safetensors")
    size = (folder / "model.safetensors").stat().st_size
    weight = hugging_face("depth-x", "someone/depth-x", "0", [files[0], File("model.safetensors", size)], "", "", "")
    assert "model.safetensors: no published hash, size as recorded, tensors only" in verify(weight, folder)


# --- which backend ---------------------------------------------------------------------------------------------------
def scene(**sections):
    return resolve_scene("clip", {"input": {"path": "clip.mp4"}}, "fast", sections)


def test_auto_takes_the_learned_backend_where_its_weights_are(machine):
    assert (
        weight_files("flow", scene())
        == weight_files("features", scene())
        == weight_files("depth_of_nothing", scene())
        == []
    )
    assert choose_flow(FlowConfig(), given=False) == "dis"
    small = sparse(machine / "raft-small.pth", KNOWN["raft-small"].size)
    assert weight_files("flow", scene()) == [small]
    large = sparse(machine / "raft-sintel.pth", KNOWN["raft-sintel"].size)
    assert weight_files("flow", scene()) == [large]
    assert weight_files("flow", scene(flow={"raft_model": "raft-small"})) == [small]
    assert choose_flow(FlowConfig(), given=False) == "raft"
    assert choose_flow(FlowConfig(), given=True) == "given"
    assert choose_flow(FlowConfig(backend="given_or_dis"), given=False) == "dis"
    assert choose_flow(FlowConfig(backend="given_or_dis"), given=True) == "given"
    assert choose_flow(FlowConfig(backend="raft"), given=True) == "raft"
    with only([]):
        assert choose_flow(FlowConfig(), given=False) == "dis"
    dino = sparse(machine / "dino_deitsmall8_pretrain.pth", 5)
    assert weight_files("features", scene()) == [dino]
    assert choose_features(FeaturesConfig()) == "dino"


def test_given_flow_needs_weights_for_frames_further_apart(machine):
    """Given flow is of neighbours: with flow.far the backend that auto stands for makes the rest, with its weights."""
    large = sparse(machine / "raft-sintel.pth", KNOWN["raft-sintel"].size)
    assert weight_files("flow", scene(flow={"backend": "given"})) == []
    assert weight_files("flow", scene(flow={"backend": "given", "far": [2]})) == [large]
    assert weight_files("flow", scene(flow={"backend": "given_or_dis", "far": [2]})) == []
    assert weight_files("flow", scene(flow={"backend": "auto", "far": [2]})) == [large]


def test_the_demo_does_not_depend_on_the_machine(machine):
    sparse(machine / "raft-sintel.pth", KNOWN["raft-sintel"].size)
    sparse(machine / "dino_deitsmall8_pretrain.pth", 5)
    demo = resolve_scene("clip", {"input": {"path": "clip.mp4"}}, "demo", {})
    assert weight_files("flow", demo) == weight_files("features", demo) == []
    assert choose_flow(demo.flow, given=False) == "dis"
    assert choose_features(demo.features) == "classical"


@pytest.mark.parametrize(
    ("stage", "sections", "message"),
    [
        ("flow", {"flow": {"backend": "raft"}}, ["raft-things", "raft-small", "flow.weights", "flow.backend: dis"]),
        (
            "features",
            {"features": {"backend": "dino"}},
            ["dino_deitsmall8_pretrain.pth", "nsff weights get dino-vits8"],
        ),
        ("features", {"features": {"backend": "vgg"}}, ["vgg16_features.pth", "features.backend: classical"]),
        ("flow", {"flow": {"weights": "gone.pth"}}, ["flow.weights", "gone.pth"]),
    ],
)
def test_weights_that_were_asked_for_are_required(stage, sections, message):
    with pytest.raises(WeightsError) as error:
        weight_files(stage, scene(**sections))
    for word in message:
        assert word in str(error.value)


def test_a_truncated_file_stops_before_any_job(machine):
    sparse(machine / "raft-sintel.pth", 1000)
    with pytest.raises(WeightsError, match=r"raft-sintel\.pth: has 1000 bytes, expected 21108000 \(truncated\)"):
        weight_files("flow", scene())


def test_stages_that_do_not_run_need_nothing():
    wanted = {"features": {"backend": "dino"}}
    assert weight_files("features", scene(**wanted, field={"features": False, "saliency": False})) == []


# --- the command -----------------------------------------------------------------------------------------------------
def test_list_and_verify(machine, capsys):
    assert main(["weights", "verify"]) == 0
    assert "no weights on this machine" in capsys.readouterr().out
    sparse(machine / "raft-small.pth", KNOWN["raft-small"].size)
    torch.save({"x": torch.zeros(1)}, machine / "dino_deitsmall8_pretrain.pth")
    assert main(["weights", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert next(line for line in lines if line.startswith("raft-small ")).endswith(str(machine / "raft-small.pth"))
    assert next(line for line in lines if line.startswith("raft-things ")).endswith("-")
    (machine / "raft-sintel.pth").touch()
    assert main(["weights", "list"]) == 0
    assert "raft-sintel.pth (damaged: nsff weights verify raft-sintel)" in capsys.readouterr().out
    (machine / "raft-sintel.pth").unlink()
    assert main(["weights", "list", "raft-things"]) == 0
    shown = capsys.readouterr().out
    for word in (KNOWN["raft-things"].files[0].sha256, "BSD-3-Clause", "ECCV 2020", "models.zip"):
        assert word in shown
    assert main(["weights", "verify"]) == 1
    printed = capsys.readouterr()
    assert "dino-vits8" in printed.out
    assert "no published hash" in printed.out
    assert KNOWN["raft-small"].files[0].sha256 in printed.err
    assert main(["weights", "verify", "raft-things"]) == 1
    assert "raft-things: not found" in capsys.readouterr().err
