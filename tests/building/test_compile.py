"""`nsff build-rasteriser` with compilers that only pretend: commands, progress, going on, and errors."""

import importlib.metadata
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from filelock import FileLock

from nsff.building import compile
from nsff.building.builds import Build, build_for, build_that_runs_on, command_here
from nsff.building.compile import Command, check_library, run_commands
from nsff.cli import main
from nsff.errors import StageError

sys.path.insert(0, str(Path(__file__).parents[1]))
from test_site import documented_calls

ALL = ["Large.cu", "Plain.cpp", "Small.cu", "ext.cpp"]


def build(*more):
    return main(["build-rasteriser", "--arch", "9.0", "--jobs", "1", *more])


def test_a_build(machine, capsys):
    assert build() == 0
    captured = capsys.readouterr()
    made = build_for(["9.0"])
    assert machine.cache in made.folder.parents and made.finished
    assert str(made.library) in captured.out and "built for 9.0" in captured.out
    assert "5/5" in captured.err, "four objects and the library"
    assert machine.compiled()[0] == "Large.cu", "what takes longest comes first"
    assert sorted(machine.compiled()[:-1]) == ALL and machine.compiled()[-1] == "link"
    record = json.loads((made.folder / "build.json").read_text())
    assert record["gsplat"] == "1.5.3" and record["architectures"] == ["9.0"]
    assert not list(made.folder.glob("objects-*")) and not list(made.folder.glob("part-*"))


def test_commands(machine):
    assert main(["build-rasteriser", "--arch", "12.0", "8.9"]) == 0
    calls = {name: line for name, line in zip(machine.compiled(), machine.calls.read_text().splitlines(), strict=True)}
    for name in ("Large.cu", "Plain.cpp"):
        assert "-DTORCH_EXTENSION_NAME=gsplat_cuda" in calls[name] and "-std=c++20" in calls[name]
        assert f"-I{machine.site}/gsplat/cuda/include" in calls[name] and "/cuda/include/cccl" in calls[name]
    assert "-gencode=arch=compute_89,code=sm_89 -gencode=arch=compute_120,code=sm_120" in calls["Large.cu"]
    assert f"-ccbin {machine.bin}/g++" in calls["Large.cu"] and "-gencode" not in calls["Plain.cpp"]
    assert "-shared" in calls["link"] and "-lcudart" in calls["link"] and calls["link"].count(".o ") == 4
    made = build_for(["8.9", "12.0"])
    assert made.folder.name == "8.9_12.0" and made.finished
    assert "a warning" in made.log.read_text() and "nvcc -ccbin" in made.log.read_text()


def test_every_call_in_the_documents(machine, repo, capsys):
    """Those that name a GPU build for it; the others say on a machine without one that it has to be named."""
    for words in documented_calls(repo, "build-rasteriser"):
        status, said = main(words), capsys.readouterr()
        assert status == (0 if "--arch" in words else 1), (words, said)
        assert "built for" in said.out if "--arch" in words else "this machine has no GPU" in said.err


def test_a_second_call_has_nothing_to_do(machine, capsys):
    assert build() == 0
    machine.calls.unlink()
    assert build() == 0
    said = capsys.readouterr().out.splitlines()[-1]
    assert "nothing to do" in said and str(build_for(["9.0"]).library) in said
    assert machine.compiled() == []
    assert build("--force") == 0
    assert len(machine.compiled()) == 5


def test_a_compiler_that_fails_and_going_on(machine, capsys):
    machine.compilers("Small.cu", "Small.cu(3): error: no such thing")
    assert build() == 1
    said = capsys.readouterr().err
    log = build_for(["9.0"]).log
    assert "Small.cu: was not built (status 1)" in said and "Small.cu(3): error: no such thing" in said
    assert f"log: {log}" in said and "a warning" in log.read_text() and "Traceback" not in said
    assert not build_for(["9.0"]).finished
    done = machine.compiled()[:-1]
    machine.calls.unlink()
    machine.compilers()
    assert build() == 0
    assert sorted(done + machine.compiled()) == sorted([*ALL, "link"])
    assert f"{len(done)}/5" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("says", "status", "remedy"),
    [
        ("fatal error: No space left on device", 1, "free some space"),
        ("error: -- unsupported GNU version! gcc 19", 1, "CXX=g++-14"),
        ("nvcc fatal   : Unsupported gpu architecture 'compute_90'", 1, "--arch"),
        ("", 137, "--jobs 1"),
        ("Large.cu(1): error: anything else", 2, "read the log"),
    ],
)
def test_known_causes(machine, capsys, says, status, remedy):
    machine.compilers("Large.cu", says, status)
    assert build() == 1
    said = capsys.readouterr().err
    assert f"status {status}" in said and remedy in said.split("what to do:")[1]


def test_one_at_a_time(machine, capsys):
    folder = build_for(["9.0"]).folder
    folder.mkdir(parents=True)
    with FileLock(folder / "lock"):
        assert build() == 1
    assert "another process builds there now" in capsys.readouterr().err
    assert build() == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--arch", "sm_90"], "no compute capability"),
        (["--arch", "9.0", "--jobs", "0"], "--jobs 0"),
    ],
)
def test_wrong_arguments(machine, capsys, arguments, message):
    assert main(["build-rasteriser", *arguments]) == 1
    assert message in capsys.readouterr().err


def test_a_machine_without_a_gpu(machine, monkeypatch, capsys):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    assert main(["build-rasteriser"]) == 1
    assert "this machine has no GPU" in capsys.readouterr().err
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setattr("torch.cuda.get_device_capability", lambda i: [(9, 0), (12, 0)][i])
    assert main(["build-rasteriser"]) == 0
    assert build_for(["9.0", "12.0"]).finished


def test_without_gsplat_or_cuda(machine, monkeypatch, capsys):
    monkeypatch.setattr("torch.version.cuda", None)
    assert build() == 1
    assert "without CUDA" in capsys.readouterr().err
    monkeypatch.setattr("torch.version.cuda", "13.0")

    def no_version(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", no_version)
    assert build() == 1
    assert "pip install 'nsff[gaussians]'" in capsys.readouterr().err


def test_which_build_a_gpu_can_use(machine):
    assert build_that_runs_on((8, 9)) is None
    for name in ("8.0", "8.6_9.0", "12.0"):
        machine.file(build_for(name.split("_")).library)
        machine.file(build_for(name.split("_")).folder / "build.json")
    machine.file(build_for(["8.9"]).library)  # one that is not finished
    found = {capability: build_that_runs_on(capability) for capability in [(8, 0), (8, 9), (9, 0), (12, 1), (7, 5)]}
    names = {capability: build and build.folder.name for capability, build in found.items()}
    assert names == {(8, 0): "8.0", (8, 9): "8.6_9.0", (9, 0): "8.6_9.0", (12, 1): "12.0", (7, 5): None}


class Bar:
    """Interrupts at the first command that is done."""

    fp = None

    def update(self):
        raise KeyboardInterrupt


def test_an_interrupt_ends_what_runs(tmp_path):
    pids = tmp_path / "pids"
    slow = Command(["sh", "-c", f"sleep 60 & echo $! >> {pids}; wait"], tmp_path / "objects" / "slow.o")
    waits = f"while ! [ -s {pids} ]; do sleep 0.05; done; touch $2"
    quick = Command(["sh", "-c", waits, "sh"], tmp_path / "objects" / "quick.o")
    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        run_commands([slow, quick], 2, tmp_path / "log", Bar())
    assert time.monotonic() - begun < 20
    assert [path.name for path in (tmp_path / "objects").iterdir()] == ["quick.o"]
    assert ended(int(pids.read_text().split()[0]))


def ended(pid, patience=20):
    """Whether a process that was killed is gone, or waits for its parent to notice, after so many seconds at most."""
    state = Path(f"/proc/{pid}/stat")
    for _ in range(patience * 20):
        try:
            if state.read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.05)
    return False


def test_a_library_that_cannot_be_loaded(tmp_path, monkeypatch):
    """The process that tries it fails; what it said is in the error and in the log."""
    made = Build(tmp_path, ("9.0",))
    made.library.write_text("compiled")
    ended = subprocess.CompletedProcess([], 1, "", "Traceback\nImportError: undefined symbol: _Z3c10")
    monkeypatch.setattr(compile.subprocess, "run", lambda *arguments, **options: ended)
    with pytest.raises(StageError, match=r"(?s)undefined symbol.*build\.log"):
        check_library(made)
    assert not made.library.exists() and "undefined symbol" in made.log.read_text()


def test_names_of_signals():
    assert compile.failure("a.cu", -signal.SIGKILL, "", Path("log")).remedy.startswith("give the machine more memory")


def test_without_the_command_line(machine, monkeypatch):
    """Environments of --use-conda lack its parser: there a module builds, and errors name it."""
    monkeypatch.setitem(sys.modules, "cyclopts", None)
    named = command_here()
    assert named.endswith(f"{sys.executable} -m nsff.building") and named.startswith("PYTHONPATH=")
    wanted = [sys.executable, "-m", "nsff.building", "--arch", "9.0", "--jobs", "0"]
    ended = subprocess.run(wanted, capture_output=True, text=True)
    assert ended.returncode == 1 and ended.stderr.startswith("error: --jobs 0: is no number of compilers")
