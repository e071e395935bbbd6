"""Limits on the claims of a video file, before its frames are decoded: sizes, counts and rates that no real one has.

Headers of damaged files claim 2^31 frames, or pictures of gigabytes. The decoder is told the largest picture, and
codecs whose frames all stand alone are told to report every error: what they decode after one is wrong.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nsff.errors import InputError
from nsff.files.decoding import LARGEST_PICTURE
from nsff.files.reading import check_file

PIXELS = LARGEST_PICTURE // 3
"""The most pixels of a frame: decoded, they are three bytes each."""
RATES = (0.01, 10_000.0)
"""Frames per second between which a rate is one."""
LEAST = 8
"""Bytes that even a repeated frame takes in a container, for its entry in the index alone."""


def check_claims(path: Path, stream: Any) -> None:
    """Raises InputError for a stream whose pictures would be larger than any frame."""
    if stream.width * stream.height > PIXELS:
        problem = f"its header claims frames of {stream.width}x{stream.height} pixels"
        raise InputError(path, problem, "the file is damaged: copy or encode it again")


def declared_frames(path: Path, stream: Any) -> int | None:
    """The number of frames that the file declares; None where it declares none, or more than its bytes can hold."""
    return stream.frames if 0 < stream.frames <= check_file(path) // LEAST else None


def declared_rate(stream: Any) -> float | None:
    """Frames per second on average as declared; None where that is no rate."""
    rate = stream.average_rate or stream.guessed_rate
    return float(rate) if rate and RATES[0] <= rate <= RATES[1] else None


def decoder_options(context: Any) -> dict[str, str]:
    """Options of FFmpeg for the decoder ``context``."""
    options = {"max_pixels": str(PIXELS)}
    if context.codec.intra_only or context.name == "ffv1":
        options["err_detect"] = "crccheck+bitstream+buffer+explode"
    return options
