"""Pins: the lock satisfies pyproject, holds hashes and no addresses, and the conda files agree with it."""

import re
import tomllib

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.version import Version

ENVIRONMENTS = ["video", "sfm", "torch", "objects", "report"]


@pytest.fixture(scope="module")
def lock(repo):
    """Versions by name; several where the lock forks by platform or Python version."""
    pins: dict[str, set[str]] = {}
    for name, version in re.findall(r"^([A-Za-z0-9_.-]+)==([^ ;\\]+)", (repo / "requirements.lock").read_text(), re.M):
        pins.setdefault(name.lower().replace("_", "-"), set()).add(version)
    return pins


def test_every_requirement_has_a_hash_and_no_address(repo):
    text = (repo / "requirements.lock").read_text()
    assert not re.search(r"https?://|file:|--index-url|--find-links", text)
    blocks = re.split(r"\n(?=[A-Za-z0-9])", text.strip())
    assert len(blocks) > 60
    assert [block.split("\n")[0] for block in blocks if "--hash=sha256:" not in block] == []


def test_lock_satisfies_pyproject(repo, lock):
    project = tomllib.loads((repo / "pyproject.toml").read_text())["project"]
    wanted = (
        project["dependencies"] + project["optional-dependencies"]["dev"] + project["optional-dependencies"]["cluster"]
    )
    for text in wanted:
        requirement = Requirement(text)
        versions = lock[requirement.name.lower().replace("_", "-")]
        assert any(Version(v) in requirement.specifier for v in versions), text


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_conda_files_have_the_locks_pins(repo, lock, name):
    content = yaml.safe_load((repo / "envs" / f"{name}.yaml").read_text())
    assert content["channels"] == ["conda-forge"]
    pip = next(entry["pip"] for entry in content["dependencies"] if isinstance(entry, dict))
    for pin in pip:
        package, version = pin.split("==")
        assert version in lock[package], pin
    assert any(pin.startswith("torch==") for pin in pip) == (name == "torch")


def test_no_other_conda_file(repo):
    assert sorted(path.stem for path in (repo / "envs").glob("*")) == sorted(ENVIRONMENTS)


def test_torch_and_torchvision_are_one_build():
    import torch
    import torchvision

    boxes = torch.tensor([[0.0, 0, 1, 1]])
    assert torchvision.ops.nms(boxes, torch.ones(1), 0.5).tolist() == [0]
