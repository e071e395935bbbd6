"""Where builds of gsplat lie, and which of them a GPU can use.

Below the folder that NSFF_RASTERISER names, else ~/.cache/nsff/gsplat, a build has a folder for the versions that it
was built with, and in it one for its architectures, compute capabilities such as 9.0, joined by ``_``. In there are
gsplat_cuda.so, build.json and build.log.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nsff.errors import ConfigError, StageError

VARIABLE, USUAL = "NSFF_RASTERISER", "~/.cache/nsff/gsplat"
LIBRARY, RECORD, LOG = "gsplat_cuda.so", "build.json", "build.log"
EXTRA = "pip install 'nsff[gaussians]'"
COMMAND = "nsff build-rasteriser"
BY_HAND = "python -m nsff.building"


@dataclass(frozen=True)
class Build:
    """A build, finished or not, for ``architectures``."""

    folder: Path
    architectures: tuple[str, ...]

    @property
    def library(self) -> Path:
        return self.folder / LIBRARY

    @property
    def log(self) -> Path:
        return self.folder / LOG

    @property
    def finished(self) -> bool:
        """Whether the library is there; the record is written after it has been loaded once."""
        return (self.folder / RECORD).is_file() and self.library.is_file()


def build_for(architectures: Sequence[str]) -> Build:
    """The build of the installed versions for these architectures, whether it is there or not.

    Raises ConfigError for what is no architecture, StageError where gsplat is missing or PyTorch has no CUDA.
    """
    for name in architectures:
        if not re.fullmatch(r"\d{1,2}\.\d", name):
            raise ConfigError(
                f"--arch {name}", "is no compute capability", "give one such as 9.0 (H100, H200), 8.9 or 12.0"
            )
    ordered = tuple(sorted(set(architectures), key=lambda name: tuple(map(int, name.split(".")))))
    return Build(versions_folder() / "_".join(ordered), ordered)


def build_that_runs_on(capability: tuple[int, int]) -> Build | None:
    """A finished build of the installed versions with code for a GPU of this compute capability: its own, or the same
    major number and a lower minor one (NVIDIA, CUDA C++ Programming Guide, binary compatibility)."""
    fitting: list[tuple[int, Build]] = []
    folder = versions_folder()
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        build = Build(path, tuple(path.name.split("_")))
        numbers = [tuple(map(int, name.split("."))) for name in build.architectures if re.fullmatch(r"\d+\.\d", name)]
        minors = [minor for major, minor in numbers if major == capability[0] and minor <= capability[1]]
        if minors and build.finished:
            fitting.append((max(minors), build))
    return max(fitting, key=lambda found: found[0])[1] if fitting else None


def versions_folder() -> Path:
    """The folder of all builds of the installed versions. Raises StageError as ``build_for``."""
    import torch

    root = Path(os.environ.get(VARIABLE) or USUAL).expanduser()
    python = f"cp{sys.version_info.major}{sys.version_info.minor}"
    if torch.version.cuda is None:
        raise StageError(
            "PyTorch", f"{torch.__version__} is built without CUDA", "install PyTorch for CUDA, on a machine with a GPU"
        )
    return root / f"gsplat-{gsplat_version()}_torch-{torch.__version__}_{python}_{platform.machine()}"


def command_here() -> str:
    """The command that builds gsplat for this Python: environments of --use-conda have no command ``nsff``."""
    if importlib.util.find_spec("cyclopts"):
        return COMMAND
    return f"PYTHONPATH={Path(__file__).parents[2]} {BY_HAND.replace('python', sys.executable)}"


def gsplat_version() -> str:
    """The version of the installed gsplat; raises StageError where there is none."""
    try:
        return importlib.metadata.version("gsplat")
    except importlib.metadata.PackageNotFoundError:
        raise StageError("gsplat", "is not installed", f"{EXTRA}, then {command_here()}") from None


def gsplat_sources() -> Path:
    """The folder gsplat/cuda of the installed gsplat; raises StageError where there is none, or no sources."""
    spec = importlib.util.find_spec("gsplat")
    version = gsplat_version()
    folder = Path(spec.origin).parent / "cuda" if spec and spec.origin else None
    if folder is None or not (folder / "ext.cpp").is_file():
        raise StageError("gsplat", f"{version} has no sources to build", f"{EXTRA}, which brings version 1.5.3")
    return folder


def load_library(library: Path | str) -> None:
    """Loads a built library as gsplat.csrc, which gsplat then takes as it takes one that came with it.

    Raises whatever Python raises for a library that does not fit.
    """
    import torch  # noqa: F401 - brings the libraries that this one is linked with

    spec = importlib.util.spec_from_file_location("gsplat_cuda", library)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    sys.modules["gsplat.csrc"] = module
