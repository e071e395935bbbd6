"""GPU code rots unseen: the tests say loudly, and without failing, when the record of its tests is stale or missing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from nsff import gpu_check


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with GPU rooms and this repository's hook, and one test that passes."""
    for room in gpu_check.ROOMS:
        (tmp_path / "nsff" / room).mkdir(parents=True)
    (tmp_path / "nsff" / "models" / "a.py").write_text("x = 1\n")
    (tmp_path / "docs").mkdir()
    return tmp_path


def write_record(project: Path, text: str | None = None) -> None:
    record = {"date": "2026-01-01", "code": gpu_check.code_hash(project)}
    (project / gpu_check.RECORD).write_text(json.dumps(record) if text is None else text)


def said(project: Path) -> str:
    lines: list[str] = []
    gpu_check.report(
        project, lambda text, **_: lines.append(text), lambda sign, title="", **_: lines.append(3 * sign + title)
    )
    return "\n".join(lines)


def test_the_hash_sees_code(project: Path) -> None:
    file = project / "nsff" / "models" / "a.py"
    first = gpu_check.code_hash(project)
    (project / "nsff" / "models" / "note.txt").write_text("not code")
    assert gpu_check.code_hash(project) == first
    file.write_text("x = 2\n")
    second = gpu_check.code_hash(project)
    assert second != first
    file.rename(file.with_name("b.py"))
    assert gpu_check.code_hash(project) not in (first, second)


def test_the_hash_sees_no_words(project: Path) -> None:
    file = project / "nsff" / "models" / "a.py"
    file.write_text('"""A module."""\n\nx = "# text"  # why\n\n\ndef f():\n    """Does it."""\n    return x\n')
    first = gpu_check.code_hash(project)
    file.write_text('"""Another\nmodule."""\nx = "# text"  # why\n# A note.\ndef f():\n    return x\n')
    assert gpu_check.code_hash(project) == first
    file.write_text(file.read_text().replace("# text", "# other"))
    assert gpu_check.code_hash(project) != first


def test_a_current_record_is_not_mentioned(project: Path) -> None:
    write_record(project)
    assert gpu_check.state(project) == "current"
    assert said(project) == ""


def test_a_missing_or_stale_record_is_said(project: Path) -> None:
    assert "never tested" in said(project)
    write_record(project)
    (project / "nsff" / "training" / "new.py").write_text("y = 1\n")
    assert "is STALE: models, rendering or training changed since 2026-01-01" in said(project)
    assert said(project).startswith("!!!GPU CODE IS NOT TESTED AS IT IS\n")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"date": "2026-01-01"}'])
def test_a_damaged_record_is_said(project: Path, text: str) -> None:
    write_record(project, text)
    assert "is not a record" in said(project)


def test_pytest_says_it_last_and_passes(repo: Path) -> None:
    """The hook in tests/conftest.py, in a run of its own."""
    found = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/test_gpu_check.py", "-k", "sees_code"],
        cwd=repo, capture_output=True, text=True,
    )  # fmt: skip
    assert found.returncode == 0, found.stdout
    assert "1 passed" in found.stdout
    state = gpu_check.state(repo)
    assert (state in found.stdout) == (state != "current")
    assert ("GPU CODE IS NOT TESTED AS IT IS" in found.stdout) == (state != "current")
