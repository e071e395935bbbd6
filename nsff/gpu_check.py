"""The record that GPU code was tested: docs/gpu_check.json with a hash of the code that runs on a GPU."""

from __future__ import annotations

import ast
import datetime
import hashlib
import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

ROOMS = ("models", "rendering", "training")
RECORD = Path("docs/gpu_check.json")


def code_hash(root: Path) -> str:
    """A hash of the names and the code of all Python files of models, rendering and training."""
    digest = hashlib.sha256()
    for room in ROOMS:
        for path in sorted((root / "nsff" / room).rglob("*.py")):
            code = without_words(path.read_text(encoding="utf-8"))
            digest.update(path.relative_to(root).as_posix().encode() + b"\0" + code.encode() + b"\0")
    return digest.hexdigest()


def without_words(source: str) -> str:
    """The lines of a Python file but for docstrings, lines of comments and empty lines, which no test tells apart.

    >>> without_words("x = 1\\n\\n# Why.\\n'It is two.'\\ny = 2\\n")
    'x = 1\\ny = 2'
    """
    words: set[int] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            words.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    lines = [line for number, line in enumerate(source.splitlines(), 1) if number not in words]
    return "\n".join(line for line in lines if line.strip() and not line.lstrip().startswith("#"))


def check(root: Path) -> int:
    """Runs all tests marked gpu and writes the record; returns pytest's status. Refuses a machine without a GPU."""
    import torch

    if not torch.cuda.is_available():
        print("make gpu-check needs a machine with a CUDA GPU; this one has none", file=sys.stderr)
        return 1
    if importlib.util.find_spec("gsplat"):
        from nsff.building.compile import build_or_find
        from nsff.errors import NsffError

        try:
            print(build_or_find())
        except NsffError as error:
            print(error, file=sys.stderr)
            return 1
    report = root / ".gpu_check.xml"
    # Only the rooms whose code is recorded: others import what a GPU machine may lack (pycolmap, av, snakemake).
    folders = [str(root / "tests" / room) for room in ROOMS]
    status = subprocess.run(
        [sys.executable, "-m", "pytest", "-m", "gpu", f"--junit-xml={report}", *folders], cwd=root
    ).returncode
    from xml.etree import ElementTree

    suite = ElementTree.parse(report).getroot().find("testsuite")
    assert suite is not None
    counts = {key: int(suite.attrib[key]) for key in ("tests", "failures", "errors", "skipped")}
    report.unlink()
    if status == 0 and counts["tests"] > counts["skipped"]:
        record = {
            "date": datetime.date.today().isoformat(),
            "device": torch.cuda.get_device_name(),
            "torch": torch.__version__,
            "python": sys.version.split()[0], **counts, "code": code_hash(root),
        }  # fmt: skip
        (root / RECORD).write_text(json.dumps(record, indent=1) + "\n")
    return status


def state(root: Path) -> str:
    """'current', or what is wrong with the record."""
    path = root / RECORD
    if not path.exists():
        return f"{RECORD} does not exist: the GPU code was never tested; run `make gpu-check` on a GPU machine"
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        date, code = record["date"], record["code"]
    except (ValueError, KeyError, TypeError) as error:
        return f"{RECORD} is not a record ({type(error).__name__}: {error}); run `make gpu-check` on a GPU machine"
    if code != code_hash(root):
        return f"{RECORD} is STALE: models, rendering or training changed since {date}; run `make gpu-check`"
    return "current"


def report(root: Path, write: Callable[..., None], rule: Callable[..., None]) -> None:
    """Says it where the record is not current: ``rule(sign, title)`` draws a line across, ``write(text)`` a line.

    Both take colours as pytest's TerminalReporter does, whose write_line and write_sep they usually are.
    """
    found = state(root)
    if found != "current":
        rule("!", "GPU CODE IS NOT TESTED AS IT IS", red=True, bold=True)
        write(found, red=True)
        rule("!", red=True, bold=True)


if __name__ == "__main__":
    sys.exit(check(Path(__file__).resolve().parents[1]))
