"""Cameras that lie beside a folder of frames and are not read: told rather than lost."""

from __future__ import annotations

from pathlib import Path

from nsff.cameras.colmap_places import find_models, incomplete_models


def unused_cameras(path: Path, images: Path) -> list[str]:
    """What was seen in ``path`` (the source) and beside its pictures in ``images`` that might be cameras, in words."""
    said = [f"the COLMAP model in {place} was left out: it lacks {part}" for place, part in incomplete_models(path)]
    if images == path and path.name == "images":
        scene = path.resolve().parent
        beside = [place.relative_to(scene) for place in find_models(scene)]
        beside += [Path(name) for name in ("transforms.json", "poses_bounds.npy") if (scene / name).is_file()]
        if beside:
            said.append(f"cameras lie beside {path.name}/ ({beside[0]}): give the folder above it to use them")
    if images == path and (path / "poses_bounds.npy").is_file():
        said.append("poses_bounds.npy was left out: it is read where the frames lie in images/ beside it")
    if (path / "transforms_train.json").is_file():
        said.append("transforms_train.json was left out: it is read under the name transforms.json")
    return said
