"""What surrounds the code: one version, continuous integration, hooks, the container file, types."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.specifiers import SpecifierSet

import nsff


@pytest.fixture(scope="module")
def project(repo: Path) -> dict[str, Any]:
    return tomllib.loads((repo / "pyproject.toml").read_text())


@pytest.fixture(scope="module")
def targets(repo: Path) -> set[str]:
    return set(re.findall(r"^([a-z-]+):", (repo / "Makefile").read_text(), re.M))


def test_one_source_of_the_version(repo: Path, project: dict[str, Any]):
    assert project["project"]["dynamic"] == ["version"]
    assert "version" not in project["project"]
    assert project["tool"]["hatch"]["version"]["path"] == "nsff/__init__.py"
    headings = re.findall(r"^## (\S+)", (repo / "CHANGELOG.md").read_text(), re.M)
    newest = next(heading for heading in headings if heading != "Unreleased")
    assert newest == nsff.__version__


def test_continuous_integration_runs_what_people_run(repo: Path, project: dict[str, Any], targets: set[str]):
    supported = SpecifierSet(project["project"]["requires-python"])
    for path in (repo / ".github" / "workflows").glob("*.yml"):
        content = yaml.safe_load(path.read_text())
        for job in content["jobs"].values():
            matrix = job.get("strategy", {}).get("matrix", {})
            assert set(matrix.get("target", [])) <= targets
            assert all(supported.contains(f"{version}.0") for version in matrix.get("python", []))
            assert "timeout-minutes" in job
        assert set(re.findall(r"\bmake ([a-z][a-z-]+)", path.read_text())) <= targets
    assert "run: .ci/run" in (repo / ".github" / "workflows" / "ci.yml").read_text()
    assert set(re.findall(r"^make (\S+)", (repo / ".ci" / "run").read_text(), re.M)) == {"lint", "test"}


def test_hooks_use_the_environment(repo: Path, project: dict[str, Any]):
    """No versions beside those of the lock."""
    known = {re.split(r"[>=<~]", text)[0] for text in project["project"]["optional-dependencies"]["dev"]} | {"python"}
    for place in yaml.safe_load((repo / ".pre-commit-config.yaml").read_text())["repos"]:
        assert place["repo"] == "local"
        for hook in place["hooks"]:
            assert hook["entry"].split()[0].removeprefix(".venv/bin/") in known


def test_the_container_copies_what_there_is(repo: Path):
    text = (repo / "Containerfile").read_text()
    assert all((repo / name).exists() for name in re.findall(r"^COPY (\S+) ", text, re.M))
    assert "--require-hashes -r requirements.lock" in text


def test_every_function_is_typed(repo: Path, project: dict[str, Any]):
    assert (repo / "nsff" / "py.typed").is_file()
    assert project["tool"]["mypy"]["disallow_untyped_defs"] is True


def test_the_workflow_catalogue_knows_the_flags(repo: Path):
    content = yaml.safe_load((repo / ".snakemake-workflow-catalog.yml").read_text())
    assert content["usage"]["software-stack-deployment"]["conda"] is True
    assert (repo / "config" / "README.md").is_file()
