"""All settings files of both published codes, and small ones of every family, against tables written by hand.

``CHANGES`` says for each family (the suffix of a file's name) in which settings here its files differ from preset saff
as it is, their ``_4``, or from preset nsff; every other setting must be the preset's. ``MEANING`` says for each key of
the files where its value must be found. Neither is read off the converter.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from nsff.cli import main
from nsff.config import load_config, resolve_scene
from nsff.config.published import convert
from nsff.errors import ConfigError
from nsff.training.schedule import for_frames

ALL = sorted((Path(__file__).parents[3] / "shared" / "published_configs").glob("*/config_*.txt"))
LEVELS = (0.3333, 0.3333, 0.3334)
NO_SALIENCY = {"field.saliency": False, "losses.w_saliency": 0.0}
OFFLINE = {"features.pyramid": "offline", "features.pyramid_weights": LEVELS}
RETRAINED = {"train.motion_rays": 0, "losses.decay_steps": 30_000, "losses.decay_by_frames": False}
CHANGES: dict[str, tuple[str, dict[str, object]]] = {
    "": ("nsff", {}),
    "_0": ("nsff", RETRAINED),
    "_0_nodep": ("nsff", {**RETRAINED, "losses.w_depth": 0.0}),
    "_0_norig": ("nsff", {**RETRAINED, "field.dynamic_only": True}),
    "_2": ("saff", {**NO_SALIENCY, "features.pyramid": "single"}),
    "_3": ("saff", {"features.pyramid": "single"}),
    "_4": ("saff", {}),
    "_4_nodep": ("saff", {"losses.w_depth": 0.0}),
    "_4_norig": ("saff", {"field.dynamic_only": True}),
    "_5": ("saff", {"losses.decay_extra": True}),
    "_6": ("saff", {**OFFLINE, "features.saliency_weights": (0.0, 0.0, 1.0)}),
    "_7": ("saff", OFFLINE),
    "_old": ("saff", {**OFFLINE, "features.pyramid_weights": (0.4, 0.4, 0.2)}),
    "_new": ("saff", {"features.saliency_weights": (0.0, 0.0, 1.0)}),
    "_nosal": ("saff", NO_SALIENCY),
}
WEAK, LOOSE = {"losses.w_depth": 0.02, "losses.w_flow": 0.01}, {"losses.w_scene_flow": 0.01}
OWN_DECAY = {"losses.decay_by_frames": False}
NERFIES = {"canonical.resize_height": 480, "train.learning_rate_decay_steps": 500_000, **OWN_DECAY}
RAW = {**NO_SALIENCY, "features.pyramid": "single", "field.feature_tanh": False, "field.shallow_features": False}
KID = {**NO_SALIENCY, "features.pyramid": "single", "losses.depth_full": True}
DYCHECK = {
    "canonical.resize_height": 400, "train.hold_out": 2, "losses.decay_steps": 48_000, **OWN_DECAY,
}  # fmt: skip
# Files that are no member of a family, by their whole name.
SINGLE: dict[str, tuple[str, dict[str, object]]] = {
    "balloon1-2": ("nsff", WEAK), "balloon2-2": ("nsff", WEAK), "playground": ("nsff", WEAK),
    "dynamicFace-2": ("nsff", LOOSE), "jumping": ("nsff", {**LOOSE, "losses.decay_steps": 48_000, **OWN_DECAY}),
    "broom": ("nsff", {**NERFIES, "losses.decay_steps": 196_000}),
    "curls": ("nsff", {**NERFIES, "losses.decay_steps": 60_000}),
    "kid-running": ("nsff", {"losses.decay_steps": 30_000, **OWN_DECAY}),
    "kid-running_2": ("nsff", RETRAINED),
    "kid-running_3": ("saff", RAW),
    "kid-running_4": ("saff", {**RAW, "losses.depth_full": True}),
    "kid-running_5": ("saff", {**KID, "field.feature_tanh": False}),
    "kid-running_6": ("saff", KID),
    "apple": ("saff", DYCHECK), "space-out": ("saff", DYCHECK), "spin": ("saff", DYCHECK),
    "movi_e_seq2": ("saff", {"canonical.resize_height": 256}),
    "movi_e_seq_eval_7": ("saff", {"canonical.resize_height": 256}),
}  # fmt: skip
FRAMES = {"broom": 196, "curls": 56, "kid-running": 30, "apple": 48, "space-out": 48, "spin": 48}
"""How many frames these scenes have; NVIDIA's have 24."""

# What the two codes declare and never use, or have for their own files and logs.
WITHOUT_MEANING = {
    "expname", "basedir", "dataset_type", "factor", "llffhold", "N_importance", "no_batching", "spherify",
}  # fmt: skip
MEANING = {
    "N_rand": "train.rays", "N_samples": "sampling.samples", "netwidth": "field.width",
    "raw_noise_std": "sampling.noise",
    "decay_depth_w": "losses.decay_depth", "decay_optical_flow_w": "losses.decay_flow", "chain_sf": "losses.chain",
    "decay_extra": "losses.decay_extra", "depth_full": "losses.depth_full", "disable_rigid": "field.dynamic_only",
    "w_depth": "losses.w_depth", "w_optical_flow": "losses.w_flow", "w_sm": "losses.w_smooth",
    "w_sf_reg": "losses.w_scene_flow", "w_cycle": "losses.w_cycle", "w_prob_reg": "losses.w_disocclusion",
    "w_entropy": "losses.w_entropy", "final_height": "canonical.resize_height", "dino_coe": "losses.w_features",
    "sal_coe": "losses.w_saliency", "shallow_dino": "field.shallow_features", "use_tanh": "field.feature_tanh",
    "start_frame": "input.start",
}  # fmt: skip


def plain(path: Path) -> dict[str, str]:
    """The lines of a file as they stand, without what the converter knows of values."""
    pairs = (re.split(r"\s*=\s*", line.strip(), maxsplit=1) for line in path.read_text().splitlines() if "=" in line)
    return {key: value.strip() for key, value in pairs}


def leaves(settings: dict, at: str = "") -> dict[str, object]:
    result: dict[str, object] = {}
    for key, value in settings.items():
        result |= leaves(value, f"{at}{key}.") if isinstance(value, dict) else {f"{at}{key}": value}
    return result


def check(path: Path, kind: tuple[str, dict[str, object]], n_frames: int) -> list[str]:
    """Every setting of the converted file; its notes."""
    preset, changes = kind
    scene = convert(path, n_frames=n_frames)
    assert set(scene.settings) <= {"preset", "input", "canonical", "features", "field", "sampling", "losses", "train"}
    resolved = resolve_scene(scene.name, scene.settings, "fast", {})
    found = leaves(resolved.model_dump())
    expected = leaves(resolve_scene("a", {"input": {"path": "-"}}, preset, {}).model_dump())
    raw = plain(path)
    expected |= changes | {"preset": preset, "input.path": raw["datadir"]}
    assert found == expected
    for key, text in raw.items():
        if key in MEANING:
            value = {"True": True, "False": False}.get(text)
            assert found[MEANING[key]] == (float(text) if value is None else value), key
    thousands = min(250, max(int(raw["decay_iteration"]), int(raw["end_frame"]) - int(raw["start_frame"])))
    assert for_frames(resolved, n_frames).losses.decay_steps == 1000 * thousands
    mining = int(raw["num_extra_sample"]) if raw["use_motion_mask"] == "True" else 0
    assert found["train.motion_rays"] == mining
    assert found["train.learning_rate_decay_steps"] == 1000 * int(raw.get("lrate_decay", 300))
    told = "\n".join(scene.notes)
    for key in ("use_viewdirs", "no_ndc", "lindisp"):
        assert raw[key] == str(key == "use_viewdirs") and key not in told
    handled = WITHOUT_MEANING | MEANING.keys() | {
        "datadir", "end_frame", "decay_iteration", "use_motion_mask", "num_extra_sample", "use_viewdirs", "no_ndc",
        "lindisp", "lrate_decay", "prep_dino", "use_multi_dino", "use_multi_dino_single_sal", "load_dino_dir",
        "load_feat_weight", "load_sal_weight",
    }  # fmt: skip
    assert raw.keys() <= handled
    assert ("use_multi_dino_single_sal: their program stops" in told) == ("use_multi_dino_single_sal" in raw)
    assert ("load_dino_dir: " in told) == ("load_dino_dir" in raw)
    assert ("load_dino_dir comes before use_multi_dino" in told) == (raw.keys() >= {"load_dino_dir", "use_multi_dino"})
    assert ("without prep_dino" in told) == ("dino_coe" in raw and "prep_dino" not in raw)
    assert ("train.hold_out is 2" in told) == (n_frames == 48)
    return scene.notes


@pytest.mark.skipif(not ALL, reason="needs ../shared/published_configs")
def test_there_are_138_files_and_every_family_is_among_them():
    assert len(ALL) == 138
    assert {family(path)[1] for path in ALL} == CHANGES.keys()


def family(path: Path) -> tuple[str, str]:
    """Scene and suffix of a file's name."""
    match = re.fullmatch(r"config_(.*?)(_\d(?:_no\w+)?|_old|_new|_nosal|)", path.stem)
    assert match
    return match[1], match[2]


@pytest.mark.skipif(not ALL, reason="needs ../shared/published_configs")
@pytest.mark.parametrize("path", ALL, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_every_published_file(path):
    name, (scene, suffix) = path.stem.removeprefix("config_"), family(path)
    check(path, SINGLE.get(name) or CHANGES[suffix], FRAMES.get(scene, 24))


COMMON = """\
expname = experiment
basedir = ./logs
datadir = data/Scene/dense
dataset_type = llff
factor = 2
llffhold = 10
N_rand = 1024
N_samples = 128
N_importance = 0
netwidth = 256
use_viewdirs = True
raw_noise_std = 1e0
no_ndc = False
lindisp = False
no_batching = True
spherify = False
decay_depth_w = True
decay_optical_flow_w = True
num_extra_sample = 512
chain_sf = True
w_sm = 0.1
w_cycle = 1.0
start_frame = 0
"""
PLAIN = COMMON + "w_optical_flow = 0.02\nw_sf_reg = 0.1\n"
BASELINE = PLAIN + "w_depth = 0.04\nuse_motion_mask = True\nend_frame = 24\ndecay_iteration = 25\n"
SHORT = PLAIN + "use_motion_mask = False\nend_frame = 30\ndecay_iteration = 30\n"
HEADS = "dino_coe = 0.04\ndepth_full = False\nshallow_dino = True\nuse_tanh = True\nprep_dino = True\n"
DEPTH, SAL, MULTI = "w_depth = 0.04\n", "sal_coe = 0.04\n", "use_multi_dino = True\n"
LOAD = "load_dino_dir = material/Scene/training\nload_feat_weight = [0.3333, 0.3333, 0.3334] \nload_sal_weight = "
SMALL = {
    "": BASELINE,
    "_0": SHORT + DEPTH,
    "_0_nodep": SHORT + "w_depth = 0.0\n",
    "_0_norig": SHORT + DEPTH + "disable_rigid = True",
    "_2": SHORT + DEPTH + HEADS,
    "_3": SHORT + DEPTH + HEADS + SAL,
    "_4": SHORT + DEPTH + HEADS + SAL + MULTI,
    "_4_nodep": SHORT + "w_depth = 0.0\n" + HEADS + SAL + MULTI,
    "_4_norig": SHORT + DEPTH + HEADS + SAL + MULTI + "disable_rigid = True\n",
    "_5": SHORT + DEPTH + HEADS + SAL + MULTI + "decay_extra = True",
    "_6": SHORT + DEPTH + HEADS + SAL + LOAD + "[0., 0., 1.]",
    "_7": SHORT + DEPTH + HEADS + SAL + LOAD + "[0.3333, 0.3333, 0.3334]\n",
    "_old": SHORT + DEPTH + HEADS + SAL + (LOAD + "[0.4, 0.4, 0.2]").replace("0.3333, 0.3333, 0.3334", "0.4, 0.4, 0.2"),
    "_new": SHORT + DEPTH + HEADS + SAL + "use_multi_dino_single_sal = True\n",
    "_nosal": SHORT + DEPTH + HEADS + MULTI + "sal_coe = 0.0\n",
}


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / f"config_{name}.txt"
    path.write_text(text)
    return path


@pytest.mark.parametrize("suffix", CHANGES)
def test_a_small_file_of_every_family(tmp_path, suffix):
    notes = check(write(tmp_path, f"scene{suffix}", SMALL[suffix]), CHANGES[suffix], 24)
    assert notes or suffix not in ("_6", "_7", "_old", "_new")
    assert not notes or suffix in ("_6", "_7", "_old", "_new")


@pytest.mark.parametrize("suffix", ["_6", "_old"])
def test_the_pyramid_on_disk_comes_before_the_one_that_is_computed(tmp_path, suffix):
    """Their start-up asks for load_dino_dir first, in whatever order the lines stand."""
    for number, text in enumerate((SMALL[suffix] + "\n" + MULTI, MULTI + SMALL[suffix])):
        check(write(tmp_path, f"scene{number}{suffix}", text), CHANGES[suffix], 24)
    dead = write(tmp_path, "dead", SMALL[suffix] + "\n" + MULTI + "use_multi_dino_single_sal = True\n")
    scene = convert(dead, n_frames=24)
    assert scene.settings["features"] == {"saliency_weights": (0.0, 0.0, 1.0)}
    assert "use_multi_dino_single_sal comes before load_dino_dir and use_multi_dino" in "\n".join(scene.notes)


def test_no_pyramid_is_no_pyramid(tmp_path):
    path = write(tmp_path, "a", SMALL["_4"].replace("use_multi_dino = True", "use_multi_dino = False"))
    assert resolve_scene("a", convert(path).settings, "fast", {}).features.pyramid == "single"


@pytest.mark.parametrize(("end", "n_frames", "start", "hold_out"), [
    (48, 48, 0, 2), (48, None, 0, 2), (60, 48, 0, 2), (48, 47, 0, 0), (47, 48, 0, 0), (49, 49, 0, 0), (50, 60, 2, 2),
    (60, None, 0, 0), (24, 24, 0, 0),
])  # fmt: skip
def test_odd_frames_are_held_out_of_exactly_48(tmp_path, end, n_frames, start, hold_out):
    """SAFF's rule for DyCheck counts the frames that are loaded; NSFF has no such rule."""
    change = {"end_frame = 30": f"end_frame = {end}", "start_frame = 0": f"start_frame = {start}"}
    for family_, expected in (("_4", hold_out), ("_0", 0)):
        text = SMALL[family_]
        for old, new in change.items():
            text = text.replace(old, new)
        scene = convert(write(tmp_path, "a", text), n_frames=n_frames)
        assert resolve_scene("a", scene.settings, "fast", {}).train.hold_out == expected
        asks = n_frames is None and end == 60 and family_ == "_4"
        said = any("holds odd frames out" in note for note in scene.notes)
        assert said == (hold_out == 2 or asks)


@pytest.mark.parametrize(("line", "key", "value"), [
    ("stride = 8", "features.dino_stride", 8), ("dino_batch = 2", "features.batch", 2),
    ("load_size = 224\nload_dino_size = 224", "features.short_side", 224),
    ("model_type = dino_vitb8", "features.dino_model", "dino_vitb8"), ("i_print = 500", "train.log_every", 500),
    ("render_factor = 2", "render.render_factor", 2), ("n_components = 32", "features.components", 32),
    ("load_sal_weight = [1, 0, 0]\nload_dino_dir = x", "features.saliency_weights", (1, 0, 0)),
])  # fmt: skip
def test_what_files_may_say_besides(tmp_path, line, key, value):
    scene = convert(write(tmp_path, "a", SMALL["_4"] + line + "\n"), n_frames=24)
    assert leaves(resolve_scene("a", scene.settings, "fast", {}).model_dump())[key] == value


@pytest.mark.parametrize(("line", "note"), [
    ("load_size = 224", "load_size is 224 and load_dino_size 128"), ("model_type = vit_tiny", "model_type vit_tiny"),
    ("load_feat_weight = [1, 0, 0]", "load_feat_weight without load_dino_dir has no effect"),
    ("load_dino_dir = x", "load_dino_dir without load_feat_weight"), ("layer = 9", "layer = 9 has no counterpart"),
])  # fmt: skip
def test_what_cannot_be_converted_is_told(tmp_path, line, note):
    assert note in "\n".join(convert(write(tmp_path, "a", SMALL["_4"] + line + "\n"), n_frames=24).notes)


def test_a_pyramid_without_features_is_told(tmp_path):
    scene = convert(write(tmp_path, "a", SMALL["_0"] + MULTI), n_frames=24)
    assert scene.settings["preset"] == "nsff"
    assert "use_multi_dino without dino_coe" in "\n".join(scene.notes)


def test_what_run_nerf_wrote_is_read_as_the_file_that_it_read(tmp_path):
    """args.txt in a log folder has every argument, those that were not given as None; editors may begin with a mark."""
    said = convert(write(tmp_path, "a", SMALL["_4"]), n_frames=24)
    more = "config = configs/config_a.txt\nft_path = None\nload_dino_dir = None\nrender_2D = True\nrender_factor = 0\n"
    path = tmp_path / "args.txt"
    path.write_bytes(("\ufeff" + more + SMALL["_4"]).encode())
    scene = convert(path, n_frames=24)
    assert (scene.settings, scene.notes) == (said.settings, said.notes)


@pytest.mark.parametrize(("line", "message"), [
    ("load_sal_weight = [1, 2]", "write three numbers"), ("load_feat_weight = 3", "write three numbers"),
    ("use_multi_dino = maybe", "not on or off"), ("end_frame = True", "not a number"),
])  # fmt: skip
def test_values_of_the_wrong_kind_stop(tmp_path, line, message):
    with pytest.raises(ConfigError, match=message):
        convert(write(tmp_path, "a", SMALL["_6"] + "\n" + line + "\n"))


def test_the_command_counts_the_frames_of_the_datadir(tmp_path, monkeypatch, capsys, picture_writer):
    """DyCheck: 48 frames lie where the file says, and the file that is written loads with its split."""
    import numpy as np

    monkeypatch.chdir(tmp_path)
    for i in range(48):
        picture_writer(tmp_path / "apple" / "dense" / f"{i:05d}.png", np.full((8, 8, 3), i, np.uint8))
    text = SMALL["_4"].replace("data/Scene/dense", "apple/dense").replace("end_frame = 30", "end_frame = 50")
    file = write(tmp_path, "apple", text)
    assert main(["import-config", str(file), "--out", "own.yaml"]) == 0
    assert "train.hold_out is 2" in capsys.readouterr().err
    assert yaml.safe_load((tmp_path / "own.yaml").read_text())["scenes"]["apple"]["train"] == {"hold_out": 2}
    scene = load_config(tmp_path / "own.yaml", tmp_path)["apple"]
    assert (scene.train.hold_out, scene.input.end, scene.losses.decay_steps) == (2, None, 50_000)
