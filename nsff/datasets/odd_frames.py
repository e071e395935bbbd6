"""Pictures that are no frames: masks and grey maps among coloured frames, and clips that show nothing.

Notation. A picture is *grey* where its channels agree to GREY levels, and *two-valued* where nearly all of its pixels
are black or white, and both are there.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from nsff.errors import InputError

GREY = 4
BLACK_LEVEL, WHITE_LEVEL = 16, 239
TWO_VALUED = 0.98
"""Share of pixels below BLACK or above WHITE in a two-valued picture."""
MIN_SHARE = 0.001
"""Least share of the pixels below BLACK, and above WHITE, in a two-valued picture."""


class FrameKinds:
    """Fed with frames in order; ``check`` then stops for those that are something else."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.grey: list[bool] = []
        self.mask: list[bool] = []
        self.brightest = 0
        self.blank = True

    def add(self, name: str, image: UInt8[np.ndarray, "H W 3"]) -> None:
        small = image[:: max(1, image.shape[0] // 270), :: max(1, image.shape[1] // 270)].astype(np.int16)
        grey = int((small.max(2) - small.min(2)).max(initial=0)) <= GREY
        dark, light = float((small.max(2) < BLACK_LEVEL).mean()), float((small.min(2) > WHITE_LEVEL).mean())
        self.names.append(name)
        self.grey.append(grey)
        self.mask.append(grey and dark + light > TWO_VALUED and min(dark, light) > MIN_SHARE)
        self.brightest = max(self.brightest, int(image.max(initial=0)))
        self.blank &= float(small.std()) < 1.0

    def check(self, path: Path, series: bool = True) -> None:
        """InputError for a clip of which every frame is blank, and for masks or grey maps among the frames of a folder.

        A video is one ``series`` or none: a title in it is no mask.
        """
        count = len(self.names)
        if self.blank and count:
            what = "black" if self.brightest < 2 * BLACK_LEVEL else "of one colour"
            problem = f"shows nothing: all {count} frames are {what}"
            raise InputError(path, problem, "check that the file plays, and that it is the right one")
        if not series:
            return
        masks = [name for name, mask in zip(self.names, self.mask, strict=True) if mask]
        frames = [name for name, mask in zip(self.names, self.mask, strict=True) if not mask]
        remedy = "leave the frames alone in their folder, and put masks and maps into another"
        if 2 <= len(masks) < count or (masks and len(masks) == 1 and count == 2):
            problem = f"has {len(masks)} masks among its frames ({masks[0]} beside {frames[0]})"
            raise InputError(path, problem, remedy)
        if len(masks) == count > 0:
            raise InputError(path, f"holds masks, not frames ({masks[0]}, ...)", "give the folder of the pictures")
        turns = sum(a != b for a, b in pairwise(self.grey))
        if turns >= 3 and turns >= 0.6 * (count - 1):
            other = self.names[self.grey.index(not self.grey[0])]
            problem = f"has grey and coloured pictures by turns ({self.names[0]}, {other})"
            raise InputError(path, problem, remedy)
