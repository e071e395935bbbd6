"""Resources that the process of a stage holds while it works: pretrained weights, a GPU, a folder.

Nothing here imports numerical libraries before it is called: they read the number of threads when they are loaded.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nsff.config import SceneConfig


def known_weights(files: Sequence[Path] | None) -> contextlib.AbstractContextManager[None]:
    """A context in which the named files are the only pretrained weights; with None, those that this machine has."""
    from nsff.weights import only

    return contextlib.nullcontext() if files is None else only(files)


def gpu_for(stage: str, config: SceneConfig) -> contextlib.AbstractContextManager[None]:
    """A context with a GPU reserved for this process, where the stage's backend is a learned one."""
    from nsff.priors.registries import weight_files

    return one_gpu(config) if weight_files(stage, config) else contextlib.nullcontext()


@contextlib.contextmanager
def one_gpu(config: SceneConfig) -> Iterator[None]:
    """A context with a GPU reserved for this process, where there is one and ``train.device`` allows it.

    To be entered before CUDA is initialised. ``train.memory_gb`` caps the memory that PyTorch takes.
    """
    from nsff.machine.gpus import acquire_device

    if config.train.device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    with acquire_device() as device:
        if device is not None:
            print(f"using GPU {device}", flush=True)
        if device is not None and config.train.memory_gb is not None:
            import torch

            from nsff.machine.gpu_memory import cap_memory

            cap_memory(torch.device("cuda"), config.train.memory_gb)
        yield


@contextlib.contextmanager
def exclusive_access(folder: Path) -> Iterator[None]:
    """A context in which no other process works on ``folder``: waits for one that does.

    A run that was killed may leave its job behind, alive. The lock lies beside the folder; where the file system has no
    locks, nothing is waited for.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f".{folder.name}.lock").open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"waiting for another process that works on {folder}", flush=True)
            fcntl.flock(handle, fcntl.LOCK_EX)
        except OSError:  # a file system without locks
            pass
        yield
