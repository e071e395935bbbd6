"""Evidence of motion gathered along tracks: what moves at some time moves at all times that flow can follow.

In a single frame a part of a thing may rest, turn so that it looks still, or move as the camera does; and flow may be
wrong for a moment at a rim or on a bare surface. Over several frames the first shows itself and the second does not.

Notation. The evidence E (H,W) of a frame is between 0, still, and 1, moves; C says how far each pixel's evidence can be
trusted, 0 to 1. Both are kept in bytes, as those of all frames are held. F_ij is chained flow from frame i to frame j,
valid where V_ij. The track's evidence is the mean over the frames j around i,

    T_i(x) = sum_j C_j E_j(x + F_ij) V_ij / sum_j C_j(x + F_ij) V_ij      F_ii = 0, V_ii = 1
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np
from jaxtyping import Bool, Float32, UInt8

from nsff.imaging.filters import guided_filter
from nsff.imaging.flow_sampling import FlowAndMask
from nsff.imaging.morphology import morphology
from nsff.imaging.scale import REFERENCE_ROWS
from nsff.tracking.chaining import chain_flows

NEARBY, KEPT = 2, 0.5
"""Frames before and after, and the evidence of the tracks over them below which what one frame says is not believed."""
ADDED = 0.35
"""Evidence of a whole track above which a pixel moves, though its own frame does not show it."""
TRUSTED = 0.5
"""Mean trust along a whole track above which it adds anything: flow without a network drags bare ground along with a
thing in all frames, and the pictures tell of that in none."""
THINNEST = 6.0
"""Radius in pixels at 288 rows of what is added: next to a thing, flow drags the background along."""
CLOSED = 3.0
"""Radius in pixels at 288 rows of the closing of fitted masks."""
LEAST_TRUST = 0.05
"""Trust in pixels that hardly any frame tells of: the colours around them decide."""
GUIDE_VARIANCE = 1e-4
"""Variance of colours, each in [0,1], from which on the guided filter takes a change for an edge."""


class Evidence:
    """Evidence and trust of the frames of a clip, in bytes."""

    def __init__(self) -> None:
        self._moves: list[UInt8[np.ndarray, "H W"]] = []
        self._trust: list[UInt8[np.ndarray, "H W"]] = []

    def __len__(self) -> int:
        return len(self._moves)

    def append(self, moves: Float32[np.ndarray, "H W"], trust: Float32[np.ndarray, "H W"]) -> None:
        """Adds the next frame; both are between 0 and 1."""
        # Rounded so that above one half stays above one half, and the half itself does not.
        self._moves.append(np.ceil(moves * 255 - 0.5).astype(np.uint8))
        self._trust.append(np.rint(trust * 255).astype(np.uint8))

    def of_frame(self, i: int) -> tuple[Float32[np.ndarray, "H W"], Float32[np.ndarray, "H W"]]:
        """Evidence and trust of frame i."""
        return self._moves[i].astype(np.float32) / 255, self._trust[i].astype(np.float32) / 255

    def of_tracks(
        self, i: int, link: Callable[[int, int], FlowAndMask], reaches: Sequence[int]
    ) -> list[tuple[Float32[np.ndarray, "H W"], Float32[np.ndarray, "H W"]]]:
        """T of the tracks through the pixels of frame i and their mean trust, over each of ``reaches`` frames before
        and after.

        ``link(i, j)`` is flow between neighbouring frames and its mask, as for ``chain_flows``.
        """
        moves, trust = self.of_frame(i)
        totals = [(moves * trust, trust, 1) for _ in reaches]
        rows, columns = np.mgrid[: moves.shape[0], : moves.shape[1]].astype(np.float32)
        others = [j for j in range(i - max(reaches), i + max(reaches) + 1) if 0 <= j < len(self) and j != i]
        for j, (flow, valid) in chain_flows(link, i, others).items():
            at = (columns + flow[..., 0], rows + flow[..., 1], cv2.INTER_LINEAR)
            there, of_there = (cv2.remap(maps[j], *at).astype(np.float32) / 255 for maps in (self._moves, self._trust))
            of_there = of_there * valid
            for k, reach in enumerate(reaches):
                if abs(j - i) <= reach:
                    total, weight, count = totals[k]
                    totals[k] = total + there * of_there, weight + of_there, count + 1
        return [(total / np.maximum(weight, 1e-6), weight / count) for total, weight, count in totals]


def moving_by_tracks(
    evidence: Evidence,
    image: Callable[[int], UInt8[np.ndarray, "H W 3"]],
    link: Callable[[int, int], FlowAndMask],
    reach: int,
    radius: int,
    opening: int,
) -> tuple[list[Bool[np.ndarray, "H W"]], float, float]:
    """The masks of all frames, and the shares of all pixels that their tracks added and took away.

    ``radius`` (pixels at 288 rows) is that of the filter that fits evidence to the edges of ``image(i)``, ``opening``
    (pixels) that of the opening of what a single frame shows. With ``reach`` 0 each frame stands alone.
    """
    masks, added, dropped = [], [], []
    for i in range(len(evidence)):
        picture = image(i)
        rows = picture.shape[0] / REFERENCE_ROWS
        closing = max(1, round(CLOSED * rows)) if radius else 0
        own = fitted(*evidence.of_frame(i), picture, radius) > 0.5
        alone = _cleaned(own, opening, closing)
        if not reach:
            masks.append(alone)
            continue
        tracks = evidence.of_tracks(i, link, (min(NEARBY, reach), reach))
        nearby, whole = (fitted(*found, picture, radius) for found in tracks)
        kept = own & (nearby > KEPT)
        side = 2 * max(1, round(radius * rows)) + 1
        trusted = cv2.blur(tracks[1][1], (side, side)) > TRUSTED
        more = (whole > ADDED) & trusted & ~kept
        more = morphology(more, cv2.MORPH_OPEN, max(1, round(THINNEST * rows)))
        masks.append(_cleaned(kept | more, opening, closing))
        added.append(float((masks[i] & ~alone).mean()))
        dropped.append(float((alone & ~masks[i]).mean()))
    return masks, float(np.mean(added or [0.0])), float(np.mean(dropped or [0.0]))


def fitted(
    moves: Float32[np.ndarray, "H W"],
    trust: Float32[np.ndarray, "H W"],
    image: UInt8[np.ndarray, "H W 3"],
    radius: int,
) -> Float32[np.ndarray, "H W"]:
    """Evidence fitted to the edges of a picture by a guided filter of ``radius`` (pixels at 288 rows); 0: as it
    is."""
    if not radius:
        return moves
    rows = image.shape[0] / REFERENCE_ROWS
    weight = np.clip(trust, LEAST_TRUST, 1).astype(np.float32)
    return guided_filter(image.astype(np.float32) / 255, moves, weight, max(1, round(radius * rows)), GUIDE_VARIANCE)


def _cleaned(mask: Bool[np.ndarray, "H W"], opening: int, closing: int) -> Bool[np.ndarray, "H W"]:
    return morphology(morphology(mask, cv2.MORPH_OPEN, opening), cv2.MORPH_CLOSE, closing)
