"""Writes the configuration of a video, NAME.yaml, with the settings that `nsff run` would choose, and runs nothing.

Edit it, then: nsff run VIDEO. A file that is there and says something else is never overwritten.
"""

from __future__ import annotations

import sys
from pathlib import Path

from nsff.commands._clip_options import End, Frames, Height, PresetName, SceneName, Start, Video

HELP = "write the configuration of a video, and run nothing"
EXAMPLES = ("init holiday.mp4", "init holiday.mp4 --preset fast --name summer --frames 60")


def run(
    video: Video,
    /,
    *,
    preset: PresetName = None,
    name: SceneName = None,
    height: Height = None,
    frames: Frames = None,
    start: Start = None,
    end: End = None,
) -> int:
    """Writes a configuration."""
    from nsff.workflow.choices import Asked
    from nsff.workflow.single_scene import SingleScene

    asked = Asked(preset, name, height, frames, start, end)
    scene = SingleScene(video, asked, Path(), f"nsff init {' '.join(sys.argv[2:])}".strip())
    return scene.run([], [], None, config_only=True, dry_run=False, question=False)
