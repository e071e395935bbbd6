"""Tests of scoring share wall_world.py, which lies beside them; none of them finds LPIPS weights by accident."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(autouse=True)
def no_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NSFF_WEIGHTS", str(tmp_path / "no_weights"))
