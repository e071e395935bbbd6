"""Kinds of label pictures, by their values: labels, two levels with soft edges that are cut at half, or no labels.

Notation. Pictures are (H,W,C) as stored, C = 1 (grey) or 3 (RGB). The code of a pixel is its grey level, or red * 65536
+ green * 256 + blue (of 8 bits), so that black is 0. A level of a picture is a value that somewhere fills 3x3 pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Bool, Int64, Shaped

from nsff.errors import InputError

MOST_LABELS = 100
"""More different values than this are no labels of objects."""
MOST_BLENDED = 32
"""More different values than this, and edges that run from one value to the next: no labels."""
BLENDED = 0.1
"""Share of the pixels at edges whose value lies between those of their neighbours, from which edges count as soft."""
NEAR_LEVELS = 32 / 255
"""Levels as near as this, as a part of the range, are one."""
LAST_LEVEL = 8 / 255
"""Levels below this, as a part of the range, may be the last of a soft edge."""
FEW = 0.05
"""Share of a picture that pixels of no level may cover to be the antialiasing of straight edges."""
MOST_BETWEEN = 3
"""As many values of no level in antialiased edges: no labels, where there are more than two levels."""
LEVEL = {"dark": 0.5, "light": 0.25}
"""Share of a side of the cut that has to be its level."""
THIN, SMALL = 7, 0.1
"""A part of a soft mask that is nothing but edge is at most this wide, in pixels, and at most this share of it."""
MOST_IDS = 8
"""Dark pictures of no more values than this are ids, whatever their edges."""
REMEDY = "write one whole number for each object and 0 for the background, as PNG, without smoothing"

Picture = Shaped[np.ndarray, "H W C"]
SOFT_REMARK = "have soft or lossy edges and are cut at half of their range"


@dataclass(frozen=True)
class LabelPicture:
    """Labels, and how they had to be read where that was not plain (empty: plain)."""

    labels: Int64[np.ndarray, "H W"]
    remark: str = ""


def settled(picture: Picture, lossy: bool, path: Path) -> LabelPicture:
    """The values as labels where they can be that, cut at half where they are nearly two; else InputError."""
    codes = _codes(picture)
    values = np.unique(codes) if picture.shape[2] > 1 else np.flatnonzero(np.bincount(codes.ravel()))
    if len(values) <= 2:
        return LabelPicture(codes)
    levels = np.unique(codes[_inside(codes)])
    soft, crisp = _edges(picture, ~np.isin(codes, levels))
    if (lossy or soft) and (cut := _cut_at_half(picture, codes, levels, lossy or crisp)) is not None:
        return LabelPicture(cut, SOFT_REMARK)
    between = crisp and len(values) - len(levels) >= MOST_BETWEEN
    if lossy or between or len(values) > (MOST_BLENDED if soft else MOST_LABELS):
        how = " in a lossy format" if lossy else " that run into one another" if soft else ""
        problem = f"has {len(values)} different values{how}, and cannot be labels of objects"
        raise InputError(path, problem, REMEDY)
    return LabelPicture(codes)


def checked(indices: Int64[np.ndarray, "H W"], colours: Picture, path: Path) -> LabelPicture:
    """Indices into a palette as labels; InputError where their ``colours`` run into one another as a picture's do."""
    count = len(np.unique(indices))
    if count > MOST_LABELS or (count > MOST_BLENDED and _edges(colours, np.ones(indices.shape, bool))[0]):
        raise InputError(path, f"has {count} different values of a palette, and cannot be labels of objects", REMEDY)
    return LabelPicture(indices)


def _cut_at_half(
    picture: Picture, codes: Int64[np.ndarray, "H W"], levels: Int64[np.ndarray, " L"], sharp: bool
) -> Int64[np.ndarray, "H W"] | None:
    """Labels {0, v} of a picture that is black and one other level but for its edges: whichever is nearer. None for
    other pictures. A picture of one level is cut at half of its type's range. With ``sharp`` the levels may meet."""
    top = float(np.iinfo(picture.dtype).max)
    values = picture.astype(np.float64) / top
    centres = sorted((_colour(code, picture) / top for code in _centres(codes, levels, picture, top)), key=np.max)
    if len(centres) == 2 and centres[0].max() <= NEAR_LEVELS:
        dark, light = np.zeros_like(centres[0]), centres[1]
    elif len(centres) == 1 and (centres[0].max() <= NEAR_LEVELS or centres[0].min() >= 1 - NEAR_LEVELS):
        dark, light = np.zeros_like(centres[0]), np.ones_like(centres[0])
        if values.max() < 0.5 and not _is_fading(values, levels, picture, sharp):
            return None
    else:
        return None
    from_dark, from_light = (np.abs(values - level).max(-1) for level in (dark, light))
    is_light = ((values - light) ** 2).sum(-1) < ((values - dark) ** 2).sum(-1)
    is_edge = (from_dark > NEAR_LEVELS) & (from_light > NEAR_LEVELS)
    if (values > light + NEAR_LEVELS).any() or not (sharp or _is_blend(is_light, is_edge)):
        return None
    if not (_is_level(~is_light, from_dark, LEVEL["dark"]) and _is_level(is_light, from_light, LEVEL["light"])):
        return None
    code = int(_codes(np.round(light * top).astype(picture.dtype)[None, None])[0, 0])
    return np.where(is_light, code, 0)


def _is_fading(values: np.ndarray, levels: np.ndarray, picture: Picture, lossy: bool) -> bool:
    """Whether a picture without a light pixel is a soft mask whose object is nearly gone, and not one of small ids."""
    flat = max(float(_colour(code, picture).max()) for code in levels) / np.iinfo(picture.dtype).max
    many = lossy or len(np.unique(values)) > MOST_IDS
    return many and flat <= LAST_LEVEL and float(values.max()) >= 2 * LAST_LEVEL


def _is_blend(is_light: Bool[np.ndarray, "H W"], is_edge: Bool[np.ndarray, "H W"]) -> bool:
    """Whether dark and light mostly meet in pixels that lie between them, as soft edges do."""
    meet = 0
    for a, b in (
        ((slice(1, None),), (slice(None, -1),)),
        ((slice(None), slice(1, None)), (slice(None), slice(None, -1))),
    ):
        meet += int(np.count_nonzero((is_light[a] != is_light[b]) & ~is_edge[a] & ~is_edge[b]))
    return bool(meet <= 1.2 * np.count_nonzero(is_edge))


def _is_level(side: Bool[np.ndarray, "H W"], distance: np.ndarray, share: float) -> bool:
    """Whether a side of a cut is its level but for edges, or so small that it is all edge; a photograph is neither."""
    if np.count_nonzero(side & (distance <= NEAR_LEVELS)) >= share * np.count_nonzero(side):
        return True
    wide = cv2.erode(np.pad(side, 1).astype(np.uint8), np.ones((THIN, THIN), np.uint8)).any()
    return not wide and float(side.mean()) <= SMALL


def _centres(codes: np.ndarray, levels: np.ndarray, picture: Picture, top: float) -> list[int]:
    """The most frequent of each group of near levels."""
    found, counts = np.unique(codes[np.isin(codes, levels)], return_counts=True)
    centres: list[int] = []
    for code in found[np.argsort(-counts, kind="stable")]:
        colour = _colour(code, picture)
        if all(np.abs(colour - _colour(other, picture)).max() > NEAR_LEVELS * top for other in centres):
            centres.append(int(code))
        if len(centres) > 2:
            break
    return centres


def _edges(picture: Picture, without_level: Bool[np.ndarray, "H W"]) -> tuple[bool, bool]:
    """Whether edges are soft, and whether that is only the antialiasing of mostly straight ones.

    A pixel is blended where it lies strictly between the darkest and the lightest of its 3x3 neighbourhood, in some
    channel. Labels are blended nowhere but where three meet.
    """
    if not without_level.any():
        return False, False
    kernel = np.ones((3, 3), np.uint8)
    low, high = (change(picture, kernel).reshape(picture.shape) for change in (cv2.erode, cv2.dilate))
    edge = (low < high).any(-1)
    blended = ((low < picture) & (picture < high)).any(-1)
    few = float(without_level.mean()) <= FEW and float((blended & without_level).sum() / without_level.sum()) > 0.9
    return few or float(blended.sum()) > BLENDED * float(edge.sum()), few


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
    """The number of values that a colour channel can have: 256 or 65536."""
    return int(np.iinfo(picture.dtype).max) + 1


def _colour(code: int, picture: Picture) -> np.ndarray:
    """The colour (C,) of a code: the inverse of ``_codes``."""
    base = _base(picture)
    return np.array(
        [code] if picture.shape[2] == 1 else [code // base**2, code // base % base, code % base], np.float64
    )
