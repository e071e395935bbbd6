"""Large motion of the whole picture, found by features before flow is estimated, and the flow that follows it.

Dense inverse search follows displacements of a few pixels on each level of its pyramid. In a fast pan the background
moves by a tenth of the width, and is lost where it has little texture, while what the camera follows stays, and is
found. So homographies are fitted one after the other to matched features; the second picture is brought back by each,
flow is estimated to what comes of it, and of all flows each pixel takes the one along which the pictures agree best.

Notation. M (3,3) takes pixels (centres at +0.5) of the first picture to the second. With g the flow from the first
picture to the second one read at M x, the flow is M(x + g) - x.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np
from jaxtyping import Float32, Float64, UInt8

from nsff.geometry.epipolar import pixel_centres
from nsff.geometry.robust_fit import fit_homography
from nsff.priors.flow.frame_links import ROWS, describe, match

Estimate = Callable[[UInt8[np.ndarray, "H W 3"], UInt8[np.ndarray, "H W 3"]], Float32[np.ndarray, "H W 2"]]

MOST_MOTIONS = 3
LEAST_MATCHES, LEAST_SHARE = 12, 0.06
"""Matches that a motion explains, and their share of all, at least."""
CLOSE = 2.5
"""Pixels at ROWS rows between a match and the motion that explains it."""
LARGE = 0.02
"""Motion below this share of the width, median over the picture, is left to the search itself."""
WINDOW = 9
"""Side in pixels at 288 rows of the window over which pictures are compared."""
MOST_DIFFERENT = 40.0
"""Grey levels from which a difference counts no more."""


def large_motions(
    first: UInt8[np.ndarray, "H W 3"], second: UInt8[np.ndarray, "H W 3"]
) -> list[Float64[np.ndarray, "3 3"]]:
    """Homographies that move most of the picture far, the one with the most matches first; mostly there are none."""
    height, width = first.shape[:2]
    features = describe(first), describe(second)
    pairs = match(*features)
    scale = height / ROWS
    a, b = (scale * (f.positions[pairs[:, k]] + 0.5).astype(float) for k, f in enumerate(features))
    count = len(pairs)
    found: list[Float64[np.ndarray, "3 3"]] = []
    grid = pixel_centres(8, 8) * [width / 8, height / 8]
    while len(found) < MOST_MOTIONS and len(a) >= LEAST_MATCHES:
        M = fit_homography(a, b, CLOSE * scale)
        if M is None:
            break
        near = np.linalg.norm(moved(M, a) - b, axis=1) < CLOSE * scale
        if near.sum() < max(LEAST_MATCHES, LEAST_SHARE * count):
            break
        if np.median(np.linalg.norm(moved(M, grid) - grid, axis=-1)) > LARGE * width:
            found.append(M)
        a, b = a[~near], b[~near]
    return found


def follow_large_motions(
    first: UInt8[np.ndarray, "H W 3"], second: UInt8[np.ndarray, "H W 3"], estimate: Estimate
) -> Float32[np.ndarray, "H W 2"]:
    """Flow from the first picture to the second, pixels; ``estimate`` alone where nothing large moves."""
    motions = large_motions(first, second)
    plain = estimate(first, second)
    if not motions:
        return plain
    x = pixel_centres(*first.shape[:2])
    flows = []
    for M in motions:
        # OpenCV counts pixels from their centres: half a pixel is taken off on both sides.
        to_corner = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1.0]])
        shifted = np.linalg.inv(to_corner) @ M @ to_corner
        back = cv2.warpPerspective(
            second, shifted, second.shape[1::-1], flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )  # fmt: skip
        flows.append((moved(M, x + estimate(first, back)) - x).astype(np.float32))
    return best_of([*flows, plain], first, second)


def best_of(
    flows: Sequence[Float32[np.ndarray, "H W 2"]],
    first: UInt8[np.ndarray, "H W 3"],
    second: UInt8[np.ndarray, "H W 3"],
) -> Float32[np.ndarray, "H W 2"]:
    """At each pixel the flow along which the pictures around it agree best; the first where several do.

    What leads out of the picture agrees with nothing.
    """
    a, b = (cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32) for picture in (first, second))
    height, width = a.shape
    side = 2 * max(1, round(WINDOW * height / 288 / 2)) + 1
    columns, rows = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    costs = []
    for flow in flows:
        there = cv2.remap(b, columns + flow[..., 0], rows + flow[..., 1], cv2.INTER_LINEAR, borderValue=-1e3)
        difference = np.minimum(np.abs(there - a), MOST_DIFFERENT)
        costs.append(cv2.blur(difference, (side, side), borderType=cv2.BORDER_REFLECT))
    chosen = cv2.medianBlur(np.argmin(costs, axis=0).astype(np.uint8), 5)
    return np.take_along_axis(np.stack(flows), chosen[None, ..., None], axis=0)[0]


def moved(M: Float64[np.ndarray, "3 3"], x: Float64[np.ndarray, "*P 2"]) -> Float64[np.ndarray, "*P 2"]:
    """Positions ``x`` after the homography M."""
    there = x @ M[:, :2].T + M[:, 2]
    return there[..., :2] / there[..., 2:]
