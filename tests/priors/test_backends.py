"""Backends of priors: one file each, from which allowed values, the choice under auto and the known weights follow."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest
import torch
from random_networks import still_room
from safetensors.torch import save_file

from nsff.config import DepthConfig, FeaturesConfig, FlowConfig, MotionConfig
from nsff.config.module_names import described_modules, module_names
from nsff.errors import ConfigError
from nsff.priors.backends import GIVEN, Backend, Registry, WeightChoice, discover
from nsff.priors.registries import REGISTRIES, known_weights
from nsff.weights import File, Weight

SETTINGS = {
    "flow": (FlowConfig, "backend"),
    "depth": (DepthConfig, "backend"),
    "features": (FeaturesConfig, "backend"),
    "motion": (MotionConfig, "instances"),
}


@pytest.mark.parametrize("prior", SETTINGS)
def test_allowed_values_are_policies_and_files(prior: str):
    section, name = SETTINGS[prior]
    registry = REGISTRIES[prior]
    assert registry.key == f"{prior}.{name}"
    assert tuple(registry.backends) == module_names(f"priors/{prior}/backends") == tuple(sorted(registry.backends))
    field = section.model_fields[name]
    assert set(get_args(field.annotation)) == {*registry.policies, *registry.backends}
    assert described_modules(f"priors/{prior}/backends") in field.description
    assert registry.instead.startswith(f"{registry.key}: ")


def test_plans_load_neither_torch_nor_libraries_of_pictures():
    """The workflow imports the registries before any job."""
    code = (
        "import sys, nsff.config, nsff.priors.registries\n"
        "print([m for m in ('torch', 'torchvision', 'transformers', 'timm', 'cv2', 'numpy') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def weight(name: str) -> Weight:
    return Weight(name, (File(f"{name}.pth", url="https://example.org"),), "", "", "", "")


def chooser(*names: str):
    return lambda config: WeightChoice(tuple(map(weight, names)), config.weights, "flow.weights")


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    """Three backends with weights, of which one is chosen by name alone, and one without; no weights on the machine."""
    monkeypatch.setenv("NSFF_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    backends = [
        Backend("dis", lambda config, weights: ("dis", weights)),
        Backend("raft", lambda config, weights: ("raft", weights), chooser("small"), auto=2),
        Backend("first", lambda config, weights: ("first", weights), chooser("a", "b"), auto=1),
        Backend("named", lambda config, weights: ("named", weights), chooser("c"), packages=("no_such_package",)),
    ]
    policies = {
        "auto": lambda config, learned: [GIVEN, *learned, "dis"],
        "given": lambda config, learned: [GIVEN],
        "given_or_dis": lambda config, learned: ["raft"],
    }
    named = {backend.name: backend for backend in backends}
    return Registry("flow.backend", "flow.backend: dis", named, policies, lambda config: {}, insists=("given",))


def setting(value: str) -> FlowConfig:
    return FlowConfig().model_copy(update={"backend": value})


def test_auto_takes_the_first_whose_weights_are_found(registry: Registry, tmp_path: Path):
    assert registry.choose(setting("auto"), given=True) == (GIVEN, None)
    assert registry.choose(setting("auto")) == ("dis", None)
    (tmp_path / "small.pth").write_bytes(b"1")
    (tmp_path / "c.pth").write_bytes(b"1")
    assert registry.choose(setting("auto")) == ("raft", tmp_path / "small.pth")
    (tmp_path / "b.pth").write_bytes(b"1")
    assert registry.choose(setting("auto")) == ("first", tmp_path / "b.pth")
    assert registry.open(setting("auto")) == ("first", tmp_path / "b.pth")
    assert [need.choice.candidates[0].name for need in registry.needs(setting("auto"))] == ["a", "small"]
    assert registry.choose(setting("given")) == (GIVEN, None)


def test_policies_may_stand_for_nothing(registry: Registry):
    assert registry.choose(setting("given_or_dis")) is None
    with pytest.raises(ConfigError, match=r"flow\.backend: stands for no backend(.|\n)*set flow\.backend: dis"):
        registry.open(setting("given_or_dis"))


def test_a_missing_package_is_named(registry: Registry, tmp_path: Path):
    (tmp_path / "c.pth").write_bytes(b"1")
    with pytest.raises(ConfigError, match=r"flow\.backend: is named, and no_such_package is not installed"):
        registry.open(setting("named"))


def test_a_module_must_declare_its_own_name(monkeypatch: pytest.MonkeyPatch):
    from nsff.priors.flow.backends import dis

    monkeypatch.setattr(dis, "BACKEND", Backend("other", lambda config, weights: None))
    with pytest.raises(TypeError, match=r"dis\.py: BACKEND must be a Backend of the name 'dis'"):
        discover("flow")


USED = """
import json, sys
from pathlib import Path
from nsff.cli import main
from nsff.config import resolve_scene, schema
from nsff.priors.depth.stage import run_depth
from nsff.priors.registries import weight_files
from nsff.scene import Scene

assert '"linear"' in json.dumps(schema())
settings = resolve_scene("a", {"input": {"path": "clip.mp4"}, "depth": {"backend": "linear"}}, "fast", {})
(found,) = weight_files("depth", settings)
run_depth(Scene(Path(sys.argv[1])), settings.depth)
assert main(["weights", "list"]) in (0, None)
print(found.name)
"""


def test_the_depth_backend_of_the_documents_is_one_file(repo: Path, tmp_path: Path, layered):
    """Added to a copy of the library as it stands there, with a file of weights: nothing else is told of it."""
    shutil.copytree(repo / "nsff", tmp_path / "nsff", ignore=shutil.ignore_patterns("__pycache__"))
    section = (repo / "docs" / "extending.md").read_text().split("## A new depth backend\n")[1].split("\n## ")[0]
    code = re.findall(r"^```python\n(.*?)^```", section, re.M | re.S)[0]
    (tmp_path / "nsff" / "priors" / "depth" / "backends" / "linear.py").write_text(code)
    (tmp_path / "weights").mkdir()
    save_file({"weight": torch.tensor([0.1, 0.0, 0.0, 1.0])}, tmp_path / "weights" / "linear_depth.safetensors")
    scene = still_room(tmp_path, layered)
    environment = {"PATH": "", "PYTHONPATH": str(tmp_path), "NSFF_WEIGHTS": str(tmp_path / "weights"), "HOME": "/none"}
    command = [sys.executable, "-c", USED, str(scene.root)]
    run = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    lines = run.stdout.splitlines()
    assert lines[-1] == "linear_depth.safetensors"
    assert any(line.startswith("linear-depth ") and "depth.backend: linear" in line for line in lines)
    assert scene.summary("depth")["backend"] == "linear"
    assert scene.disparity(2)[0].shape == (48, 64)


def test_known_weights_have_one_name_each():
    backends = [backend for registry in REGISTRIES.values() for backend in registry.backends.values()]
    names = [one.name for backend in backends for one in backend.weights]
    assert len(names) == len(set(names))
    assert set(names) < set(known_weights())
