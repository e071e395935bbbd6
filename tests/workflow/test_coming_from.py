"""docs/coming_from_nsff_saff.md: each of its commands is run, on small scenes in the layouts that it speaks of.

The fast tests ask each command what it would do; the slow one follows the page from the first command to the last.
"""

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from nsff.cli import _help, parsed
from nsff.config import SceneConfig, load_config
from nsff.config.old_names import PARAMETERS
from nsff.paths import make_path
from nsff.scene import Scene

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "coming_from_nsff_saff.md").read_text(encoding="utf-8")
BLOCKS = {
    kind: re.findall(rf"^```{kind}\n(.*?)^```", PAGE, flags=re.M | re.S) for kind in ("sh", "yaml")
}  # fmt: skip
COMMANDS = [line for block in BLOCKS["sh"] for line in block.splitlines() if line.strip()]
FILES = ("config.yaml", "saff.yaml", "released.yaml")
"""The configurations that the page shows."""
NETWORK = ("nsff weights get",)
"""What fetches files: its words are checked, and it is not run."""

# Networks of the published kind, as small as can be, and no weights of this machine; over the page's own settings.
SMALL = {
    "flow": {"backend": "given_or_dis"},
    "motion": {"instances": "off"},
    "depth": {"auto_order": ["given", "classical"]},
    "features": {"backend": "classical"},
    "field": {"depth": 2, "width": 16, "position_frequencies": 2, "direction_frequencies": 1},
    "train": {"steps": 20, "checkpoint_every": 20},
    "decompose": {"max_clusters": 3, "restarts": 1, "point_interval": 20},
    "crf": {"iterations": 1},
    "extract": {"clouds": 1},
}
# Every option of both READMEs, and of the code that they are of.
FLAGS = re.findall(
    r"\w+",
    """
config expname basedir datadir dataset_type data_path resize_height final_height model small mixed_precision
epi_threshold start_frame end_frame ft_path no_reload render_bt render_lockcam_slowmo render_slowmo_bt
render_slowmo_full target_idx render_factor render_test render_2D cluster_2D render_mode no_merge use_pos use_time
use_pcd cluster_pcd cluster_2D_flow cluster_finch extract_2D cluster_dir render_pcd render_pcd_color render_pcd_cluster
render_pcd_cluster_3D render_sal_3D root_dir render_dir raw_folder out_dir vis_folder gt_folder compact_depth
compact_rgb sdim_depth sdim_rgb threshold flip_fg netdepth netwidth multires multires_views i_embed use_viewdirs N_rand
N_samples perturb raw_noise_std lindisp no_ndc chunk netchunk lrate lrate_decay disable_rigid shallow_dino use_tanh
w_depth w_optical_flow w_sm w_sf_reg w_cycle w_prob_reg w_entropy decay_iteration decay_depth_w decay_optical_flow_w
decay_extra chain_sf depth_full use_motion_mask num_extra_sample dino_coe sal_coe n_components prep_dino use_multi_dino
load_dino_dir load_feat_weight load_sal_weight use_multi_dino_single_sal stride load_size load_dino_size model_type
facet layer bin dino_batch dino_weight flow_weight i_print i_img i_weights netdepth_fine netwidth_fine N_importance
no_batching testskip white_bkgd factor spherify llffhold load_algo n_cluster
""",
)
RELEASED = "logs/kid-running_ndc_5f_sv_of_sm_unify3_F00-30/360000.tar"


def named(label):
    """The page's YAML block whose first line is # {label}."""
    return yaml.safe_load(next(block for block in BLOCKS["yaml"] if block.startswith(f"# {label}\n")))


def sections_of(command):
    """What --config of a command lays over the file."""
    message = shlex.split(command)
    changes = message[message.index("--config") + 1 :] if "--config" in message else []
    return {key: yaml.safe_load(text) for key, _, text in (change.partition("=") for change in changes)}


def file_of(command):
    """The configuration that a command uses."""
    message = shlex.split(command)
    return message[message.index("--configfile") + 1] if "--configfile" in message else FILES[0]


def targets_of(command):
    message = shlex.split(command)
    return [word for word in message if word.startswith("results/")]


@pytest.fixture(scope="module")
def project(new_project, nvidia_writer, tiny):
    """The page's folder: data, configurations, and an old settings file."""
    project = new_project("page")
    folder = project.folder
    kid = nvidia_writer(folder / "data" / "nvidia_data_full", "Balloon1-2").parent
    (folder / "data" / "kid-running" / "dense").mkdir(parents=True)
    for name in ("images", "sparse"):
        shutil.copytree(kid / "dense" / name, folder / "data" / "kid-running" / "dense" / name)
    for label in FILES:
        content = {key: value for key, value in tiny.items() if key not in ("preset", "canonical")}
        for section, values in SMALL.items():
            content[section] = {**content.get(section, {}), **values}
        (folder / label).write_text(yaml.safe_dump(content | named(label)))
    (folder / "configs").mkdir()
    (folder / "configs" / "config_kid-running.txt").write_text(
        "expname = kid-running\ndatadir = /data/kid-running/dense\nfinal_height = 288\nN_rand = 1024\nN_samples = 128\n"
        "use_viewdirs = True\nraw_noise_std = 1e0\nno_ndc = False\nuse_motion_mask = True\nchain_sf = True\n"
        "w_depth = 0.04\nw_optical_flow = 0.02\nw_cycle = 1.0\ndecay_iteration = 30\nstart_frame = 0\nend_frame = 24\n"
    )
    (folder / RELEASED).parent.mkdir(parents=True)
    (folder / RELEASED).write_bytes(b"written later")
    return project


def run(project, command):
    """One command of the page, in the page's folder; returns its status and what it printed."""
    message = shlex.split(command)
    if message[0] == "snakemake":
        # Targets and --config take many values, so what is added comes first.
        own = [*message[1:], "--snakefile", str(ROOT / "Snakefile")]
        own[own.index("--cores") + 1] = "1"
        ended = project.server.run(project.folder, own)
        return ended.status, ended.text
    # The shell's own commands have patterns in them.
    own = [sys.executable, "-m", "nsff.cli", *message[1:]] if message[0] == "nsff" else ["sh", "-c", command]
    ended = subprocess.run(own, cwd=project.folder, text=True, capture_output=True)
    return ended.returncode, ended.stdout + ended.stderr


def test_the_page_has_commands_of_every_kind():
    assert len(COMMANDS) > 25
    assert {shlex.split(command)[0] for command in COMMANDS} == {"snakemake", "nsff", "mkdir", "cp"}
    assert {word for command in COMMANDS for word in targets_of(command)} >= {
        f"results/kid-running/{name}" for name in ("poses_bounds.npy", "depth", "flow", "motion_masks", "model")
    } | {f"results/Balloon1-2/{name}" for name in ("maps", "clusters", "masks", "masks_crf", "extracted")}


@pytest.mark.parametrize("command", [command for command in COMMANDS if command.startswith("nsff")])
def test_nsff_commands_are_understood(command):
    assert parsed(shlex.split(command)[1:]).func is not _help


def test_snakemake_commands_would_run(project):
    """One dry run of all targets a configuration; then the settings of each command against the models."""
    for file in FILES:
        own = [c for c in COMMANDS if c.startswith("snakemake") and file == file_of(c)]
        assert own, file
        targets = sorted({target for command in own for target in targets_of(command)})
        command = f"snakemake -n --configfile {file} --cores all {shlex.join(targets)}"
        status, text = run(project, command + (" reproduce" if file == "saff.yaml" else ""))
        assert status == 0, text[-3000:]
        content = yaml.safe_load((project.folder / file).read_text())
        for command in own:
            changed = dict(content)
            for name, values in sections_of(command).items():
                changed[name] = {**content.get(name, {}), **values}
            load_config(changed, project.folder)


@pytest.mark.parametrize(
    ("part", "kind", "times", "still"),
    [
        ("renders/view.mp4 --config 'render={target: 10, frames: 60, p", "view", [10.0] * 60, False),
        ("renders/time.mp4", "time", np.linspace(0, 16, 161), True),
        ("kid-running/renders/spacetime.mp4", "spacetime", np.linspace(0, 20, 201), False),
        ("follow: false", "spacetime", np.linspace(0, 20, 201), False),
    ],
)
def test_paths_are_the_published_ones(project, part, kind, times, still):
    """Times of NSFF's and SAFF's render modes, by the settings that the page gives."""
    command = next(command for command in COMMANDS if part in command)
    render = sections_of(command)["render"]
    from nsff.datasets.registry import open_source

    cameras = open_source(project.folder / "data" / "kid-running" / "dense").cameras().cameras
    path = make_path(
        kind, cameras, render["frames"], render.get("target"), 48.0, render.get("start"), render.get("end"),
        render.get("follow", True),
    )  # fmt: skip
    np.testing.assert_allclose(path.times, times)
    spread = np.ptp(path.cameras.centres, axis=0).max()
    assert (spread < 1e-9) == still


def test_every_flag_has_a_row_and_every_key_exists():
    """Keys are checked by tests/test_documents.py as well; here each row has one, a file, a command, or says None."""
    rows = re.findall(r"^\| (.*?) \| (.*?) \|$", PAGE.split("## Every flag")[1], re.M)
    rows = [row for row in rows if row[0] not in ("theirs", "---")]
    named_flags = [flag for theirs, _ in rows for flag in re.findall(r"`-{0,2}(\w+)`", theirs)]
    assert set(FLAGS) - set(named_flags) == set()
    assert [flag for flag in named_flags if named_flags.count(flag) > 1 and flag not in ("model",)] == []
    keys = 0
    for theirs, ours in rows:
        found = re.findall(r"`([a-z]+)\.(\w+)(?:: [^`]*)?`", ours)
        for section, key in found:
            if section in SceneConfig.model_fields:
                assert key in SceneConfig.model_fields[section].annotation.model_fields, (theirs, section, key)
                keys += 1
        assert found or "None" in ours or "`" in ours or "results/" in ours, theirs
    assert keys > 60


def test_the_page_agrees_with_the_table_of_old_names():
    """Hints for old names in a configuration, import-config and the page say the same."""
    rows = re.findall(r"^\| (.*?) \| (.*?) \|$", PAGE.split("## Every flag")[1], re.M)
    here = {flag: ours for theirs, ours in rows for flag in re.findall(r"`-{0,2}(\w+)`", theirs)}
    assert set(PARAMETERS) <= set(here), set(PARAMETERS) - set(here)
    lost = [name for name, old in PARAMETERS.items() if old.here and f"`{old.here}" not in here[name]]
    assert lost == []


def test_the_readmes_commands_are_on_the_page(shared):
    """Every script and every option in a command of either README."""
    for name in ("nsff_readme.txt", "saff_readme.txt"):
        text = (shared / "seeds" / name).read_text(encoding="utf-8")
        for command in re.findall(r"python \w+\.py[^`\n]*|\./\w+\.sh", text):
            script = re.match(r"python (\w+\.py)|\./(\w+\.sh)", command)
            assert (script[1] or script[2]) in PAGE, command
            for option in re.findall(r"--(\w+)", command):
                assert f"--{option}" in PAGE, command


@pytest.mark.slow
def test_the_page_from_the_first_command_to_the_last(project):
    folder = project.folder
    for command in COMMANDS:
        if command.startswith(NETWORK):
            continue
        status, text = run(project, command)
        assert status == 0, f"{command}\n{text[-4000:]}"
        for target in targets_of(command):
            assert (folder / target).exists() or command.startswith("cp"), command
        if command.startswith("nsff export-checkpoint"):
            shutil.copy(folder / "360000.tar", folder / RELEASED)
        if "renders/" in command:
            number_of_pictures(folder, command)
        if "oracle: true" in command:
            assert "oracle_crf" in set(pd.read_csv(folder / targets_of(command)[0]).variant)
        if "nsff score" in command:
            assert "jaccard" in text, text
            assert "--pred collected/" in command or "mean: scenes count alike (1:" in text, text
    # What came with the scene was used, and nothing but the pictures where there were pictures alone.
    given = {"cameras": True, "points": True, "depth": True, "flow": True, "masks": True}
    assert Scene(folder / "results" / "Balloon1-2").manifest["given"] == given
    pictures_alone = {"cameras": True, "points": True, "depth": False, "flow": False}
    assert Scene(folder / "results" / "kid-running").manifest["given"] == pictures_alone
    imported = load_config(yaml.safe_load((folder / "kid-running.yaml").read_text()), folder)
    assert imported["kid-running"].preset == "nsff"
    scores = pd.read_csv(folder / "results" / "Balloon1-2" / "scores.csv")
    assert {"clusters", "processed", "crf", "raw"} <= set(scores.variant)
    assert {"ari_reference", "fg_ari_reference", "jaccard", "psnr_reference"} <= set(scores.metric)
    views = pd.read_csv(folder / "results" / "balloon1_nsff" / "score_pictures" / "per_view.csv")
    assert views[views.variant == "raw"]["view"].nunique() == 264
    assert "Balloon1-2" in (folder / "results" / "reproduce.csv").read_text()


def number_of_pictures(folder, command):
    """A video has as many frames as were asked for, and so has the folder of pictures beside it."""
    render = sections_of(command)["render"]
    video = folder / targets_of(command)[0]
    summary = json.loads((video.parents[1] / "summaries" / f"render_{video.stem}.json").read_text())
    assert summary["frames"] == render["frames"]
    pictures = sorted(path.name for path in video.with_suffix("").glob("*.png"))
    expected = [f"{i:03d}.png" for i in range(render["frames"])] if render.get("pictures") else []
    assert pictures == expected, command
