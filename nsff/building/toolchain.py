"""The compilers that build gsplat: a C++ compiler of the machine, and CUDA's, from wheels or from an installed toolkit.

NVIDIA's wheels of CUDA's compiler (extra ``gaussians``) and those that PyTorch brings lay parts of a toolkit into
folders ``nvidia/cu13`` of Python's packages; ``cuda_folder`` joins them, by links, to a folder that is laid out as a
toolkit. An installed toolkit is taken where the wheels are missing.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from nsff.building.builds import EXTRA
from nsff.errors import StageError

PARTS = {
    "bin/nvcc": "nvidia-cuda-nvcc", "nvvm/bin/cicc": "nvidia-nvvm", "include/crt/host_config.h": "nvidia-cuda-crt",
    "include/cccl/cub/cub.cuh": "nvidia-cuda-cccl", "include/cuda_runtime.h": "nvidia-cuda-runtime",
}  # fmt: skip
"""Files of a toolkit without which nothing can be built, and the wheels that bring them."""
RUNTIME = "libcudart.so"
USUAL_TOOLKIT = Path("/usr/local/cuda")


@dataclass(frozen=True)
class Toolchain:
    """``cuda``: a folder laid out as CUDA's toolkit, with bin, nvvm, include and lib64. ``cxx``: the C++ compiler."""

    cuda: Path
    cxx: str

    @property
    def nvcc(self) -> Path:
        return self.cuda / "bin" / "nvcc"


def find_toolchain(folder: Path, cuda_version: str) -> Toolchain:
    """Compilers for PyTorch's ``cuda_version``; links are made in ``folder``. Raises StageError, with the remedy, for
    what is missing."""
    if not sys.platform.startswith("linux"):
        raise StageError("gsplat", f"is built on Linux alone, this is {sys.platform}", "draw on the CPU (device cpu)")
    cxx = os.environ.get("CXX") or shutil.which("g++") or shutil.which("c++")
    if cxx is None or shutil.which(cxx) is None:
        raise StageError(
            "C++ compiler", "is not there" if cxx is None else f"{cxx} (variable CXX) is not there",
            "install g++ 10 or newer (apt install g++; conda install -c conda-forge cxx-compiler), or name it with CXX",
        )  # fmt: skip
    header = Path(sysconfig.get_path("include")) / "Python.h"
    if not header.is_file():
        raise StageError(header, "is missing: Python's own headers", "install them (apt install python3-dev)")
    roots, major = wheel_roots(cuda_version), cuda_version.split(".")[0]
    missing = [wheel for part, wheel in PARTS.items() if not any((root / part).exists() for root in roots)]
    if not missing:
        return Toolchain(cuda_folder(roots, folder), cxx)
    toolkit = installed_toolkit(major)
    if toolkit is None:
        other = f"{EXTRA} with PyTorch for CUDA 13, or install the toolkit of CUDA {cuda_version}"
        raise StageError(
            "CUDA's compiler",
            f"is incomplete: no {', no '.join(missing)} among Python's packages, and no CUDA {major} toolkit in"
            f" CUDA_HOME, beside nvcc on the PATH, or in {USUAL_TOOLKIT}",
            EXTRA if major == "13" else other,
        )
    return Toolchain(toolkit, cxx)


def wheel_roots(cuda_version: str) -> list[Path]:
    """The folders nvidia/cu13 (for CUDA 13) of Python's packages; there are several where a wheel lies elsewhere."""
    spec = importlib.util.find_spec("nvidia")
    places = list(spec.submodule_search_locations or ()) if spec else []
    roots = [Path(place) / f"cu{cuda_version.split('.')[0]}" for place in places]
    return [root for root in roots if root.is_dir()]


def cuda_folder(roots: Sequence[Path], folder: Path) -> Path:
    """Makes ``folder`` anew, as a toolkit of links into ``roots``; of the same name the first counts.

    bin and nvvm are links to the folders that have nvcc and cicc; include and lib64 hold a link for every entry, and
    lib64 has libcudart.so beside libcudart.so.13, by which name linkers look for it.
    """
    shutil.rmtree(folder, ignore_errors=True)
    for name in ("include", "lib64"):
        (folder / name).mkdir(parents=True)
    for part in ("bin/nvcc", "nvvm/bin/cicc"):
        top = part.split("/")[0]
        (folder / top).symlink_to(next(root / top for root in roots if (root / part).exists()))
    for name, source in (("include", "include"), ("lib64", "lib")):
        for entry in _entries(roots, source):
            link = folder / name / entry.name
            if not link.is_symlink():
                link.symlink_to(entry)
    runtime = folder / "lib64" / RUNTIME
    versions = sorted((folder / "lib64").glob(f"{RUNTIME}.*"))
    if not runtime.is_symlink():
        if not versions:
            raise StageError(RUNTIME, f"is in none of {', '.join(map(str, roots))}", "install PyTorch for CUDA again")
        runtime.symlink_to(versions[0].name)
    return folder


def _entries(roots: Sequence[Path], name: str) -> Iterator[Path]:
    for root in roots:
        if (root / name).is_dir():
            yield from sorted((root / name).iterdir())


def installed_toolkit(major: str) -> Path | None:
    """CUDA's toolkit of this major version that is installed on the machine: CUDA_HOME, nvcc's, or the usual place."""
    named = [os.environ.get("CUDA_HOME"), os.environ.get("CUDA_PATH")]
    nvcc = shutil.which("nvcc")
    places = [Path(place) for place in named if place] + ([Path(nvcc).resolve().parents[1]] if nvcc else [])
    for place in [*places, USUAL_TOOLKIT]:
        if (place / "bin" / "nvcc").is_file() and (place / "include" / "cuda_runtime.h").is_file():
            said = subprocess.run([place / "bin" / "nvcc", "--version"], capture_output=True, text=True)
            if re.search(rf"release {major}\.", said.stdout):
                return place
    return None
