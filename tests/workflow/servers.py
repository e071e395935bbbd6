"""Processes that the workflow's tests start once and ask often: one has Snakemake imported, the other what jobs import.

With them a plan takes a fraction of a second and a tiny job as well, where Python, Snakemake and torch would take
seconds to start. Tests about processes themselves (signals, schedulers, environments, wheels) start their own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "PYTHONPATH": str(ROOT),
    "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
}
"""What every process needs: the package, this Python first on PATH, one thread."""


@dataclass(frozen=True)
class Ended:
    """How a run ended: exit status, what it printed, and both together."""

    status: int
    stdout: str
    stderr: str

    @property
    def text(self) -> str:
        return self.stdout + self.stderr


class WarmServer:
    """A process that runs scripts of the workflow, with their libraries loaded (warm_server.py, warm/)."""

    def __init__(self) -> None:
        self.folder = tempfile.TemporaryDirectory()  # a socket's path must be short
        address = str(Path(self.folder.name, "socket"))
        self.environment = {"PYTHONPATH": os.pathsep.join([str(HERE / "warm"), str(ROOT)]), "NSFF_WARM": address}
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "warm_server.py"), address],
            env=os.environ | ENVIRONMENT, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n"

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()
        self.folder.cleanup()


class SnakemakeServer:
    """A process that has Snakemake imported and runs it on request (snakemake_server.py)."""

    def __init__(self) -> None:
        self.warm: WarmServer | None = None
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "snakemake_server.py")],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ | ENVIRONMENT,
        )  # fmt: skip

    def run(self, folder: Path, arguments: list[str], environment: dict[str, str] | None = None) -> Ended:
        """Runs Snakemake in ``folder``. Its jobs are run by a WarmServer, which starts when it is first of use."""
        if not {"--dry-run", "--d3dag", "--lint", "--report"} & set(arguments):
            self.warm = self.warm or WarmServer()
            environment = self.warm.environment | (environment or {})
        assert self.process.stdin
        assert self.process.stdout
        with tempfile.TemporaryDirectory() as outputs:
            out, err = Path(outputs, "out"), Path(outputs, "err")
            request = {
                "folder": str(folder), "arguments": arguments, "stdout": str(out), "stderr": str(err),
                "environment": environment or {},
            }  # fmt: skip
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
            status = int(self.process.stdout.readline())
            return Ended(status, out.read_text(), err.read_text())

    def stop(self) -> None:
        if self.warm is not None:
            self.warm.stop()
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait(timeout=30)
