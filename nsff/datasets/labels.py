"""Reads pictures of labels: one whole number an object, 0 is the background.

Files come as grey levels (8 or 16 bits), as indices into a palette (DAVIS), as colours, with the mask in the alpha
channel, smoothed, or as JPEG. What is nearly two-valued is cut at half; what cannot be labels is refused.

Notation. Pictures are (H,W,C) as stored, C = 1 (grey) or 3 (RGB). The code of a pixel is its grey level, or red * 65536
+ green * 256 + blue (of 8 bits), so that black is 0. A level of a picture is a value that somewhere fills 3x3 pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Bool, Int64, Shaped, UInt8

from nsff.datasets.frames import read_picture
from nsff.errors import InputError

MOST_LABELS = 100
"""More different values than this are no labels of objects."""
MOST_BLENDED = 32
"""More different values than this, and edges that run from one value to the next: no labels."""
BLENDED = 0.1
"""Share of the pixels at edges whose value lies between those of their neighbours, from which edges count as soft."""
NEAR = 32 / 255
"""Levels as near as this, as a part of the range, are one."""
TAIL = 8 / 255
"""Levels below this, as a part of the range, may be the last of a soft edge."""
THIN = 7
"""A part of a soft mask without a level of its own is at most this wide, in pixels."""
REMEDY = "write one whole number for each object and 0 for the background, as PNG, without smoothing"

Picture = Shaped[np.ndarray, "H W C"]


@dataclass(frozen=True)
class LabelPicture:
    """Labels, and how they had to be read where that was not plain (empty: plain)."""

    labels: Int64[np.ndarray, "H W"]
    remark: str = ""


SOFT = "have soft or lossy edges and are cut at half of their range"
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
        return LabelPicture(stored)
    image = read_picture(path)
    grey = bool((image[..., :3] == image[..., :1]).all())
    picture = image[..., :1] if grey else image[..., :3]
    if image.shape[2] == 4 and len(np.unique(image[..., 3])) > 1:
        return _with_alpha(picture, image[..., 3:], path)
    return _settled(picture, _is_lossy(path), path)


def palette_indices(path: Path) -> Int64[np.ndarray, "H W"] | None:
    """The indices of a PNG with a palette; None for other files, and where black (the background) is used but is not at
    index 0, as in palettes that a compressor sorted."""
    from PIL import Image

    try:
        with Image.open(path) as picture:
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
    data = np.fromfile(path, np.uint8)
    stored = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if data.size else None
    if stored is None:
        raise InputError(path, "is no readable image", "replace the file")
    if stored.dtype == np.uint8:
        return np.asarray(cv2.imdecode(data, flag))
    own = read_labels(path)
    labels = np.where(own != 0, np.searchsorted(np.unique(own[own != 0]), own) + 1, 0).astype(np.uint8)
    return labels if flag == cv2.IMREAD_GRAYSCALE else np.repeat(labels[..., None], 3, 2)


# --- what the values of a picture are --------------------------------------------------------------------------------
def _with_alpha(picture: Picture, alpha: Picture, path: Path) -> LabelPicture:
    """Labels of a picture with transparency: colours where it is opaque, or alpha itself where colours say nothing."""
    mask = _settled(alpha, False, path).labels
    visible = mask != 0
    opaque = np.where(visible[..., None], picture, 0).astype(picture.dtype)
    try:
        colours = _settled(opaque, False, path)
    except InputError:  # a photograph, cut out
        return LabelPicture(mask, ALPHA_ALONE)
    plain = not colours.remark and len(np.unique(colours.labels[visible])) > 1
    return LabelPicture(colours.labels, ALPHA) if plain else LabelPicture(mask, ALPHA_ALONE)


def _settled(picture: Picture, lossy: bool, path: Path) -> LabelPicture:
    """The values as labels where they can be that, cut at half where they are nearly two; else InputError."""
    codes = _codes(picture)
    values = np.unique(codes) if picture.shape[2] > 1 else np.flatnonzero(np.bincount(codes.ravel()))
    if len(values) <= 2:
        return LabelPicture(codes)
    levels = np.unique(codes[_inside(codes)])
    soft = len(levels) < len(values) and _blended(picture) > BLENDED
    if lossy or soft:
        cut = _cut_at_half(picture, codes, levels, lossy or len(values) > MOST_BLENDED)
        if cut is not None:
            return LabelPicture(cut, SOFT)
    if lossy or len(values) > (MOST_BLENDED if soft else MOST_LABELS):
        how = " in a lossy format" if lossy else " that run into one another" if soft else ""
        problem = f"has {len(values)} different values{how}, and cannot be labels of objects"
        raise InputError(path, problem, REMEDY)
    return LabelPicture(codes)


def _cut_at_half(
    picture: Picture, codes: Int64[np.ndarray, "H W"], levels: Int64[np.ndarray, " L"], many: bool
) -> Int64[np.ndarray, "H W"] | None:
    """Labels {0, v} of a picture that is black and one other level but for its edges: whichever is nearer. None for
    other pictures. A picture of one level is cut at half of its type's range; a dark one only where ``many`` values
    show that they are no labels."""
    top = float(np.iinfo(picture.dtype).max)
    values = picture.astype(np.float64) / top
    centres = [_colour(code, picture) / top for code in _centres(codes, levels, picture, top)]
    brightness = [float(centre.max()) for centre in centres]
    if not 1 <= len(centres) <= 2 or (len(centres) == 2 and min(brightness) > NEAR):
        return None
    if len(centres) == 1 and brightness[0] > NEAR and brightness[0] < 1 - NEAR:
        return None
    dark, light = np.zeros(picture.shape[2]), np.ones(picture.shape[2])
    if max(brightness) > NEAR:
        light = centres[int(np.argmax(brightness))]
    elif values.max() < 0.5:
        flat = max(float(_colour(code, picture).max()) for code in levels) / top
        if not many or flat > TAIL or values.max() < 2 * TAIL:
            return None
    is_light = ((values - light) ** 2).sum(-1) < ((values - dark) ** 2).sum(-1)
    for side, level in ((~is_light, dark), (is_light, light)):
        # A side is its level but for its edges, or so small that it is all edge; a photograph is neither.
        near = np.abs(values - level).max(-1) <= NEAR
        small = not cv2.erode(np.pad(side, 1).astype(np.uint8), np.ones((THIN, THIN), np.uint8)).any()
        if not small and 2 * np.count_nonzero(near & side) < np.count_nonzero(side):
            return None
    code = int(_codes(np.round(light * top).astype(picture.dtype)[None, None])[0, 0])
    return np.where(is_light, code, 0)


def _centres(codes: np.ndarray, levels: np.ndarray, picture: Picture, top: float) -> list[int]:
    """The most frequent of each group of near levels."""
    found, counts = np.unique(codes[np.isin(codes, levels)], return_counts=True)
    centres: list[int] = []
    for code in found[np.argsort(-counts, kind="stable")]:
        colour = _colour(code, picture)
        if all(np.abs(colour - _colour(other, picture)).max() > NEAR * top for other in centres):
            centres.append(int(code))
        if len(centres) > 2:
            break
    return centres


def _blended(picture: Picture) -> float:
    """Of the pixels in whose 3x3 neighbourhood anything changes, the share that lies strictly between its darkest and
    lightest value in some channel."""
    kernel = np.ones((3, 3), np.uint8)
    low, high = (np.atleast_3d(f(picture, kernel)) for f in (cv2.erode, cv2.dilate))
    edge = (low < high).any(-1)
    between = ((low < picture) & (picture < high)).any(-1)
    return float(between.sum() / max(int(edge.sum()), 1))


def _inside(codes: Int64[np.ndarray, "H W"]) -> Bool[np.ndarray, "H W"]:
    """Pixels whose eight neighbours have their value; never at the picture's border."""
    inside = np.zeros(codes.shape, bool)
    if min(codes.shape) >= 3:
        height, width = codes.shape
        middle = codes[1:-1, 1:-1]
        around = [codes[r : height - 2 + r, c : width - 2 + c] == middle for r in range(3) for c in range(3)]
        inside[1:-1, 1:-1] = np.logical_and.reduce(around)
    return inside


def _codes(picture: Picture) -> Int64[np.ndarray, "H W"]:
    base, values = _base(picture), picture.astype(np.int64)
    return values[..., 0] if picture.shape[2] == 1 else values @ np.array([base * base, base, 1])


def _base(picture: Picture) -> int:
    """256 or 65536."""
    return int(np.iinfo(picture.dtype).max) + 1


def _colour(code: int, picture: Picture) -> np.ndarray:
    """(C,): the inverse of ``_codes``."""
    base = _base(picture)
    return np.array(
        [code] if picture.shape[2] == 1 else [code // base**2, code // base % base, code % base], np.float64
    )


def _is_lossy(path: Path) -> bool:
    """JPEG, and WebP with lossy coding, by their first bytes."""
    with path.open("rb") as file:
        head = file.read(1 << 16)
    return head[:2] == b"\xff\xd8" or (head[:4] == b"RIFF" and head[8:12] == b"WEBP" and b"VP8 " in head[12:])
