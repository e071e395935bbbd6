"""Truth of DyCheck's captures: SAFF's masks of 48 frames (protocol dycheck), DyCheck's still cameras (protocol iphone).

``frames`` are the source numbers of the scene's frames, in order; None stands for all.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from nsff.datasets.dycheck_capture import REMEDY, Capture
from nsff.datasets.listing import list_images
from nsff.datasets.truth import Truth, TruthCamera, TruthView
from nsff.errors import InputError


def dycheck(path: Path, frames: Sequence[int] | None) -> Truth:
    """colmap_masks/%05d.png.png (here, or the folder itself), black is foreground; colours from images/ near by.

    Frame i of the scene trains where i is even, and tests where it is odd.
    """
    folder = path / "colmap_masks" if (path / "colmap_masks").is_dir() else path
    numbers = ((re.match(r"\d+", file.name), file) for file in list_images(folder))
    masks = {int(match[0]): file for match, file in numbers if match}
    if not masks:
        raise InputError(folder, "has no 00000.png.png", "give the folder with SAFF's colmap_masks/")
    pictures = _pictures([path / "dense" / "images", path / "images", path.parent / "dense" / "images"])
    frames = sorted(masks) if frames is None else list(frames)
    missing = [frame for frame in frames if frame not in masks]
    if missing:
        raise InputError(folder, f"has no mask of source frame {missing[0]}", "take the frames that have masks")
    views = [
        TruthView(
            i, "test" if i % 2 else "training", float(i), None, i,
            pictures[frame] if frame < len(pictures) else None, masks[frame], black_is_foreground=True,
        )
        for i, frame in enumerate(frames)
    ]  # fmt: skip
    return Truth("dycheck", path, views)


def _pictures(folders: Sequence[Path]) -> list[Path]:
    return next((files for folder in folders if folder.is_dir() and (files := list_images(folder))), [])


def iphone(path: Path, frames: Sequence[int] | None) -> Truth:
    """The still cameras' frames at times of the scene's frames, and which of their pixels training frames see.

    Pictures come in the size that covisible/ has, else in the largest.
    """
    capture = Capture(path)
    train, test = capture.names("train"), [name for name in capture.names("val") if capture.camera(name) != 0]
    if not test:
        raise InputError(path / "dataset.json", "has no frames of still cameras", "take a capture that has")
    frames = list(range(len(train))) if frames is None else list(frames)
    if frames and max(frames) >= len(train):
        raise InputError(path, f"has {len(train)} frames, not {max(frames) + 1}", "this truth is of another capture")
    scene_frame = {capture.time(train[frame]): i for i, frame in enumerate(frames)}
    seen = capture.factors("covisible")
    factor = (seen or capture.factors("rgb") or [1])[0]
    cameras = capture.cameras(test)
    views = []
    for index, name in enumerate(test):
        if capture.time(name) not in scene_frame:
            continue
        image = path / "rgb" / f"{factor}x" / f"{name}.png"
        if not image.exists():
            raise InputError(image, "no such file", REMEDY)
        mask = path / "covisible" / f"{factor}x" / "val" / f"{name}.png"
        size = (cameras.height // factor, cameras.width // factor)
        own = cameras[[index]].resized(*size)
        camera = TruthCamera(own.intrinsics[0], own.world_to_camera[0], own.width, own.height)
        views.append(
            TruthView(
                index, "heldout", float(scene_frame[capture.time(name)]), camera, None, image, None,
                mask if mask.exists() else None,
            )
        )  # fmt: skip
    notes = [] if seen else ["covisible/ is not there: pictures are scored whole, also where no training frame looked"]
    return Truth("iphone", path, views, capture.cameras([train[frame] for frame in frames]), notes=notes)
