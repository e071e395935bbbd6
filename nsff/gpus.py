"""Which GPU a job may use: lock files share the devices of a machine between the jobs that run on it.

Snakemake's resource ``gpu`` limits how many jobs run, but never tells a local job which device is its own.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path


def visible_devices() -> list[str]:
    """Identifiers that CUDA_VISIBLE_DEVICES allows, or all devices that nvidia-smi lists; empty without a GPU."""
    allowed = os.environ.get("CUDA_VISIBLE_DEVICES")
    if allowed is not None:
        return [part.strip() for part in allowed.split(",") if part.strip() and part.strip() != "-1"]
    if shutil.which("nvidia-smi") is None:
        return []
    found = subprocess.run(["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"], capture_output=True, text=True)
    return found.stdout.split() if found.returncode == 0 else []


@contextlib.contextmanager
def acquire_device(folder: Path | None = None, poll: float = 2.0, patience: float = 24 * 3600) -> Iterator[str | None]:
    """Holds one free device for this process: sets CUDA_VISIBLE_DEVICES to it, and yields its identifier.

    Must be entered before CUDA is initialised. Waits while all devices are taken, at most ``patience`` seconds (then
    TimeoutError). The kernel frees the lock of a process that dies. Without a GPU nothing happens, and None is
    yielded. Under a cluster's own allocation (SLURM_JOB_ID) the devices given are the job's own, and are taken as
    they are.
    """
    devices = visible_devices()
    if not devices or "SLURM_JOB_ID" in os.environ:
        yield devices[0] if devices else None
        return
    folder = folder or Path(tempfile.gettempdir()) / f"nsff-gpus-{os.getuid()}"
    folder.mkdir(parents=True, exist_ok=True)
    started, told = time.monotonic(), False
    while True:
        for device in devices:
            with (folder / f"{device}.lock".replace("/", "_")).open("w") as handle:
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    continue
                before = os.environ.get("CUDA_VISIBLE_DEVICES")
                os.environ["CUDA_VISIBLE_DEVICES"] = device
                try:
                    yield device
                finally:
                    if before is None:
                        os.environ.pop("CUDA_VISIBLE_DEVICES", None)
                    else:
                        os.environ["CUDA_VISIBLE_DEVICES"] = before
                return
        if time.monotonic() - started > patience:
            raise TimeoutError(f"no free GPU among {', '.join(devices)} for {patience:.0f} s")
        if not told:
            print(f"waiting for a free GPU ({', '.join(devices)} are taken)", flush=True)
            told = True
        time.sleep(poll)
