"""Training that dies goes on where it was: after SIGKILL of everything, and after a polite signal to it alone."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nsff.cli import main

STEPS = 120


@pytest.fixture
def untrained(finished, tmp_path):
    """A copy of the finished project, less its training, and the command that trains."""
    project = finished.copy(tmp_path)
    scene = project.scene(finished.scene)
    shutil.rmtree(scene / "state")
    shutil.rmtree(scene / "model")
    (scene / "logs" / "train.log").unlink()
    train = project.config["train"] | {"steps": STEPS, "checkpoint_every": 10}
    project.configure(project.config["scenes"], train=train)
    return project


def start(project, target, repo, environment):
    """The command of a user, in a process group of its own."""
    command = [sys.executable, "-m", "snakemake", target, "--snakefile", str(repo / "Snakefile"), "--cores", "2"]
    return subprocess.Popen(
        [*command, "--configfile", "config.yaml"], cwd=project.folder, env=os.environ | environment,
        start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def wait_for(condition, seconds=600):
    ended = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < ended, "waited in vain"
        time.sleep(0.02)
    return found


def trained(project, scene):
    """The step that the last attempt began at, and the steps of the model."""
    log = (project.scene(scene) / "logs" / "train.log").read_text()
    first = re.search(r"(resuming|starting) at step (\d+) of", log)
    model = json.loads((project.scene(scene) / "model" / "model.json").read_text())
    return first[1], int(first[2]), model["steps"]


def test_a_second_run_is_refused_and_a_killed_one_goes_on(untrained, finished, repo, environment):
    """A lock whose holder is alive stays; after SIGKILL in the middle of training it is taken away when asked."""
    target = f"results/{finished.scene}/model"
    state = untrained.scene(finished.scene) / "state"
    running = start(untrained, target, repo, environment)
    try:
        wait_for(lambda: list(state.glob("step_*.pt")))
        refused = untrained.snakemake(target)
        assert refused.status != 0
        assert "cannot be locked" in refused.text
        assert f"process {running.pid} on {socket.gethostname()}, since" in refused.text
        assert "alive" in refused.text
        assert running.poll() is None
        assert main(["unlock", str(untrained.folder)]) == 1
        assert (untrained.folder / ".snakemake" / "locks" / "0.output.lock").exists()
    finally:
        os.killpg(running.pid, signal.SIGKILL)
        running.wait()
    assert not (untrained.scene(finished.scene) / "model").exists()
    assert list((untrained.folder / ".snakemake" / "locks").iterdir())  # as Snakemake leaves them
    refused = untrained.snakemake(target)
    assert refused.status != 0
    assert f"process {running.pid} on {socket.gethostname()}" in refused.text
    assert "nsff unlock" in refused.text
    assert (untrained.folder / ".snakemake" / "locks").iterdir()
    wait_for(lambda: not processes_of(untrained.folder.resolve(), "train.py"))
    assert main(["unlock", str(untrained.folder)]) == 0
    assert start(untrained, target, repo, environment).wait(timeout=600) == 0
    word, first, steps = trained(untrained, finished.scene)
    assert word == "resuming"
    assert 10 <= first < STEPS
    assert steps == STEPS


def processes_of(folder, script):
    """Processes that run ``script`` with their working directory in ``folder``."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if process.joinpath("cwd").resolve() == folder and any(
                part.endswith(script) for part in process.joinpath("cmdline").read_bytes().decode().split("\0")[:2]
            ):
                found.append(int(process.name))
        except (OSError, UnicodeDecodeError):
            continue
    return found


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/cwd").exists(), reason="needs /proc")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_polite_signal_is_answered_by_another_attempt(untrained, finished, repo, environment, number):
    """A cluster's warning before its time limit: the state is saved at once, and `retries` goes on."""
    state = untrained.scene(finished.scene) / "state"
    running = start(untrained, f"results/{finished.scene}/model", repo, environment)
    wait_for(lambda: list(state.glob("step_*.pt")))
    (process,) = processes_of(untrained.folder.resolve(), "train.py")
    os.kill(process, number)
    assert running.wait(timeout=600) == 0
    word, first, steps = trained(untrained, finished.scene)
    assert (word, steps) == ("resuming", STEPS)
    assert first >= 10
