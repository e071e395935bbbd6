"""Writes the configuration of a video, NAME.yaml, with the settings that `nsff run` would choose, and runs nothing.

Edit it, then: nsff run VIDEO. A file that is there and says something else is never overwritten.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

HELP = "write the configuration of a video, and run nothing"
EXAMPLES = ("init holiday.mp4", "init holiday.mp4 --preset fast --name summer --frames 60")


def run(
    video: Annotated[Path, Parameter(help="a video, or a folder of images or in another layout that is read")],
    /,
    *,
    preset: Annotated[str | None, Parameter(help="demo (CPU), fast (GPU), nsff or saff (the published models)")] = None,
    name: Annotated[str | None, Parameter(help="of the scene (default: of the file)")] = None,
    height: Annotated[int | None, Parameter(help="rows of the pictures to work with", validator=Number(gte=32))] = None,
    frames: Annotated[int | None, Parameter(help="most frames to take", validator=Number(gte=2))] = None,
    start: Annotated[str | None, Parameter(help="first frame, or time as 1.5s")] = None,
    end: Annotated[str | None, Parameter(help="one past the last frame, or time as 4s")] = None,
) -> int:
    """Writes a configuration."""
    from nsff.workflow.choices import Asked
    from nsff.workflow.single_scene import SingleScene

    asked = Asked(preset, name, height, frames, start, end)
    scene = SingleScene(video, asked, Path(), f"nsff init {' '.join(sys.argv[2:])}".strip())
    return scene.run([], [], None, config_only=True, dry_run=False, question=False)
