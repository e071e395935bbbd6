"""Keeps freed memory of the CPU allocator for the next step instead of giving it back to the kernel every time."""

from __future__ import annotations

import ctypes
import sys


def keep_freed_memory() -> bool:
    """Tells glibc to serve large tensors from its heap and never to trim it; False where there is no glibc.

    By default every tensor above a threshold is mapped afresh and its pages are zeroed by the kernel; on the CPU that
    took half of a training step (docs/notebook.md#minutes-instead-of-days).
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        libc = ctypes.CDLL("libc.so.6")
        trim_threshold, mmap_threshold = -1, -3
        return bool(libc.mallopt(mmap_threshold, 1 << 30)) and bool(libc.mallopt(trim_threshold, (1 << 31) - 1))
    except (OSError, AttributeError):
        return False
