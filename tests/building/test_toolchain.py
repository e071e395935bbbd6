"""The folder of compilers that is put together from wheels, and what is said where parts are missing."""

import os
import shutil
from pathlib import Path

import pytest

from nsff.building import toolchain
from nsff.building.toolchain import find_toolchain
from nsff.errors import StageError


def test_the_folder_is_laid_out_as_a_toolkit(machine, tmp_path):
    tools = find_toolchain(tmp_path / "cuda", "13.0")
    assert tools.cxx == str(machine.bin / "g++")
    assert tools.nvcc == tmp_path / "cuda" / "bin" / "nvcc" and os.access(tools.nvcc, os.X_OK)
    for part in ("nvvm/bin/cicc", "include/crt/host_config.h", "include/cccl/cub/cub.cuh", "include/cuda_runtime.h"):
        assert (tools.cuda / part).is_file(), part
    runtime = tools.cuda / "lib64" / "libcudart.so"
    assert runtime.resolve() == machine.user / "nvidia/cu13/lib/libcudart.so.13"


def test_it_is_made_anew(machine, tmp_path):
    """Links of packages that are gone since do not stay."""
    find_toolchain(tmp_path / "cuda", "13.0")
    header = machine.user / "nvidia/cu13/include/gone.h"
    machine.file(header)
    find_toolchain(tmp_path / "cuda", "13.0")
    assert (tmp_path / "cuda/include/gone.h").exists()
    header.unlink()
    find_toolchain(tmp_path / "cuda", "13.0")
    assert not (tmp_path / "cuda/include/gone.h").is_symlink()


@pytest.mark.parametrize(
    ("part", "wheel"),
    [
        ("site/nvidia/cu13/bin", "nvidia-cuda-nvcc"),
        ("site/nvidia/cu13/nvvm", "nvidia-nvvm"),
        ("site/nvidia/cu13/include/crt", "nvidia-cuda-crt"),
        ("user/nvidia/cu13/include/cccl", "nvidia-cuda-cccl"),
    ],
)
def test_a_wheel_is_missing(machine, tmp_path, part, wheel):
    shutil.rmtree(machine.root / part)
    with pytest.raises(StageError, match=rf"(?s)no {wheel} among.*pip install 'nsff\[gaussians\]'"):
        find_toolchain(tmp_path / "cuda", "13.0")


@pytest.mark.parametrize(("release", "found"), [("13.0", True), ("12.8", False)])
def test_an_installed_toolkit_of_the_same_version_will_do(machine, tmp_path, monkeypatch, release, found):
    shutil.rmtree(machine.site / "nvidia")
    script = f"#!/bin/sh\necho Cuda compilation tools, release {release}, V1\n"
    nvcc = machine.file(tmp_path / "toolkit/bin/nvcc", script)
    nvcc.chmod(0o755)
    machine.file(tmp_path / "toolkit/include/cuda_runtime.h")
    monkeypatch.setenv("CUDA_HOME", str(tmp_path / "toolkit"))
    if found:
        assert find_toolchain(tmp_path / "cuda", "13.0").cuda == tmp_path / "toolkit"
    else:
        with pytest.raises(StageError, match="no CUDA 13 toolkit"):
            find_toolchain(tmp_path / "cuda", "13.0")


def test_no_compiler_of_c_plus_plus(machine, tmp_path, monkeypatch):
    (machine.bin / "g++").unlink()
    with pytest.raises(StageError, match=r"(?s)C\+\+ compiler.*apt install g\+\+"):
        find_toolchain(tmp_path / "cuda", "13.0")
    monkeypatch.setenv("CXX", "g++-99")
    with pytest.raises(StageError, match=r"g\+\+-99 \(variable CXX\) is not there"):
        find_toolchain(tmp_path / "cuda", "13.0")


def test_no_headers_of_python(machine, tmp_path, monkeypatch):
    monkeypatch.setattr(toolchain.sysconfig, "get_path", lambda name: str(tmp_path / "no headers"))
    with pytest.raises(StageError, match=r"(?s)Python\.h.*python3-dev"):
        find_toolchain(tmp_path / "cuda", "13.0")


def test_no_runtime_to_link_with(machine, tmp_path):
    (machine.user / "nvidia/cu13/lib/libcudart.so.13").unlink()
    with pytest.raises(StageError, match=r"libcudart\.so"):
        find_toolchain(tmp_path / "cuda", "13.0")


def test_wheels_are_found_among_pythons_packages(tmp_path, monkeypatch):
    (tmp_path / "nvidia" / "cu13").mkdir(parents=True)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert tmp_path / "nvidia" / "cu13" in toolchain.wheel_roots("13.0")
    assert all(root.name == "cu12" for root in toolchain.wheel_roots("12.8"))
    assert all(isinstance(root, Path) for root in toolchain.wheel_roots("13.0"))
