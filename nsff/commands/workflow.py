"""Lays out the Snakemake workflow in a folder of its own: Snakefile, rules, scripts, environments, profiles, and a
config.yaml with the demo scene.

Run `snakemake --cores all` there. With --update, after a new nsff was installed, the files that belong to its version
are replaced; config.yaml, profiles and results stay.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

HELP = "lay out the workflow in a folder"
EXAMPLES = ("workflow ~/scenes", "workflow ~/scenes --update")


def run(
    folder: Annotated[Path, Parameter(help="the folder, which is made if it is not there")],
    /,
    *,
    update: Annotated[bool, Parameter(help="replace the files of another version of nsff")] = False,
) -> None:
    """Lays the workflow out."""
    from nsff.workflow.bundle import lay_out

    folder = folder.expanduser()
    print(f"{folder}: wrote {', '.join(lay_out(folder, update))}")
    print(f"Next: cd {folder} && snakemake --cores all")
