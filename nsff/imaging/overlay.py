"""Pixels that do not belong to the world: burnt-in text, logos, and bars at the border that stay while the rest moves.

Notation. At most MOST_FRAMES frames, spread over the clip, are looked at in grey at ROWS rows. G (H,W,2) is the median
over time of the gradient (grey levels a pixel): what moves leaves nothing of it, what is burnt in stays (Dekel et al.
2017 find watermarks so). An edge along the motion stays, too, so corners of G are asked for, by the smaller eigenvalue
of its structure tensor (Shi and Tomasi 1994). Where most of the picture stays, the camera does, and nothing is told.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float32, UInt8

ROWS = 270
MOST_FRAMES = 48
LEAST_FRAMES = 12
"""Fewest frames of a clip: in fewer, scenery hardly moves either (of the demo, 12 frames are enough, 10 are not)."""
EDGE = 6.0
"""Grey levels a pixel of a gradient that is an edge."""
STEADY = 0.75
"""Share of the frames that agree with the median gradient on what is burnt in."""
AGREES = 0.35
"""A gradient agrees if it differs by less than this times the median one."""
WINDOW = 7
"""Pixels; corners are looked for in windows of this side."""
MOST_STEADY = 0.3
"""Above this share of the edges the camera stands still, and what stays says nothing."""
MOST_COVERED = 0.2
"""Text and logos cover less of the picture than this; more is scenery that hardly moves."""
LEAST_COVERED = 3e-4
"""Fewer pixels than this share are chance."""
GROWTH = 6
"""Pixels by which what is burnt in grows: features nearby see it, and digits of a clock change."""
DARK = 40
"""Grey level below which a bar is black."""
BAR_SHARE = 0.85
"""Share of the pixels of a row of a bar that are black in all frames: there may be text on it."""
LEAST_BAR = 0.01
"""Least thickness of a bar, as a share of the height or width; thinner ones are a border of the recording."""


@dataclass(frozen=True)
class Overlay:
    """The parts of the picture that do not belong to the world."""

    mask: Bool[np.ndarray, "h w"]
    """True where features must not be taken, at the reduced size."""
    bars: tuple[int, int, int, int]
    """Thickness of the bars at the top, bottom, left and right, in rows and columns of the frames."""
    text: float
    """Share of the picture that text and logos cover."""

    def message(self, size: tuple[int, int]) -> str:
        """A text for summaries: what was found, and how to remove it; empty for nothing. ``size``: of the frames."""
        found = []
        top, bottom, left, right = self.bars
        if any(self.bars):
            crop = f"crop={size[1] - left - right}:{size[0] - top - bottom}:{left}:{top}"
            found.append(f"black bars (cut them off, ffmpeg -vf {crop})")
        if self.text:
            found.append(f"burnt-in text or a logo on {self.text:.1%} of the picture")
        return " and ".join(found)

    def at(self, size: tuple[int, int]) -> Bool[np.ndarray, "H W"]:
        """The mask at another (height, width)."""
        return cv2.resize(self.mask.astype(np.uint8), size[::-1], interpolation=cv2.INTER_NEAREST) > 0


def find_overlay(n_frames: int, frame: Callable[[int], UInt8[np.ndarray, "H W 3"]]) -> Overlay | None:
    """Finds text, logos and bars that are burnt into a clip.

    None where there are none, or where the clip is too short or too still to tell.
    """
    if n_frames < LEAST_FRAMES:
        return None
    chosen = np.unique(np.linspace(0, n_frames - 1, MOST_FRAMES).astype(int))
    rows = len(frame(0))
    grey = np.stack([_reduced(frame(int(i))) for i in chosen])
    text = _text(grey)
    covered = cv2.dilate(text.astype(np.uint8), _disk(GROWTH)) > 0
    # Text may lie on a bar, so what it covers is asked for nothing.
    bars = _bars((grey < DARK).all(0) | covered)
    inner = np.zeros(grey[0].shape, bool)
    inner[bars[0] : inner.shape[0] - bars[1], bars[2] : inner.shape[1] - bars[3]] = True
    mask = cv2.dilate((text | ~inner).astype(np.uint8), _disk(GROWTH)) > 0
    if not mask.any():
        return None
    scale = rows / grey[0].shape[0]
    top, bottom, left, right = (round(bar * scale) for bar in bars)
    return Overlay(mask, (top, bottom, left, right), float(text.mean()))


def _reduced(image: UInt8[np.ndarray, "H W 3"]) -> UInt8[np.ndarray, "h w"]:
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    height, width = grey.shape
    if height <= ROWS:
        return grey
    return cv2.resize(grey, (max(1, round(width * ROWS / height)), ROWS), interpolation=cv2.INTER_AREA)


def _bars(dark: Bool[np.ndarray, "h w"]) -> tuple[int, int, int, int]:
    """Thickness of black bars at the top, bottom, left and right; they come in pairs, or not at all."""

    def run(share: np.ndarray) -> int:
        open_ = np.flatnonzero(share < BAR_SHARE)
        return int(open_[0]) if len(open_) else 0

    rows, columns = dark.mean(1), dark.mean(0)
    pairs = []
    for share in (rows, columns):
        first, last = run(share), run(share[::-1])
        # Both sides of a picture that is dark by chance hardly are as thick as each other.
        equal = abs(first - last) <= max(2, 0.25 * max(first, last))
        pairs += [first, last] if equal and min(first, last) >= max(1, LEAST_BAR * len(share)) else [0, 0]
    return pairs[0], pairs[1], pairs[2], pairs[3]


def _text(grey: UInt8[np.ndarray, "n h w"]) -> Bool[np.ndarray, "h w"]:
    """Corners that stay where they are."""
    gradients = np.stack([_gradient(one) for one in grey])
    middle = np.median(gradients, axis=0)
    strength = np.linalg.norm(middle, axis=-1)
    agrees = np.linalg.norm(gradients - middle, axis=-1) < AGREES * strength
    steady = (agrees.mean(0) >= STEADY) & (strength > EDGE)
    edges = np.median(np.linalg.norm(gradients, axis=-1), axis=0) > EDGE
    nothing = np.zeros_like(steady)
    if steady.sum() > MOST_STEADY * max(int(edges.sum()), 1):
        return nothing
    x, y = np.moveaxis(np.where(steady[..., None], middle, 0), -1, 0)
    xx, xy, yy = (cv2.blur(product, (WINDOW, WINDOW)) for product in (x * x, x * y, y * y))
    smaller = (xx + yy) / 2 - np.sqrt(((xx - yy) / 2) ** 2 + xy**2)
    corners = (smaller > (EDGE / 2) ** 2) & (cv2.dilate(steady.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0)
    return corners if LEAST_COVERED < corners.mean() < MOST_COVERED else nothing


def _gradient(grey: UInt8[np.ndarray, "h w"]) -> Float32[np.ndarray, "h w 2"]:
    """Grey levels a pixel, (right, down), over three pixels."""
    values = grey.astype(np.float32)
    return np.stack([cv2.Sobel(values, cv2.CV_32F, *order, scale=1 / 8) for order in ((1, 0), (0, 1))], -1)


def _disk(radius: int) -> UInt8[np.ndarray, "s s"]:
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
