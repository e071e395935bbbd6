"""Pins: the lock satisfies pyproject, holds hashes and no addresses, and the conda files agree with both. Packages that
the documents name are imported by the code that is named for them."""

import re
import tomllib

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.version import Version

ENVIRONMENTS = ["video", "sfm", "torch", "objects", "report"]
EXTRAS = {"gpu": "torch", "gaussians": "torch", "crf": "objects"}
"""Extras that are not in the lock, and the environment that has them."""


@pytest.fixture(scope="module")
def lock(repo):
    """Versions by name; several where the lock forks by platform or Python version."""
    pins: dict[str, set[str]] = {}
    for name, version in re.findall(r"^([A-Za-z0-9_.-]+)==([^ ;\\]+)", (repo / "requirements.lock").read_text(), re.M):
        pins.setdefault(name.lower().replace("_", "-"), set()).add(version)
    return pins


@pytest.fixture(scope="module")
def extras(repo):
    """The pins of the extras that are not in the lock: versions and markers by package."""
    optional = tomllib.loads((repo / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    return {extra: pinned(optional[extra]) for extra in EXTRAS}


def pinned(pins):
    """What stands behind == of each pin, with its marker where it has one, by package."""
    return dict(pin.split("==", 1) for pin in pins)


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
def test_conda_files_have_the_locks_pins(repo, lock, extras, name):
    """And those of the extras, which the lock leaves out: cupy where splatting is, gsplat and its compiler where models
    are, pydensecrf2 where the CRF is."""
    content = yaml.safe_load((repo / "envs" / f"{name}.yaml").read_text())
    assert content["channels"] == ["conda-forge"]
    pip = next(entry["pip"] for entry in content["dependencies"] if isinstance(entry, dict))
    own = {key: version for extra, place in EXTRAS.items() if place == name for key, version in extras[extra].items()}
    assert own.items() <= pinned(pip).items()
    assert not own.keys() & lock.keys()
    for pin in pip:
        package, version = pin.split("==", 1)
        assert version == own[package] if package in own else version in lock[package], pin
    # What is built from its source needs a compiler of the environment's own.
    outside = {entry.split("=")[0] for entry in content["dependencies"] if isinstance(entry, str)}
    assert outside == {"python", "pip"} | ({"cxx-compiler"} if "pydensecrf2" in own else set())
    assert any(pin.startswith("torch==") for pin in pip) == (name == "torch")


@pytest.mark.parametrize(
    ("rule", "extra"), [("render", "gpu"), ("score", "gpu"), ("train", "gaussians"), ("crf", "crf")]
)
def test_extras_are_where_they_are_used(repo, rule, extra):
    text = "".join(path.read_text() for path in sorted((repo / "rules").glob("*.smk")))
    body = text.split(f"rule {rule}:")[1].split("rule ")[0]
    assert f'"../envs/{EXTRAS[extra]}.yaml"' in body


def test_packages_are_imported_where_the_documents_say(repo, extras, lock):
    """The table of docs/architecture.md: each package is a dependency, and each file that is named imports it."""
    table = (repo / "docs" / "architecture.md").read_text().split("## Packages")[1].split("\n## ")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines() if line[:1] == "|"][2:]
    named = {re.findall(r"`([\w-]+)`", row[0])[0]: row for row in rows}
    assert set(named) >= {
        "snakemake", "torch", "cupy", "opencv-python", "timm", "numpy", "imageio", "pandas", "kornia",
    }  # fmt: skip
    known = lock.keys() | {key for extra in extras.values() for key in extra}
    for package, row in named.items():
        distribution, module = re.findall(r"`([\w-]+)`", row[1])[:2]
        assert distribution in known, package
        files = re.findall(r"`((?:nsff/|scripts/)?[\w/]+(?:\.py)?)`", row[2])
        files = [name for name in files if (repo / name).is_file()]
        assert files, package
        for name in files:
            assert re.search(rf"^\s*(import|from) {module}\b", (repo / name).read_text(), re.M), (package, name)


def test_no_other_conda_file(repo):
    assert sorted(path.stem for path in (repo / "envs").glob("*")) == sorted(ENVIRONMENTS)


def test_torch_and_torchvision_are_one_build():
    import torch
    import torchvision

    boxes = torch.tensor([[0.0, 0, 1, 1]])
    assert torchvision.ops.nms(boxes, torch.ones(1), 0.5).tolist() == [0]
