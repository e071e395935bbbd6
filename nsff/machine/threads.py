"""Threads of numerical libraries, which read their number when they are loaded: before any of them is imported."""

from __future__ import annotations

import contextlib
import os

from nsff.machine.launch import launched

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
