"""The tiny clip through a Slurm of one node (root; Debian packages slurm-wlm and munge): `make test-slurm`."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from nsff.workflow.folder_runs import processes_in

SANDBOX = Path(__file__).with_name("sandbox")
SYSTEM = os.pathsep.join([os.environ["PATH"], "/usr/sbin", "/sbin"])
ON_A_GPU = {"train", "render", "maps", "score"}


@pytest.fixture
def slurm(tmp_path, environment):
    """Environment of a user of the sandbox cluster."""
    if os.geteuid() != 0:
        pytest.skip("the sandbox Slurm needs root")
    if not all(shutil.which(name, path=SYSTEM) for name in ("slurmctld", "slurmd", "munged", "sbatch")):
        pytest.skip("Slurm is not installed (Debian: slurm-wlm, munge)")
    path = os.pathsep.join([environment["PATH"], SYSTEM])
    user = os.environ | environment | {"PATH": path, "SLURM_SANDBOX": str(tmp_path / "slurm")}
    with (tmp_path / "up.log").open("w") as log:  # a daemon that keeps a pipe open would hang this process
        up = subprocess.run([SANDBOX / "slurm_up.sh"], env=user, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    assert up.returncode == 0, (tmp_path / "up.log").read_text()
    yield user
    subprocess.run([SANDBOX / "slurm_down.sh"], env=user, check=True)


RECORDING = """#!/bin/sh
printf '%s\\n' "$@" >> "$RECORDED"
echo 'sbatch: error: this is a test' >&2
exit 1
"""


@pytest.mark.parametrize(("device", "gpu"), [("auto", True), ("cpu", False)])
def test_what_a_job_asks_slurm_for(finished, tmp_path, repo, environment, device, gpu):
    """The submission of a training, recorded by a program named sbatch that refuses it."""
    pytest.importorskip("snakemake_executor_plugin_slurm")
    project = finished.copy(tmp_path)
    train = project.config["train"] | {"device": device, "steps": 151}
    project.configure(project.config["scenes"], train=train)
    (tmp_path / "bin").mkdir()
    for name in ("sbatch", "squeue", "sacct", "sinfo", "scontrol", "sacctmgr", "scancel"):
        program = tmp_path / "bin" / name
        program.write_text(RECORDING if name == "sbatch" else "#!/bin/sh\nexit 0\n")
        program.chmod(0o755)
    path = os.pathsep.join([str(tmp_path / "bin"), environment["PATH"]])
    variables = {"PATH": path, "RECORDED": str(tmp_path / "recorded")}
    ended = project.server.run(project.folder, [
        f"results/{finished.scene}/model", "--snakefile", str(repo / "Snakefile"), "--configfile", "config.yaml",
        "--workflow-profile", str(repo / "profiles" / "slurm"), "--slurm-no-account", "--slurm-status-command",
        "squeue", "--slurm-init-seconds-before-status-checks", "1", "--retries", "0",
    ], variables)  # fmt: skip
    assert ended.status != 0
    assert (tmp_path / "recorded").exists(), ended.stderr[-3000:]
    asked = (tmp_path / "recorded").read_text()
    assert ("--gpus=1" in asked) == gpu, asked
    assert re.search(r"--mem[= \n]+16000", asked), asked
    assert re.search(r"(-t|--time)[= \n]*2880", asked), asked
    assert re.search(r"rule_train", asked)


def on_the_sandbox(repo, *targets):
    """Snakemake's command line for a cluster of one small node."""
    return [
        sys.executable, "-m", "snakemake", *targets,
        "--snakefile", str(repo / "Snakefile"), "--configfile", "config.yaml",
        "--workflow-profile", str(repo / "profiles" / "slurm"), "--jobs", "2", "--latency-wait", "20",
        "--slurm-no-account", "--slurm-status-command", "squeue", "--slurm-init-seconds-before-status-checks", "2",
        "--seconds-between-status-checks", "2",
        # What one small node can give.
        "--set-threads", "train=1", "sfm=1", "depth=1", "flow=1", "cameras=1", "features=1", "render=1", "maps=1",
        "score=1", "cluster=1", "ingest=1", "coarse_masks=1", "motion=1", "postprocess=1", "crf=1",
        "--set-resources", "train:mem_mb=1500", "sfm:mem_mb=1500", "features:mem_mb=1500", "maps:mem_mb=1500",
        "render:mem_mb=1500", "score:mem_mb=1500", "cluster:mem_mb=1500", "depth:mem_mb=1500",
    ]  # fmt: skip


@pytest.mark.slurm
def test_the_whole_workflow_through_slurm(slurm, new_project, filmed, dense_writer, truth_writer, repo):
    project, clip = new_project(), filmed()
    dense_writer(project.folder / "clip", clip)
    truth_writer(project.folder / "truth", clip)
    evaluation = [{"protocol": protocol, "truth": "truth"} for protocol in ("views", "masks")]
    scenes = {"clip": {"input": {"path": "clip"}, "evaluation": evaluation}}
    project.configure(scenes, train={"device": "auto"})  # with cpu no GPU would be asked for
    command = on_the_sandbox(repo)
    ended = subprocess.run(command, cwd=project.folder, env=slurm, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout[-3000:] + ended.stderr[-3000:]
    assert (project.scene("clip") / "report.html").stat().st_size > 0
    jobs = subprocess.run(["scontrol", "--oneliner", "show", "job"], env=slurm, capture_output=True, text=True).stdout
    asked = {}
    for job in jobs.splitlines():
        rule = re.search(r"Comment=rule_([a-z_]+?)(_wildcards|\s|$)", job)
        assert rule, job
        asked[rule[1]] = bool(re.search(r"(TresPerJob|TresPerNode|TRES|ReqTRES)=\S*gpu[^,\s]*[:=]1", job))
    assert {rule for rule, gpu in asked.items() if gpu} == ON_A_GPU
    assert {"ingest", "sfm", "cluster", "report"} <= set(asked)


@pytest.mark.slurm
def test_a_killed_training_goes_on(slurm, finished, tmp_path, repo):
    """The job is killed on its node; another attempt continues its state, and no lock file of a GPU is left."""
    project = finished.copy(tmp_path)
    scene = project.scene(finished.scene)
    shutil.rmtree(scene / "state")
    shutil.rmtree(scene / "model")
    (scene / "logs" / "train.log").unlink()
    train = project.config["train"] | {"device": "auto", "steps": 600, "checkpoint_every": 20, "log_every": 100}
    project.configure(project.config["scenes"], train=train)
    with (tmp_path / "printed.txt").open("w") as printed:
        running = subprocess.Popen(
            on_the_sandbox(repo, f"results/{finished.scene}/model"), cwd=project.folder, env=slurm,
            stdout=printed, stderr=printed,
        )  # fmt: skip
    ended = time.monotonic() + 240
    while not list((scene / "state").glob("step_*.pt")):
        assert time.monotonic() < ended and running.poll() is None, (tmp_path / "printed.txt").read_text()[-3000:]
        time.sleep(0.2)
    ((job, _),) = processes_in(project.folder, "scripts/train.py")
    os.kill(job, signal.SIGKILL)
    assert running.wait(timeout=600) == 0, (tmp_path / "printed.txt").read_text()[-3000:]
    log = (scene / "logs" / "train.log").read_text()
    resumed = re.search(r"resuming at step (\d+) of 600", log)
    assert resumed and int(resumed[1]) >= 20, log[-2000:]
    assert json.loads((scene / "model" / "model.json").read_text())["steps"] == 600
    assert list(Path(tempfile.gettempdir(), f"nsff-gpus-{os.getuid()}").glob("slurm-*")) == []
