"""A gsplat of four sources, NVIDIA's wheels in two places, and compilers that write down how they were called."""

import os
from pathlib import Path

import pytest

from nsff.building import compile, toolchain

COMPILER = """#!/bin/sh
echo "$@" >> "{calls}"
for last; do :; done
case "$*" in *{bad}*) echo "{says}"; exit {status};; esac
echo "{says_first}"
echo compiled > "$last"
"""
"""The output is the last word."""


class Machine:
    """Where everything lies, and what its compilers do: ``bad`` is part of the command line that fails."""

    def __init__(self, root: Path) -> None:
        self.root, self.calls = root, root / "calls.txt"
        self.site, self.user, self.bin = root / "site", root / "user", root / "bin"
        self.cache = root / "cache"

    def file(self, path: Path, text: str = "") -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def compilers(self, bad: str = "no such source", says: str = "", status: int = 1) -> None:
        script = COMPILER.format(calls=self.calls, bad=f'"{bad}"', says=says, status=status, says_first="a warning")
        for path in (self.bin / "g++", self.site / "nvidia" / "cu13" / "bin" / "nvcc"):
            self.file(path, script).chmod(0o755)

    def compiled(self) -> list[str]:
        """Names of the sources that compilers were called for, and ``link``, in order."""
        lines = self.calls.read_text().splitlines() if self.calls.exists() else []
        return [line.split(" -c ")[1].split()[0].rsplit("/", 1)[-1] if " -c " in line else "link" for line in lines]


@pytest.fixture
def machine(tmp_path, monkeypatch) -> Machine:
    """A machine whose only compilers are these; builds are not loaded, since they are none."""
    machine = Machine(tmp_path)
    machine.compilers()
    for name, size in (("csrc/Small.cu", 1), ("csrc/Large.cu", 9), ("csrc/Plain.cpp", 20), ("ext.cpp", 1)):
        machine.file(machine.site / "gsplat" / "cuda" / name, "x" * size)
    machine.file(machine.site / "gsplat" / "__init__.py")
    described = "Metadata-Version: 2.1\nName: gsplat\nVersion: 1.5.3\n"
    machine.file(machine.site / "gsplat-1.5.3.dist-info" / "METADATA", described)
    first, second = machine.site / "nvidia" / "cu13", machine.user / "nvidia" / "cu13"
    for path in (
        first / "nvvm/bin/cicc", first / "include/crt/host_config.h", second / "include/cccl/cub/cub.cuh",
        second / "include/cuda_runtime.h", second / "lib/libcudart.so.13",
    ):  # fmt: skip
        machine.file(path)
    monkeypatch.setattr(toolchain, "wheel_roots", lambda version: [first, second])
    monkeypatch.setattr(toolchain, "USUAL_TOOLKIT", tmp_path / "no toolkit")
    monkeypatch.setattr(compile, "check_library", lambda build: None)
    monkeypatch.setattr("torch.version.cuda", "13.0")
    monkeypatch.syspath_prepend(str(machine.site))
    for name in ("CXX", "CUDA_HOME", "CUDA_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", f"{machine.bin}{os.pathsep}/nowhere")
    monkeypatch.setenv("NSFF_RASTERISER", str(machine.cache))
    return machine
