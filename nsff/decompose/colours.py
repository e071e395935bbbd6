"""Colours of labels: for pictures only, and to read the colour-coded masks of SAFF.

Notation. Labels (H,W) are integers, 0 background, 1, 2, … objects; images are (H,W,3) uint8 RGB. The palette is D3's
category20 and category20b (matplotlib's tab20 and tab20b) and black, as in SAFF: label k has colour k-1, the
background is black.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import matplotlib
import numpy as np
from jaxtyping import Integer, UInt8

from nsff.errors import InputError

COLOURS = [*matplotlib.color_sequences["tab20"], *matplotlib.color_sequences["tab20b"], (0.0, 0.0, 0.0)]
PALETTE: UInt8[np.ndarray, "41 3"] = np.round(np.array(COLOURS) * 255).astype(np.uint8)
"""Colours of labels, RGB: 40 colours, then black."""

N_COLOURS = 40


def colour_labels(labels: Integer[np.ndarray, "H W"]) -> UInt8[np.ndarray, "H W 3"]:
    """A picture of labels. Labels beyond 40 share colours; nothing reads them back from here."""
    labels = np.asarray(labels).astype(np.int64)
    return PALETTE[np.where(labels > 0, (labels - 1) % N_COLOURS, N_COLOURS)]


def cluster_colours(
    numbers: Integer[np.ndarray, "n"], clusters: Sequence[int] | None = None
) -> UInt8[np.ndarray, "n 3"]:
    """Colours of object numbers in SAFF's masks, where a cluster has the colour of its label: black for 0, that of
    ``clusters[k-1]`` for object k (k-1 where there is no such entry).

    As OpenCV reads them: SAFF writes red for blue, so that the first channel, blue to OpenCV, is the palette's red.
    """
    own = np.arange(max(int(numbers.max(initial=0)), 0))
    known = np.asarray([] if clusters is None else sorted(clusters), np.int64)[: len(own)]
    own[: len(known)] = known
    return colour_labels(np.concatenate([[0], own + 1])[numbers])


def grey_values(colours: UInt8[np.ndarray, "n 3"]) -> UInt8[np.ndarray, "n"]:
    """Grey values of colours, blue first, that OpenCV finds where it reads a PNG file in grey. It rounds them down, and
    not as cvtColor does to the nearest."""
    return np.asarray(cv2.imdecode(cv2.imencode(".png", colours[None])[1], cv2.IMREAD_GRAYSCALE))[0]


def overlay(
    labels: Integer[np.ndarray, "H W"], image: UInt8[np.ndarray, "H W 3"], opacity: float = 0.5
) -> UInt8[np.ndarray, "H W 3"]:
    """The image with its objects tinted; the background stays as it is."""
    tinted = (1 - opacity) * image + opacity * colour_labels(labels)
    return np.where((labels > 0)[..., None], np.round(tinted), image).astype(np.uint8)


def labels_from_colours(image: UInt8[np.ndarray, "H W 3"], order: str = "auto") -> Integer[np.ndarray, "H W"]:
    """Labels of a colour-coded picture: 0 for black, k for colour k-1 of the palette.

    SAFF writes its files with red and blue exchanged. ``order`` says what the three channels of ``image`` are:
    ``rgb``, ``bgr``, or ``auto``, which takes the order that explains every pixel. All channels are compared: on one
    alone, as in SAFF, labels that share it would fall together. Raises InputError where a colour is not of the palette.
    """
    if image.ndim != 3 or image.shape[2] != 3:
        raise InputError(
            "colour-coded mask",
            f"has shape {image.shape}, expected (height, width, 3)",
            "give the coloured picture, not the labels",
        )
    codes = _codes(image)
    unknown = {}
    for candidate in ("rgb", "bgr") if order == "auto" else (order,):
        palette = _codes(PALETTE if candidate == "rgb" else PALETTE[:, ::-1])
        rank = np.argsort(palette)
        index = rank[np.minimum(np.searchsorted(palette[rank], codes), len(palette) - 1)]
        known = palette[index] == codes
        if known.all():
            return ((index + 1) % (N_COLOURS + 1)).astype(np.int64)
        unknown[candidate] = int((~known).sum())
    raise InputError(
        "colour-coded mask",
        f"{min(unknown.values())} of {codes.size} pixels have colours outside the palette",
        "give a lossless picture as SAFF writes it, or integer labels",
    )


def _codes(colours: UInt8[np.ndarray, "... 3"]) -> Integer[np.ndarray, ...]:
    """One integer per colour."""
    value = colours.astype(np.int64)
    return (value[..., 0] << 16) | (value[..., 1] << 8) | value[..., 2]
