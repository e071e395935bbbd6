"""Reads pictures of labels: one whole number an object, 0 is the background.

Files come as grey levels (8 or 16 bits), as indices into a palette (DAVIS), as colours, with the mask in the alpha
channel, smoothed, or as JPEG. What is nearly two-valued is cut at half; what cannot be labels is refused.
"""

from __future__ import annotations

import io
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Int64, UInt8

from nsff.datasets.frames import read_picture
from nsff.datasets.label_values import LabelPicture, Picture, checked, settled
from nsff.errors import InputError
from nsff.files.decoding import LARGEST_FILE, check_png, check_size, decode
from nsff.files.reading import read_bytes, reading

ALPHA = "have an alpha channel: what is transparent is background"
ALPHA_ALONE = "have an alpha channel, and it is the mask: their colours are none"


def read_labels(path: Path, indices: bool = True) -> Int64[np.ndarray, "H W"]:
    """The labels of a picture; see ``read_label_picture``."""
    return read_label_picture(path, indices).labels


def read_label_picture(path: Path, indices: bool = True) -> LabelPicture:
    """Integer labels of a picture, 0 background.

    A PNG with a palette gives its indices; its colours where black is there but not at index 0, or where ``indices`` is
    False. Raises InputError where the file is no picture, or where its values cannot be labels.
    """
    if indices and (stored := palette_indices(path)) is not None:
        return checked(stored, read_picture(path)[..., :3], path)
    image = read_picture(path)
    grey = bool((image[..., :3] == image[..., :1]).all())
    picture = image[..., :1] if grey else image[..., :3]
    if image.shape[2] == 4 and len(np.unique(image[..., 3])) > 1:
        return _with_alpha(picture, image[..., 3:], path)
    return settled(picture, _is_lossy(path), path)


def palette_indices(path: Path) -> Int64[np.ndarray, "H W"] | None:
    """The indices of a PNG with a palette; None for other files, and where black (the background) is used but is not at
    index 0, as in palettes that a compressor sorted."""
    from PIL import Image

    try:
        data = read_bytes(path, LARGEST_FILE)
        check_size(data)
        check_png(data)
        with Image.open(io.BytesIO(data)) as picture:
            if picture.format != "PNG" or picture.mode != "P":
                return None
            indices = np.asarray(picture).astype(np.int64)
            colours = np.asarray(picture.getpalette("RGB"), np.uint8).reshape(-1, 3)
    except Exception:  # whatever Pillow makes of a damaged file: OpenCV says what is wrong with it
        return None
    used = np.unique(indices)
    black = {int(i) for i in used if i >= len(colours) or not colours[i].any()}
    return None if black and 0 not in black else indices


def grey_levels(path: Path) -> UInt8[np.ndarray, "H W"]:
    """A picture as the published evaluators read it: OpenCV's grey levels of 8 bits, alpha dropped. Of a 16-bit label
    map, which they cannot read, the labels in their order."""
    return _published(path, cv2.IMREAD_GRAYSCALE)


def colour_levels(path: Path) -> UInt8[np.ndarray, "H W 3"]:
    """As ``grey_levels``, in OpenCV's three channels (blue, green, red)."""
    return _published(path, cv2.IMREAD_COLOR)


def _published(path: Path, flag: int) -> np.ndarray:
    with reading(path, "replace the file", InputError, "replace the file", "is no readable image"):
        data = read_bytes(path, LARGEST_FILE)
        stored = decode(data, cv2.IMREAD_UNCHANGED)
        if stored.dtype == np.uint8:
            return np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), flag))
    own = read_labels(path)
    labels = np.where(own != 0, np.searchsorted(np.unique(own[own != 0]), own) + 1, 0).astype(np.uint8)
    return labels if flag == cv2.IMREAD_GRAYSCALE else np.repeat(labels[..., None], 3, 2)


def _with_alpha(picture: Picture, alpha: Picture, path: Path) -> LabelPicture:
    """Labels of a picture with transparency: colours where it is opaque, or alpha itself where colours say nothing."""
    mask = settled(alpha, False, path).labels
    visible = mask != 0
    opaque = np.where(visible[..., None], picture, 0).astype(picture.dtype)
    try:
        colours = settled(opaque, False, path)
    except InputError:  # a photograph, cut out
        return LabelPicture(mask, ALPHA_ALONE)
    plain = not colours.remark and len(np.unique(colours.labels[visible])) > 1
    return LabelPicture(colours.labels, ALPHA) if plain else LabelPicture(mask, ALPHA_ALONE)


def _is_lossy(path: Path) -> bool:
    """JPEG, and WebP with lossy coding, by their first bytes."""
    with path.open("rb") as file:
        head = file.read(1 << 16)
    return head[:2] == b"\xff\xd8" or (head[:4] == b"RIFF" and head[8:12] == b"WEBP" and b"VP8 " in head[12:])
