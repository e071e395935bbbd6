"""profiles/generic through a stand-in for PBS (sandbox/scheduler), and what its status scripts make of answers."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
SCHEDULER = Path(__file__).with_name("sandbox") / "scheduler"
PROFILE = ROOT / "profiles" / "generic"


@pytest.fixture
def through_pbs(project, filmed, dense_writer, tmp_path, environment):
    """A function that runs the workflow up to ``target`` in a project with a copy of the profile, as at a site."""
    pytest.importorskip("snakemake_executor_plugin_cluster_generic")
    dense_writer(project.folder / "clip", filmed(count=5))
    project.configure({"clip": {"input": {"path": "clip"}}})
    shutil.copytree(PROFILE, project.folder / "profiles" / "generic")
    (tmp_path / "scheduler").mkdir()
    path = os.pathsep.join([str(SCHEDULER), environment["PATH"]])
    variables = os.environ | environment | {"PATH": path, "SCHEDULER": str(tmp_path / "scheduler")}
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--configfile", "config.yaml"]
    command += ["--workflow-profile", "profiles/generic", "--jobs", "2", "--latency-wait", "5"]
    command += ["--seconds-between-status-checks", "1"]

    def run(*targets: str) -> subprocess.CompletedProcess[str]:
        full = [*command[:3], *targets, *command[3:]]
        return subprocess.run(full, cwd=project.folder, env=variables, capture_output=True, text=True)

    return run


def test_jobs_go_through_the_schedulers_commands(through_pbs, project, tmp_path):
    """Frames are there already: one job is enough. The slow test below has one that waits for another."""
    assert project.snakemake("results/clip/manifest.json").status == 0
    ended = through_pbs("results/clip/raw_flow")
    assert ended.returncode == 0, ended.stderr[-3000:]
    assert (project.scene("clip") / "raw_flow").is_dir()
    asked = (tmp_path / "scheduler" / "asked").read_text().splitlines()
    assert [line.split("-N ")[1].split()[0] for line in asked] == ["flow"]
    assert "select=1:ncpus=4:mem=4000mb:ngpus=0" in asked[0]
    assert "walltime=14400" in asked[0]
    assert len(list((tmp_path / "scheduler").glob("*.rc"))) == 1


@pytest.mark.slow
def test_a_job_that_the_scheduler_kills_is_no_job_that_hangs(through_pbs, project, tmp_path):
    """As for its memory: the script ends without a word, and only the status command knows."""
    (tmp_path / "scheduler" / "kill").write_text("flow")
    ended = through_pbs("results/clip/raw_flow")
    assert ended.returncode != 0
    assert "flow" in ended.stderr
    assert not (project.scene("clip") / "raw_flow").exists()
    assert (project.scene("clip") / "frames").is_dir()
    assert "0 of 1 scene is complete" in ended.stderr
    (tmp_path / "scheduler" / "kill").unlink()
    ended = through_pbs("results/clip/raw_flow")
    assert ended.returncode == 0, ended.stderr[-3000:]
    asked = (tmp_path / "scheduler" / "asked").read_text().splitlines()
    assert [line.split("-N ")[1].split()[0] for line in asked[:2]] == ["ingest", "flow"]


def answering(folder: Path, **programs: str) -> dict[str, str]:
    """An environment in which commands of these names print a text; those without one fail."""
    for name, text in programs.items():
        (folder / name).write_text(f"#!/bin/sh\ncat <<'END'\n{text}\nEND\n{'exit 0' if text else 'exit 1'}\n")
        (folder / name).chmod(0o755)
    (folder / "sleep").write_text("#!/bin/sh\n")
    (folder / "sleep").chmod(0o755)
    return os.environ | {"PATH": os.pathsep.join([str(folder), os.environ["PATH"]])}


def status(script: str, environment: dict[str, str]) -> str:
    ended = subprocess.run([PROFILE / script, "12"], env=environment, capture_output=True, text=True, check=True)
    return ended.stdout


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        ("Job Id: 12\n    job_state = R\n", "running"),
        ("Job Id: 12\n    job_state = Q\n", "running"),
        ("Job Id: 12\n    job_state = F\n    Exit_status = 0\n", "success"),
        ("Job Id: 12\n    job_state = F\n    Exit_status = 271\n", "failed"),
        ("Job Id: 12\n    job_state = F\n", "failed"),
        ("Job Id: 12\n    job_state = C\n    exit_status = 0\n", "success"),
        ("qstat: Unknown Job Id 12\n", "failed"),
        ("Connection refused\nqstat: cannot connect to server pbs\n", "running"),
    ],
)
def test_what_pbs_says_of_a_job(tmp_path, answer, word):
    assert status("pbs_status.sh", answering(tmp_path, qstat=answer)) == f"{word}\n"


@pytest.mark.parametrize(
    ("known", "accounted", "word"),
    [
        ("job_number: 12", "", "running"),
        ("", "failed       0\nexit_status  0", "success"),
        ("", "failed       0\nexit_status  1", "failed"),
        ("", "failed       100 : assumedly after job\nexit_status  137", "failed"),
        ("", "", "running"),
    ],
)
def test_what_sge_says_of_a_job(tmp_path, known, accounted, word):
    assert status("sge_status.sh", answering(tmp_path, qstat=known, qacct=accounted)) == f"{word}\n"


def test_the_documented_lines_for_sge_are_a_profile():
    text = (ROOT / "docs" / "clusters.md").read_text()
    key = "cluster-generic-submit-cmd"
    lines = yaml.safe_load(key + text.partition(f"```yaml\n{key}")[2].partition("```")[0])
    profile = yaml.safe_load((PROFILE / "config.yaml").read_text())
    assert set(lines) <= set(profile)
    assert (ROOT / lines["cluster-generic-status-cmd"]).stat().st_mode & 0o111
    for placeholder in ("{threads}", "{resources.mem_mb}", "{resources.runtime}", "{rule}"):
        assert placeholder in lines["cluster-generic-submit-cmd"]
        assert placeholder in profile["cluster-generic-submit-cmd"]
