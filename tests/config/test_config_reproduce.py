"""Section reproduce: which folders are scenes of a protocol, and what settings they get."""

from pathlib import Path

import pytest

from nsff.config import load_config, reproduced
from nsff.config.reproduce import ReproduceConfig, find_scenes, gt_masks, nvidia_scene
from nsff.errors import ConfigError


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


@pytest.fixture
def nvidia(tmp_path) -> Path:
    """Three scenes as SAFF keeps them, masks in a folder beside, two released checkpoints, and something else."""
    root = tmp_path / "data"
    for name in ("Balloon1-2", "Playground", "Umbrella"):
        touch(root / "nvidia" / name / "dense" / "mv_images" / "00000" / "cam01.jpg")
    for name in ("Balloon1-2", "playground"):
        touch(root / "gt_masks" / name / "training_ 0.png")
    for step in ("000000", "360000", "1000000"):
        touch(root / "checkpoints" / "Balloon1-2" / f"{step}.tar")
    touch(root / "checkpoints" / "balloon2" / "1.tar", root / "nvidia" / "notes" / "readme.txt")
    return tmp_path


def found(root: Path, **settings):
    return find_scenes(ReproduceConfig(**settings), root)


def test_scenes_of_a_protocol_of_pictures(nvidia):
    scenes = found(nvidia, protocol="nsff24", folder="data/nvidia")
    assert list(scenes) == ["Balloon1-2", "Playground", "Umbrella"]
    own = scenes["Playground"]
    assert own["preset"] == "nsff"
    assert own["overlays"] == ["nsff_playground"]
    assert own["input"] == {"path": "data/nvidia/Playground"}
    assert own["evaluation"] == [{"protocol": "nsff24", "truth": "data/nvidia/Playground"}]
    assert scenes["Umbrella"]["overlays"] == []


def test_released_checkpoints_by_number_and_spelling(nvidia):
    scenes = found(nvidia, protocol="nsff24", folder="data/nvidia")
    assert scenes["Balloon1-2"]["checkpoint"] == "data/checkpoints/Balloon1-2/1000000.tar"
    # The weights of the losses have nothing to say there.
    assert scenes["Balloon1-2"]["overlays"] == []
    assert "checkpoint" not in scenes["Playground"]
    trained = found(nvidia, protocol="nsff24", folder="data/nvidia", use_checkpoints=False)
    assert "checkpoint" not in trained["Balloon1-2"]
    assert trained["Balloon1-2"]["overlays"] == ["nsff_balloon1"]
    other = nvidia / "other" / "balloon1"
    touch(other / "360000.tar")
    scenes = found(nvidia, protocol="nsff24", folder="data/nvidia", checkpoints="other")
    assert scenes["Balloon1-2"]["checkpoint"] == "other/balloon1/360000.tar"
    with pytest.raises(ConfigError, match=r"reproduce\.checkpoints: no such folder"):
        found(nvidia, protocol="nsff24", folder="data/nvidia", checkpoints="nowhere")


def test_saffs_scenes_have_masks(nvidia):
    scenes = found(nvidia, protocol="saff", folder="data/nvidia")
    assert list(scenes) == ["Balloon1-2", "Playground"]
    assert scenes["Playground"] | {"overlays": []} == {
        "preset": "saff", "overlays": [], "input": {"path": "data/nvidia/Playground"},
        "evaluation": [{"protocol": "saff", "truth": "data/nvidia/Playground"}],
    }  # fmt: skip
    assert scenes["Playground"]["overlays"] == ["on_saff"]
    assert gt_masks(nvidia / "data" / "nvidia" / "Playground") == nvidia / "data" / "gt_masks" / "playground"


@pytest.mark.parametrize(("protocol", "files", "overlays"), [
    ("dynnerf12", ["images/000.png", "gt/v000_t001.png"], ["on_dynnerf12"]),
    ("dycheck", ["colmap_masks/00000.png.png", "dense/images/00000.png"], ["on_dycheck"]),
    ("iphone", ["dataset.json", "camera/0_00000.json"], ["on_iphone"]),
    ("views", ["truth/cameras.json"], []),
    ("masks", ["labels/00000.png"], []),
])  # fmt: skip
def test_every_layout_is_recognised(tmp_path, protocol, files, overlays):
    touch(*(tmp_path / "all" / "one" / file for file in files), tmp_path / "all" / "two" / "something.png")
    scenes = found(tmp_path, protocol=protocol, folder="all")
    assert list(scenes) == ["one"]
    assert scenes["one"]["overlays"] == overlays
    # The folder may be a scene itself.
    assert list(found(tmp_path, protocol=protocol, folder="all/one")) == ["one"]


def test_settings_of_the_file_hold_for_all(nvidia):
    content = {
        "reproduce": {"protocol": "dynnerf12", "folder": "dyn", "preset": "fast", "overlays": ["_4_nodep"]},
        "train": {"steps": 7}, "canonical": {"resize_height": 96},
    }  # fmt: skip
    touch(nvidia / "dyn" / "Jumping" / "images" / "0.png", nvidia / "dyn" / "Jumping" / "v000_t000.png")
    scene = load_config(content, nvidia)["Jumping"]
    assert (scene.preset, scene.train.steps, scene.canonical.resize_height) == ("fast", 7, 96)
    assert scene.overlays == ["on_dynnerf12", "_4_nodep"]
    assert scene.losses.w_depth == 0
    assert reproduced(content, nvidia) == ["Jumping"]
    assert reproduced({"scenes": {}}, nvidia) == []
    without = load_config({**content, "canonical": {}}, nvidia)["Jumping"]
    assert without.canonical.resize_height == 270


def test_what_cannot_be_found_is_named(nvidia):
    with pytest.raises(ConfigError, match=r"reproduce\.folder: no such folder: x"):
        found(nvidia, protocol="saff", folder="x")
    with pytest.raises(ConfigError, match="has no scene in the layout of protocol dynnerf12"):
        found(nvidia, protocol="dynnerf12", folder="data/nvidia")
    with pytest.raises(ConfigError, match=r"reproduce\.overlays: unknown overlay"):
        found(nvidia, protocol="nsff24", folder="data/nvidia", overlays=["_9"])
    with pytest.raises(ConfigError, match=r"reproduce\.protocol"):
        load_config({"reproduce": {"protocol": "nsff", "folder": "data"}}, nvidia)
    touch(nvidia / "clip.mp4")
    content = {
        "reproduce": {"protocol": "nsff24", "folder": "data/nvidia"},
        "scenes": {"Umbrella": {"input": {"path": "clip.mp4"}}},
    }
    with pytest.raises(ConfigError, match=r"scenes\.Umbrella: is also found"):
        load_config(content, nvidia)


@pytest.mark.parametrize(("name", "scene"), [
    ("Balloon1-2", "balloon1"), ("balloon1", "balloon1"), ("Balloon2-2", "balloon2"), ("Balloon2", "balloon2"),
    ("truck2", "truck"), ("Truck-2", "truck"), ("DynamicFace-2", "dynamicface"), ("Skating", "skating"),
    ("playground", "playground"), ("apple", None), ("scene-2", None),
])  # fmt: skip
def test_spellings_of_nvidias_scenes(name, scene):
    assert nvidia_scene(name) == scene
