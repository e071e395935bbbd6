"""A look at this installation, at what it has and lacks: each check with a state, what was found, and a remedy."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import re
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from nsff.errors import NsffError
from nsff.machine.overview import Machine, this_machine

State = Literal["ok", "warning", "problem"]
PYTHONS = ((3, 11), (3, 14))
LEAST_MEMORY, FEW_MEMORY = 2.0, 6.0
"""Gigabytes below which nothing works (the demo's training takes 1.6), and below which long clips may not."""
LEAST_DISK, FEW_DISK = 1.0, 10.0
"""Gigabytes: the demo takes 0.4, a clip of 120 frames at 288 rows about 4."""
OPTIONAL = {
    "cupy-cuda13x": "splats between frames on a GPU",
    "gsplat": "draws Gaussians on a GPU",
    "pydensecrf2": "the CRF of the published code",
}


@dataclass(frozen=True)
class Check:
    """One thing that was looked at."""

    name: str
    state: State
    found: str
    remedy: str = ""


def examine(folder: Path = Path(), machine: Machine | None = None) -> list[Check]:
    """All checks, for runs that are started in ``folder``."""
    machine = machine or this_machine(folder)
    parts: list[Callable[[], Iterable[Check]]] = [
        lambda: [_python()],
        _packages,
        lambda: [_workflow()],
        lambda: [_video()],
        lambda: _gpu(machine),
        lambda: _weights(),
        lambda: _room(machine),
        lambda: _folder(folder),
    ]
    return [check for part in parts for check in part()]


def worst(checks: Iterable[Check]) -> State:
    """The worst state of all."""
    states = {check.state for check in checks}
    return "problem" if "problem" in states else "warning" if "warning" in states else "ok"


# --- software --------------------------------------------------------------------------------------------------------
def _python() -> Check:
    version = ".".join(map(str, sys.version_info[:3]))
    if PYTHONS[0] <= sys.version_info[:2] < PYTHONS[1]:
        return Check("Python", "ok", f"{version} ({sys.executable})")
    return Check("Python", "problem", version, "make an environment with Python 3.11 to 3.13 and install nsff there")


def _packages() -> list[Check]:
    """One check for all packages that nsff requires, and one for each that fails."""
    wrong, count = [], 0
    for line in _required():
        name, least = _parsed(line)
        found = _version(name)
        count += 1
        if found is None:
            wrong.append(Check(f"package {name}", "problem", "is missing", f"pip install '{line}'"))
        elif least and _numbers(found) < _numbers(least):
            wrong.append(Check(f"package {name}", "problem", f"{found}, {least} is needed", f"pip install '{line}'"))
    told = ", ".join(
        f"{n} {_version(n)}" for n in ("torch", "numpy", "opencv-python-headless", "pycolmap") if _version(n)
    )
    optional = [f"{name} ({about})" for name, about in OPTIONAL.items() if _version(name) is None]
    absent = f"; optional and absent: {', '.join(optional)}" if optional else ""
    good = Check("packages", "ok", f"{count - len(wrong)} of {count} as required ({told}){absent}")
    return [good, *wrong]


def _required() -> list[str]:
    """Requirements of nsff, without those of its extras."""
    try:
        lines = importlib.metadata.requires("nsff") or []
    except importlib.metadata.PackageNotFoundError:
        return []
    return [line for line in lines if "extra ==" not in line]


def _parsed(requirement: str) -> tuple[str, str]:
    """Name and least version of a requirement.

    >>> _parsed("torch>=2.11")
    ('torch', '2.11')
    """
    name = re.split(r"[\s\[;<>=!~]", requirement, maxsplit=1)[0]
    least = re.search(r"[>=]=\s*([\d.]+)", requirement)
    return name, least[1] if least else ""


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version.split("+")[0])[:3])


def _workflow() -> Check:
    from nsff.workflow.bundle import bundled

    version = _version("snakemake")
    if version is None:
        return Check("Snakemake", "problem", "is missing", "pip install 'snakemake>=9.27'")
    try:
        return Check("Snakemake", "ok", f"{version}, with the rules in {bundled()}")
    except NsffError as error:
        return Check("Snakemake", "problem", f"{version}, but {error.problem}", error.remedy)


def _video() -> Check:
    """FFmpeg, as the packages bring it along: PyAV reads videos, imageio-ffmpeg writes them."""
    try:
        import av
        import imageio_ffmpeg

        lacking = [name for name in ("h264", "hevc", "vp9") if name not in av.codecs_available]
        writer = imageio_ffmpeg.get_ffmpeg_exe()
    except Exception as error:  # a broken library fails in many ways
        return Check(
            "FFmpeg", "problem", f"{type(error).__name__}: {error}", "pip install --force-reinstall av imageio-ffmpeg"
        )
    text = f"reads by PyAV {av.__version__}, writes by {writer}"
    if lacking:
        return Check("FFmpeg", "warning", f"{text}; cannot read {', '.join(lacking)}", "encode videos as H.264")
    return Check("FFmpeg", "ok", text)


# --- hardware --------------------------------------------------------------------------------------------------------
def _gpu(machine: Machine) -> list[Check]:
    if not machine.gpus:
        if os.environ.get("CUDA_VISIBLE_DEVICES") == "":
            return [Check("GPU", "warning", "hidden by CUDA_VISIBLE_DEVICES", "unset it to use the GPU")]
        text = "none: preset demo is for the CPU; fast, nsff and saff would take hours to days"
        return [Check("GPU", "warning", text, "use preset demo, or a machine with an NVIDIA GPU and its driver")]
    found = [Check("GPU", "ok", f"{gpu.name}, {gpu.memory:.0f} GB, driver {gpu.driver}") for gpu in machine.gpus]
    return [*found, _torch(), _rasteriser()]


def _torch() -> Check:
    import torch

    build = f"{torch.__version__}, built for " + (f"CUDA {torch.version.cuda}" if torch.version.cuda else "the CPU")
    if torch.cuda.is_available():
        return Check("PyTorch", "ok", build)
    if not torch.version.cuda:
        remedy = "install PyTorch's build for CUDA (pytorch.org, Get started)"
    else:
        remedy = f"install a driver that knows CUDA {torch.version.cuda}, or a PyTorch built for an older one"
    return Check("PyTorch", "problem", f"{build}: cannot use the GPU", remedy)


def _rasteriser() -> Check:
    """Whether Gaussians can be drawn on the GPU. Nothing is built here."""
    from nsff.building.builds import EXTRA, command_here, gsplat_version
    from nsff.models.gaussians.rasterisers import gpu_problem

    if problem := gpu_problem():
        text = f"gsplat draws Gaussians on a GPU, and {problem}; planes need none"
        installed = importlib.util.find_spec("gsplat") is not None
        return Check("rasteriser", "warning", text, command_here() if installed else f"{EXTRA}, then {command_here()}")
    return Check("rasteriser", "ok", f"gsplat {gsplat_version()}, built for this GPU")


def _room(machine: Machine) -> list[Check]:
    found = []
    for name, has, least, few in (
        ("memory", machine.memory, LEAST_MEMORY, FEW_MEMORY),
        ("free disk", machine.disk, LEAST_DISK, FEW_DISK),
    ):
        text = f"{has:.1f} GB"
        if has >= few:
            found.append(Check(name, "ok", text))
        else:
            state: State = "warning" if has >= least else "problem"
            remedy = "take fewer frames or rows (nsff run --frames, --height)"
            found.append(Check(name, state, text, remedy if name == "memory" else f"free some space, or {remedy}"))
    return found


# --- weights and folder ----------------------------------------------------------------------------------------------
def _weights() -> list[Check]:
    from nsff.priors.registries import RECOMMENDED, known_weights
    from nsff.weights import folders, locate
    from nsff.weights.check import check_sizes

    known = known_weights()
    there = {name: path for name, weight in known.items() if (path := locate(weight)) is not None}
    found = []
    for name, path in there.items():
        try:
            check_sizes(known[name], path)
        except NsffError as error:
            found.append(Check(f"weights {name}", "problem", error.problem, f"nsff weights get {name}"))
    missing = [name for name in RECOMMENDED if name not in there]
    text = f"there: {', '.join(there) or 'none'} (in {', '.join(map(str, folders()))})"
    if missing:
        text += f"; recommended and missing: {', '.join(missing)}"
        remedy = "nsff weights get recommended (preset demo needs none; others then use classical methods)"
        return [Check("weights", "warning", text, remedy), *found]
    return [Check("weights", "ok", text), *found]


def _folder(folder: Path) -> list[Check]:
    from nsff.workflow.folder_runs import explain_locks, runs_of_folder

    if not os.access(folder, os.W_OK):
        return [Check("folder", "problem", f"{folder.absolute()} cannot be written", "go to a folder of your own")]
    runs = runs_of_folder(folder)
    if runs.locked():
        return [Check("folder", "warning", "is locked", explain_locks(runs))]
    return [Check("folder", "ok", f"{folder.absolute()}: can be written, not locked")]
