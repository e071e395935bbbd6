"""Runs that are killed at random, interrupted by Ctrl-C, or work through links end with the same files, bit by bit."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from nsff.cli import main

KILLS = 25
LIVE = (1.0, 14.0)
"""Seconds that a run lives before it is killed: drawn between these, with a fixed seed."""
TIMES = {"seconds", "date", "started", "ended", "duration", "time"}
"""Keys of JSON files that tell how long something took, or when."""


def start(project, repo, environment, *options):
    """The command of a user, in a process group of its own."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(repo / "Snakefile"), "--cores", "2", *options]
    with (project.folder / "printed.txt").open("ab") as printed:
        return subprocess.Popen(
            [*command, "--configfile", "config.yaml"], cwd=project.folder, env=os.environ | environment,
            start_new_session=True, stdout=printed, stderr=subprocess.STDOUT,
        )  # fmt: skip


def timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: timeless(part) for key, part in value.items() if key not in TIMES}
    if isinstance(value, list):
        return [timeless(part) for part in value]
    return value


def contents(scene: Path) -> dict[str, Any]:
    """Every output by its relative path: bytes, or JSON less its times. Left out are logs, the page that shows them,
    and checksums of files that hold times."""
    aside = {"logs", "benchmarks", "state", "summaries", "report.html", "checksums"}
    found: dict[str, Any] = {}
    for path in sorted(scene.rglob("*")):
        name = path.relative_to(scene)
        if path.is_dir() or name.parts[0] in aside or name.name.startswith(".") or name.name == "checksums.json":
            continue
        data = path.read_bytes()
        found[str(name)] = timeless(json.loads(data)) if path.suffix == ".json" else data
    return found


def fresh(finished, folder):
    """The project before its first run, in another folder."""
    project = finished.copy(folder)
    shutil.rmtree(project.folder / "results")
    shutil.rmtree(project.folder / ".snakemake")
    return project


def same(finished, project):
    expected = contents(finished.project.scene(finished.scene))
    found = contents(project.scene(finished.scene))
    assert len(expected) > 30
    assert sorted(found) == sorted(expected)
    assert [name for name in expected if found[name] != expected[name]] == []
    assert list(project.scene(finished.scene).resolve().rglob(".tmp-*")) == []


def free(project):
    """Waits until the jobs of a killed run are gone, and takes its locks away."""
    ended = time.monotonic() + 60
    while (project.folder / ".snakemake").is_dir() and main(["unlock", str(project.folder)]) != 0:
        assert time.monotonic() < ended, "the folder stays locked"
        time.sleep(0.2)


@pytest.mark.slow
def test_random_kills_change_nothing(finished, tmp_path, repo, environment):
    assert finished.ended.status == 0
    project, draw = fresh(finished, tmp_path), random.Random(0)
    kills = 0
    while kills < KILLS:
        running = start(project, repo, environment)
        try:
            status = running.wait(draw.uniform(*LIVE))
        except subprocess.TimeoutExpired:
            os.killpg(running.pid, signal.SIGKILL)
            running.wait()
            kills += 1
            free(project)
            continue
        assert status == 0, (project.folder / "printed.txt").read_text()[-3000:]
        shutil.rmtree(
            project.scene(finished.scene) / "model"
        )  # done before all kills: training again, and what follows
    assert start(project, repo, environment).wait(timeout=900) == 0
    same(finished, project)


@pytest.mark.slow
def test_ctrl_c_saves_the_state(finished, tmp_path, repo, environment):
    """Far from the next checkpoint, through Snakemake, as a terminal sends it: to the whole process group."""
    project = finished.copy(tmp_path)
    scene = project.scene(finished.scene)
    shutil.rmtree(scene / "state")
    shutil.rmtree(scene / "model")
    train = project.config["train"] | {"steps": 100_000, "checkpoint_every": 50_000, "log_every": 5}
    project.configure(project.config["scenes"], train=train)
    log = scene / "logs" / "train.log"
    log.unlink()
    running = start(project, repo, environment, f"results/{finished.scene}/model")
    ended = time.monotonic() + 240
    while not (log.exists() and "psnr=" in log.read_text()):
        assert time.monotonic() < ended, "training did not begin"
        time.sleep(0.1)
    os.killpg(running.pid, signal.SIGINT)
    assert running.wait(timeout=120) != 0
    assert "state saved at step" in log.read_text()
    (saved,) = (scene / "state").glob("step_*.pt")
    assert 0 < int(saved.stem.removeprefix("step_")) < 50_000
    assert not (scene / "model").exists()
    free(project)


@pytest.mark.slow
def test_a_scene_and_its_state_behind_links(finished, tmp_path, repo, environment):
    project = fresh(finished, tmp_path)
    disk = tmp_path / "disk"
    (disk / "scene").mkdir(parents=True)
    (disk / "state").mkdir()
    (project.folder / "results").mkdir()
    project.scene(finished.scene).symlink_to(disk / "scene")
    (disk / "scene" / "state").symlink_to(disk / "state")
    assert start(project, repo, environment).wait(timeout=900) == 0, (project.folder / "printed.txt").read_text()
    same(finished, project)
    assert project.scene(finished.scene).is_symlink()
    assert list((disk / "state").glob("step_*.pt"))
