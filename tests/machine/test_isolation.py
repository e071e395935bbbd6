"""What a native library does to its process ends the stage with an error of ours."""

import os
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

from nsff.errors import StageError
from nsff.machine import isolation
from nsff.machine.isolation import in_child


@pytest.mark.parametrize("status", [0, 1, 75])
def test_a_status_comes_back(tmp_path, status):
    assert in_child(lambda: status, tmp_path) == status


def test_an_abort_is_an_error(tmp_path):
    with pytest.raises(StageError, match="SIGABRT"):
        in_child(os.abort, tmp_path)


def test_a_kill_is_told_as_what_it_mostly_is(tmp_path):
    with pytest.raises(StageError, match="lack of memory"):
        in_child(lambda: os.kill(os.getpid(), signal.SIGKILL) or 0, tmp_path)


def test_an_abort_on_a_full_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(isolation, "shutil", SimpleNamespace(disk_usage=lambda path: SimpleNamespace(free=100)))
    with pytest.raises(StageError, match="no space left") as caught:
        in_child(os.abort, tmp_path)
    assert str(tmp_path) in str(caught.value)


PARENT = """
import os, sys, time
from pathlib import Path
from nsff.machine.isolation import in_child
def work():
    Path(sys.argv[1]).write_text(str(os.getpid()))
    time.sleep(60)
    return 0
in_child(work, Path("."))
"""


def gone(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()[0] == "Z"


@pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="needs Linux")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_no_child_outlives_its_parent(tmp_path, repo, number):
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path / "child")], env=os.environ | {"PYTHONPATH": str(repo)},
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    ended = time.monotonic() + 60
    while not ((tmp_path / "child").exists() and (tmp_path / "child").read_text()):
        assert time.monotonic() < ended
        time.sleep(0.02)
    child = int((tmp_path / "child").read_text())
    parent.send_signal(number)
    parent.wait(timeout=60)
    while not gone(child):
        assert time.monotonic() < ended
        time.sleep(0.02)
