"""Tracklets: components of moving things, linked from frame to frame by flow.

Notation. A component is a connected part of a motion mask in one frame; labels (H,W) number the components of a frame
from 1, 0 elsewhere. A tracklet is a chain of components that flow carries into each other, at most one in a frame. A
node is one component of a tracklet; node maps (H,W) hold the number of the node at each pixel, -1 where there is none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int, Int32

from nsff.imaging.flow_sampling import FlowAndMask, labels_along_flow

LEAST_OVERLAP = 0.3
"""Share of the smaller of two components that flow must carry into the other to link them."""


def link_tracklets(
    labels: Sequence[Int32[np.ndarray, "H W"]], link: Callable[[int, int], FlowAndMask]
) -> list[dict[int, int]]:
    """The tracklet of every component: for each frame a dictionary from the component's label to the tracklet's number.

    ``link(i, j)`` is flow from frame i to its neighbour j and its mask. Each component takes part in at most one link
    forward and one back, those with the most common pixels first; a component without a link back begins a tracklet.
    """
    tracklets: list[dict[int, int]] = []
    fresh = 0
    for i, current in enumerate(labels):
        assigned: dict[int, int] = {}
        if i:
            before = labels[i - 1]
            flow, _ = link(i - 1, i)
            after = labels_along_flow(current, flow, before > 0)
            met = after > 0
            found, count = np.unique(np.stack([before[met], after[met]]), axis=1, return_counts=True)
            taken = set()
            for k in np.argsort(-count):
                a, b = (int(value) for value in found[:, k])
                smaller = min((before == a).sum(), (current == b).sum())
                if a not in taken and b not in assigned and count[k] > LEAST_OVERLAP * smaller:
                    assigned[b] = tracklets[i - 1][a]
                    taken.add(a)
        for b in range(1, int(current.max()) + 1):
            if b not in assigned:
                assigned[b], fresh = fresh, fresh + 1
        tracklets.append(assigned)
    return tracklets


@dataclass(frozen=True)
class Nodes:
    """The n components of the tracklets of a clip of N frames."""

    maps: Sequence[Int32[np.ndarray, "H W"]]
    """Node maps of the N frames."""
    frame: Int[np.ndarray, " n"]
    """The frame of each node."""
    tracklet: Int[np.ndarray, " n"]
    """The tracklet of each node."""

    def __len__(self) -> int:
        return len(self.frame)


def number_nodes(labels: Sequence[Int32[np.ndarray, "H W"]], tracklets: Sequence[dict[int, int]]) -> Nodes:
    """One node for every labelled component; ``tracklets`` as ``link_tracklets`` returns them."""
    maps: list[np.ndarray] = []
    frames: list[int] = []
    numbers: list[int] = []
    for t, (label, tracklet_of) in enumerate(zip(labels, tracklets, strict=True)):
        lookup = np.full(int(label.max(initial=0)) + 1, -1, np.int32)
        for component in range(1, len(lookup)):
            lookup[component] = len(frames)
            frames.append(t)
            numbers.append(tracklet_of[component])
        maps.append(lookup[label])
    return Nodes(maps, np.array(frames, int), np.array(numbers, int))


def successive_nodes(nodes: Nodes) -> Int[np.ndarray, "L 2"]:
    """All pairs of nodes of the same tracklet in neighbouring frames, the earlier node first."""
    where = {(int(t), int(number)): k for k, (t, number) in enumerate(zip(nodes.frame, nodes.tracklet, strict=True))}
    pairs = [(k, where[t + 1, number]) for (t, number), k in where.items() if (t + 1, number) in where]
    return np.array(pairs, int).reshape(-1, 2)
