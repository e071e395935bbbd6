"""Many scenes: a plan of few lines, some that fail and stop no other, and a summary that says how to go on."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from nsff.cli import main
from nsff.config import load_config
from nsff.workflow.progress import stages_of

ROOT = Path(__file__).resolve().parents[2]
QUIET = ("--workflow-profile", str(ROOT / "profiles" / "quiet"))
PLAIN = {"field": {"features": False, "saliency": False}, "train": {"steps": 3, "checkpoint_every": 3}}


@pytest.fixture
def scenes(project, filmed, dense_writer):
    """A project, and a function that configures it with so many scenes of one clip, two of which are to fail."""
    dense_writer(project.folder / "clip", filmed(count=5))
    (project.folder / "broken.mp4").write_bytes(b"this is no video\n" * 100)

    def configure(count: int, **mended) -> None:
        good = {"input": {"path": "clip"}}
        bad = {"no_video": {"input": {"path": "broken.mp4"}}, "no_depth": {**good, "depth": {"backend": "given"}}}
        own = {f"scene_{i:02}": good for i in range(count - len(bad))} | bad | mended
        train = project.config.get("train", {}) | {"device": "cpu", "rays": 64, **PLAIN["train"]}
        project.configure(own, field=PLAIN["field"], train=train, canonical={"resize_height": 32})

    return configure


def test_a_quiet_plan_is_short(project, scenes):
    scenes(20)
    ended = project.snakemake("--dry-run", *QUIET)
    assert ended.status == 0, ended.text
    assert len(ended.text.splitlines()) < 40
    counted = project.snakemake("--dry-run", *QUIET, "--quiet", "rules", "host")
    assert len(counted.text.splitlines()) < 60
    assert re.search(r"^ingest +20$", counted.text, re.M)


def test_no_plan_prints_commands(project, scenes):
    """Settings of all stages of all scenes are thousands of characters a job."""
    scenes(3)
    ended = project.snakemake("--dry-run")
    assert ended.status == 0, ended.text
    assert "--options" not in ended.text


def test_status_knows_the_stages_that_run(planned_stages):
    for planned, told in planned_stages:
        assert planned == told


@pytest.fixture
def planned_stages(project):
    """By scene, the stages that the DAG has and those that status waits for."""
    (project.folder).mkdir(parents=True, exist_ok=True)
    (project.folder / "a.mp4").touch()
    (project.folder / "a.tar").touch()
    source = {"input": {"path": "a.mp4"}}
    own = {
        "plain": source,
        "no_features": {**source, "field": {"features": False, "saliency": False}},
        "no_objects": {**source, "field": {"saliency": False}},
        "points": {**source, "decompose": {"source": "points"}, "extract": {"enabled": True}},
        "paths": {**source, "render": {"paths": ["time", "view"]}},
        "released": {**source, "preset": "saff", "checkpoint": "a.tar", "field": {"kind": "mlp"}},
    }
    project.configure(own)
    (project.folder / "config.yaml").write_text(json.dumps({"scenes": own}))
    settings = load_config({"scenes": own}, project.folder)
    found: dict[str, set[str]] = {name: set() for name in own}
    for job in project.jobs():
        if scene := job["wildcards"].get("scene"):
            found[scene].add("_".join([job["rule"], *[v for k, v in job["wildcards"].items() if k == "path"]]))
    return [(found[name], set(stages_of(settings[name]))) for name in own]


def told(project, capsys) -> dict[str, dict]:
    capsys.readouterr()
    assert main(["status", str(project.folder), "--json"]) == 0
    return {scene["scene"]: scene for scene in json.loads(capsys.readouterr().out)}


@pytest.mark.slow
def test_twenty_scenes_two_of_which_fail(project, scenes, capsys):
    scenes(20)
    ended = project.snakemake(*QUIET)
    assert ended.status != 0
    lines = [line for line in ended.text.splitlines() if line.strip()]
    assert len(lines) < 20 * 16 + 40, ended.text[-3000:]
    assert "18 of 20 scenes are complete, 2 failed:" in ended.text
    assert re.search(
        r"no_video: ingest failed: error: .*broken\.mp4.*\(results/no_video/logs/ingest\.log\)", ended.text
    )
    assert re.search(r"no_depth: depth failed: error: .*\(results/no_depth/logs/depth\.log\)", ended.text)
    assert re.search(r"^scene_00: train: (good|doubtful|poor)$", ended.text, re.M)
    good = [f"scene_{i:02}" for i in range(18)]
    assert all((project.scene(name) / "report.html").stat().st_size for name in good)
    states = told(project, capsys)
    assert {name for name, scene in states.items() if scene["state"] == "done"} == set(good)
    assert (states["no_depth"]["state"], states["no_depth"]["stage"]) == ("failed", "depth")
    # As the summary says: mended, the same command goes on, and makes nothing again that was done.
    before = {name: (project.scene(name) / "report.html").stat().st_mtime_ns for name in good}
    scenes(20, no_video={"input": {"path": "clip"}}, no_depth={"input": {"path": "clip"}})
    ended = project.snakemake(*QUIET)
    assert ended.status == 0, ended.text[-3000:]
    assert "20 of 20 scenes are complete." in ended.text
    assert before == {name: (project.scene(name) / "report.html").stat().st_mtime_ns for name in good}
    assert {scene["state"] for scene in told(project, capsys).values()} == {"done"}
