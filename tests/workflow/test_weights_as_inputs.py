"""Pretrained weights in the workflow: inputs of the rules that load them; what was planned is what a stage uses."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch

from nsff.priors.registries import known_weights

sys.path.insert(0, str(Path(__file__).parents[1] / "priors"))
from raft_by_hand import random_state


@pytest.fixture
def machine(tmp_path) -> dict[str, str]:
    """The environment of a machine without weights; NSFF_WEIGHTS names an empty folder."""
    (tmp_path / "weights").mkdir()
    return {"NSFF_WEIGHTS": str(tmp_path / "weights"), "HOME": str(tmp_path)}


def put(machine, *names: str) -> list[str]:
    """Files of the size that the registry knows (zeros that take no room)."""
    paths = []
    for name in names:
        file = known_weights()[name].files[0]
        paths.append(Path(machine["NSFF_WEIGHTS"], file.name))
        with paths[-1].open("wb") as stream:
            stream.truncate(file.size or 100)
    return [str(path) for path in paths]


def jobs(project, machine, *targets: str):
    ended = project.snakemake(*targets, "--d3dag", "--quiet", environment=machine)
    assert ended.status == 0, ended.text
    return {job["rule"]: job for job in json.loads(ended.stdout.strip().splitlines()[-1])}


@pytest.fixture
def clip(project, tiny_clip):
    project.folder.mkdir(parents=True)
    (project.folder / "clip.mp4").symlink_to(tiny_clip.video)
    return {"input": {"path": "clip.mp4"}, "preset": "fast"}


def test_weights_are_inputs_of_the_rules_that_load_them(project, clip, machine):
    project.configure({"clip": clip}, train={"device": "auto"}, features={"components": 8})
    plain = jobs(project, machine)
    for rule in ("flow", "features", "depth", "motion"):
        assert not plain[rule]["input"].get("weights")
        assert not plain[rule]["resources"].get("gpu")
    raft, dino, midas, instances = put(machine, "raft-sintel", "dino-vits8", "midas-v21", "maskrcnn")
    learned = jobs(project, machine)
    assert learned["depth"]["input"]["weights"] in (midas, [midas])
    assert learned["motion"]["input"]["weights"] in (instances, [instances])
    assert learned["motion"]["resources"]["gpu"] == learned["depth"]["resources"]["gpu"] == 1
    assert learned["flow"]["input"]["weights"] in (raft, [raft])
    assert learned["features"]["input"]["weights"] in (dino, [dino])
    assert learned["flow"]["resources"]["gpu"] == learned["features"]["resources"]["gpu"] == 1
    for job in (plain["flow"], learned["flow"]):  # where it runs changes no result
        assert "train" not in json.loads(job["params"]["options"])


def test_scores_take_both_files_of_lpips_or_none(project, clip, machine):
    scored = clip | {"evaluation": [{"protocol": "self"}]}
    project.configure({"clip": scored}, train={"hold_out": 4}, score={"lpips": True})
    assert not jobs(project, machine)["score"]["input"].get("weights")
    (network,) = put(machine, "alexnet-features")
    assert not jobs(project, machine)["score"]["input"].get("weights")
    (layers,) = put(machine, "lpips-alexnet")
    assert jobs(project, machine)["score"]["input"]["weights"] == [network, layers]
    project.configure({"clip": scored}, train={"hold_out": 4}, score={"lpips": False})
    assert not jobs(project, machine)["score"]["input"].get("weights")


def test_the_demo_uses_none(project, clip, machine):
    put(machine, "raft-sintel", "dino-vits8")
    project.configure({"clip": clip | {"preset": "demo_planes"}})
    for job in jobs(project, machine).values():
        assert not job["input"].get("weights")


@pytest.mark.parametrize(
    ("sections", "names", "message"),
    [
        ({"flow": {"backend": "raft"}}, [], ["raft-things.pth", "not found", "nsff weights get raft-things"]),
        ({"features": {"backend": "dino"}}, ["raft-sintel"], ["dino_deitsmall8_pretrain.pth", "features.weights"]),
        ({"flow": {"weights": "gone.pth"}}, [], ["flow.weights", "no such file", "gone.pth"]),
    ],
)
def test_weights_that_are_asked_for_and_missing_stop_before_any_job(project, clip, machine, sections, names, message):
    put(machine, *names)
    project.configure({"clip": clip}, **sections)
    ended = project.snakemake(environment=machine)
    assert ended.status != 0
    for word in message:
        assert word in ended.text
    assert "Traceback" not in ended.text
    assert not (project.folder / "results").exists()


def test_a_truncated_file_stops_before_any_job(project, clip, machine):
    Path(machine["NSFF_WEIGHTS"], "raft-sintel.pth").write_bytes(b"some")
    project.configure({"clip": clip})
    ended = project.snakemake(environment=machine)
    assert ended.status != 0
    assert "has 4 bytes, expected 21108000 (truncated)" in ended.text
    assert not (project.folder / "results").exists()


MADE_WITHOUT = {
    "flow": {"backend": "dis", "weights": None},
    "motion": {"instances": "no weights of Mask R-CNN on this machine"},
    "depth": {"backend": "classical"},
    "features": {"backend": "classical"},
}
KEPT = {
    "flow": ("raft-sintel", "flow.backend: given_or_dis", {"flow": {"backend": "given_or_dis"}}),
    "motion": ("maskrcnn", "motion.instances: off", {"motion": {"instances": "off"}}),
    "depth": ("midas-v21", "depth.auto_order: [given, classical]", {"depth": {"auto_order": ["given", "classical"]}}),
    "features": ("dino-vits8", "features.backend: classical", {"features": {"backend": "classical"}}),
}


def test_new_weights_are_told_of_before_any_job_with_the_key_that_keeps_what_there_is(project, clip, machine):
    project.configure({"clip": clip})
    (project.scene("clip") / "summaries").mkdir(parents=True)
    for stage, values in MADE_WITHOUT.items():
        (project.scene("clip") / "summaries" / f"{stage}.json").write_text(json.dumps(values))
    assert "Other weights" not in project.snakemake("--dry-run", environment=machine).text
    for name, _, _ in KEPT.values():
        put(machine, name)
    said = project.snakemake("--dry-run", environment=machine).text
    kept: dict = {}
    for stage, (name, key, sections) in KEPT.items():
        line = f"Other weights. clip: {stage} was made with"
        (found,) = [text for text in said.splitlines() if text.startswith(line)]
        assert known_weights()[name].files[0].name in found
        assert f"set {key}." in found
        kept |= sections
    project.configure({"clip": clip}, **kept)
    assert "Other weights" not in project.snakemake("--dry-run", environment=machine).text


@pytest.mark.parametrize("stage", KEPT)
def test_the_key_that_keeps_it_re_runs_nothing(project, clip, machine, stage):
    """Its inputs and settings are those of a run without the weights."""
    project.configure({"clip": clip})
    before = jobs(project, machine, f"results/clip/summaries/{stage}.json")[stage]
    put(machine, KEPT[stage][0])
    project.configure({"clip": clip}, **KEPT[stage][2])
    after = jobs(project, machine, f"results/clip/summaries/{stage}.json")[stage]
    assert (before["input"], before["triggers"]) == (after["input"], after["triggers"])


def test_weights_that_are_gone_and_better_ones_are_told_of(project, clip, machine):
    project.configure({"clip": clip})
    (project.scene("clip") / "summaries").mkdir(parents=True)
    flow = project.scene("clip") / "summaries" / "flow.json"
    flow.write_text(json.dumps({"backend": "raft", "weights": "raft-sintel.pth"}))
    assert (
        "flow was made with raft-sintel.pth, whose weights are no longer found"
        in project.snakemake("--dry-run", environment=machine).text
    )
    put(machine, "raft-sintel")
    assert "Other weights" not in project.snakemake("--dry-run", environment=machine).text
    put(machine, "raft-things")
    assert "raft-things.pth comes before it" in project.snakemake("--dry-run", environment=machine).text
    flow.write_bytes(b"[")
    assert "Other weights" not in project.snakemake("--dry-run", environment=machine).text


@pytest.mark.slow
def test_the_stage_uses_what_was_planned(project, clip, machine):
    """First without weights; when a file is named, flow alone becomes stale, and RAFT makes it anew."""
    target = "results/clip/raw_flow"
    project.configure({"clip": clip}, flow={"iterations": 1, "long_side": 128})
    ended = project.snakemake(target, environment=machine)
    assert ended.status == 0, ended.text
    summary = project.scene("clip") / "summaries" / "flow.json"
    assert json.loads(summary.read_text())["backend"] == "dis"
    own = project.folder / "l'own (1).pth"
    torch.save(random_state("small"), own)
    project.configure({"clip": clip}, flow={"iterations": 1, "long_side": 128, "weights": own.name})
    stale = {rule for rule, job in jobs(project, machine, target).items() if job["runs"]}
    assert stale == {"flow"}
    ended = project.snakemake(target, environment=machine)
    assert ended.status == 0, ended.text
    found = json.loads(summary.read_text())
    assert (found["backend"], found["weights"]) == ("raft", own.name)
