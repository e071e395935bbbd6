"""Two results side by side: settings that differ, scores, seconds, verdicts, pictures with a wipe, and videos.

A and B are names of scenes in results/, or folders. A table goes to the console, all of it to one self-contained HTML
file.

exit status: 0 done, 1 a folder without results, 2 wrong usage
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

HELP = "two results side by side: settings, scores, seconds, pictures"
EXAMPLES = ("compare holiday holiday_fast", "compare results/demo ~/before/results/demo --out before_after.html")
LISTED = 12


def run(
    a: Annotated[Path, Parameter(help="a scene's name, or its results folder")],
    b: Annotated[Path, Parameter(help="another one")],
    /,
    *,
    out: Annotated[Path | None, Parameter(help="the page to write (default: compare_A_B.html)")] = None,
) -> None:
    """Compares two results."""
    from nsff.commands._scenes import results_folder
    from nsff.report.comparison import Row, compare, write_comparison

    one, other = results_folder(a), results_folder(b)
    found = compare(one, other)
    target = out or Path(f"compare_{one.name}_{other.name}.html")
    write_comparison(found, target)
    print(f"A  {found.a}\nB  {found.b}")

    def table(title: str, rows: list[Row]) -> None:
        if not rows:
            return
        print(f"\n{title}")
        widths = [
            max(len(value) for value in column) for column in zip(*[(r.name, r.a, r.b) for r in rows], strict=True)
        ]
        for row in rows[:LISTED]:
            cells = [row.name.ljust(widths[0]), row.a.rjust(widths[1]), row.b.rjust(widths[2]), row.difference]
            print(("  " + "  ".join(cells)).rstrip())
        if len(rows) > LISTED:
            print(f"  and {len(rows) - LISTED} more in the page")

    table("settings that differ", list(found.settings))
    table("scores", list(found.scores))
    table("verdicts that differ", list(found.verdicts))
    table("seconds", [row for row in found.seconds if row.name in ("train", "together")])
    for note in found.notes:
        print(f"note: {note}")
    print(f"\nall of it, with {len(found.pairs)} pairs of pictures: {target}")
