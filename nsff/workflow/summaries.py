"""The words of stages about themselves: their summary, and the seconds that they took."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def summary_of(scene: Path, stage: str) -> dict[str, Any]:
    """The summary of a stage of the scene in folder ``scene``; empty where there is none that can be read."""
    try:
        content = json.loads((scene / "summaries" / f"{stage}.json").read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def seconds_of(scene: Path, stage: str) -> float | None:
    """Seconds that a stage took, by Snakemake's benchmark file; None where it does not tell."""
    try:
        return float((scene / "benchmarks" / f"{stage}.tsv").read_text().splitlines()[1].split("\t")[0])
    except (OSError, ValueError, IndexError):
        return None
