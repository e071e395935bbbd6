"""Whether a module of Triton kernels works on this machine, which is tried once; the plain twins serve where not."""

from __future__ import annotations

import functools
import importlib
import warnings
from typing import Any

import torch


@functools.cache
def working_kernels(module: str, device: torch.device) -> Any:
    """The module, after its ``trial(device)`` has run; None, with a warning, where Triton is not installed or cannot
    compile."""
    try:
        kernels = importlib.import_module(module)
        kernels.trial(device)
    except Exception as error:  # without a compiler or with a driver that does not fit, of many types
        name = module.rpartition(".")[2]
        warnings.warn(f"slow without Triton: {name} does not work ({type(error).__name__}: {error})", stacklevel=2)
        return None
    return kernels
