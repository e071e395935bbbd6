"""Flow over several frames, by chaining the flows between neighbours.

Notation. F_ij (H,W,2) leads from frame i to frame j, (right, down) in pixels. Chains are read bilinearly; a chained
flow is valid where every link is consistent and the path stays inside the picture.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import cv2
import numpy as np

from nsff.imaging.flow_sampling import FlowAndMask


def chain_flow(link: Callable[[int, int], FlowAndMask], i: int, j: int) -> FlowAndMask:
    """Flow from frame i to frame j != i and its validity; ``link(a, b)`` gives both between neighbours."""
    return chain_flows(link, i, [j])[j]


def chain_flows(link: Callable[[int, int], FlowAndMask], i: int, targets: list[int]) -> dict[int, FlowAndMask]:
    """Flows from frame i to all ``targets``, walking once each way. Invalid pixels keep their last known guess."""
    result: dict[int, FlowAndMask] = {}
    for step in (-1, 1):
        ends = [j for j in targets if (j - i) * step > 0]
        if not ends:
            continue
        flow, mask = link(i, i + step)
        flow, mask = flow.astype(np.float32), mask.copy()
        rows, columns = np.mgrid[: mask.shape[0], : mask.shape[1]].astype(np.float32)
        for k in range(i + step, step * max(step * j for j in ends) + step, step):
            if k in ends:
                result[k] = (flow, mask)
            if k == step * max(step * j for j in ends):
                break
            u, v = columns + flow[..., 0], rows + flow[..., 1]
            further, consistent = link(k, k + step)
            # A path is broken by any inconsistent pixel that bilinear reading touches.
            whole = cv2.remap(consistent.astype(np.float32), u, v, cv2.INTER_LINEAR, borderValue=0) > 0.95
            flow = flow + cv2.remap(further, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            mask = mask & whole
    return result


class FlowCache:
    """Reads flows between neighbours through ``read(i, direction)``, keeping the files around the current frame.
    Threads may share one."""

    def __init__(self, read: Callable[[int, str], FlowAndMask], keep: int = 24) -> None:
        self._read, self._keep = read, keep
        self._held: dict[tuple[int, int], FlowAndMask] = {}
        self._lock = threading.Lock()

    def __call__(self, i: int, j: int) -> FlowAndMask:
        """Flow from i to its neighbour j and its mask."""
        if abs(i - j) != 1:
            raise ValueError(f"frames {i} and {j} are no neighbours")
        with self._lock:
            if (i, j) not in self._held:
                while len(self._held) >= self._keep:
                    self._held.pop(next(iter(self._held)))
                self._held[i, j] = self._read(i, "fwd" if j > i else "bwd")
            return self._held[i, j]
