"""Pixels of frames spread over a clip, and where their flow ends one frame and several frames later."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from nsff.geometry.epipolar import pixel_centres
from nsff.geometry.static_world import Pair
from nsff.imaging.flow_sampling import FlowAndMask
from nsff.tracking.chaining import chain_flows

FRAMES = 16
"""So many frames, spread over the clip, are looked at."""
STEPS = (1, 4)
"""Frames between the two of a pair: over one flow is exact, over several there is parallax."""
POINTS = 2500
"""Pixels of a frame that are looked at, on a grid."""


def flow_pairs(link: Callable[[int, int], FlowAndMask], count: int) -> Iterator[Pair]:
    """Pairs of frames i, j of a clip of ``count`` frames, and pixels x of i with the end points x' of their flow in j.

    ``link(i, j)`` is flow between neighbours and its mask, as for ``chain_flows``.
    """
    for i in np.unique(np.linspace(0, count - 2, FRAMES).astype(int)):
        ends = sorted({min(int(i) + step, count - 1) for step in STEPS} - {int(i)})
        for j, (flow, mask) in chain_flows(link, int(i), ends).items():
            step = max(1, int(np.sqrt(mask.size / POINTS)))
            chosen = np.zeros_like(mask)
            chosen[step // 2 :: step, step // 2 :: step] = True
            chosen &= mask
            x = pixel_centres(*mask.shape)[chosen]
            yield int(i), j, x, x + flow[chosen]
