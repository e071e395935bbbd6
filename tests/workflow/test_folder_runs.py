"""Records of runs, and locks that go only where their owner is proven dead."""

import dataclasses
import json
import subprocess
import sys
import time

import pytest

from nsff.cli import main
from nsff.errors import StageError
from nsff.files.owners import current
from nsff.workflow.folder_runs import explain_locks, processes_in, runs_of_folder


@pytest.fixture
def runs(tmp_path):
    found = runs_of_folder(tmp_path)
    found.locks.mkdir(parents=True)
    return found


def lock(runs):
    (runs.locks / "0.output.lock").write_text("results/a/model\n")


def dead():
    child = subprocess.Popen(["true"])
    child.wait()
    return dataclasses.replace(current(), pid=child.pid, started=1)


def recorded(runs, owner):
    """The record of another run."""
    run = runs.register()
    run.path.write_text(json.dumps({"owner": owner.to_dict(), "since": run.since}))
    return run


def test_locks_of_a_dead_run_go(runs, capsys):
    owner = dead()
    run = recorded(runs, owner)
    lock(runs)
    own = runs.register()
    assert "which is dead" in explain_locks(runs, own)
    assert "nsff unlock" in explain_locks(runs, own)
    runs.leave(own)
    assert main(["unlock", str(runs.locks.parents[1])]) == 0
    assert not runs.locked()
    assert not run.path.exists()
    assert f"freed of the locks of process {owner.pid} on {owner.host}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "word"),
    [({}, "is alive"), ({"host": "elsewhere"}, "cannot be proven"), ({"namespace": "pid:[7]"}, "cannot be proven")],
)
def test_locks_of_the_living_and_of_other_hosts_stay(runs, change, word):
    recorded(runs, dead())
    lock(runs)
    recorded(runs, dataclasses.replace(current(), **change))
    with pytest.raises(StageError, match=word):
        runs.remove_locks()
    assert runs.locked()
    assert len(runs.others()) == 2


def test_a_refused_run_changes_nothing(runs):
    """Of three tries beside a run on another host none may take its lock, and none makes the lock its own."""
    recorded(runs, dataclasses.replace(current(), host="elsewhere"))
    lock(runs)
    for _ in range(3):
        own = runs.register()
        assert "nothing can be proven" in explain_locks(runs, own)
        runs.leave(own)
        with pytest.raises(StageError):
            runs.remove_locks()
    assert runs.locked()


def test_locks_without_a_record_stay(runs):
    lock(runs)
    assert "no record" in explain_locks(runs)
    with pytest.raises(StageError, match="no record"):
        runs.remove_locks()
    assert runs.locked()


def test_a_record_that_is_not_readable_proves_nothing(runs):
    run = recorded(runs, dead())
    run.path.write_text('{"owner": {"pid": ')
    lock(runs)
    with pytest.raises(StageError, match="not readable"):
        runs.remove_locks()
    assert runs.locked()


def test_records_of_the_dead_stay_as_long_as_they_explain_locks(runs):
    run = recorded(runs, dead())
    lock(runs)
    own = runs.register()
    assert run.path.exists()
    runs.leave(own)
    (runs.locks / "0.output.lock").unlink()
    own = runs.register()
    assert not run.path.exists()
    assert runs.others(own) == []


def test_jobs_that_outlive_their_run_are_named(runs, tmp_path, capsys):
    recorded(runs, dead())
    lock(runs)
    script = tmp_path / "scripts" / "train.py"
    script.parent.mkdir()
    script.write_text("input()")
    with subprocess.Popen([sys.executable, "scripts/train.py"], cwd=tmp_path, stdin=subprocess.PIPE) as job:
        for _ in range(200):
            if processes_in(tmp_path, "/scripts/"):
                break
            time.sleep(0.02)
        assert main(["unlock", str(tmp_path)]) == 1
        assert f"{job.pid} (train.py)" in capsys.readouterr().err
        assert runs.locked()
        job.communicate(b"\n")
    assert main(["unlock", str(tmp_path)]) == 0


def test_folders_in_which_nothing_ran(tmp_path, capsys):
    assert main(["unlock", str(tmp_path)]) == 1
    assert "snakemake" in capsys.readouterr().err
    (tmp_path / ".snakemake").mkdir()
    assert main(["unlock", str(tmp_path)]) == 0
    assert "not locked" in capsys.readouterr().out
