"""Work in a child process, so that a native library that ends its process ends no more than that.

COLMAP ends the process where its database meets a full disk, and the kernel ends a process that takes too much memory:
neither can be caught within.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

from nsff.errors import StageError
from nsff.files.atomic import FULL_DISK_BYTES

PASSED_ON = (signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP)
"""Signals to this process that the child is to get. Ctrl-C reaches both by itself."""
PR_SET_PDEATHSIG = 1
"""prctl(2): the signal that a process gets when its parent dies."""


def in_child(work: Callable[[], int], folder: Path) -> int:
    """Does ``work``, which returns an exit status, in a child process and returns that status.

    Raises StageError where a signal ended the child; ``folder`` is what it wrote to, and is named where its disk is
    full. Call it before libraries that start threads are loaded: the child is a fork.

    Example:
        status = in_child(lambda: 0, Path("results/walk"))
    """
    sys.stdout.flush()
    sys.stderr.flush()
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        os._exit(_in_the_child(work, parent))
    with _passing_on(child):
        _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return code
    name = signal.Signals(-code).name
    if shutil.disk_usage(folder).free < FULL_DISK_BYTES:
        raise StageError(folder, f"no space left on the device ({name})", "free some space, run again")
    if -code == signal.SIGKILL:
        raise StageError(folder, "the work was killed (SIGKILL): mostly for lack of memory", "give the job more memory")
    raise StageError(folder, f"a library ended the work ({name}); what it said stands above", "see what it said")


def _in_the_child(work: Callable[[], int], parent: int) -> int:
    with contextlib.suppress(OSError, AttributeError):  # Linux alone: nobody waits for the child of a dead parent
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        return 1
    try:
        return work()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


@contextlib.contextmanager
def _passing_on(child: int) -> Iterator[None]:
    def pass_on(number: int, frame: FrameType | None) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, number)

    def wait(number: int, frame: FrameType | None) -> None:
        """Ctrl-C: the child ends by itself, and its status is told."""

    before: dict[signal.Signals, Any] = {number: signal.signal(number, pass_on) for number in PASSED_ON}
    before[signal.SIGINT] = signal.signal(signal.SIGINT, wait)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
