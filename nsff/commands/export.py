"""Writes a finished scene, or parts of it, in the formats of other programs: docs/exports.md says what is in them.

Each kind has a folder of its own, results/NAME/exports/KIND; with --out OUT it is OUT/KIND.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

if TYPE_CHECKING:
    from nsff.scene import Scene

HELP = "write a finished scene as files for other programs: cameras, depth, objects, videos"
EXAMPLES = (
    "export cameras results/holiday",
    "export objects results/holiday",
    "export video results/holiday --without 1",
    "export video results/holiday --path view --formats webm gif",
    "export splats results/holiday",
)
FormatName = Literal["mp4", "webm", "mov", "gif", "pictures"]
SplatFormat = Literal["ply", "spz"]
PathName = Literal["view", "time", "spacetime"]

Folder = Annotated[Path, Parameter(help="the scene's folder, results/NAME, or its name")]
Out = Annotated[Path | None, Parameter(help="the folder to write into (default: exports in the scene's)")]


def _opened(folder: Path, kind: str, out: Path | None) -> tuple[Scene, Path]:
    """The scene, and the folder of a kind."""
    from nsff.commands._scenes import results_folder
    from nsff.scene import Scene

    scene = Scene(results_folder(folder))
    return scene, (scene.exports_dir if out is None else out) / kind


def _cameras(scene: Folder, /, *, out: Out = None) -> None:
    """Cameras with the frames: a COLMAP model (binary and text), nerfstudio's transforms.json, a script for Blender."""
    from nsff.export.cameras import export_cameras

    opened, target = _opened(scene, "cameras", out)
    export_cameras(opened, target)
    print(f"{target}: written")


def _depth(scene: Folder, /, *, out: Out = None) -> None:
    """Rendered depth of every frame: 16-bit PNG with its scale, and OpenEXR."""
    from nsff.export.depth import export_depth

    opened, target = _opened(scene, "depth", out)
    export_depth(opened, target)
    print(f"{target}: written")


def _tracks(scene: Folder, /, *, out: Out = None) -> None:
    """Points of what moves, followed in 3-D through the clip by scene flow: NPZ and CSV."""
    from nsff.export.tracks import export_tracks

    opened, target = _opened(scene, "tracks", out)
    found = export_tracks(opened, target)
    print(f"{target}: written, {found.positions.shape[1]} tracks")


def _masks(scene: Folder, /, *, out: Out = None) -> None:
    """Object masks of every frame: grey pictures of object numbers, DAVIS' palette pictures, COCO's JSON."""
    from nsff.export.masks import export_masks

    opened, target = _opened(scene, "masks", out)
    export_masks(opened, target)
    print(f"{target}: written")


def _objects(
    scene: Folder,
    /,
    *,
    whole: Annotated[bool, Parameter(help="show objects as if nothing stood before them")] = False,
    no_clouds: Annotated[bool, Parameter(help="write no point clouds")] = False,
    out: Out = None,
) -> None:
    """Each object alone: pictures and films with alpha, point clouds over time, its track with speeds."""
    from nsff.export.objects import export_objects

    opened, target = _opened(scene, "objects", out)
    content = export_objects(opened, target, whole, not no_clouds)
    count = len(content["objects"])
    print(f"{target}: written, {count} object{'' if count == 1 else 's'}")


def _video(
    scene: Folder,
    /,
    *,
    path: Annotated[PathName, Parameter(help="along which path")] = "spacetime",
    formats: Annotated[tuple[FormatName, ...], Parameter(help="what to write", consume_multiple=True)] = ("mp4",),
    without: Annotated[
        tuple[str, ...],
        Parameter(
            help="leave these out: numbers of objects, or objects (all), or moving (all that moves)",
            consume_multiple=True,
        ),
    ] = (),
    frames: Annotated[int | None, Parameter(help="render anew, with so many frames")] = None,
    shrink: Annotated[float | None, Parameter(help="render anew, at 1/SHRINK of the size")] = None,
    out: Out = None,
) -> None:
    """A video in other formats, or one without some of the scene's objects."""
    from nsff.export.videos import export_video

    opened, target = _opened(scene, "video", out)
    files = export_video(opened, target, path, formats, without, frames=frames, render_factor=shrink)
    print("".join(f"{file}: written\n" for file in files), end="")


def _comparison(
    scene: Folder,
    /,
    *,
    formats: Annotated[tuple[FormatName, ...], Parameter(help="what to write", consume_multiple=True)] = ("mp4",),
    out: Out = None,
) -> None:
    """Input, rendering and depth side by side."""
    from nsff.export.comparison import export_comparison

    opened, target = _opened(scene, "comparison", out)
    export_comparison(opened, target, list(formats))
    print(f"{target}: written")


def _splats(
    scene: Folder,
    /,
    *,
    formats: Annotated[tuple[SplatFormat, ...], Parameter(help="beside the compact file", consume_multiple=True)] = (
        "ply",
        "spz",
    ),
    out: Out = None,
) -> None:
    """Gaussians of a scene of kind gaussians: a compact file with motion, and PLY files in the layout of 3D Gaussian
    Splatting, and SPZ files, for every frame, for what rests, and for every object."""
    from nsff.export.splats import export_splats

    opened, target = _opened(scene, "splats", out)
    print(export_splats(opened, target.parent, formats))


ACTIONS = {
    "cameras": _cameras,
    "depth": _depth,
    "tracks": _tracks,
    "masks": _masks,
    "objects": _objects,
    "video": _video,
    "comparison": _comparison,
    "splats": _splats,
}
