"""Reading maps, masks and labels where optical flow leads.

Notation. Flow (H,W,2) is (right, down) in pixels: the pixel in column u and row v leads to (u, v) + flow[v, u] in the
other frame, and values of that frame are read there.
"""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Bool, Float, Float32, Int32

FlowAndMask = tuple[Float32[np.ndarray, "H W 2"], Bool[np.ndarray, "H W"]]
"""Flow from one frame to another, and the mask of the pixels at which it is consistent."""


def sample_along_flow(
    values: Float32[np.ndarray, "H W"], flow: Float32[np.ndarray, "H W 2"]
) -> Float32[np.ndarray, "H W"]:
    """Values of the other frame at the end points of the flow, bilinear; outside the picture the nearest at its border.

    Example: with a flow of (1, 0) everywhere, each pixel gets the value of its right neighbour.
    """
    height, width = values.shape
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    x, y = x + flow[..., 0].astype(np.float32), y + flow[..., 1].astype(np.float32)
    return cv2.remap(values, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def lands_on_mask(
    mask: Bool[np.ndarray, "H W"], flow: Float[np.ndarray, "H W 2"], share: float = 0.25
) -> Bool[np.ndarray, "H W"]:
    """True where the end point of the flow lies on ``mask``, the mask of the other frame.

    The mask is read bilinearly, as 0 outside the picture; an end point lies on it where more than ``share`` is read.
    """
    rows, columns = np.mgrid[: mask.shape[0], : mask.shape[1]].astype(np.float32)
    u, v = columns + flow[..., 0].astype(np.float32), rows + flow[..., 1].astype(np.float32)
    return cv2.remap(mask.astype(np.float32), u, v, cv2.INTER_LINEAR, borderValue=0) > share


def labels_along_flow(
    labels: Int32[np.ndarray, "H W"], flow: Float[np.ndarray, "H W 2"], where: Bool[np.ndarray, "H W"]
) -> Int32[np.ndarray, "H W"]:
    """Labels of the other frame at the pixel nearest to the end point of the flow of each pixel in ``where``.

    0 for pixels that are not in ``where``, and where flow leads out of the picture.
    """
    height, width = labels.shape
    v, u = np.nonzero(where)
    to = np.rint(np.stack([u, v]) + flow[v, u].T).astype(int)
    inside = (to >= 0).all(0) & (to[0] < width) & (to[1] < height)
    result = np.zeros(labels.shape, np.int32)
    result[v[inside], u[inside]] = labels[to[1][inside], to[0][inside]]
    return result
