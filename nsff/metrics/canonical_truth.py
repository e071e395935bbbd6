"""Truth pictures and labels in the pixels that are rendered.

Truth comes in the pixels of the source's frames, at any scale. The canonical frames may be undistorted, so truth goes
through the scene's pixel map. Positions are (u, v) with pixel centres at +0.5.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from jaxtyping import Float32, Shaped, UInt8

from nsff.errors import InputError, StageError
from nsff.files.io import read_npz
from nsff.files.reading import reading

ASPECT_TOLERANCE = 0.02
SCALING_TOLERANCE = 0.05
"""Canonical pixels by which a map may differ from mere resizing and still count as that."""

Method = Literal["standard", "area", "nearest"]
"""How pictures are resized: as is geometrically right, or as OpenCV's INTER_AREA and INTER_NEAREST do."""


class PixelMap:
    """Where each canonical pixel lies in the ingested frame."""

    def __init__(self, positions: Float32[np.ndarray, "H W 2"], frame_size: tuple[int, int]) -> None:
        self.positions = positions
        self.frame_size = frame_size
        self.size: tuple[int, int] = (positions.shape[0], positions.shape[1])

    @staticmethod
    def load(path: Path) -> PixelMap:
        arrays = read_npz(path, ["map", "frame_size"])
        with reading(path):
            positions = arrays["map"].astype(np.float32)
            height, width = (int(value) for value in arrays["frame_size"])
        if positions.ndim != 3 or positions.shape[2] != 2 or not np.isfinite(positions).all():
            raise StageError(
                path, f"map has shape {positions.shape} or values that are not finite", "delete it and run again"
            )
        return PixelMap(positions, (height, width))

    @property
    def is_resizing(self) -> bool:
        """Whether canonical frames are whole ingested frames, only resized."""
        (height, width), (frame_height, frame_width) = self.size, self.frame_size
        scale = np.array([frame_width / width, frame_height / height])
        u, v = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
        expected = np.stack([u, v], -1) * scale
        return bool((np.abs(self.positions - expected) <= SCALING_TOLERANCE * scale).all())

    def image(
        self, truth: UInt8[np.ndarray, "h w 3"], name: object, method: Method = "standard"
    ) -> UInt8[np.ndarray, "H W 3"]:
        """A truth picture of the whole ingested frame, any scale, in canonical pixels. ``method`` counts where the map
        is mere resizing; elsewhere the picture is reduced by area and remapped bilinearly."""
        self._check(truth, name)
        if self.is_resizing:
            return resize_image(truth, self.size, method)
        # Remapping alone would alias where it reduces: reduce by area first, then remap at the scale left.
        step = float(np.abs(np.diff(self.positions[..., 0], axis=1)).mean()) * truth.shape[1] / self.frame_size[1]
        if step > 1.01:
            truth = resize_image(truth, (round(truth.shape[0] / step), round(truth.shape[1] / step)))
        at = self._scaled(truth) - 0.5
        return cv2.remap(truth, at[..., 0], at[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)

    def labels(
        self, truth: Shaped[np.ndarray, "h w *C"], name: object, published: bool = False
    ) -> Shaped[np.ndarray, "H W *C"]:
        """Labels of the whole ingested frame in canonical pixels, by nearest neighbour at pixel centres. ``published``:
        as OpenCV's INTER_NEAREST, where the map is mere resizing."""
        self._check(truth, name)
        if published and self.is_resizing:
            return resize_published(truth, self.size)
        at = np.floor(self._scaled(truth)).astype(np.int64)
        return truth[at[..., 1].clip(0, truth.shape[0] - 1), at[..., 0].clip(0, truth.shape[1] - 1)]

    def _scaled(self, truth: np.ndarray) -> Float32[np.ndarray, "H W 2"]:
        scale = np.array([truth.shape[1] / self.frame_size[1], truth.shape[0] / self.frame_size[0]], np.float32)
        return self.positions * scale

    def _check(self, truth: np.ndarray, name: object) -> None:
        (height, width), (frame_height, frame_width) = truth.shape[:2], self.frame_size
        if abs(width * frame_height / (height * frame_width) - 1) > ASPECT_TOLERANCE:
            raise InputError(
                name, f"is {width}x{height}, but the frames are {frame_width}x{frame_height} (width x height)",
                "give truth of the whole frames, at any scale",
            )  # fmt: skip


def resize_image(
    image: UInt8[np.ndarray, "h w 3"], size: tuple[int, int], method: Method = "standard"
) -> UInt8[np.ndarray, "H W 3"]:
    """To (height, width). ``standard``: by area along an axis that shrinks, bilinear at pixel centres along one that
    grows. ``area``: OpenCV's INTER_AREA, which shifts by up to half a pixel where an axis grows. ``nearest``: OpenCV's
    INTER_NEAREST."""
    if image.shape[:2] == tuple(size):
        return image
    height, width = size
    if method != "standard":
        flag = cv2.INTER_AREA if method == "area" else cv2.INTER_NEAREST
        return cv2.resize(image, (width, height), interpolation=flag)
    smaller = (min(width, image.shape[1]), min(height, image.shape[0]))
    reduced = cv2.resize(image, smaller, interpolation=cv2.INTER_AREA)
    return cv2.resize(reduced, (width, height), interpolation=cv2.INTER_LINEAR)


def is_enlarged(image: Shaped[np.ndarray, "h w *C"], size: tuple[int, int]) -> bool:
    """Whether an axis grows on the way to (height, width): there INTER_AREA is not what is geometrically right."""
    return image.shape[0] < size[0] or image.shape[1] < size[1]


def resize_labels(labels: Shaped[np.ndarray, "h w *C"], size: tuple[int, int]) -> Shaped[np.ndarray, "H W *C"]:
    """Nearest neighbour at pixel centres, to (height, width)."""
    rows = ((np.arange(size[0]) + 0.5) * labels.shape[0] / size[0]).astype(np.int64)
    columns = ((np.arange(size[1]) + 0.5) * labels.shape[1] / size[1]).astype(np.int64)
    return labels[rows[:, None], columns]


def resize_published(labels: Shaped[np.ndarray, "h w *C"], size: tuple[int, int]) -> Shaped[np.ndarray, "H W *C"]:
    """As OpenCV's INTER_NEAREST, to (height, width): pixel i shows the source's floor(i / scale), which lies up to half
    a pixel of the coarser grid before the centre. For arrays of any type."""
    rows, columns = (
        np.minimum(np.floor(np.arange(new) * (1 / (new / old))).astype(np.int64), old - 1)
        for new, old in zip(size, labels.shape, strict=False)
    )
    return labels[rows[:, None], columns]


def dilate(mask: np.ndarray, radius: int) -> np.ndarray:
    """A boolean mask grown by a disc of ``radius`` pixels."""
    if radius == 0:
        return mask
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    return cv2.dilate(mask.astype(np.uint8), disc) > 0
