"""Lists what can be asked for of a scene: files and folders, what each holds, and whether it is there.

Scenes are looked for in config.yaml and in NAME.yaml, which `nsff run` and `nsff init` write. Any name of the list goes
to `nsff run VIDEO --target`, or, after results/NAME/, to snakemake.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

HELP = "list what can be made of a scene, and what is there"
EXAMPLES = ("targets demo", "targets holiday --configfile holiday.yaml")


def run(
    name: Annotated[str, Parameter(help="the scene")],
    /,
    *,
    folder: Annotated[Path, Parameter(help="where the workflow is started (default: here)")] = Path(),
    configfile: Annotated[str | None, Parameter(help="in that folder (default: NAME.yaml, else config.yaml)")] = None,
) -> None:
    """Lists targets."""
    from nsff.workflow.target_names import scene_in_folder, targets_of

    folder = folder.expanduser()
    settings, config = scene_in_folder(folder, name, configfile)
    found = targets_of(settings)
    width = max(len(target.name) for target in found)
    for target in found:
        there = "there" if (folder / "results" / name / target.name).exists() else ""
        print(f"{target.name.ljust(width)}  {there:5}  {target.about}".rstrip())
    print(f"\nsnakemake --cores all --configfile {config} results/{name}/TARGET")
