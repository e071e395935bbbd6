"""Converts the authors' config_*.txt of NSFF and SAFF to scenes of a configuration file.

What a file says otherwise than preset nsff (saff, where it trains features) is written out; the authors' defaults count
where it says nothing. Whatever has no counterpart here is told. Frames are counted where the folder is there.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

HELP = "convert the authors' config_*.txt to a configuration file"
EXAMPLES = (
    "import-config configs/config_balloon1-2.txt --path data/Balloon1-2 --out balloon.yaml",
    "import-config configs/config_*_4.txt --out saff.yaml",
)


def run(
    files: Annotated[list[Path], Parameter(help="config_*.txt; each becomes a scene")],
    /,
    *,
    path: Annotated[
        str | None, Parameter(help="the scene's data, instead of the file's datadir (of one file only)")
    ] = None,
    out: Annotated[Path | None, Parameter(help="the file to write (default: print it)")] = None,
) -> None:
    """Converts configurations."""
    import yaml

    from nsff.config.published import convert, read_published
    from nsff.errors import ConfigError
    from nsff.files.io import write_text

    if path and len(files) > 1:
        raise ConfigError("--path", f"is one folder, but there are {len(files)} files", "convert one by one")
    if out and out.exists():
        raise ConfigError(out, "exists already", "name another file, or remove it")
    scenes = {}
    for file in files:
        source = path or read_published(file).get("datadir")
        scene = convert(file, path, _frames(source))
        if scene.name in scenes:
            raise ConfigError(file, f"would be a second scene {scene.name}", "convert it by itself")
        scenes[scene.name] = scene.settings
        for note in scene.notes:
            print(f"note: {file.name}: {note}", file=sys.stderr)
    text = f"# From {', '.join(file.name for file in files)}.\n"
    text += yaml.safe_dump({"scenes": scenes}, sort_keys=False, allow_unicode=True)
    if out:
        write_text(out, text)
    else:
        print(text, end="")


def _frames(path: object) -> int | None:
    """How many frames the folder has, where it is there."""
    from nsff.datasets.registry import open_source

    return open_source(Path(path)).count if isinstance(path, str) and path and Path(path).exists() else None
