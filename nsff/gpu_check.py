"""The record that GPU code was tested: docs/gpu_check.json with a hash of the code that runs on a GPU."""

from __future__ import annotations

import datetime
import hashlib
import json
import subprocess
import sys
from pathlib import Path

ROOMS = ("fields", "rendering", "training")
RECORD = Path("docs/gpu_check.json")


def code_hash(root: Path) -> str:
    """A hash of the names and contents of all Python files of fields, rendering and training."""
    digest = hashlib.sha256()
    for room in ROOMS:
        for path in sorted((root / "nsff" / room).rglob("*.py")):
            digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def check(root: Path) -> int:
    """Runs all tests marked gpu and writes the record; returns pytest's status. Refuses a machine without a GPU."""
    import torch

    if not torch.cuda.is_available():
        print("make gpu-check needs a machine with a CUDA GPU; this one has none", file=sys.stderr)
        return 1
    report = root / ".gpu_check.xml"
    status = subprocess.run(
        [sys.executable, "-m", "pytest", "-m", "gpu", f"--junit-xml={report}", str(root / "tests")], cwd=root
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
    if not (root / RECORD).exists():
        return f"{RECORD} does not exist: the GPU code was never tested; run `make gpu-check` on a GPU machine"
    record = json.loads((root / RECORD).read_text())
    if record["code"] != code_hash(root):
        return f"{RECORD} is STALE: fields, rendering or training changed since {record['date']}; run `make gpu-check`"
    return "current"


if __name__ == "__main__":
    sys.exit(check(Path(__file__).resolve().parents[1]))
