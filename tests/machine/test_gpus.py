"""The device broker: processes never hold the same device, dead holders free theirs, and nothing happens without a
GPU. Devices are names here: no GPU is needed.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nsff.errors import StageError
from nsff.machine.gpus import ALLOWED, HELD, acquire_device, private_folder, visible_devices

HOLDER = """
import sys, time
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from nsff.machine.gpus import acquire_device
with acquire_device(Path(sys.argv[2]), poll=0.02, patience=20) as device:
    print(device, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (ALLOWED, HELD, "SLURM_JOB_ID", "CUDA_DEVICE_ORDER"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def fake_smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A function that puts an nvidia-smi on PATH which prints ``text`` and exits with ``status``."""

    def install(text: str, status: int = 0) -> None:
        folder = tmp_path / "bin"
        folder.mkdir(exist_ok=True)
        tool = folder / "nvidia-smi"
        tool.write_text(f"#!/bin/sh\nprintf '{text}'\nexit {status}\n")
        tool.chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    return install


@pytest.fixture
def holder(repo: Path, tmp_path: Path):
    """A function that starts a process which holds a device until told to stop; all are ended after the test."""
    started: list[subprocess.Popen[str]] = []

    def start(devices: str, **extra: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(repo), str(tmp_path / "locks")],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, ALLOWED: devices, **extra},
        )  # fmt: skip
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def finish(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.close()
    process.wait(10)
    process.stdin = None


# --- what there is -------------------------------------------------------------------------------------------------
def test_without_a_gpu_nothing_happens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    before = dict(os.environ)
    with acquire_device(tmp_path / "locks") as device:
        assert device is None
        assert dict(os.environ) == before
    assert not (tmp_path / "locks").exists()


@pytest.mark.parametrize(
    ("value", "devices"),
    [("", []), ("-1", []), ("0", ["0"]), (" 2, 5 ", ["2", "5"]), ("GPU-ab,1", ["GPU-ab", "1"]), ("1,-1,0", ["1"])],
)
def test_explicit_devices(value: str, devices: list[str], monkeypatch: pytest.MonkeyPatch, fake_smi) -> None:
    """What CUDA_VISIBLE_DEVICES says wins over nvidia-smi; as in CUDA, an entry that is none ends the list."""
    fake_smi("0, GPU-a\\n1, GPU-b\\n")
    monkeypatch.setenv(ALLOWED, value)
    assert visible_devices() == devices


def test_devices_of_nvidia_smi(fake_smi) -> None:
    fake_smi("0, GPU-a\\n1, GPU-b\\n")
    assert visible_devices() == ["0", "1"]
    fake_smi("No devices were found", 6)
    assert visible_devices() == []


# --- sharing -------------------------------------------------------------------------------------------------------
def test_two_processes_share_two_devices(holder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = holder("0,1")
    assert line(first) == "0"
    second = holder("0,1")
    assert line(second) == "1"
    monkeypatch.setenv(ALLOWED, "0,1")
    with pytest.raises(StageError, match=r"0, 1: taken by other jobs") as caught:
        acquire_device(tmp_path / "locks", poll=0.01, patience=0.05).__enter__()
    assert "train.device" in caught.value.remedy
    finish(first)
    with acquire_device(tmp_path / "locks", poll=0.01, patience=5) as device:
        assert device == "0"


def test_a_waiting_process_gets_the_device_that_becomes_free(holder) -> None:
    first = holder("0")
    assert line(first) == "0"
    second = holder("0")
    assert line(second) == "waiting for a free GPU (0 are taken)"
    assert second.poll() is None
    finish(first)
    assert line(second) == "0"


def test_a_killed_holder_leaves_no_lock(holder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file stays behind; the lock does not. Who gives a device back takes the file away."""
    first = holder("0")
    assert line(first) == "0"
    first.send_signal(signal.SIGKILL)
    first.wait(10)
    monkeypatch.setenv(ALLOWED, "0")
    assert (tmp_path / "locks" / "0.lock").exists()
    started = time.monotonic()
    with acquire_device(tmp_path / "locks", poll=0.01, patience=5) as device:
        assert device == "0"
    assert time.monotonic() - started < 2
    assert list((tmp_path / "locks").iterdir()) == []


def test_index_and_uuid_are_one_device(holder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fake_smi) -> None:
    fake_smi("0, GPU-a\\n1, GPU-b\\n")
    first = holder("GPU-b")
    assert line(first) == "GPU-b"
    monkeypatch.setenv(ALLOWED, "1")
    with pytest.raises(StageError):
        acquire_device(tmp_path / "locks", poll=0.01, patience=0.05).__enter__()
    monkeypatch.delenv(ALLOWED)
    with acquire_device(tmp_path / "locks") as device:
        assert device == os.environ[ALLOWED] == "0"
        # nvidia-smi counts in the order of the bus.
        assert os.environ["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"
    assert ALLOWED not in os.environ


def test_the_environment_is_put_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ALLOWED, "3,4")
    seen = {}

    def fail() -> None:
        with acquire_device(tmp_path / "locks") as device:
            seen.update({name: os.environ.get(name) for name in (ALLOWED, HELD, "CUDA_DEVICE_ORDER")}, device=device)
            raise RuntimeError("inside")

    with pytest.raises(RuntimeError, match="inside"):
        fail()
    assert seen == {ALLOWED: "3", HELD: "3", "CUDA_DEVICE_ORDER": None, "device": "3"}
    assert os.environ[ALLOWED] == "3,4"
    assert HELD not in os.environ
    # Released: the same device again.
    with acquire_device(tmp_path / "locks", patience=0) as device:
        assert device == "3"


def test_a_holder_does_not_wait_for_itself(holder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a nested call nor a process that the holder starts."""
    monkeypatch.setenv(ALLOWED, "0")
    locks = tmp_path / "locks"
    with acquire_device(locks) as outer, acquire_device(locks, patience=0) as inner:
        assert outer == inner == "0"
        assert line(holder(os.environ[ALLOWED])) == "0"


def rank(number: int, run: str) -> dict[str, str]:
    """What torchrun tells one of the two processes of a run."""
    return {"TORCHELASTIC_RUN_ID": run, "LOCAL_RANK": str(number), "LOCAL_WORLD_SIZE": "2", "MASTER_PORT": "1"}


def test_groups_take_their_devices_one_after_another(holder, tmp_path: Path) -> None:
    """Two runs of two processes on two devices: neither may hold one and wait for the other's."""
    leader = holder("0,1", **rank(0, "first"))
    turn = tmp_path / "locks" / "turn-local.txt"
    ended = time.monotonic() + 20
    while not (turn.exists() and turn.read_text() == "first-1\n0\n"):
        assert time.monotonic() < ended
        time.sleep(0.02)
    others = [holder("0,1", **rank(i, "second")) for i in (0, 1)]
    time.sleep(1.5)  # long enough to take the free device, if they would
    second = holder("0,1", **rank(1, "first"))
    assert {line(leader), line(second)} == {"0", "1"}
    for process in (leader, second):
        finish(process)
    # What is printed before are words of waiting.
    found = {next(text for text in iter(lambda p=process: line(p), "") if len(text) == 1) for process in others}
    assert found == {"0", "1"}


def test_a_group_needs_a_device_for_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in rank(1, "run").items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv(ALLOWED, "0")
    with pytest.raises(StageError, match="2 processes") as caught:
        acquire_device(tmp_path / "locks").__enter__()
    assert "train.gpus to 1" in caught.value.remedy
    # Nor may processes share the device of the job that started them.
    monkeypatch.setenv(HELD, "0")
    with pytest.raises(StageError, match="2 processes"):
        acquire_device(tmp_path / "locks").__enter__()


def test_jobs_of_a_cluster_share_their_own_allocation(holder) -> None:
    """Device 0 of one allocation is not device 0 of another; within one, jobs take turns."""
    first, other = holder("0", SLURM_JOB_ID="7"), holder("0", SLURM_JOB_ID="8")
    assert line(first) == line(other) == "0"
    assert line(holder("0", SLURM_JOB_ID="7")).startswith("waiting")


def test_nothing_is_left_of_jobs_of_a_cluster(holder, tmp_path: Path) -> None:
    """Neither by those that end nor, once another job comes, by those that were killed."""
    locks = tmp_path / "locks"
    for number in (0, 1):
        finish_all = [holder("0,1", SLURM_JOB_ID="7", **rank(i, f"run{number}")) for i in (0, 1)]
        assert {next(text for text in iter(lambda p=p: line(p), "") if len(text) == 1) for p in finish_all} == {
            "0",
            "1",
        }
        for process in finish_all:
            finish(process)
        assert list(locks.iterdir()) == []
    killed = holder("0", SLURM_JOB_ID="8")
    assert line(killed) == "0"
    killed.send_signal(signal.SIGKILL)
    killed.wait(10)
    assert [path.name for path in locks.iterdir()] == ["slurm-8-0.lock"]
    last = holder("0", SLURM_JOB_ID="9")
    assert line(last) == "0"
    assert [path.name for path in locks.iterdir()] == ["slurm-9-0.lock"]
    finish(last)
    assert list(locks.iterdir()) == []


# --- the folder of lock files --------------------------------------------------------------------------------------
def test_the_folder_is_private(tmp_path: Path) -> None:
    folder = private_folder(tmp_path / "locks")
    assert folder.stat().st_mode & 0o777 == 0o700
    folder.chmod(0o777)
    assert private_folder(folder).stat().st_mode & 0o777 == 0o700


def test_no_link_is_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "target"
    target.mkdir()
    (tmp_path / "locks").symlink_to(target)
    monkeypatch.setenv(ALLOWED, "0")
    with pytest.raises(StageError, match="is a link to"):
        acquire_device(tmp_path / "locks").__enter__()
    (tmp_path / "locks").unlink()
    (tmp_path / "locks").mkdir()
    precious = tmp_path / "precious.txt"
    precious.write_text("kept")
    (tmp_path / "locks" / "0.lock").symlink_to(precious)
    with pytest.raises(StageError, match="is a link"):
        acquire_device(tmp_path / "locks").__enter__()
    assert precious.read_text() == "kept"
    assert list(target.iterdir()) == []


@pytest.mark.skipif(os.getuid() != 0, reason="giving a folder to another user needs root")
def test_a_folder_of_somebody_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "locks").mkdir(mode=0o777)
    os.chown(tmp_path / "locks", 12345, 12345)
    with pytest.raises(StageError, match="belongs to user 12345"):
        private_folder(tmp_path / "locks")
    (tmp_path / "file").write_text("")
    with pytest.raises(StageError, match="is no folder"):
        private_folder(tmp_path / "file")
