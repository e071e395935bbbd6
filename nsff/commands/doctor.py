"""Looks at this installation: Python and packages, Snakemake, FFmpeg, GPU, driver and PyTorch's build, the rasteriser
of Gaussians and its compiler, pretrained weights, memory, disk, and the folder. Each line is ok, a warning (it works,
with less) or a problem, with what to do.

exit status: 0 no problem (there may be warnings), 1 a problem, 2 wrong usage
"""

from __future__ import annotations

import json as json_format
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

HELP = "check the installation: versions, GPU, weights, disk, each with a remedy"
EXAMPLES = ("doctor", "doctor --json")


def run(
    folder: Annotated[Path, Parameter(help="where the workflow is started (default: here)")] = Path(),
    /,
    *,
    json: Annotated[bool, Parameter(help="as JSON")] = False,
) -> int:
    """Checks the installation."""
    from nsff.workflow.doctor import examine, worst

    checks = examine(folder.expanduser())
    if json:
        print(json_format.dumps([vars(check) for check in checks], indent=1, ensure_ascii=False))
    else:
        width = max(len(check.name) for check in checks)
        for check in checks:
            print(f"{check.state:8} {check.name.ljust(width)}  {check.found}")
            if check.remedy:
                print(f"{'':8} {'':{width}}  what to do: {check.remedy}")
    return 1 if worst(checks) == "problem" else 0
