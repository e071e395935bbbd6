"""Tests of Triton kernels, for machines without a GPU."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def interpreted(repo: Path) -> Callable[[str], str]:
    """What pytest prints of a file's tests named kernels_equal_their_twin, which must pass, in a process of its own:
    Triton decides when it is imported whether it interprets."""

    def run(file: str) -> str:
        command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "-k", "kernels_equal_their_twin", file]
        environment = os.environ | {"TRITON_INTERPRET": "1"}
        done = subprocess.run(command, cwd=repo, env=environment, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, done.stdout[-3000:]
        return done.stdout

    return run
