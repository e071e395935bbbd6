"""Whether cameras tell of a world in which most of the picture stands still and lies in a plausible order of depth.

Cameras may be exact and belong to the wrong thing: where a moving object has most of the features, structure from
motion gives the camera's path relative to that object. Flow tells the two apart. With cameras of the right world the
end points of most of the flow lie where some depth between a nearest one and infinity takes a static pixel, mostly so
at the borders of the picture, and the ground below is nearer than what is above it. In the wrong world the flow of the
background needs depths behind infinity, or before the nearest, and what is far comes before what is near.

Notation as in nsff.geometry.epipolar: x (P,2) pixels of view i, x' of view j, for the size of the cameras.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float64
from scipy.stats import spearmanr

from nsff.cameras import Cameras
from nsff.geometry.epipolar import epipolar_curve, segment_distance
from nsff.imaging.scale import REFERENCE_ROWS

BORDER = 0.12
"""Width of the border of the picture, as a share of its height."""
ALLOWED = 1.0
"""Pixels at 288 rows between flow and where a static world allows it, for each pair of frames; with the step it grows
by its root, as the errors of flow add up."""
NEAR_MARGIN = 0.3
"""The nearest depth thought possible, as a fraction of the cameras' near bound."""
TELLING = 2.0
"""Pixels at 288 rows of parallax of the nearest content above which a pair tells depth."""


@dataclass(frozen=True)
class WorldCheck:
    """The figures of cameras by flow; NaN where no pair tells."""

    static: float
    """Share of the pixels with consistent flow that a static world explains, mean over pairs."""
    static_worst: float
    """The same, of the tenth of the pairs that are explained worst."""
    border: float
    """The same along the left, right and upper border, where a mover seldom is."""
    order: float
    """Rank correlation of nearness with the row in the picture, mean over pairs: positive where ground lies below."""
    spread: float
    """95th over 5th percentile of the depths that static pixels have, where parallax tells them."""


Pair = tuple[int, int, Float[np.ndarray, "P 2"], Float[np.ndarray, "P 2"]]
"""Frames i and j, pixels of i and where their flow ends in j."""


def check_world(cameras: Cameras, pairs: Iterable[Pair]) -> WorldCheck:
    """The figures of cameras by the flow of ``pairs`` (nsff.tracking.flow_pairs, brought to the cameras' pictures).

    Example: for cameras of the static scene ``check_world(cameras, flow_pairs(link, n)).static`` is the share of the
    picture that does not move.
    """
    rows = cameras.height / REFERENCE_ROWS
    static, border, order, depths = [], [], [], []
    for i, j, x, x_other in pairs:
        if len(x) < 50:
            continue
        nearest = float(cameras.near_far[i, 0]) * NEAR_MARGIN
        distance = segment_distance(cameras, i, j, x, x_other, nearest)
        still = distance < ALLOWED * rows * np.sqrt(abs(j - i))
        static.append(float(still.mean()))
        edge = at_border(x, cameras.height, cameras.width)
        if edge.sum() >= 20:
            border.append(float(still[edge].mean()))
        w, parallax = nearness(cameras, i, j, x, x_other)
        if np.median(parallax) / cameras.near_far[i, 0] > TELLING * rows and still.sum() >= 50:
            order.append(float(spearmanr(w[still], x[still, 1]).statistic))
            depths.append(1 / np.maximum(w[still & (w * parallax > rows)], 1e-9))
    every = np.concatenate(depths) if depths else np.zeros(0)
    near, far = np.percentile(every, [5, 95]) if len(every) >= 50 else (np.nan, np.nan)
    return WorldCheck(
        float(np.mean(static)) if static else np.nan, float(np.quantile(static, 0.1)) if static else np.nan,
        float(np.mean(border)) if border else np.nan, float(np.mean(order)) if order else np.nan, float(far / near),
    )  # fmt: skip


def at_border(x: Float[np.ndarray, "P 2"], height: int, width: int) -> Bool[np.ndarray, " P"]:
    """Whether pixels lie within BORDER of the left, right or upper border."""
    thick = BORDER * height
    return (x[:, 0] < thick) | (x[:, 0] > width - thick) | (x[:, 1] < thick)


def nearness(
    cameras: Cameras, i: int, j: int, x: Float[np.ndarray, "P 2"], x_other: Float[np.ndarray, "P 2"]
) -> tuple[Float64[np.ndarray, " P"], Float64[np.ndarray, " P"]]:
    """Inverse depth (1/z in view i, scene units) that explains the flow best, and the pixels that a unit of it moves.

    Inverse depth below zero is behind infinity: no static thing is there.
    """
    a, b = epipolar_curve(cameras, i, j, x)
    slope = b[:2] - x_other * b[2]
    right = x_other * a[:, 2:] - a[:, :2]
    square = np.maximum((slope**2).sum(-1), 1e-24)
    return (slope * right).sum(-1) / square, np.sqrt(square) / np.maximum(np.abs(a[:, 2]), 1e-12)
