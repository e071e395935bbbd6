"""Memory of the features stage on a long clip, measured in a process of its own."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_200_frames_of_288x512_need_less_than_4_gb(repo: Path, tmp_path: Path):
    """Keys of published sizes from a network with one block: its other blocks hold their weights and pass on."""
    command = [sys.executable, str(repo / "scripts" / "benchmarks" / "feature_memory.py"), "--stride", "2"]
    result = subprocess.run([*command, "--work", str(tmp_path)], capture_output=True, text=True, check=True)
    line = result.stdout.strip().splitlines()[-1]
    found = re.fullmatch(r"200 frames of 288x512, .*: peak ([\d.]+) GB \(.*\), features.npy ([\d.]+) GB, .*", line)
    assert found, line
    assert float(found[1]) < 4
    assert float(found[2]) == pytest.approx(200 * 144 * 256 * 64 * 2 / 2**30, abs=0.01)
