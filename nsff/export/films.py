"""Frames as films: H.264 in MP4, VP9 in WebM, ProRes 4444 in MOV, GIF, and numbered pictures.

Frames are uint8, (H,W,3) RGB or (H,W,4) RGBA with straight alpha: WebM, MOV and pictures keep alpha, the others lay the
frames over white. Codecs are those of the package av.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import UInt8
from scipy.ndimage import distance_transform_edt

from nsff.files.io import atomic_directory, atomic_path
from nsff.rendering.videos import write_pictures, write_video

Format = Literal["mp4", "webm", "mov", "gif", "pictures"]
CLEAR = 5
"""Levels of alpha below which a pixel's own colour means nothing."""
VP9 = {"crf": "18", "b": "0", "deadline": "good", "cpu-used": "4", "row-mt": "1"}


def write_film(target: Path, frames: Sequence[UInt8[np.ndarray, "H W C"]], rate: float, kind: Format) -> Path:
    """Writes frames under ``target`` with the suffix of the format, pictures as a folder of that name. ``rate`` is in
    frames a second. Returns the path."""
    writers: dict[str, Callable[[Path, Sequence[np.ndarray], float], None]] = {
        "mp4": _write_mp4, "webm": _write_webm, "mov": _write_mov, "gif": _write_gif,
    }  # fmt: skip
    if kind == "pictures":
        with atomic_directory(target) as temporary:
            write_pictures(temporary, frames)
        return target
    path = target.with_name(f"{target.name}.{kind}")
    writers[kind](path, frames, rate)
    return path


def over_white(frame: UInt8[np.ndarray, "H W C"]) -> UInt8[np.ndarray, "H W 3"]:
    """A frame without alpha."""
    if frame.shape[2] == 3:
        return frame
    alpha = frame[..., 3:].astype(np.float32) / 255
    return (frame[..., :3] * alpha + 255 * (1 - alpha)).round().astype(np.uint8)


def bled(frame: UInt8[np.ndarray, "H W 4"]) -> UInt8[np.ndarray, "H W 4"]:
    """Where nothing is, the colour of the nearest pixel that shows something: codecs mix the colours of neighbours, and
    black ones would make a dark fringe."""
    clear = frame[..., 3] < CLEAR
    if clear.all() or not clear.any():
        return frame
    row, column = distance_transform_edt(clear, return_distances=False, return_indices=True)
    return np.dstack([frame[row, column, :3], frame[..., 3]])


def _write_mp4(path: Path, frames: Sequence[np.ndarray], rate: float) -> None:
    write_video(path, [_even(over_white(frame)) for frame in frames], rate)


def _write_webm(path: Path, frames: Sequence[np.ndarray], rate: float) -> None:
    if frames[0].shape[2] == 4:
        _encode(path, [bled(frame) for frame in frames], rate, "libvpx-vp9", "yuva420p", VP9)
    else:
        _encode(path, frames, rate, "libvpx-vp9", "yuv420p", VP9)


def _write_mov(path: Path, frames: Sequence[np.ndarray], rate: float) -> None:
    whole = [bled(f) if f.shape[2] == 4 else np.dstack([f, np.full_like(f[..., 0], 255)]) for f in frames]
    _encode(path, whole, rate, "prores_ks", "yuva444p10le", {"profile": "4444", "alpha_bits": "16"})


def _write_gif(path: Path, frames: Sequence[np.ndarray], rate: float) -> None:
    """256 colours a frame; a GIF counts time in hundredths of a second."""
    from PIL import Image

    pictures = [
        Image.fromarray(over_white(frame)).quantize(256, dither=Image.Dither.FLOYDSTEINBERG) for frame in frames
    ]
    with atomic_path(path) as temporary:
        pictures[0].save(
            temporary, format="GIF", save_all=True, append_images=pictures[1:], duration=round(100 / rate) * 10, loop=0
        )


def _encode(
    path: Path, frames: Sequence[np.ndarray], rate: float, codec: str, pixels: str, options: dict[str, str]
) -> None:
    import av

    with atomic_path(path) as temporary, av.open(str(temporary), "w") as container:
        stream: Any = container.add_stream(codec, rate=Fraction(rate).limit_denominator(1001))
        stream.height, stream.width, stream.pix_fmt = *frames[0].shape[:2], pixels
        stream.options = options
        if codec == "prores_ks":
            # On several threads it writes wrong alpha where the width is no multiple of 16.
            stream.thread_count = 1
        for frame in frames:
            kind = "rgba" if frame.shape[2] == 4 else "rgb24"
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format=kind)))
        container.mux(stream.encode())


def _even(frame: UInt8[np.ndarray, "H W 3"]) -> UInt8[np.ndarray, "H W 3"]:
    """With the last row or column twice where their number is odd, as H.264 with yuv420p asks for."""
    return np.pad(frame, ((0, frame.shape[0] % 2), (0, frame.shape[1] % 2), (0, 0)), mode="edge")
