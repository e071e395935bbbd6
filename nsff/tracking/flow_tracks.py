"""Pixels of a few frames, and where chained flow finds them in frames before and after."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from nsff.geometry.epipolar import pixel_centres
from nsff.geometry.focal_length import Tracks
from nsff.imaging.flow_sampling import FlowAndMask
from nsff.tracking.chaining import chain_flows

ANCHORS = 8
"""Frames, spread over the clip, whose pixels are followed."""
STEPS = (-6, -3, -1, 1, 3, 6)
"""Frames between an anchor and those it is followed to."""
POINTS = 90
"""Pixels of an anchor that are followed, on a grid."""


def flow_tracks(link: Callable[[int, int], FlowAndMask], count: int, size: tuple[int, int]) -> Tracks:
    """Tracks of a clip of ``count`` frames of ``size`` (height, width), each found in two other frames at least.

    ``link(i, j)`` is flow between neighbours and its mask, as for ``chain_flows``.
    """
    centres = pixel_centres(*size)
    step = max(1, int(np.sqrt(size[0] * size[1] / POINTS)))
    anchor, start, track, frame, at = [], [], [], [], []
    total = 0
    for i in np.unique(np.linspace(0, count - 1, ANCHORS).astype(int)):
        ends = sorted({min(max(int(i) + k, 0), count - 1) for k in STEPS} - {int(i)})
        flows = chain_flows(link, int(i), ends)
        chosen = np.zeros(size, bool)
        chosen[step // 2 :: step, step // 2 :: step] = True
        chosen &= np.sum([mask for _, mask in flows.values()], axis=0) >= 2
        number = np.full(size, -1)
        number[chosen] = np.arange(total, total + chosen.sum())
        total += int(chosen.sum())
        anchor.append(np.full(chosen.sum(), int(i)))
        start.append(centres[chosen])
        for j, (flow, mask) in flows.items():
            seen = chosen & mask
            track.append(number[seen])
            frame.append(np.full(seen.sum(), j))
            at.append(centres[seen] + flow[seen])
    return Tracks(*(np.concatenate(part) for part in (anchor, start, track, frame, at)))
