"""--use-conda: every rule in an environment made from its own file alone: `make test-conda` (gigabytes, minutes)."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

STAND_IN = Path(__file__).parent / "sandbox" / "conda.py"


@pytest.fixture
def conda(tmp_path, environment):
    """Environment of a user who has conda, or the stand-in under its name."""
    root = tmp_path / "conda"
    (root / "bin").mkdir(parents=True)
    (root / "bin" / "activate").write_text('export PATH="$1/bin:$PATH" CONDA_PREFIX="$1"\n')
    program = root / "bin" / "conda"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{STAND_IN}" "$@"\n')
    program.chmod(0o755)
    path = os.pathsep.join([str(root / "bin"), environment["PATH"]])
    return os.environ | environment | {"PATH": path, "CONDA_STAND_IN": str(root)}


def test_the_stand_in_answers(conda, tmp_path):
    """The calls that cost nothing; a file with a package outside of pip is refused."""
    run = lambda *a: subprocess.run(["conda", *a], env=conda, capture_output=True, text=True)  # noqa: E731
    assert run("--version").stdout.startswith("conda ")
    assert '"conda_prefix"' in run("info", "--json").stdout
    (tmp_path / "env.yaml").write_text("channels: [conda-forge]\ndependencies: [python=3.11, numpy=2]\n")
    refused = run("env", "create", "--file", str(tmp_path / "env.yaml"), "--prefix", str(tmp_path / "env"))
    assert refused.returncode != 0 and "numpy=2 is not under pip" in refused.stderr


def test_snakemake_writes_a_container_file_of_all_environments(conda, server, repo):
    """snakemake --containerize: one image with an environment for each file of envs/."""
    ended = server.run(repo, ["--containerize"], {name: conda[name] for name in ("PATH", "CONDA_STAND_IN")})
    assert ended.status == 0, ended.text
    assert ended.stdout.startswith("FROM ")
    for path in (repo / "envs").glob("*.yaml"):
        assert f"envs/{path.name}" in ended.stdout


@pytest.mark.conda
def test_each_rule_runs_in_the_environment_of_its_own_file(
    conda, new_project, filmed, dense_writer, truth_writer, repo
):
    project, clip = new_project(), filmed()
    dense_writer(project.folder / "clip", clip)
    truth_writer(project.folder / "truth", clip)
    evaluation = [{"protocol": protocol, "truth": "truth"} for protocol in ("views", "masks")]
    scene = {"input": {"path": "clip"}, "evaluation": evaluation, "extract": {"enabled": True, "clouds": 1}}
    project.configure({"clip": scene})
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(repo / "Snakefile"), "--configfile", "config.yaml"]
    ended = subprocess.run(
        [*command, "--cores", "2", "--use-conda"], cwd=project.folder, env=conda, capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stdout[-3000:] + ended.stderr[-3000:]
    assert (project.scene("clip") / "report.html").stat().st_size > 0
    environments = project.folder / ".snakemake" / "conda"
    made = [path.parent for path in environments.glob("*/pyvenv.cfg")]
    assert len(made) == len(list((repo / "envs").glob("*.yaml")))
    assert len(list(environments.glob("*/lib/python*/site-packages/torch"))) == 1
    assert not list(environments.glob("*/lib/python*/site-packages/snakemake"))
    # What users name is used: CuPy lies beside torch, and the CRF is pydensecrf's.
    torch_alone = next(environments.glob("*/lib/python*/site-packages/torch")).parent
    assert [path.parent for path in environments.glob("*/lib/python*/site-packages/cupy")] == [torch_alone]
    assert len(list(environments.glob("*/lib/python*/site-packages/pydensecrf"))) == 1
    assert json.loads((project.scene("clip") / "summaries" / "crf.json").read_text())["backend"] == "pydensecrf"
