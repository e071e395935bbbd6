"""Writes are whole: a failure leaves what was there, and a full disk is named whatever the library makes of it."""

import os
import subprocess
from collections import namedtuple

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from nsff.errors import StageError
from nsff.files import io
from nsff.rendering.videos import write_video

FULL = r"(?s){}: no space left on the device.*what to do: free some space"


def left(folder):
    return sorted(path.name for path in folder.rglob("*"))


@pytest.fixture
def dev_full(monkeypatch):
    """Temporary files are links to a device on which every write fails as on a full disk."""
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full here")
    original = io.tempfile.mkstemp

    def linked(**arguments):
        handle, name = original(**arguments)
        os.unlink(name)
        os.symlink("/dev/full", name)
        return handle, name

    monkeypatch.setattr(io.tempfile, "mkstemp", linked)


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("a.json", lambda path: io.write_json(path, list(range(10_000)))),
        ("a.png", lambda path: io.write_image(path, np.random.default_rng(0).integers(0, 255, (90, 90)).astype("u1"))),
        ("a.npz", lambda path: io.write_npz(path, a=np.random.default_rng(0).random(10_000))),
        ("a.csv", lambda path: io.write_csv(path, ["a"], [{"a": i} for i in range(10_000)])),
    ],
)
def test_a_full_disk_is_named_and_the_old_file_stays(tmp_path, dev_full, name, write):
    (tmp_path / name).write_text("before")
    with pytest.raises(StageError, match=FULL.format(name)):
        write(tmp_path / name)
    assert (tmp_path / name).read_text() == "before"
    assert left(tmp_path) == [name]


def test_libraries_that_say_it_in_their_own_words(tmp_path, monkeypatch):
    """torch.save fails with positions in its archive; what counts is that the disk is full."""

    def fail(make):
        try:
            with make as temporary:
                (temporary / "x" if temporary.is_dir() else temporary).write_text("half")
                raise RuntimeError("unexpected pos 704 vs 598")
        except Exception as error:
            return error

    assert isinstance(fail(io.atomic_path(tmp_path / "a.pt")), RuntimeError)
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(io.shutil, "disk_usage", lambda folder: usage(10**9, 10**9, 4096))
    for make in (io.atomic_path(tmp_path / "a.pt"), io.atomic_directory(tmp_path / "model")):
        assert "no space left" in str(fail(make))
    assert left(tmp_path) == []
    with pytest.raises(StageError, match="corrupt"), io.atomic_path(tmp_path / "b"):
        raise StageError("other.npz", "corrupt")  # an error that is explained already stays


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 300 kB, where this user may mount one."""
    folder = tmp_path / "small"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(command, capture_output=True).returncode == 0
    except OSError:
        mounted = False
    if not mounted:
        pytest.skip("needs the right to mount a file system")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_checkpoints_models_and_videos_on_a_full_disk(small_disk):
    large = torch.zeros(10**6)
    with pytest.raises(StageError, match=FULL.format("step.pt")), io.atomic_path(small_disk / "step.pt") as path:
        torch.save({"a": large}, path)
    with pytest.raises(StageError, match=FULL.format("model")), io.atomic_directory(small_disk / "model") as path:
        save_file({"a": large}, path / "model.safetensors")
    noise = np.random.default_rng(0).integers(0, 255, (20, 256, 256, 3)).astype(np.uint8)
    with pytest.raises(StageError, match=r"(?s)v\.mp4: .*space"):
        write_video(small_disk / "v.mp4", list(noise), 10)
    assert left(small_disk) == []


def test_writes_are_whole(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "old").write_text("before")

    def half():
        with io.atomic_directory(tmp_path / "model") as folder:
            (folder / "new").write_text("half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        half()
    assert left(tmp_path) == ["model", "old"]
    with io.atomic_directory(tmp_path / "model") as folder:
        (folder / "new").write_text("whole")
    assert left(tmp_path) == ["model", "new"]
