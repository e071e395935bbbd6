"""Pictures from bytes: refused where they claim to be larger than any frame, or where anything in them is damaged.

What is damaged shows by the format. PNG: every chunk has a CRC-32. JPEG: the decoder's warnings (libjpeg-turbo's
"corrupt JPEG data"), which OpenCV and Pillow swallow. WebP, TIFF and BMP have no checksums, so that only what the
decoder cannot read is seen (docs/reliability.md has the shares).
"""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from typing import Any

import cv2
import numpy as np

LARGEST_PICTURE = 2**28
"""Bytes of a decoded picture: 89 million pixels of three 8-bit colours, 8K in four of 16 bits."""
LARGEST_FILE = 2**29
"""Bytes of the file of a picture."""
_PNG = b"\x89PNG\r\n\x1a\n"


def decode(data: bytes, flag: int) -> np.ndarray:
    """The picture as OpenCV decodes it under ``flag`` (BGR). Raises ValueError that says what is wrong.

    To be called within nsff.files.reading.reading, as decoders raise exceptions of their own.
    """
    if not data:
        raise ValueError("empty")
    check_size(data)
    if data.startswith(_PNG):
        check_png(data)
    elif data.startswith(b"\xff\xd8"):
        check_jpeg(data)
    image = cv2.imdecode(np.frombuffer(data, np.uint8), flag)
    if image is None:
        raise ValueError("corrupt, truncated, or not what its name says")
    return image


def check_size(data: bytes) -> None:
    """ValueError where the header claims a picture of more than LARGEST bytes; nothing is decoded."""
    if data.startswith(_PNG):
        width, height, bits, colour = struct.unpack_from(">IIBB", data, 16)
        bytes_per_pixel = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}.get(colour, 4) * max(1, bits // 8)
    else:
        width, height, bytes_per_pixel = _size_by_pillow(data) or _size_of_tiff(data)
    if width * height * bytes_per_pixel > LARGEST_PICTURE:
        raise ValueError(f"it claims {width}x{height} pixels, more than any frame has")


def _size_by_pillow(data: bytes) -> tuple[int, int, int] | None:
    from PIL import Image

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with Image.open(io.BytesIO(data)) as picture:
                pixel = {"1": 1, "L": 1, "P": 3, "LA": 2, "I;16": 2, "I;16B": 2, "RGB": 3}.get(picture.mode, 4)
                return picture.size[0], picture.size[1], pixel
        except Image.DecompressionBombError:
            raise ValueError("it claims more pixels than any frame has") from None
        except Exception:  # not one of Pillow's formats, or damaged: others are to say what
            return None


def _size_of_tiff(data: bytes) -> tuple[int, int, int]:
    """(width, height, bytes a pixel) of kinds of TIFF that Pillow does not know (16-bit colour).

    Raises ValueError for other formats.
    """
    if data[:4] not in (b"II*\0", b"MM\0*"):
        raise ValueError("corrupt, truncated, or not what its name says")
    import tifffile

    with tifffile.TiffFile(io.BytesIO(data)) as file:
        page: Any = file.pages[0]
        return page.imagewidth, page.imagelength, max(1, page.samplesperpixel * page.bitspersample // 8)


def check_png(data: bytes) -> None:
    """ValueError where a chunk's CRC-32 is wrong or the file ends before its end. Source: PNG (W3C), section 5."""
    at = len(_PNG)
    while at + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        kind, end = data[at + 4 : at + 8], at + 8 + length
        if end + 4 > len(data):
            break
        if zlib.crc32(data[at + 4 : end]) != struct.unpack_from(">I", data, end)[0]:
            raise ValueError(f"corrupt PNG: wrong checksum at byte {at}")
        if kind == b"IEND":
            return
        at = end + 4
    raise ValueError("truncated PNG")


def check_jpeg(data: bytes) -> None:
    """ValueError where the decoder has to guess: with libjpeg-turbo's warning. Kinds it cannot decode pass."""
    import simplejpeg

    try:
        colours = "CMYK" if simplejpeg.decode_jpeg_header(data)[2] in ("CMYK", "YCCK") else "GRAY"
        simplejpeg.decode_jpeg(data, colours, strict=True)
    except ValueError as error:
        try:
            simplejpeg.decode_jpeg(data, colours, strict=False)
        except (ValueError, UnboundLocalError):
            return  # more than a warning: OpenCV's decoder is to judge
        raise ValueError(f"corrupt JPEG: {error}") from None
