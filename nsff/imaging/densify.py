"""Edge-aware interpolation: values known with some confidence are spread over the picture, but not across its edges.

Weighted least squares on the pixel grid, min over u of sum c (u - d)^2 + strength sum exp(-|dI|/sigma) (u_p - u_q)^2,
approximated by passes of exact one-dimensional solves along rows and columns with falling strength.
Source: Min et al., Fast Global Image Smoothing Based on Weighted Least Squares, 2014 (with sparse input).
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Float32, Float64, UInt8


def densify(
    values: Float[np.ndarray, "H W"],
    confidence: Float[np.ndarray, "H W"],
    image: UInt8[np.ndarray, "H W 3"],
    strength: float = 100.0,
    sigma: float = 0.02,
    passes: int = 3,
) -> Float32[np.ndarray, "H W"]:
    """Values everywhere, following ``image``. ``confidence`` >= 0; at least one pixel must have some.

    ``strength`` is the square of the typical reach in pixels of a value of confidence 1; ``sigma`` the colour
    difference, of colours in [0, 1], that hinders spreading. Constant values stay what they are.
    """
    if not confidence.any():
        raise ValueError("densify: no pixel has any confidence")
    colours = image.astype(np.float64) / 255
    along_rows = np.exp(-np.abs(np.diff(colours, axis=1)).max(2) / sigma)
    along_columns = np.exp(-np.abs(np.diff(colours, axis=0)).max(2) / sigma)
    # Confidence-weighted values and confidences are smoothed alike; their quotient is the interpolation.
    both = np.stack([values * confidence, confidence], axis=-1).astype(np.float64)
    for k in range(passes):
        weight = 1.5 * strength * 4.0 ** (passes - 1 - k) / (4.0**passes - 1)
        both = _smooth_rows(both, weight * along_rows)
        both = _smooth_rows(both.transpose(1, 0, 2), weight * along_columns.T).transpose(1, 0, 2)
    # Pixels cut off by edges on all sides keep a vanishing but positive weight from afar.
    return (both[..., 0] / np.maximum(both[..., 1], 1e-300)).astype(np.float32)


def _smooth_rows(
    values: Float64[np.ndarray, "H W C"], link: Float64[np.ndarray, "H W-1"]
) -> Float64[np.ndarray, "H W C"]:
    """Solves (1 + L) u = values along every row, L the Laplacian of the links: Thomas algorithm, all rows at once."""
    height, width, _ = values.shape
    left = np.concatenate([np.zeros((height, 1)), link], axis=1)
    right = np.concatenate([link, np.zeros((height, 1))], axis=1)
    diagonal = 1 + left + right
    upper = np.empty((height, width))
    result = np.empty_like(values)
    upper[:, 0] = -right[:, 0] / diagonal[:, 0]
    result[:, 0] = values[:, 0] / diagonal[:, :1]
    for k in range(1, width):
        pivot = diagonal[:, k] + left[:, k] * upper[:, k - 1]
        upper[:, k] = -right[:, k] / pivot
        result[:, k] = (values[:, k] + left[:, k, None] * result[:, k - 1]) / pivot[:, None]
    for k in range(width - 2, -1, -1):
        result[:, k] -= upper[:, k, None] * result[:, k + 1]
    return result
