"""The workflow outside of its repository: laid out in a folder, and from a built wheel."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path

import pytest

from nsff.cli import main
from nsff.workflow.bundle import FIXED, OWN


def test_the_wheel_has_every_file(repo: Path):
    """pyproject.toml and nsff/workflow/bundle.py have the same list."""
    included = tomllib.loads((repo / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert included["force-include"] == {name: f"nsff/workflow/bundled/{name}" for name in (*FIXED, *OWN)}


def test_laid_out_and_updated(tmp_path: Path, repo: Path, capsys: pytest.CaptureFixture[str]):
    folder = tmp_path / "own scenes"
    assert main(["workflow", str(folder), "--update"]) == 1
    assert "leave out --update" in capsys.readouterr().err
    assert main(["workflow", str(folder)]) == 0
    assert (folder / "Snakefile").read_bytes() == (repo / "Snakefile").read_bytes()
    assert (folder / "demo" / "video.mp4").is_file()
    assert not list(folder.rglob("__pycache__"))
    assert not (folder / "nsff").exists()
    assert main(["workflow", str(folder)]) == 1
    assert "--update" in capsys.readouterr().err
    (folder / "config.yaml").write_text("mine")
    (folder / "rules" / "common.smk").write_text("old")
    (folder / "results").mkdir()
    assert main(["workflow", str(folder), "--update"]) == 0
    assert (folder / "config.yaml").read_text() == "mine"
    assert (folder / "rules" / "common.smk").read_bytes() == (repo / "rules" / "common.smk").read_bytes()
    assert (folder / "results").is_dir()


def test_not_into_the_repository(repo: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["workflow", str(repo)]) == 1
    assert "own folder" in capsys.readouterr().err


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory, repo: Path) -> tuple[Path, dict[str, str]]:
    """A Python environment with nothing but the built wheel, and variables that show it this one's other packages."""
    pytest.importorskip("hatchling")
    folder = tmp_path_factory.mktemp("wheel")
    variables = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | {"OMP_NUM_THREADS": "1"}

    def call(*command: str | Path) -> None:
        subprocess.run([*map(str, command)], cwd=repo, env=variables, check=True, capture_output=True)

    call(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder)
    call(sys.executable, "-m", "venv", folder / "environment")
    python = folder / "environment" / "bin" / "python"
    (wheel,) = folder.glob("*.whl")
    call(python, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", wheel)
    # Files that make a checkout importable are read in an environment's own folder alone, so not in this one.
    return python, variables | {"PYTHONPATH": sysconfig.get_paths()["purelib"]}


def run(empty, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    python, variables = empty
    return subprocess.run([str(python), *arguments], cwd=folder, env=variables, capture_output=True, text=True)


def test_from_a_wheel(empty, tmp_path: Path, repo: Path, tiny_clip):
    """The package is the wheel's; the workflow is laid out, planned as a whole, and its first stage runs."""
    found = run(empty, tmp_path, "-c", "import nsff; print(nsff.__file__, nsff.__version__)")
    file, version = found.stdout.split()
    assert Path(file).is_relative_to(empty[0].parents[1]), found.stderr
    nsff = str(empty[0].with_name("nsff"))
    assert (
        subprocess.run([nsff, "--version"], env=empty[1], capture_output=True, text=True).stdout == f"nsff {version}\n"
    )
    assert subprocess.run([nsff, "workflow", "own"], env=empty[1], cwd=tmp_path).returncode == 0
    own = tmp_path / "own"
    planned = run(empty, own, "-m", "snakemake", "--cores", "1", "--dry-run", "--quiet", "rules")
    assert planned.returncode == 0, planned.stderr
    (own / "config.yaml").write_text(f"scenes: {{clip: {{input: {{path: {tiny_clip.frames_dir}}}}}}}\n")
    ended = run(empty, own, "-m", "snakemake", "--cores", "1", "results/clip/manifest.json")
    assert ended.returncode == 0, ended.stderr
    assert (own / "results" / "clip" / "settings" / "ingest.json").is_file()
    # nsff run needs no layout: the rules are the package's.
    command = [nsff, "run", str(tiny_clip.frames_dir), "--name", "tiny", "--target", "manifest.json", "--yes"]
    ran = subprocess.run(command, env=empty[1], cwd=tmp_path, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert (tmp_path / "results" / "tiny" / "manifest.json").is_file()
    assert not (tmp_path / "Snakefile").exists()


def test_scripts_find_the_package_that_runs_the_workflow(empty, tmp_path: Path, repo: Path):
    """As in a conda environment, which has libraries but no nsff."""
    assert main(["workflow", str(tmp_path / "own")]) == 0
    script, code = str(tmp_path / "own" / "scripts"), "import sys; sys.path.insert(0, sys.argv[1]); import _arguments"
    variables = empty[1] | {"NSFF_PACKAGE": str(repo / "nsff")}
    bare = [sys.executable, "-S", "-c", f"{code}; import nsff.errors; print(nsff.errors.__file__)", script]
    found = subprocess.run(bare, env=variables, cwd=tmp_path, capture_output=True, text=True)
    assert found.stdout.strip() == str(repo / "nsff" / "errors.py"), found.stderr
