"""Compiles gsplat: every source to an object, some at a time, then one library, as PyTorch compiles its extensions.

Objects stay until the library is there, so that a build that was stopped goes on where it was. What every command said
is in build.log.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shlex
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout
from tqdm import tqdm

from nsff.building.builds import COMMAND, LIBRARY, RECORD, Build, build_for, gsplat_sources, gsplat_version
from nsff.building.toolchain import Toolchain, find_toolchain
from nsff.errors import ConfigError, StageError
from nsff.files.atomic import explained
from nsff.files.io import write_json

GIGABYTES_A_JOB = 2.5
"""Memory that a compiler of CUDA's takes at most."""
MODULE = "gsplat_cuda"
CXX_FLAGS = ["-fPIC", "-std=c++20", "-O3", "-Wno-attributes"]
NVCC_FLAGS = [
    "-D__CUDA_NO_HALF_OPERATORS__", "-D__CUDA_NO_HALF_CONVERSIONS__", "-D__CUDA_NO_BFLOAT16_CONVERSIONS__",
    "-D__CUDA_NO_HALF2_OPERATORS__", "--expt-relaxed-constexpr", "--compiler-options", "-fPIC", "-std=c++20", "-O3",
    "-use_fast_math",
]  # fmt: skip
"""PyTorch's for its extensions (torch/utils/cpp_extension.py), and gsplat's own (gsplat/cuda/_backend.py)."""
LIBRARIES = ["c10", "c10_cuda", "torch_cpu", "torch_cuda", "torch", "torch_python", "cudart"]
REMEDIES = (
    ("No space left on device", "free some space (about 1 GB, in the cache and in TMPDIR), and run it again"),
    ("unsupported GNU version", "name an older C++ compiler with CXX (CXX=g++-14)"),
    ("unsupported clang version", "name g++ as the C++ compiler (CXX=g++)"),
    ("Unsupported gpu architecture", "give --arch one that this version of CUDA knows"),
    ("is not defined for option 'gpu-architecture'", "give --arch one that this version of CUDA knows"),
    ("Python.h: No such file", "install Python's own headers (apt install python3-dev)"),
    ("Killed", "give the machine more memory, or compile less at a time (--jobs 1)"),
)
"""Words of compilers, and what to do where they are said."""


@dataclass(frozen=True)
class Command:
    """A compiler's command line without its output, and the file that it makes."""

    words: list[str]
    output: Path


def build_or_find(architectures: Sequence[str] | None = None, jobs: int | None = None, force: bool = False) -> str:
    """Builds gsplat where it is not built yet, or ``force``; returns a line for people.

    ``architectures`` are compute capabilities (default: those of this machine's GPUs). Raises ConfigError for
    arguments that are none, and what ``build_gsplat`` raises.
    """
    if jobs is not None and jobs < 1:
        raise ConfigError(f"--jobs {jobs}", "is no number of compilers", "give 1 or more")
    build = build_for(architectures or _own_architectures())
    names = ", ".join(build.architectures)
    if build.finished and not force:
        return f"{build.library}: is built for {names}; nothing to do (--force builds it again)"
    (build.folder / RECORD).unlink(missing_ok=True)
    return f"{build.library}: built for {names} in {build_gsplat(build, jobs):.0f} s"


def _own_architectures() -> list[str]:
    """Compute capabilities of this machine's GPUs; raises ConfigError where there is none."""
    import torch

    found = {torch.cuda.get_device_capability(i) for i in range(torch.cuda.device_count())}
    if not found:
        raise ConfigError(
            "--arch", "is needed: this machine has no GPU", "give the compute capability, such as 9.0 (H100, H200)"
        )
    return [f"{major}.{minor}" for major, minor in sorted(found)]


def build_gsplat(build: Build, jobs: int | None = None) -> float:
    """Compiles and links gsplat, ``jobs`` compilers at a time (default: by processors and memory); returns seconds.

    Raises StageError, with the remedy and the log, for whatever is missing or fails.
    """
    import torch

    started = time.monotonic()
    with explained(build.library), _held(build):
        tools = find_toolchain(build.folder / "cuda", str(torch.version.cuda))
        objects, link = commands(build, tools, gsplat_sources())
        todo = [command for command in objects if not command.output.exists()]
        versions = f"gsplat {gsplat_version()} for {', '.join(build.architectures)}"
        build.log.write_text(f"{COMMAND}: {versions} with {tools.nvcc} and {tools.cxx}\n", encoding="utf-8")
        with tqdm(total=len(objects) + 1, initial=len(objects) - len(todo), desc="gsplat", unit="object") as bar:
            run_commands(todo, jobs or usual_jobs(), build.log, bar)
            run_commands([link], 1, build.log, bar)
        check_library(build)
        seconds = time.monotonic() - started
        record = {"gsplat": gsplat_version(), "torch": torch.__version__, "architectures": build.architectures}
        write_json(build.folder / RECORD, record | {"seconds": round(seconds, 1)})
        shutil.rmtree(objects[0].output.parent, ignore_errors=True)
    return seconds


def commands(build: Build, tools: Toolchain, sources: Path) -> tuple[list[Command], Command]:
    """Commands that compile each source of gsplat/cuda, the largest first, and the one that links."""
    import torch

    pytorch = Path(torch.__file__).parent
    system = [pytorch / "include", pytorch / "include" / "torch" / "csrc" / "api" / "include"]
    system += [tools.cuda / "include", tools.cuda / "include" / "cccl", Path(sysconfig.get_path("include"))]
    own = [f"-I{sources / 'include'}", f"-I{sources / 'csrc' / 'third_party' / 'glm'}"]
    common = [f"-DTORCH_EXTENSION_NAME={MODULE}", "-DTORCH_API_INCLUDE_EXTENSION_H", *own]
    common += [word for folder in system for word in ("-isystem", str(folder))]
    numbers = [name.replace(".", "") for name in build.architectures]
    cuda = [str(tools.nvcc), "-ccbin", tools.cxx, *common, *NVCC_FLAGS]
    cuda += [f"-gencode=arch=compute_{number},code=sm_{number}" for number in numbers]
    plain = [tools.cxx, *common, *CXX_FLAGS]
    # Objects of other commands, by another compiler say, are not taken.
    folder = build.folder / f"objects-{hashlib.sha256(' '.join(cuda + plain).encode()).hexdigest()[:8]}"
    files = [*(sources / "csrc").glob("*.cu"), *(sources / "csrc").glob("*.cpp"), sources / "ext.cpp"]
    objects = [
        Command([*(cuda if file.suffix == ".cu" else plain), "-c", str(file)], folder / f"{file.name}.o")
        for file in sorted(files, key=lambda file: (-file.stat().st_size * (file.suffix == ".cu"), file.name))
    ]
    places = [f"-L{pytorch / 'lib'}", f"-L{tools.cuda / 'lib64'}", f"-L{tools.cuda / 'lib'}"]
    linked = [tools.cxx, "-shared", *(str(command.output) for command in objects), *places]
    return objects, Command([*linked, *(f"-l{name}" for name in LIBRARIES)], build.folder / LIBRARY)


def run_commands(commands: Sequence[Command], jobs: int, log: Path, bar: tqdm) -> None:
    """Runs commands, ``jobs`` at a time, and lets the bar advance by one with each.

    Those that still run when one fails, or when this is interrupted, are ended. Raises StageError for the first that
    fails; outputs of the others are whole, or not there.
    """
    waiting, running = list(commands), list[_Running]()
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                running.append(_Running(waiting.pop(0)))
            done = [one for one in running if one.process.poll() is not None]
            for one in done:
                running.remove(one)
                one.finish(log)
                bar.update()
            if not done:
                time.sleep(0.02)
                _tick(bar)
    finally:
        for one in running:
            one.end()


def _tick(bar: tqdm) -> None:
    """Shows the time that has passed once a second, on a terminal: an object takes up to minutes."""
    if getattr(bar.fp, "isatty", bool)() and time.time() - bar.last_print_t >= 1:
        bar.last_print_t = time.time()
        bar.refresh()


class _Running:
    """A command that runs. Its output and what it says are beside the file that it makes, under other names."""

    def __init__(self, command: Command) -> None:
        self.command, self.output = command, command.output
        self.output.parent.mkdir(parents=True, exist_ok=True)
        self.part = self.output.with_name(f"part-{self.output.name}")
        self.said = self.output.with_name(f"{self.output.name}.txt")
        with self.said.open("wb") as stream:
            words = [*command.words, "-o", str(self.part)]
            # A group of its own, so that what a compiler started ends with it.
            self.process = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, start_new_session=True
            )

    def finish(self, log: Path) -> None:
        """Puts the output in its place; raises StageError where the command failed."""
        said = self.said.read_text(encoding="utf-8", errors="replace")
        with log.open("a", encoding="utf-8") as stream:
            stream.write(f"\n$ {shlex.join(self.command.words)}\n{said}[status {self.process.returncode}]\n")
        self.said.unlink()
        if self.process.returncode or not self.part.exists():
            self.part.unlink(missing_ok=True)
            raise failure(self.output.name.removesuffix(".o"), self.process.returncode, said, log)
        os.replace(self.part, self.output)

    def end(self) -> None:
        """Ends it, and what it started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        for path in (self.part, self.said):
            path.unlink(missing_ok=True)


def failure(name: str, status: int, said: str, log: Path) -> StageError:
    """The error of a compiler: what it said of errors, the log, and what to do where the cause is known."""
    lines = [line for line in said.splitlines() if line.strip()]
    told = [line for line in lines if "error" in line.lower() or "fatal" in line.lower()] or lines[-3:]
    if status in (-signal.SIGKILL, 128 + signal.SIGKILL):
        said += "Killed"
    remedy = next((remedy for words, remedy in REMEDIES if words in said), "read the log, and report it with the log")
    return StageError(
        f"{COMMAND}: {name}", f"was not built (status {status})\n" + "\n".join(told[:5]), f"{remedy}\nlog: {log}"
    )


def usual_jobs() -> int:
    """Compilers at a time: one for each processor, as far as there is memory for them."""
    processors = len(os.sched_getaffinity(0))
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9
    return max(1, min(processors, int(free / GIGABYTES_A_JOB)))


def check_library(build: Build) -> None:
    """Loads the library in a process of its own; raises StageError where that fails."""
    script = "import sys; from nsff.building.builds import load_library; load_library(sys.argv[1])"
    tried = subprocess.run([sys.executable, "-c", script, str(build.library)], capture_output=True, text=True)
    if tried.returncode:
        with build.log.open("a", encoding="utf-8") as stream:
            stream.write(tried.stderr)
        build.library.unlink(missing_ok=True)
        raise failure(LIBRARY, tried.returncode, tried.stderr, build.log)


@contextlib.contextmanager
def _held(build: Build) -> Iterator[None]:
    """The build's folder, for this process alone; raises StageError where another one builds there."""
    build.folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(build.folder / "lock", timeout=0)
    try:
        with lock:
            yield
    except Timeout:
        raise StageError(build.folder, "another process builds there now", "wait until it is done") from None
