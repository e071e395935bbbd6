"""Each rule with nothing but the packages of its own conda file, in this Python: what else is installed is hidden.

Faster than `make test-conda`, which builds the environments; this one sees what a file forgets.
"""

import ast
import importlib.metadata
import json
import os
import re
import subprocess
import sys

import pytest
import yaml
from packaging.requirements import Requirement

HIDING = """
import os, sys
from importlib.machinery import PathFinder
class Hiding(PathFinder):
    hidden = set(os.environ["NSFF_HIDDEN"].split())
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.split(".")[0] in cls.hidden else super().find_spec(name, path, target)
sys.meta_path[:] = [Hiding if finder is PathFinder else finder for finder in sys.meta_path]
"""


def plain(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def closure(pins):
    """The distributions that come with these pins, extras aside."""
    found, wanted = set(), [plain(Requirement(pin).name) for pin in pins]
    while wanted:
        name = wanted.pop()
        if name in found:
            continue
        found.add(name)
        try:
            needs = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:
            continue
        for need in map(Requirement, needs):
            if need.marker is None or need.marker.evaluate({"extra": ""}):
                wanted.append(plain(need.name))
    return found


def hidden_from(repo, environment):
    """Top-level modules that an environment does not have."""
    content = yaml.safe_load((repo / "envs" / environment).read_text())
    present = closure(next(entry["pip"] for entry in content["dependencies"] if isinstance(entry, dict)))
    modules = importlib.metadata.packages_distributions()
    return {module for module, owners in modules.items() if not present & set(map(plain, owners))} - {"nsff"}


def test_what_is_hidden(repo):
    """The test below could not fail if nothing were hidden."""
    assert {"torch", "snakemake", "lpips"} <= hidden_from(repo, "video.yaml")
    assert not {"numpy", "cv2", "av", "scipy"} & hidden_from(repo, "video.yaml")
    assert "torch" not in hidden_from(repo, "torch.yaml")


@pytest.mark.parametrize("room", ["models", "training", "rendering", "metrics", "viewer"])
def test_the_environment_with_torch_has_what_its_rooms_import(repo, room):
    """Also what no rule of the small scene comes to, such as the kernels of Gaussians on a CPU."""
    imported = set()
    for path in (repo / "nsff" / room).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                imported.add(node.module.split(".")[0])
    assert "torch" in imported
    assert not imported & hidden_from(repo, "torch.yaml")


@pytest.mark.slow
def test_every_rule_has_what_it_imports(finished, tmp_path, repo, environment):
    project = finished.copy(tmp_path)
    (tmp_path / "hide").mkdir()
    (tmp_path / "hide" / "sitecustomize.py").write_text(HIDING)
    path = os.pathsep.join([str(tmp_path / "hide"), environment["PYTHONPATH"]])
    scene, ran = f"results/{finished.scene}", set()
    targets = ["results/index.html", "results/scores.csv", f"{scene}/extracted", f"{scene}/scene.html"]
    for job in project.jobs(*targets, "--forceall"):
        rule, params = job["rule"], job["params"]
        if "options" not in params or rule in ran:
            continue
        arguments = ["--scene", scene, "--options", params["options"]]
        arguments += ["--path", "spacetime"] if rule == "render" else []
        arguments += ["--state", f"{scene}/state"] if rule == "train" else []
        hidden = " ".join(hidden_from(repo, os.path.basename(job["conda"])))
        script = [sys.executable, str(repo / "scripts" / f"{rule}.py"), *arguments]
        variables = os.environ | environment | {"PYTHONPATH": path, "NSFF_HIDDEN": hidden}
        ended = subprocess.run(script, cwd=project.folder, env=variables, capture_output=True, text=True)
        assert ended.returncode == 0, f"{rule}: {ended.stdout[-1500:]}{ended.stderr[-1500:]}"
        ran.add(rule)
    assert len(ran) == 18, sorted(ran)
    assert json.loads((project.folder / scene / "summaries" / "extract.json").read_text())["verdict"]
