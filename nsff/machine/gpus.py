"""Which GPU a job may use: lock files share the devices of a machine between the jobs that run on it.

Snakemake's resource ``gpu`` limits how many jobs run, but never tells a local job which device is its own. A device is
held by an exclusive lock (filelock, of flock) on a file of its name, which the kernel frees when its holder dies,
however it dies: a lock file that is merely there means nothing. Jobs of one user share the files' folder, which nobody
else can read or write. Whoever gives a device back removes its file: a lock counts only while its file is there.

Processes that torchrun started together hold one device each. Such groups take theirs one after another (``_turn``):
two groups that each held some and waited for the rest would wait for ever.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from filelock import FileLock, Timeout

from nsff.errors import StageError
from nsff.machine.launch import Launch, launched

Found = TypeVar("Found")
ALLOWED = "CUDA_VISIBLE_DEVICES"
HELD = "NSFF_GPU_HELD"
"""Names the device that this process, or the one that started it, already holds."""
HELD_BY = "NSFF_GPU_HELD_BY"
"""The run of torchrun that the holder belongs to: a run that a single holder starts may not share its device."""


def visible_devices() -> list[str]:
    """Identifiers that CUDA_VISIBLE_DEVICES allows, or all devices that nvidia-smi lists; empty without a GPU."""
    allowed = os.environ.get(ALLOWED)
    if allowed is None:
        return [index for index, _ in _installed()]
    devices: list[str] = []
    for part in (piece.strip() for piece in allowed.split(",")):
        # CUDA reads up to the first entry that names no device.
        if not part or part.startswith("-"):
            break
        devices.append(part)
    return devices


def _installed() -> list[tuple[str, str]]:
    """(index, UUID) of all devices, in nvidia-smi's order; empty where it is missing or fails."""
    if shutil.which("nvidia-smi") is None:
        return []
    try:
        found = subprocess.run(
            ["nvidia-smi", "--query-gpu=index,uuid", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            timeout=60,
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    lines = found.stdout.splitlines() if found.returncode == 0 else []
    return [(parts[0].strip(), parts[1].strip()) for line in lines if len(parts := line.split(",")) == 2]


@contextlib.contextmanager
def acquire_device(folder: Path | None = None, poll: float = 2.0, patience: float = 24 * 3600) -> Iterator[str | None]:
    """Holds one free device for this process: sets CUDA_VISIBLE_DEVICES to it, and yields its identifier.

    Must be entered before CUDA is initialised. Waits while all devices are taken, looking every ``poll`` seconds, at
    most ``patience`` seconds; then StageError. Without a GPU nothing happens, and None is yielded. What a holder calls
    or starts uses the holder's device. Within a cluster's allocation (SLURM_JOB_ID) its devices are shared among the
    jobs of that allocation alone. Of processes that torchrun started together each gets another device; StageError
    where there are fewer devices than processes. ``folder`` holds the lock files.
    """
    devices, group = visible_devices(), launched()
    if not devices:
        yield None
        return
    if os.environ.get(HELD) in devices and os.environ.get(HELD_BY, "") == group.run:
        yield os.environ[HELD]
        return
    if len(devices) < group.count:
        raise StageError(
            f"GPU {', '.join(devices)}",
            f"{group.count} processes are to train together, each on a GPU of its own",
            f"set train.gpus to {len(devices)}, or allow more devices in {ALLOWED}",
        )
    folder = private_folder(folder or Path(tempfile.gettempdir()) / f"nsff-gpus-{os.getuid()}")
    _sweep(folder)
    with contextlib.ExitStack() as held:
        with _turn(group, folder, poll, patience):
            device = _wait(devices, folder, poll, patience, held)
        values = {ALLOWED: device, HELD: device, HELD_BY: group.run}
        if ALLOWED not in os.environ:
            # The index is nvidia-smi's, which counts in the order of the bus; CUDA's default is by speed.
            values["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"
        held.enter_context(_environment(values))
        yield device


def _wait(devices: list[str], folder: Path, poll: float, patience: float, held: contextlib.ExitStack) -> str:
    """The first device whose lock is free; ``held`` gives it back."""
    # The same device may be named by its index here and by its UUID there.
    uuids = dict(_installed())
    allocation = os.environ.get("SLURM_JOB_ID")
    names = {device: f"slurm-{allocation}-{device}" if allocation else uuids.get(device, device) for device in devices}
    started, told = time.monotonic(), False
    while True:
        for device in devices:
            path = folder / (names[device].replace("/", "_") + ".lock")
            lock = _taken(path)
            if lock is None:
                continue
            held.callback(lock.release)
            held.callback(path.unlink, missing_ok=True)  # before, while it is still locked
            return device
        if time.monotonic() - started > patience:
            raise StageError(
                f"GPU {', '.join(devices)}",
                f"taken by other jobs for {patience:.0f} s",
                f"wait for them, allow other devices in {ALLOWED}, or set train.device to cpu",
            )
        if not told:
            print(f"waiting for a free GPU ({', '.join(devices)} are taken)", flush=True)
            told = True
        time.sleep(poll)


def private_folder(folder: Path) -> Path:
    """Makes the folder, or takes it as it is if it is this user's own; nobody else may read or write it (mode 0700).

    Raises StageError where somebody else made it, or where a link or a file has its name: in a folder that all may
    write to, such as /tmp, others could otherwise hold our devices, or have us write where the link leads.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    found = os.lstat(folder)
    problem = ""
    if stat.S_ISLNK(found.st_mode):
        problem = f"is a link to {os.readlink(folder)}"
    elif not stat.S_ISDIR(found.st_mode):
        problem = "is no folder"
    elif found.st_uid != os.getuid():
        problem = f"belongs to user {found.st_uid}, not to {os.getuid()}"
    if problem:
        raise StageError(
            folder,
            f"{problem}, so it cannot hold the locks of GPUs",
            "remove it, or set TMPDIR to a folder of your own",
        )
    if stat.S_IMODE(found.st_mode) != 0o700:
        folder.chmod(0o700)
    return folder


def _sweep(folder: Path) -> None:
    """Removes the files that killed jobs of other allocations left behind: nobody will ever ask for them again."""
    allocation = os.environ.get("SLURM_JOB_ID", "")
    for path in [*folder.glob("slurm-*.lock"), *folder.glob("turn-[0-9]*.txt")]:
        if path.name.split("-")[1].removesuffix(".txt") == allocation:
            continue
        lock = _taken(path)
        if lock is not None:
            path.unlink(missing_ok=True)
            lock.release()


def _taken(path: Path) -> FileLock | None:
    """The lock on the file of that name, held; None where another process holds it."""
    lock = FileLock(path, mode=0o600, fallback_to_soft=False)  # soft locks outlive those who die
    try:
        lock.acquire(blocking=False)
    except Timeout:
        return None
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EISDIR):
            raise StageError(path, "is a link or a folder, not a lock file", "remove it") from None
        raise
    return lock


@contextlib.contextmanager
def _turn(group: Launch, folder: Path, poll: float, patience: float) -> Iterator[None]:
    """Within, this group alone takes devices: left by the first process when all of the group have theirs.

    The first process holds the lock of a file and writes into it whose turn it is; each process adds its rank once it
    has a device, and the first one removes the file when all have done so. A single process holds nothing while it
    waits, and needs no turn.
    """
    if group.count == 1:
        yield
        return
    path = folder / f"turn-{os.environ.get('SLURM_JOB_ID', 'local')}.txt"
    if not group.leader:
        _until(lambda: _lines(path)[:1] == [group.run], poll, patience, path)
        with path.open("a") as stream:
            yield
            stream.write(f"{group.rank}\n")
        return
    lock = _until(lambda: _taken(path), poll, patience, path)
    try:
        path.write_text(f"{group.run}\n")
        yield
        with path.open("a") as stream:
            stream.write(f"{group.rank}\n")
        _until(lambda: len(_lines(path)) > group.count, poll, patience, path)
        path.unlink(missing_ok=True)
    finally:
        lock.release()


def _lines(path: Path) -> list[str]:
    """Empty where there is no such file yet, or none any more."""
    try:
        return path.read_text().splitlines()
    except FileNotFoundError:
        return []


def _until(condition: Callable[[], Found | None], poll: float, patience: float, path: Path) -> Found:
    """Waits until ``condition`` returns something true and returns it; StageError after ``patience`` seconds."""
    started = time.monotonic()
    while not (found := condition()):
        if time.monotonic() - started > patience:
            raise StageError(
                path, f"no turn within {patience:.0f} s", "wait for other jobs of several GPUs, or end them"
            )
        time.sleep(poll)
    return found


@contextlib.contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    """Sets environment variables, and puts back what was there."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
