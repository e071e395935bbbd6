"""Depth against the parallax of what stands still: by the cameras, the flow of a static pixel has one depth alone.

Notation. w is the inverse depth that explains the flow from frame i to j best (nsff.geometry.static_world), d the
disparity of the depth stage, both in 1/scene units where d is metric.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from scipy.stats import spearmanr

from nsff.cameras import Cameras
from nsff.geometry.static_world import Pair, nearness
from nsff.imaging.scale import REFERENCE_ROWS
from nsff.layout import worse

TELLING = 4.0
"""Pixels of parallax at 288 rows from which a pixel tells its depth to within an eighth, flow being right to half a
pixel."""
FEWEST = 300
"""Pixels that have to tell it."""
ERROR = (0.10, 0.20)
"""Median relative error of depth up to which depth is good, and doubtful (docs/quality.md)."""
SCALE = 0.1
"""Relative error of the unit that is named as the cause."""


@dataclass(frozen=True)
class Parallax:
    """How depth fits the parallax, over all pixels that tell."""

    error: float
    """Median of |w/d - 1|, the relative error of depth; d brought to the unit of w first where it has none."""
    scale: float
    """Median of d/w, 1 for the right unit."""
    order: float
    """Rank correlation of d and w: 1 where near is near, below zero where depth is inverted."""


def parallax_of_depth(
    cameras: Cameras,
    pairs: Iterable[Pair],
    disparity: Callable[[int], Float[np.ndarray, "H W"]],
    moving: Callable[[int], Bool[np.ndarray, "H W"]],
    metric: bool,
) -> Parallax | None:
    """Compares ``disparity`` of static pixels with ``pairs`` of flow (nsff.tracking.flow_pairs); None where too few
    pixels have parallax."""
    rows = cameras.height / REFERENCE_ROWS
    known, found = [], []
    for i, j, x, x_other in pairs:
        if not len(x):
            continue
        w, parallax = nearness(cameras, i, j, x, x_other)
        column, row = np.floor(x).astype(int).T
        d = disparity(i)[row, column]
        tells = ~moving(i)[row, column] & (w * parallax > TELLING * rows) & (d > 0)
        known.append(w[tells])
        found.append(d[tells])
    w, d = (np.concatenate(values) if values else np.zeros(0) for values in (known, found))
    if len(w) < FEWEST:
        return None
    scale = float(np.median(d / w))
    unit = 1.0 if metric else scale
    # np.ptp: constant depth has no order at all.
    order = float(spearmanr(d, w).statistic) if np.ptp(d) > 0 else 0.0
    return Parallax(float(np.median(np.abs(unit * w / d - 1))), scale, order)


def judged_by_parallax(summary: dict[str, Any], found: Parallax | None) -> dict[str, Any]:
    """The summary of depth with how it fits the parallax, and a worse verdict where it does not."""
    if found is None:
        return {**summary, "parallax": None}
    summary = {**summary, "parallax": asdict(found)}
    message = f"{summary['message']} Where what stands still has parallax, depth is off by {found.error:.0%} (median)"
    if found.error <= ERROR[0]:
        return {**summary, "message": f"{message}."}
    verdict = worse(summary["verdict"], "poor" if found.error > ERROR[1] else "doubtful")
    if found.order < 0:
        cause = "near and far are exchanged"
    elif summary.get("metric") and abs(found.scale - 1) > SCALE and found.error > 0.5 * abs(1 / found.scale - 1):
        cause = f"its unit is off: disparity is {found.scale:.2g} times what it should be"
    else:
        cause = "it belongs to other frames, was misread, or cameras and flow are wrong"
    return {**summary, "verdict": verdict, "message": f"{message}: {cause}."}
