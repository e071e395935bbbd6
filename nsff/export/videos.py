"""Videos of a scene in several formats, as the workflow rendered them or without some of its objects."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from nsff.config import RenderConfig
from nsff.decompose.removal import MOVING, OBJECTS, left_out_of
from nsff.errors import ConfigError, StageError
from nsff.export.films import Format, write_film
from nsff.files.io import read_image, read_json
from nsff.rendering.renderer import Renderer
from nsff.rendering.videos import PathKind, draw_frames, route_of
from nsff.scene import Scene


def export_video(
    scene: Scene, folder: Path, path: PathKind, formats: Sequence[Format], without: Sequence[str], **changes: Any
) -> list[Path]:
    """Writes {path}.{format} into ``folder``, beside what is there: the frames that the workflow rendered; or, with
    objects left out (numbers, ``objects`` or ``moving``) or ``changes`` of render's settings, new ones, as
    {path}_without_1.{format} and so on. Returns the files.

    Settings are those of the scene's own videos where they are known. Raises ConfigError for objects that are not
    there, StageError where a scene has no such video.
    """
    left_out = asked(without)
    changed = {name: value for name, value in changes.items() if value is not None}
    render = render_settings(scene, path).model_copy(update={"without": left_out} | changed)
    if left_out or changed:
        renderer = Renderer.load(scene.model_dir, chunk=render.chunk).without(left_out_of(scene, left_out))
        route, height, width = route_of(scene, render, path)
        renderer.enlarged = max(1.0, height / scene.size[0])
        frames = draw_frames(renderer, route, (height, width), render, f"render {path}")
    else:
        frames = rendered_frames(scene, path)
    words = [path, *(["without", *map(str, without)] if left_out else [])]
    folder.mkdir(parents=True, exist_ok=True)
    return [write_film(folder / "_".join(words), frames, render.frame_rate, kind) for kind in formats]


def asked(without: Sequence[str]) -> list[int] | str:
    """``render.without`` by words of the command line. Raises ConfigError for others."""
    if list(without) in ([MOVING], [OBJECTS]):
        return without[0]
    try:
        return [int(word) for word in without]
    except ValueError:
        raise ConfigError(
            "--without", f"is {' '.join(without)}", f"give numbers of objects, or {OBJECTS}, or {MOVING}"
        ) from None


def render_settings(scene: Scene, path: PathKind) -> RenderConfig:
    """The settings that the workflow rendered a path with; the usual ones where it kept none."""
    file = scene.path("settings", f"render_{path}.json")
    if not file.exists():
        return RenderConfig()
    return RenderConfig(**read_json(file)["render"])


def rendered_frames(scene: Scene, path: PathKind) -> list[UInt8[np.ndarray, "H W 3"]]:
    """The frames of a video of the workflow: its pictures where there are any (render.pictures), else the video."""
    pictures = sorted(scene.render_pictures_dir(path).glob("*.png"))
    if pictures:
        return [read_image(file) for file in pictures]
    video = scene.video_path(path)
    if not video.exists():
        raise StageError(video, "missing", "let the workflow render it (render.paths), or give --frames")
    import imageio.v3 as imageio

    return list(imageio.imread(video, plugin="pyav"))
