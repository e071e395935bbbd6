"""Embedding videos: H.264 as it is where it is small, else a smaller copy of it."""

from __future__ import annotations

import base64
import math
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import cv2
import imageio.v2 as imageio
import numpy as np
from jaxtyping import UInt8

from nsff.errors import StageError
from nsff.report.content import Video

LARGEST_VIDEO = 2_200_000
"""Bytes of an embedded video; five of them, in base64, leave room for the pictures in a page of 20 MB."""

VIDEO_WIDTH = 1280
"""Pixels across of a video made for the page."""

MOST_FRAME_RATE = 12.0
"""Frames a second of videos that are made for looking, not of the clip's own speed."""


def embed_video(path: Path, title: str, note: str, embedded: bool, root: Path) -> Video:
    """A video of a page that lies in ``root``. Raises StageError where the file is no video."""
    try:
        reader: Any = imageio.get_reader(path, format="FFMPEG")
        with reader:
            meta = reader.get_meta_data()
    except (OSError, ValueError, IndexError, RuntimeError) as error:
        raise StageError(path, f"not readable as a video ({_first_line(error)})", "delete it and run again") from None
    width, height = (int(v) for v in meta["size"])
    note = f"{note} {width}×{height}, {meta['duration']:.1f} s at {meta['fps']:g} frames/s."
    if not embedded:
        return Video(
            title, quote(os.path.relpath(path, root)), width, height, f"{note} Not embedded (report.embed_videos)."
        )
    data = path.read_bytes()
    if len(data) > LARGEST_VIDEO:
        data = smaller_copy(path, math.sqrt(0.8 * LARGEST_VIDEO / len(data)))
        note += f" A smaller copy of {len(data) / 1e6:.1f} MB; in full size: {os.path.relpath(path, root)}."
    return Video(title, _uri(data), width, height, note)


def thumbnail(path: Path, title: str, width: int) -> Video:
    """A small copy of a video, embedded. Raises StageError where the file is no video."""
    try:
        reader: Any = imageio.get_reader(path, format="FFMPEG")
        with reader:
            meta = reader.get_meta_data()
            own, rows = (int(v) for v in meta["size"])
            factor = min(1.0, width / own)
            data = encode((np.asarray(frame) for frame in reader), meta["fps"], factor)
    except (OSError, ValueError, IndexError, RuntimeError) as error:
        raise StageError(path, f"not readable as a video ({_first_line(error)})", "delete it and run again") from None
    return Video(title, _uri(data), even(own * factor), even(rows * factor))


def smaller_copy(path: Path, factor: float) -> bytes:
    """The video with sides scaled by ``factor``, and again smaller until it is under ``LARGEST``."""
    while True:
        reader: Any = imageio.get_reader(path, format="FFMPEG")
        with reader:
            data = encode((np.asarray(frame) for frame in reader), reader.get_meta_data()["fps"], factor)
        if len(data) <= LARGEST_VIDEO or factor < 0.1:
            return data
        factor *= 0.8


def make_video(frames: Iterable[UInt8[np.ndarray, "H W 3"]], frame_rate: float, title: str, note: str) -> Video:
    """An embedded video of pictures of one size, at most ``WIDTH`` wide."""
    pictures = list(frames)
    height, width = pictures[0].shape[:2]
    factor = min(1.0, VIDEO_WIDTH / width)
    data = encode(pictures, frame_rate, factor)
    while len(data) > LARGEST_VIDEO and factor > 0.1:
        factor *= 0.8
        data = encode(pictures, frame_rate, factor)
    height, width = even(height * factor), even(width * factor)
    return Video(title, _uri(data), width, height, note)


def encode(frames: Iterable[UInt8[np.ndarray, "H W 3"]], frame_rate: float, factor: float) -> bytes:
    """H.264 in MP4, yuv420p, as all browsers play it; sides are scaled by ``factor`` to even numbers."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "video.mp4"
        writer: Any = imageio.get_writer(
            target, format="FFMPEG", fps=frame_rate, codec="libx264", quality=6, macro_block_size=2
        )
        with writer:
            for frame in frames:
                size = even(frame.shape[1] * factor), even(frame.shape[0] * factor)
                writer.append_data(cv2.resize(frame, size, interpolation=cv2.INTER_AREA))
        return target.read_bytes()


def even(value: float) -> int:
    return max(2, 2 * round(value / 2))


def _uri(data: bytes) -> str:
    return "data:video/mp4;base64," + base64.b64encode(data).decode("ascii")


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
