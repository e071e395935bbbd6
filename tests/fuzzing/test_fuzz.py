"""Damaged and hostile files of every kind: each is read or refused by name, never a traceback, a hang or a full memory.

5,000 mutations with fixed seeds; the first 300 in the ordinary tests. They run in processes of their own (worker.py),
which the kernel ends where a case hangs or takes memory, so that such a case is counted and the others go on.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

WORKER = Path(__file__).with_name("worker.py")
ROOT = WORKER.parents[2]
QUICK, ALL = 300, 5000
PROCESSES = 2
LIMIT = 10.0
"""Seconds of a case, and 1 GB of memory: what counts as a hang, and as too much."""


def cases(first: int, last: int, folder: str) -> list[dict[str, Any]]:
    """What became of the cases from ``first`` to before ``last``: a process that dies of one is followed by another."""
    found: list[dict[str, Any]] = []
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2"}
    while first < last:
        ended = subprocess.run(
            [sys.executable, str(WORKER), str(first), str(last)], env=environment, text=True, capture_output=True,
            cwd=folder,
        )  # fmt: skip
        lines = [json.loads(line) for line in ended.stdout.splitlines()]
        found += [line for line in lines if "outcome" in line]
        if not lines:
            raise AssertionError(f"the worker did not begin: {ended.stderr[-2000:]}")
        first = lines[-1]["case"] + 1
        if "outcome" not in lines[-1]:
            found.append(lines[-1] | {"outcome": f"died ({ended.returncode})", "told": ended.stderr[-500:]})
        elif first < last:
            raise AssertionError(f"the worker ended early: {ended.stderr[-2000:]}")
    return found


def run(count: int) -> list[dict[str, Any]]:
    part = -(-count // PROCESSES)
    starts = range(0, count, part)
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(PROCESSES) as pool:
        parts = pool.map(lambda start: cases(start, min(count, start + part), folder), starts)
        return [case for found in parts for case in found]


def check(found: list[dict[str, Any]], count: int) -> None:
    assert [case["case"] for case in found] == list(range(count))
    wrong = [case for case in found if case["outcome"] not in ("read", "refused")]
    wrong += [case for case in found if case.get("seconds", 0) > LIMIT or case.get("grown", 0) > 1e9]
    assert not wrong, f"{len(wrong)} of {count}: {json.dumps(wrong[:5], indent=1)}"
    outcomes = Counter(case["outcome"] for case in found)
    assert outcomes["refused"] > 0.4 * count, outcomes  # else the mutations would test nothing


def test_the_first_mutations() -> None:
    check(run(QUICK), QUICK)


@pytest.mark.slow
def test_all_mutations() -> None:
    found = run(ALL)
    print(Counter(case["outcome"] for case in found))
    check(found, ALL)
