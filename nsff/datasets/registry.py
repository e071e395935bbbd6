"""The readers by kind, and which one a path calls for. A new layout is one file here and one line below."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from nsff.datasets import colmap, dycheck, dynamicnerf, frames, nerfstudio, nvidia, video
from nsff.datasets.base import Source
from nsff.datasets.listing import UNREAD
from nsff.errors import InputError


class Reader(NamedTuple):
    """How to open a path of this kind, whether a path looks like one, and which files are read of it."""

    open: Callable[[Path], Source]
    matches: Callable[[Path], bool]
    files: Callable[[Path], list[Path]]


READERS: dict[str, Reader] = {
    "nerfstudio": Reader(nerfstudio.NerfstudioScene, nerfstudio.matches, nerfstudio.files),
    "video": Reader(video.VideoSource, video.matches, video.files),
    "dycheck": Reader(dycheck.DyCheckScene, dycheck.matches, dycheck.files),
    "nvidia": Reader(nvidia.NvidiaScene, nvidia.matches, nvidia.files),
    "dynamicnerf": Reader(dynamicnerf.DynamicNerfScene, dynamicnerf.matches, dynamicnerf.files),
    "colmap": Reader(colmap.ColmapFolder, colmap.matches, colmap.files),
    "frames": Reader(frames.FrameFolder, frames.matches, frames.files),
}
"""In the order in which they are tried: from the most to the least particular."""

_VIDEO_SUFFIXES = (".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v", ".gif")


def detect_kind(path: Path) -> str:
    """The kind of a file or folder; raises InputError where nothing fits."""
    path = Path(path)
    if not path.exists():
        raise InputError(
            path, "no such file or folder", "check input.path (relative paths start at the working directory)"
        )
    if path.is_file() and path.suffix.lower() in (*frames.SUFFIXES, *UNREAD):
        raise InputError(path, "is one image", "give the folder with all frames, or a video")
    for kind, reader in READERS.items():
        if reader.matches(path):
            return kind
    files = sorted(file for file in path.iterdir() if not file.name.startswith("."))
    videos = [file.name for file in files if file.suffix.lower() in _VIDEO_SUFFIXES]
    if videos:
        raise InputError(
            path,
            f"is a folder with {len(videos)} video{'s' * (len(videos) > 1)} ({videos[0]}) and no images",
            f"give the video itself: {path / videos[0]}",
        )
    problem = (
        "is an empty folder" if not files else f"holds no images ({', '.join(file.name for file in files[:3])}, ...)"
    )
    raise InputError(path, problem, f"give a video, or a folder of images ({', '.join(frames.SUFFIXES)})")


def open_source(path: Path, kind: str = "auto") -> Source:
    """Opens a path with the reader ``kind``, or with the first reader that its files match.

    Raises InputError where there is no such path, or nothing that a reader knows.

    Example::

        source = open_source(Path("holiday.mp4"))
    """
    path = Path(path).expanduser()
    found = detect_kind(path) if kind == "auto" or not path.exists() else kind
    return READERS[found].open(path)
