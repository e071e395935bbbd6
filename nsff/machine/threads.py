"""Threads of numerical libraries, which read their number when they are loaded: before any of them is imported."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from nsff.machine.launch import launched

Item = TypeVar("Item")
Result = TypeVar("Result")

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")


def set_threads(threads: int | None) -> None:
    """Limits numerical libraries to ``threads``, shared among processes that train together; None: as many as they
    take by themselves."""
    # Threads that wait by spinning slow a busy machine down many times over (measured: 3.7 to 0.4 s a step).
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    if threads:
        threads = max(1, threads // launched().count)
        os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(threads)))
        with contextlib.suppress(ImportError):
            import cv2

            cv2.setNumThreads(threads)


def in_threads(work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """``work`` of each item, in the items' order, done in as many threads as ``set_threads`` allowed; one where it said
    nothing. For work on arrays, most of which is done without the interpreter's lock.

    >>> list(in_threads(abs, [-1, 2, -3]))
    [1, 2, 3]
    """
    threads = int(os.environ.get(THREAD_VARIABLES[0], 1))
    if threads < 2:
        yield from map(work, items)
        return
    with ThreadPoolExecutor(threads) as pool:
        yield from pool.map(work, items)
