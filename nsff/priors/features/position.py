"""Position in the picture as channels of a descriptor."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float32


def image_position(height: int, width: int) -> Float32[np.ndarray, "h w 2"]:
    """(right, down) of each pixel, in [-1, 1] along the longer side."""
    longer = max(height, width)
    x, y = (2 * np.arange(width) + 1 - width) / longer, (2 * np.arange(height) + 1 - height) / longer
    return np.stack(np.meshgrid(x, y), axis=2).astype(np.float32)
