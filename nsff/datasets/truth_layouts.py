"""The truth layouts of the protocols (docs/protocols.md, section "Truth layouts"): one function each, path to Truth.

``frames`` are the source numbers of the scene's frames, in order; None stands for all that the truth knows.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nsff.cameras import Cameras
from nsff.cameras.llff import read_poses_bounds
from nsff.config.reproduce import RIG_CAMERAS, gt_masks, same_scene
from nsff.datasets.listing import list_images
from nsff.datasets.nvidia import NvidiaScene
from nsff.datasets.truth import Truth, TruthCamera, TruthView
from nsff.errors import InputError, StageError
from nsff.files.io import read_json
from nsff.files.reading import reading


# --- views: held-out cameras given by numbers ------------------------------------------------------------------------
def views(path: Path, frames: Sequence[int] | None) -> Truth:
    """cameras.json (here or in truth/) and heldout/images/%02d.png, heldout/labels/%02d.png (here or beside)."""
    root = path / "truth" if (path / "truth" / "cameras.json").exists() else path
    file = root / "cameras.json"
    with reading(file, "see docs/protocols.md, section Truth layouts", InputError, "give the truth folder with it"):
        return _views(path, root, _truth_cameras(file), frames)


def _views(path: Path, root: Path, content: dict[str, Any], frames: Sequence[int] | None) -> Truth:
    width, height = int(content["width"]), int(content["height"])
    K = np.asarray(content["K"], dtype=np.float64)
    poses = {int(camera["id"]): np.asarray(camera["w2c"], dtype=np.float64)[:3] for camera in content["cameras"]}
    camera_at = {int(time): int(camera) for camera, time in content["mono"]}
    frames = sorted(camera_at) if frames is None else list(frames)
    unknown = [frame for frame in frames if frame not in camera_at]
    if unknown:
        raise InputError(
            root / "cameras.json", f"mono has no camera for source frame {unknown[0]}", "this truth is of another clip"
        )
    scene_frame = {frame: i for i, frame in enumerate(frames)}
    heldout = next(
        (folder for folder in (root / "heldout", root.parent / "heldout") if folder.is_dir()), root / "heldout"
    )
    found: list[TruthView] = []
    for index, (camera, time) in enumerate(content["heldout"]):
        if time in scene_frame:
            image, labels = heldout / "images" / f"{index:02d}.png", heldout / "labels" / f"{index:02d}.png"
            if not image.exists():
                raise InputError(image, "no such file", f"cameras.json lists {len(content['heldout'])} held-out views")
            true_camera = TruthCamera(K, poses[camera], width, height)
            found.append(
                TruthView(
                    index,
                    "heldout",
                    float(scene_frame[time]),
                    true_camera,
                    None,
                    image,
                    labels if labels.exists() else None,
                )
            )
    near_far = np.tile([float(content.get("near", 1.0)), float(content.get("far", 100.0))], (len(frames), 1))
    own = np.array([poses[camera_at[frame]] for frame in frames])
    cameras = Cameras(np.tile(K, (len(frames), 1, 1)), own, near_far, width, height)
    beside = _frames_beside([path / "images", root / "images", root.parent / "images"], frames, len(camera_at))
    return Truth("views", path, found, cameras, frame_paths=beside)


def _truth_cameras(path: Path) -> dict[str, Any]:
    try:
        content = read_json(path)
    except StageError as error:
        raise InputError(path, error.problem, "give the truth folder with cameras.json") from None
    if not isinstance(content, dict):
        raise InputError(path, "holds no mapping", "see docs/protocols.md, section Truth layouts")
    missing = [key for key in ("width", "height", "K", "cameras", "mono", "heldout") if key not in content]
    if missing:
        raise InputError(path, f"lacks {', '.join(missing)}", "see docs/protocols.md, section Truth layouts")
    return content


# --- masks: labels of the training views -----------------------------------------------------------------------------
def masks(path: Path, frames: Sequence[int] | None) -> Truth:
    """One mask per source frame, in natural order of names: in the folder itself, labels/, masks/ or truth/labels/."""
    folders = [path, path / "labels", path / "masks", path / "truth" / "labels"]
    files = next((files for folder in folders if folder.is_dir() and (files := list_images(folder))), [])
    if not files:
        raise InputError(path, "holds no masks", "give a folder with masks, labels/ or masks/")
    frames = list(range(len(files))) if frames is None else list(frames)
    if max(frames) >= len(files):
        raise InputError(
            path, f"has {len(files)} masks, but source frame {max(frames)} was taken", "give one mask per source frame"
        )
    found = [TruthView(i, "training", float(i), None, i, None, files[frame]) for i, frame in enumerate(frames)]
    return Truth("masks", path, found)


# --- NVIDIA Dynamic Scene --------------------------------------------------------------------------------------------
def nsff24(path: Path, frames: Sequence[int] | None) -> Truth:
    """All cameras but the training camera at every time: mv_images/%05d/cam%02d.jpg, mv_masks/ (here or in dense/)."""
    root = next((folder for folder in (path, path / "dense") if (folder / "mv_images").is_dir()), None)
    if root is None:
        raise InputError(path, "has no mv_images/, nor has its dense/", "give the scene's folder in NSFF's layout")
    pictures = root / "mv_images"
    times = sorted(int(folder.name) for folder in pictures.iterdir() if folder.name.isdecimal())
    frames = times if frames is None else list(frames)
    if not set(frames) <= set(times):
        raise InputError(
            pictures, f"has no folder for source frame {min(set(frames) - set(times))}", "give the whole scene"
        )
    numbers = [re.fullmatch(r"cam(\d+)", file.stem) for file in (pictures / f"{min(frames):05d}").iterdir()]
    rig = max((int(number[1]) for number in numbers if number), default=RIG_CAMERAS)
    film = [_frame_of_camera(frames, camera, rig) for camera in range(rig)]
    unused = [camera for camera in range(rig) if film[camera] is None]
    notes = [f"cameras {unused} film none of the frames that were taken; their views are left out"] if unused else []
    found: list[TruthView] = []
    for i, time in enumerate(frames):
        for camera in range(rig):
            if camera != time % rig and camera not in unused:
                image = _multi_view(pictures, time, camera)
                if image is None:
                    missing = pictures / f"{time:05d}" / f"cam{camera + 1:02d}.jpg"
                    raise InputError(missing, "no such file", "protocol nsff24 needs all cameras at all times")
                mask = _multi_view(root / "mv_masks", time, camera)
                found.append(TruthView(len(found), "heldout", float(i), None, film[camera], image, None, mask))
    own = _own_cameras(root, frames)
    return Truth("nsff24", path, found, own, notes=notes, frame_paths=_filmed(pictures, frames, rig))


def saff(path: Path, frames: Sequence[int] | None) -> Truth:
    """{training,nv_spatial,nv_static}_%2d.png here, in gt_masks/ or gt_masks/{scene} beside it; colours from mv_images.

    With M training masks, nv_spatial i is camera 0 at time i - M, nv_static i is camera i - 2M at time 0 (M is 24).
    Without any masks M is the number of times in mv_images, and colours alone are truth.
    """
    folder = path if any(path.glob("training_*.png")) else gt_masks(path)
    root = _colours_near(path)
    files: dict[tuple[str, int], Path | None] = {}
    for mask in sorted(folder.iterdir()) if folder else ():
        match = re.fullmatch(r"(training|nv_spatial|nv_static)_\s*(\d+)", mask.stem)
        if match and mask.suffix.lower() == ".png":
            files.setdefault((match[1], int(match[2])), mask)
    total = max((number + 1 for split, number in files if split == "training"), default=0)
    if not total and root is not None:
        # SAFF's reconstruction evaluator needs pictures alone.
        total = sum(inside.name.isdecimal() for inside in (root / "mv_images").iterdir())
        files |= {("training", i): None for i in range(total)}
        files |= {("nv_spatial", total + i): None for i in range(1, total)}
        files |= {("nv_static", 2 * total + i): None for i in range(1, min(total, RIG_CAMERAS))}
    if not total:
        raise InputError(folder or path, "has no training_*.png", "give gt_masks/<scene> of SAFF's data")
    frames = list(range(total)) if frames is None else list(frames)
    scene_frame = {frame: i for i, frame in enumerate(frames)}
    found: list[TruthView] = []
    for (split, number), file in sorted(
        files.items(), key=lambda item: ("training nv_spatial nv_static".index(item[0][0]), item[0][1])
    ):
        source_camera, time = {
            "training": (number, number),
            "nv_spatial": (0, number - total),
            "nv_static": (number - 2 * total, 0),
        }[split]
        if source_camera in scene_frame and time in scene_frame:
            camera, i = scene_frame[source_camera], scene_frame[time]
            index = {"training": i, "nv_spatial": len(frames) + i, "nv_static": 2 * len(frames) + camera}[split]
            # The maps hold camera 0 at all times, and the first twelve cameras at time 0.
            if (split == "nv_spatial" and camera != 0) or (
                split == "nv_static" and (i != 0 or camera >= min(len(frames), RIG_CAMERAS))
            ):
                continue
            image = _multi_view(root / "mv_images", time, source_camera % RIG_CAMERAS) if root else None
            moving = _multi_view(root / "mv_masks", time, source_camera % RIG_CAMERAS) if root else None
            found.append(TruthView(index, split, float(i), None, camera, image, file, moving))
    if root is None:
        return Truth("saff", path, found)
    return Truth(
        "saff", path, found, _own_cameras(root, frames), frame_paths=_filmed(root / "mv_images", frames, RIG_CAMERAS)
    )


def _colours_near(path: Path) -> Path | None:
    """The folder with mv_images/ that belongs to SAFF's masks or scene at ``path``: it, its dense/, those around it, or
    the scene of that name beside gt_masks/ or in nvidia_data_full/ there."""
    path = path.absolute()
    near = [path / "dense", path, path.parent / "dense", path.parent]
    for parent in (path.parent.parent, path.parent.parent / "nvidia_data_full"):
        inside = sorted(parent.iterdir()) if path.parent.name == "gt_masks" and parent.is_dir() else []
        near += [part for own in inside if same_scene(own.name, path.name) for part in (own / "dense", own)]
    return next((folder for folder in near if (folder / "mv_images").is_dir()), None)


def _frame_of_camera(frames: Sequence[int], camera: int, rig: int) -> int | None:
    """The first scene frame that camera ``camera`` of the rig films."""
    return next((i for i, frame in enumerate(frames) if frame % rig == camera), None)


def _multi_view(folder: Path, time: int, camera: int) -> Path | None:
    for suffix in (".jpg", ".png"):
        file = folder / f"{time:05d}" / f"cam{camera + 1:02d}{suffix}"
        if file.exists():
            return file
    return None


def _filmed(pictures: Path, frames: Sequence[int], rig: int) -> list[Path] | None:
    """The frames themselves among the multi-view pictures: frame t by camera t mod ``rig``."""
    found = [path for frame in frames if (path := _multi_view(pictures, frame, frame % rig)) is not None]
    return found if len(found) == len(frames) else None


def _frames_beside(folders: Sequence[Path], frames: Sequence[int], count: int | None) -> list[Path] | None:
    """The frames' pictures from the first folder that holds all of them: ``count``, if that is known."""
    for folder in folders:
        files = list_images(folder) if folder.is_dir() else []
        if max(frames) < len(files) and count in (None, len(files)):
            return [files[frame] for frame in frames]
    return None


def _own_cameras(root: Path, frames: Sequence[int]) -> Cameras | None:
    """True cameras of the frames, from sparse/ or poses_bounds.npy; None where there are none for all of them."""
    if not (root / "images").is_dir():
        return None
    given = NvidiaScene(root).cameras()
    if given is None or not set(frames) <= set(given.frames):
        return None
    return given.cameras[[given.frames.index(frame) for frame in frames]]


# --- DynamicNeRF -----------------------------------------------------------------------------------------------------
def dynnerf12(path: Path, frames: Sequence[int] | None) -> Truth:
    """v%03d_t%03d.png (camera, time), here or in gt/; camera v is that of source frame v. v = t is a training view."""
    folder = path / "gt" if (path / "gt").is_dir() else path
    files = {
        (int(match[1]), int(match[2])): file
        for file in list_images(folder) if (match := re.fullmatch(r"v(\d+)_t(\d+)", file.stem))
    }  # fmt: skip
    if not files:
        raise InputError(folder, "has no v000_t*.png", "give the folder with DynamicNeRF's test views")
    bounds = next(
        (file for file in (path / "poses_bounds.npy", path.parent / "poses_bounds.npy") if file.exists()), None
    )
    cameras = read_poses_bounds(bounds) if bounds else None
    if frames is None:
        frames = list(range(len(cameras) if cameras else max(time for _, time in files) + 1))
    scene_frame = {frame: i for i, frame in enumerate(frames)}
    found: list[TruthView] = []
    for (camera, time), file in sorted(files.items()):
        if camera in scene_frame and time in scene_frame:
            split = "training" if camera == time else "heldout"
            # By time, not by position in the list: the same number whichever of the files are there.
            index = scene_frame[camera] * len(frames) + scene_frame[time]
            found.append(TruthView(index, split, float(scene_frame[time]), None, scene_frame[camera], file))
    own = cameras[list(frames)] if cameras and max(frames) < len(cameras) else None
    beside = _frames_beside([path / "images", path.parent / "images"], frames, len(cameras) if cameras else None)
    return Truth("dynnerf12", path, found, own, frame_paths=beside)
