"""Runs Snakemake on request, each time in a fork, so that its import (seconds) happens once. A program for the tests.

A request is a line of JSON: folder, arguments, stdout, stderr (paths), environment (over this process's own). The
answer is a line with the exit status. The option --d3dag is taken over: it prints every job of the DAG in full.
What one run imports, of this project or of installed packages, later runs find imported.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib
import json
import os
import sys
import sysconfig
import traceback
from pathlib import Path
from typing import Any

from snakemake.cli import main
from snakemake.dag import DAG


def plain(value: Any) -> Any:
    """Parameters as JSON can hold them."""
    if isinstance(value, (list, tuple, set)):
        return [plain(part) for part in value]
    return value if isinstance(value, (int, float, bool, type(None))) else str(value)


def named(values: Any) -> dict[str, Any]:
    """Snakemake's named lists as a dictionary; what has no name is under its position."""
    names = dict(values._get_names()) if hasattr(values, "_get_names") else {}
    taken: dict[str, Any] = {}
    covered: set[int] = set()
    for name, (start, end) in names.items():
        taken[name] = plain(values[start]) if end is None else [plain(value) for value in values[start:end]]
        covered.update([start] if end is None else range(start, end))
    return taken | {str(i): plain(value) for i, value in enumerate(values) if i not in covered}


def print_jobs(dag: DAG, max_jobs: int = 0) -> None:
    """All jobs, with what a rule must have, the parameters that re-run it, and whether the job would run."""
    jobs = []
    for job in dag.jobs:
        jobs.append({
            "rule": job.rule.name,
            "wildcards": dict(job.wildcards_dict),
            "input": named(job.input), "output": named(job.output), "params": named(job.params),
            "triggers": plain(job.non_derived_params), "log": named(job.log), "benchmark": plain(job.benchmark),
            "conda": str(job.rule.conda_env) if job.rule.conda_env else None,
            "threads": job.threads, "resources": named(job.resources),
            "message": job.message, "command": job.shellcmd,
            "runs": bool(dag.needrun(job)),
        })  # fmt: skip
    print(json.dumps(jobs))


DAG.d3dag = print_jobs
HOMES = (str(Path(__file__).resolve().parents[2] / "nsff"), *map(sysconfig.get_path, ("stdlib", "purelib", "platlib")))


def imported() -> list[str]:
    """Names of the modules that this process has, of the project or installed; none that a test put somewhere."""
    found = [(name, getattr(module, "__file__", None)) for name, module in sys.modules.items()]
    return [name for name, file in found if file and file.startswith(HOMES) and name != "__main__"]


def import_all(names: list[str]) -> None:
    for name in names:
        if name not in sys.modules:
            with contextlib.suppress(Exception):
                importlib.import_module(name)


def run(request: dict[str, Any]) -> int:
    """In the fork: Snakemake with its own folder, environment and output."""
    for number, path in ((0, os.devnull), (1, request["stdout"]), (2, request["stderr"])):
        flags = os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        os.dup2(os.open(path, flags), number)
    os.environ.update(request["environment"])
    os.chdir(request["folder"])
    try:
        main(request["arguments"])
        return 0
    except SystemExit as stop:
        if isinstance(stop.code, str):
            print(stop.code, file=sys.stderr)
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1


if __name__ == "__main__":
    for line in sys.stdin:
        modules, write = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(modules)
            status = run(json.loads(line))
            atexit._run_exitfuncs()  # as a process that ends by itself
            sys.stdout.flush()
            sys.stderr.flush()
            os.write(write, json.dumps(imported()).encode())
            os._exit(status)
        os.close(write)
        with os.fdopen(modules) as stream:
            told = stream.read()
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
        import_all(json.loads(told or "[]"))
