"""From a video to the scene in 4D and its report: looks at the clip, chooses a preset that suits this machine, says
what that will cost, writes the configuration NAME.yaml, and runs the workflow.

One line tells how each stage ended; what the workflow itself prints is in results/NAME/logs/run.log. Ctrl-C stops, with
the state of training saved, and the same command goes on from there. NAME.yaml is written once: edit it, and the next
run makes again what depends on the change. A file that says something else is never overwritten.

What follows -- goes to Snakemake. On a terminal a question comes before the work; --yes leaves it out.

exit status: 0 done, 1 an error or a stage that failed, 2 wrong usage, 130 stopped by Ctrl-C (129 and 143: by a signal)
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from nsff.commands._clip_options import End, Frames, Height, PresetName, SceneName, Start, Video

HELP = "make a scene of a video: one command, no configuration needed"
EXAMPLES = (
    "run holiday.mp4",
    "run holiday.mp4 --start 1.5s --end 4s --yes",
    "run frames/ --name garden --preset demo --height 180",
    "run holiday.mp4 --target renders/time.mp4",
    "run holiday.mp4 -- --keep-going --resources gpu=2",
)


def run(
    video: Video,
    /,
    *snakemake: Annotated[str, Parameter(help="after --: arguments for Snakemake", allow_leading_hyphen=True)],
    preset: PresetName = None,
    name: SceneName = None,
    height: Height = None,
    frames: Frames = None,
    start: Start = None,
    end: End = None,
    target: Annotated[
        list[str] | None,
        Parameter(help="make this alone and what it needs, such as model (nsff targets NAME)", consume_multiple=True),
    ] = None,
    cores: Annotated[int | None, Parameter(help="processor cores (default: all)", validator=Number(gte=1))] = None,
    config_only: Annotated[bool, Parameter(help="write the configuration, and run nothing (as nsff init)")] = False,
    dry_run: Annotated[bool, Parameter(help="say what would be done, and write and run nothing")] = False,
    yes: Annotated[bool, Parameter(name=["--yes", "-y"], help="ask nothing")] = False,
) -> int:
    """Runs one clip."""
    from nsff.workflow.choices import Asked
    from nsff.workflow.single_scene import SingleScene

    asked = Asked(preset, name, height, frames, start, end)
    scene = SingleScene(video, asked, Path(), f"nsff run {' '.join(sys.argv[2:])}".strip())
    return scene.run(target or [], list(snakemake), cores, config_only, dry_run, not yes and sys.stdin.isatty())
