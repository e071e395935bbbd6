"""Writes files for other programs from a finished scene, into results/NAME/exports unless --out names another folder.

--splats: the Gaussians of a scene of kind gaussians. One compact file with motion, and PLY files in the layout of 3D
Gaussian Splatting for every frame, for what rests, and for every object.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

HELP = "write a finished scene as files for other programs"
EXAMPLES = ("export results/holiday --splats", "export results/holiday --splats --out holiday_splats")


def run(
    folder: Annotated[Path, Parameter(name="scene", help="the scene's folder, results/NAME")],
    /,
    *,
    splats: Annotated[bool, Parameter(help="Gaussians: PLY files and a compact file with motion")] = False,
    out: Annotated[Path | None, Parameter(help="the folder to write into (default: exports in the scene's)")] = None,
) -> None:
    """Writes the files that are asked for."""
    from collections.abc import Callable

    from nsff.errors import ConfigError
    from nsff.scene import Scene

    scene, wanted = Scene(folder), list[Callable[[Scene, Path], str]]()
    if splats:
        from nsff.export.splats import export_splats

        wanted.append(export_splats)
    if not wanted:
        raise ConfigError("export", "is not told what to write", "name at least one kind: --splats")
    for export in wanted:
        print(export(scene, out or scene.exports_dir))
