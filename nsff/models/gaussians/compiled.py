"""Functions that Numba compiles for the CPU, at their first call or from a cache of earlier ones; and their threads.

A cached function is compiled again when its own file changes, and not when another does: compiled functions therefore
call none of other files, and get constants of other files as arguments.

Threads are Python's, since compiled functions run without the interpreter's lock. Numba's own parallel loops take three
times as long to compile, and a process that forks after one cannot use them in its child.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from typing import Any

import numba
import torch

SHARES = 64
"""Shares into which work is divided, whatever the number of threads, so that sums over shares never depend on it."""


def compiled(function: Callable[..., Any]) -> Any:
    """Decorator: a function compiled with exact arithmetic (no fastmath), which runs without the interpreter's lock.
    Division by 0 is infinity as in NumPy: a loop that could raise an error is never turned into vector instructions.

    The machine code is kept beside the source or, where that cannot be written, in the user's cache; where neither can,
    every process compiles anew.
    """
    try:
        return numba.njit(cache=True, nogil=True, error_model="numpy")(function)
    except RuntimeError:  # Numba found no folder that it may write to
        return numba.njit(nogil=True, error_model="numpy")(function)


def in_shares(kernel: Callable[..., None], *arguments: Any) -> None:
    """Calls kernel(share, SHARES, *arguments) for each share from 0 to SHARES - 1, on as many threads as PyTorch has.

    A thread takes the next share when it is done with one. What one thread raises is raised here.
    """
    shares, errors = itertools.count(), list[BaseException]()

    def work() -> None:
        try:
            while (share := next(shares)) < SHARES and not errors:
                kernel(share, SHARES, *arguments)
        except BaseException as error:
            errors.append(error)

    others = [threading.Thread(target=work, daemon=True) for _ in range(min(torch.get_num_threads(), SHARES) - 1)]
    for thread in others:
        thread.start()
    work()
    for thread in others:
        thread.join()
    if errors:
        raise errors[0]
