"""``nsff doctor``: states, remedies, exit status."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nsff.cli import main
from nsff.machine.overview import Gpu, Machine
from nsff.workflow import doctor
from nsff.workflow.doctor import examine, worst


def test_this_installation_works(tmp_path: Path, monkeypatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.chdir(tmp_path)
    assert main(["doctor"]) == 0
    text = capsys.readouterr().out
    for name in ("Python", "packages", "Snakemake", "FFmpeg", "weights", "memory", "free disk", "folder"):
        assert name in text
    assert main(["doctor", "--json"]) == 0
    checks = json.loads(capsys.readouterr().out)
    assert all(check["remedy"] for check in checks if check["state"] != "ok")


def test_what_is_lacking_has_a_remedy(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(doctor, "_version", lambda name: None if name == "kornia" else "99.0")
    monkeypatch.setattr(doctor, "_required", lambda: ["kornia>=0.9.0", "numpy>=2.4"])
    monkeypatch.setenv("NSFF_WEIGHTS", str(tmp_path / "none"))
    checks = {check.name: check for check in examine(tmp_path, Machine(2, 1.0, 5.0))}
    assert checks["package kornia"].remedy == "pip install 'kornia>=0.9.0'"
    assert checks["memory"].state == "problem"
    assert checks["free disk"].state == "warning"
    assert checks["GPU"].state == "warning"
    assert worst(checks.values()) == "problem"


def test_a_gpu_that_pytorch_cannot_use_is_a_problem(tmp_path: Path, monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    machine = Machine(8, 64.0, 100.0, (Gpu("NVIDIA H200", 139.0, "580.1"),))
    checks = {check.name: check for check in examine(tmp_path, machine)}
    assert checks["GPU"].state == "ok"
    assert checks["PyTorch"].state == "problem"
    assert "PyTorch" in checks["PyTorch"].remedy


def test_old_packages_are_told_by_their_numbers():
    assert doctor._numbers("2.10.0+cu13") > doctor._numbers("2.9")
    assert doctor._parsed("timm>=1.0.31") == ("timm", "1.0.31")


def test_recommended_weights_are_known():
    from nsff.commands.weights import _all_named
    from nsff.priors.registries import RECOMMENDED, known_weights

    known = known_weights()
    assert all(file.url for name in RECOMMENDED for file in known[name].files)
    assert _all_named(["recommended", "raft-things", "vgg16"]) == [*RECOMMENDED, "vgg16"]


@pytest.mark.parametrize(
    ("problem", "state", "says"),
    [(None, "ok", "built for this GPU"), ("it is not built", "warning", "it is not built")],
)
def test_the_rasteriser(tmp_path: Path, monkeypatch, problem: str | None, state: str, says: str):
    """Whether gsplat is built for the GPU; where it is not, the command that builds it."""
    from nsff.building import builds
    from nsff.models.gaussians import gpu

    monkeypatch.setattr(gpu, "problem", lambda: problem)
    monkeypatch.setattr(builds, "gsplat_version", lambda: "1.5.3")
    machine = Machine(2, 64.0, 500.0, (Gpu("H200", 140.0, "580.1"),))
    check = {check.name: check for check in examine(tmp_path, machine)}["rasteriser"]
    assert check.state == state and says in check.found
    assert ("nsff build-rasteriser" in check.remedy) == (problem is not None)
