"""What killed runs leave behind is removed, and nothing that a living one works on."""

import os
import subprocess
import sys
import time

import pytest

from nsff.errors import StageError
from nsff.files.io import atomic_directory, write_text
from nsff.files.temporary import LEFTOVER_AGE, prefix, remove_leftovers, temporary_directory

KILLED = """
import os, signal, sys
from pathlib import Path
from nsff.files.io import atomic_directory, atomic_path
from nsff.files.temporary import temporary_directory
root = Path(sys.argv[1])
with temporary_directory(root, "sfm") as work, atomic_directory(root / "model") as model, \\
        atomic_path(root / "state" / "step_1.pt") as step, atomic_path(root / "renders" / "time" / "0.png") as picture:
    for path in (work / "database.db", model / "model.json", step, picture):
        path.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def temporaries(root):
    return sorted(path for path in root.rglob(".tmp-*"))


def test_leftovers_of_a_killed_process_go(tmp_path, repo):
    subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], env=os.environ | {"PYTHONPATH": str(repo)})
    assert len(temporaries(tmp_path)) == 4
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "kept.json").write_text("{}")
    assert len(remove_leftovers(tmp_path)) == 4
    assert temporaries(tmp_path) == []
    assert (tmp_path / "model" / "kept.json").exists()


def test_what_a_living_process_works_on_stays(tmp_path):
    with temporary_directory(tmp_path, "sfm") as work, atomic_directory(tmp_path / "model"):
        (work / "database.db").write_text("")
        assert remove_leftovers(tmp_path) == []
        assert len(temporaries(tmp_path)) == 2
    assert temporaries(tmp_path) == []


@pytest.mark.parametrize("name", [".tmp-0123456789ab-1-2-x.npz", ".tmp-sfm-work-old"])
def test_of_other_hosts_only_what_is_old(tmp_path, name):
    folder = tmp_path / name
    folder.mkdir()
    (folder / "file").write_text("")
    assert remove_leftovers(tmp_path) == []
    before = time.time() - LEFTOVER_AGE - 60
    os.utime(folder, (before, before))
    assert remove_leftovers(tmp_path) == []  # something in it is new
    os.utime(folder / "file", (before, before))
    assert remove_leftovers(tmp_path) == [folder]


def test_no_link_is_followed(tmp_path):
    elsewhere = tmp_path / "elsewhere"
    dead = prefix().replace(str(os.getpid()), "4194303")
    (elsewhere / f"{dead}work").mkdir(parents=True)
    scene = tmp_path / "scene"
    scene.mkdir()
    (scene / "linked").symlink_to(elsewhere)
    (scene / f"{dead}link").symlink_to(elsewhere)
    assert remove_leftovers(scene) == [scene / f"{dead}link"]
    assert (elsewhere / f"{dead}work").exists()


# --- writing where one may not, and through links ------------------------------------------------------------------
@pytest.mark.skipif(os.getuid() == 0, reason="root may write everywhere")
def test_a_folder_that_is_read_only_is_named(tmp_path):
    tmp_path.chmod(0o555)
    try:
        with pytest.raises(StageError, match=r"file.txt: cannot be written \(Permission denied\)"):
            write_text(tmp_path / "file.txt", "")
    finally:
        tmp_path.chmod(0o755)


def test_what_the_system_refuses_is_named(tmp_path, monkeypatch):
    def refuse(*arguments, **named):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("nsff.files.io.tempfile.mkstemp", refuse)
    monkeypatch.setattr("nsff.files.io.tempfile.mkdtemp", refuse)
    with pytest.raises(StageError, match="Read-only file system") as caught:
        write_text(tmp_path / "file.txt", "")
    assert str(tmp_path) in caught.value.remedy
    with pytest.raises(StageError, match="Read-only file system"), atomic_directory(tmp_path / "model"):
        pass


def test_a_linked_folder_is_replaced_where_it_lies(tmp_path):
    disk = tmp_path / "disk" / "model"
    disk.mkdir(parents=True)
    (disk / "old").write_text("")
    (tmp_path / "model").symlink_to(disk)
    with atomic_directory(tmp_path / "model") as folder:
        (folder / "new").write_text("")
    assert (tmp_path / "model").is_symlink()
    assert [path.name for path in disk.iterdir()] == ["new"]
