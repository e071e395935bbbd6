"""The machine that this process runs on: processors, memory, free disk, GPUs. Nothing heavy is imported."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from nsff.machine.gpus import visible_devices

GIB = 2**30
MEMORY_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
"""Files in which a container's limit stands, by the version of control groups."""


@dataclass(frozen=True)
class Gpu:
    """A GPU as its driver names it; ``memory`` in GiB."""

    name: str
    memory: float
    driver: str = ""


@dataclass(frozen=True)
class Machine:
    """``cores`` that this process may use; ``memory`` (all of it) and ``disk`` (free in a folder) in GiB."""

    cores: int
    memory: float
    disk: float
    gpus: tuple[Gpu, ...] = ()

    def __str__(self) -> str:
        text = f"{self.cores} processor core{'s' if self.cores > 1 else ''}, {self.memory:.0f} GB of memory, "
        text += f"{self.disk:.0f} GB of free disk, "
        return text + (", ".join(f"{gpu.name} ({gpu.memory:.0f} GB)" for gpu in self.gpus) or "no GPU")


def this_machine(folder: Path = Path()) -> Machine:
    """This machine, with the disk that ``folder`` (or the folder above it that is there) lies on."""
    return Machine(usable_cores(), total_memory() / GIB, free_disk(folder) / GIB, installed_gpus())


def usable_cores() -> int:
    """Processor cores that this process may run on."""
    try:
        return len(os.sched_getaffinity(0))
    except (AttributeError, OSError):  # not on macOS
        return os.cpu_count() or 1


def total_memory() -> int:
    """Bytes of memory of the machine, or of the container that this process is in."""
    try:
        installed = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        installed = 0
    for name in MEMORY_LIMITS:
        try:
            limit = int(Path(name).read_text())
        except (OSError, ValueError):  # no such file, or "max"
            continue
        return min(installed, limit) if installed else limit
    return installed


def free_disk(folder: Path) -> int:
    """Bytes that are free where ``folder`` lies."""
    place = folder.absolute()
    while not place.exists():
        place = place.parent
    return shutil.disk_usage(place).free


def installed_gpus() -> tuple[Gpu, ...]:
    """The NVIDIA GPUs that this process may use; none where nvidia-smi is missing or fails."""
    if not visible_devices() or shutil.which("nvidia-smi") is None:
        return ()
    query = ["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader,nounits"]
    try:
        found = subprocess.run(query, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return ()
    lines = [line.split(",") for line in found.stdout.splitlines()] if found.returncode == 0 else []
    return tuple(_gpu(*parts) for parts in lines if len(parts) == 3)


def _gpu(name: str, megabytes: str, driver: str) -> Gpu:
    try:
        memory = float(megabytes) / 1024
    except ValueError:  # "[N/A]" where memory is shared with the processor
        memory = 0.0
    return Gpu(name.strip(), memory, driver.strip())
