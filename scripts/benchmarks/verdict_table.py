"""One table over the verdicts of all stages beside the truth: a line a stage and clip.

Reads the files that camera_verdicts.py, mask_verdicts.py, stage_verdicts.py and refit_ranks.py wrote with --cases.
Columns: how often `good` is right, with the bounds in use and with those chosen without the clip; how many of the truly
good cases are called good; how often `poor` names the cause of a broken twin. Gates: 9 of 10, and 8 of 10.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from _root import ROOT  # noqa: F401  (puts the repository on the path)
from _scenes import markdown

HEAD = [
    "stage",
    "clip",
    "cases",
    "truly good",
    "good is right",
    "without the clip",
    "found good",
    "poor names the cause",
]
Case = dict[str, Any]


def share(cases: Sequence[Case], of: Callable[[Case], bool], right: Callable[[Case], bool]) -> str:
    """How many of those that are ``of`` are ``right``; a dash for none."""
    chosen = [case for case in cases if of(case)]
    return f"{sum(right(case) for case in chosen)} of {len(chosen)}" if chosen else "-"


def line(stage: str, clip: str, cases: Sequence[Case]) -> list[str]:
    return [
        stage, clip, str(len(cases)), str(sum(case["good"] for case in cases)),
        share(cases, lambda case: case["verdict"] == "good", lambda case: case["good"]),
        share(cases, lambda case: case["left_out"] == "good", lambda case: case["good"]),
        share(cases, lambda case: case["good"], lambda case: case["verdict"] == "good"),
        share(cases, lambda case: case["named"] is not None, lambda case: case["named"]),
    ]  # fmt: skip


def table(cases: Sequence[Case], totals: bool) -> list[list[str]]:
    """Lines of each stage, of its clips or of all of them together, and of all stages."""
    lines = []
    for stage in dict.fromkeys(case["stage"] for case in cases):
        mine = [case for case in cases if case["stage"] == stage]
        clips = list(dict.fromkeys(case["clip"] for case in mine))
        if not totals:
            lines += [line(stage, clip, [case for case in mine if case["clip"] == clip]) for clip in clips]
        lines.append(line(f"**{stage}**", f"{len(clips)} clips", mine))
    return [*lines, line("**all**", "", cases)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    parser.add_argument("--totals", action="store_true", help="a line a stage alone")
    given = parser.parse_args()
    cases = [json.loads(text) for file in given.files for text in file.read_text().splitlines()]
    print(markdown(HEAD, table(cases, given.totals)))


if __name__ == "__main__":
    main()
