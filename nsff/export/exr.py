"""Floating-point pictures as OpenEXR files, by the encoder of FFmpeg's libraries, which come with the package av.

One channel Y of 32-bit floats, compressed without loss (ZIP). OpenCV's wheels have no OpenEXR.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
from jaxtyping import Float

from nsff.files.io import atomic_path

PIXELS = "grayf32le"


def write_exr(path: Path, values: Float[np.ndarray, "H W"]) -> None:
    """Writes values as they are, infinite ones too."""
    import av
    from av.codec import CodecContext

    height, width = values.shape
    encoder = CodecContext.create("exr", "w")
    encoder.width, encoder.height, encoder.pix_fmt = width, height, PIXELS
    encoder.time_base = Fraction(1, 1)
    encoder.options = {"compression": "zip16", "format": "float"}
    frame = av.VideoFrame(width, height, PIXELS)
    plane = frame.planes[0]
    rows = np.zeros((height, plane.line_size // 4), "<f4")
    rows[:, :width] = values
    plane.update(rows.tobytes())
    frame.pts = 0
    packets = [*encoder.encode(frame), *encoder.encode(None)]
    with atomic_path(path) as temporary:
        temporary.write_bytes(b"".join(bytes(packet) for packet in packets))
