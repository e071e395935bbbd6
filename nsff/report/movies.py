"""Embedding videos: H.264 as it is where it is small, else a smaller copy of it."""

from __future__ import annotations

import base64
import math
import os
import tempfile
from pathlib import Path
from urllib.parse import quote

import cv2
import imageio.v2 as imageio
import numpy as np

from nsff.errors import StageError
from nsff.report.content import Video

LARGEST = 2_500_000
"""Bytes of an embedded video; three of them, in base64, leave room for the pictures in a page of 15 MB."""


def embed_video(path: Path, title: str, note: str, embedded: bool, root: Path) -> Video:
    """A video of a page that lies in ``root``. Raises StageError where the file is no video."""
    try:
        with imageio.get_reader(path, format="FFMPEG") as reader:  # type: ignore[attr-defined]
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
    if len(data) > LARGEST:
        data = smaller_copy(path, math.sqrt(0.8 * LARGEST / len(data)))
        note += f" A smaller copy of {len(data) / 1e6:.1f} MB; in full size: {os.path.relpath(path, root)}."
    uri = "data:video/mp4;base64," + base64.b64encode(data).decode("ascii")
    return Video(title, uri, width, height, note)


def smaller_copy(path: Path, factor: float) -> bytes:
    """The video with sides scaled by ``factor``, and again smaller until it is under ``LARGEST``."""
    while True:
        data = _encode(path, factor)
        if len(data) <= LARGEST or factor < 0.1:
            return data
        factor *= 0.8


def _encode(path: Path, factor: float) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "small.mp4"
        with imageio.get_reader(path, format="FFMPEG") as reader:  # type: ignore[attr-defined]
            meta = reader.get_meta_data()
            size = tuple(max(2, 2 * round(v * factor / 2)) for v in meta["size"])
            with imageio.get_writer(
                target, format="FFMPEG", fps=meta["fps"], codec="libx264", quality=6, macro_block_size=2
            ) as writer:  # type: ignore[attr-defined]
                for frame in reader:
                    writer.append_data(cv2.resize(np.asarray(frame), size, interpolation=cv2.INTER_AREA))
        return target.read_bytes()


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
