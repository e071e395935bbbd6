"""The authors' config files, written in their form, become scenes with the published settings."""

import pytest
import yaml

from nsff.cli import main
from nsff.config import load_config, resolve_scene
from nsff.config.published import convert, read_published
from nsff.errors import ConfigError

NSFF = """\
expname = experiment_{scene}
basedir = ./logs
datadir = /home/somebody/data/{scene}/dense
dataset_type = llff
factor = 2
llffhold = 8
N_rand = 1024
N_samples = 128
N_importance = 0
use_viewdirs = True
raw_noise_std = 1e0
no_ndc = False
decay_depth_w = True
use_motion_mask = True
decay_optical_flow_w = True
w_depth = {w_depth}
w_optical_flow = {w_flow}
w_sm = 0.1
w_sf_reg = {w_sf_reg}
w_cycle = 1.
w_prob_reg = 0.1
chain_sf = True
start_frame = 0
end_frame = 24
decay_iteration = {decay}
num_extra_sample = 512
target_idx = 10
"""
# docs/methods.md#weights-and-schedule, the weights of single scenes.
SCENES = {
    "balloon1-2": (0.02, 0.01, 0.1, 25), "balloon2-2": (0.02, 0.01, 0.1, 25), "playground": (0.02, 0.01, 0.1, 25),
    "dynamicFace-2": (0.04, 0.02, 0.01, 25), "jumping": (0.04, 0.02, 0.01, 48), "skating": (0.04, 0.02, 0.1, 25),
    "truck2": (0.04, 0.02, 0.1, 25), "umbrella": (0.04, 0.02, 0.1, 25),
}  # fmt: skip
SAFF = """\
# SAFF's published setting, suffix _4
expname = experiment_balloon1-2_2_multi
datadir = ../../data/nvidia_data_full/Balloon1-2/dense
N_rand = 1024
N_samples = 128
use_viewdirs = True
raw_noise_std = 1e0
use_motion_mask = False
decay_depth_w = True
decay_optical_flow_w = True
w_cycle = 1.0
chain_sf = True
end_frame = 30
decay_iteration = 30
dino_coe = 0.04
sal_coe = 0.04
n_components = 64
shallow_dino = True
use_tanh = True
prep_dino = True
use_multi_dino = True
"""


def write(folder, name: str, text: str):
    path = folder / f"config_{name}.txt"
    path.write_text(text)
    return path


def resolved(scene):
    return resolve_scene(scene.name, scene.settings, "fast", {})


@pytest.mark.parametrize("name", SCENES)
def test_nsffs_scenes_have_their_own_weights(tmp_path, name):
    w_depth, w_flow, w_sf_reg, decay = SCENES[name]
    text = NSFF.format(scene=name, w_depth=w_depth, w_flow=w_flow, w_sf_reg=w_sf_reg, decay=decay)
    scene = convert(write(tmp_path, name, text), n_frames=24)
    found = resolved(scene)
    assert (scene.name, found.preset, found.input.end, scene.notes) == (name, "nsff", None, [])
    assert (found.losses.w_depth, found.losses.w_flow, found.losses.w_scene_flow) == (w_depth, w_flow, w_sf_reg)
    assert found.losses.decay_steps == 1000 * decay
    assert (found.train.rays, found.train.motion_rays, found.sampling.samples) == (1024, 512, 128)
    assert not found.field.features


def test_a_scene_without_particulars_is_the_preset(tmp_path):
    text = NSFF.format(scene="umbrella", w_depth=0.04, w_flow=0.02, w_sf_reg=0.1, decay=25).replace("target_idx", "#")
    scene = convert(write(tmp_path, "umbrella", text), n_frames=24)
    assert scene.settings == {"preset": "nsff", "input": {"path": "/home/somebody/data/umbrella/dense"}}
    scene = convert(write(tmp_path, "balloon1-2_4", SAFF), n_frames=24)
    assert scene.settings == {"preset": "saff", "input": {"path": "../../data/nvidia_data_full/Balloon1-2/dense"}}
    assert scene.notes == []


def test_what_a_file_leaves_out_is_the_default_of_their_parser(tmp_path):
    found = resolved(convert(write(tmp_path, "bare", "datadir = d\nuse_viewdirs = True\n"), n_frames=99))
    assert (found.train.rays, found.sampling.samples, found.sampling.noise) == (4096, 64, 0)
    assert (found.losses.w_cycle, found.losses.decay_steps, found.losses.chain) == (0.1, 50_000, False)
    assert (found.losses.decay_depth, found.losses.decay_flow, found.train.motion_rays) == (False, False, 0)
    assert (found.input.end, found.train.learning_rate_decay_steps) == (50, 300_000)


@pytest.mark.parametrize(("frames", "decay", "expected"), [
    ((0, 24), 25, 25_000), ((0, 48), 30, 48_000), ((4, 60), 50, 56_000), ((0, 400), 30, 250_000),
])  # fmt: skip
def test_the_decay_follows_the_number_of_frames(tmp_path, frames, decay, expected):
    text = f"datadir = d\nstart_frame = {frames[0]}\nend_frame = {frames[1]}\ndecay_iteration = {decay}\n"
    assert resolved(convert(write(tmp_path, "a", text))).losses.decay_steps == expected


@pytest.mark.parametrize(("line", "section", "key", "value"), [
    ("disable_rigid = True", "field", "dynamic_only", True),
    ("decay_extra = True", "losses", "decay_extra", True),
    ("depth_full = True", "losses", "depth_full", True),
    ("w_depth = 0", "losses", "w_depth", 0),
    ("final_height = 400", "canonical", "resize_height", 400),
    ("lrate_decay = 500", "train", "learning_rate_decay_steps", 500_000),
    ("lrate = 1e-3", "train", "learning_rate", 1e-3),
    ("multires = 6", "field", "position_frequencies", 6),
    ("n_components = 32", "features", "components", 32),
    ("use_tanh = False", "field", "feature_tanh", False),
    ("sal_coe = 0", "field", "saliency", False),
    ("ft_path = logs/360000.tar", "checkpoint", None, "logs/360000.tar"),
])  # fmt: skip
def test_single_settings(tmp_path, line, section, key, value):
    scene = convert(write(tmp_path, "a", SAFF + line + "\n"), n_frames=24)
    found = getattr(resolved(scene), section)
    assert (found if key is None else getattr(found, key)) == value


def test_lines_as_their_parser_reads_them(tmp_path):
    path = write(
        tmp_path, "a", "[main]\na = 1 # one\n--b: [1, 2, 3]\n; nothing\nc\nd = 5e-4\ne = ./x_1/y\nf = True\ng =\n"
    )
    assert read_published(path) == {"a": 1, "b": [1, 2, 3], "c": True, "d": 5e-4, "e": "./x_1/y", "f": True, "g": False}


def test_what_has_no_counterpart_is_told(tmp_path):
    text = SAFF + "lindisp = True\nno_ndc = True\nfacet = token\nload_dino_dir = x\nfoo = 3\nrender_2D = True\n"
    notes = "\n".join(convert(write(tmp_path, "a", text)).notes)
    for word in ("lindisp", "no_ndc", "facet", "load_dino_dir", "not known: foo", "end_frame is 30"):
        assert word in notes
    assert "render_2D" not in notes


@pytest.mark.parametrize(("text", "message"), [
    ("N_rand = many\ndatadir = d\n", "N_rand is 'many', not a number"),
    ("N_rand = 1024\n", "names no datadir"),
    ("this is no setting at all\n", "line 1 is not understood"),
    ("# nothing\n", "has no settings"),
])  # fmt: skip
def test_files_that_are_not_one(tmp_path, text, message):
    with pytest.raises(ConfigError, match=rf"config_a\.txt: {message}"):
        convert(write(tmp_path, "a", text))
    with pytest.raises(ConfigError, match=r"config_b\.txt: is not readable"):
        convert(tmp_path / "config_b.txt")


def test_the_command_writes_a_file_that_loads(tmp_path, capsys, monkeypatch, picture_writer):
    import numpy as np

    monkeypatch.chdir(tmp_path)
    for i in range(24):
        picture_writer(tmp_path / "scene" / f"{i:05d}.png", np.full((8, 8, 3), i, np.uint8))
    file = write(tmp_path, "balloon1-2_4", SAFF)
    assert main(["import-config", str(file), "--path", "scene", "--out", "own.yaml"]) == 0
    scene = load_config(tmp_path / "own.yaml")["balloon1-2_4"]
    assert (scene.preset, scene.input.path, scene.input.end) == ("saff", "scene", None)
    assert main(["import-config", str(file), "--path", "scene", "--out", "own.yaml"]) == 1
    assert "exists already" in capsys.readouterr().err
    other = write(tmp_path, "other", SAFF)
    assert main(["import-config", str(file), str(other)]) == 0
    printed = capsys.readouterr()
    assert list(yaml.safe_load(printed.out)["scenes"]) == ["balloon1-2_4", "other"]
    assert "note: config_other.txt: end_frame is 30" in printed.err
    assert main(["import-config", str(file), str(other), "--path", "scene"]) == 1


def test_the_export_command_names_what_it_lacks(tmp_path, capsys):
    assert main(["export-checkpoint", str(tmp_path), str(tmp_path / "x.tar")]) == 1
    assert "model.json: missing" in capsys.readouterr().err
