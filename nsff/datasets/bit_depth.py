"""Pictures of 16 bits that hold fewer: cameras and converters store 10 or 12 bits in files of 16, without scaling them.

All pictures of a clip are scaled alike, by the largest value that its number of bits can have.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from jaxtyping import UInt8, UInt16

BITS = (8, 10, 12, 14)
"""Numbers of bits, besides 16, that files of 16 bits are known to hold."""


def bits_of(images: Iterable[UInt16[np.ndarray, "H W C"]]) -> tuple[int, int]:
    """How many bits the colours of all pictures together use, one of BITS or 16, and their largest value.

    Multiples of 257 are 8 bits that were spread over 16, however dark.
    """
    largest, spread = 0, True
    for image in images:
        colours = image[..., :3]
        largest = max(largest, int(colours.max(initial=0)))
        spread = spread and not (colours % 257).any()
    if spread or not largest:
        return 16, largest
    return next((bits for bits in BITS if largest < 2**bits), 16), largest


def reduced(image: UInt16[np.ndarray, "H W C"], bits: int) -> UInt8[np.ndarray, "H W C"]:
    """8 bits from so many; a fourth channel (transparency) may use all 16 beside darker colours."""
    full = np.full(image.shape[2], 2.0**bits - 1)
    if image.shape[2] == 4 and image[..., 3].max() > full[3]:
        full[3] = 65535.0
    return np.round(image * (255 / full)).clip(0, 255).astype(np.uint8)
