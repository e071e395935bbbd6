"""Signs, without truth, that motion masks are those of things, and the verdict that follows.

A thing carries its mask along, so masks that flow carries into the next frame meet those found there; masks that flow
or the background's geometry made up come and go. At the rim of a thing the flow of both sides differs; where it does
not, the mask ends in the middle of something. What surely moves lies on the masks, and what surely stands still does
not.

Each sign is a share between 0 and 1, and each sees failures that the others do not, so they are multiplied: the support
of the masks is carried x rim x agreeing^2, with agreeing = (1 - missed) (1 - resting). That counts twice, since masks
that are wrong in every frame in the same way still follow flow and end where it jumps.

Notation. Masks (H,W), True moves; flow (H,W,2) in pixels to the next frame, consistent where its mask says so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import cv2
import numpy as np
from jaxtyping import Bool, Float32

from nsff.imaging.flow_sampling import FlowAndMask
from nsff.imaging.morphology import morphology
from nsff.layout import worse
from nsff.priors.motion.rims import rim_jumps

PAIRS = 30
"""So many pairs of frames, spread over the clip, are looked at."""
SURE = 0.8
"""Evidence of motion, or one minus that of what stands still, and trust in it, of pixels that are sure."""
LEAST_SURE = 0.001
"""Share of the pictures that surely moves, below which nothing is said of what is missed."""
COARSE, FINAL = 0.65, 0.5
"""Least support of masks that are good, before and after the cameras are known. Chosen on coarse masks of 13 runs and
motion masks of 14 (nine clips, RAFT and DIS), with eight broken twins of each (docs/notebook.md)."""
AGREEING = 0.5
"""Masks that agree less with what is sure are poor."""
WORTH_SAYING = 0.85
"""Signs (of what is wrong, one minus them) that are larger are passed over in words, but for the smallest."""


class Sure(NamedTuple):
    """Pixels of a frame about which the geometry leaves no doubt."""

    moves: Bool[np.ndarray, "H W"]
    rests: Bool[np.ndarray, "H W"]


def sure_by_evidence(moves: Float32[np.ndarray, "H W"], trust: Float32[np.ndarray, "H W"]) -> Sure:
    """By evidence of motion and trust in it, both 0 to 1."""
    return Sure((moves > SURE) & (trust > SURE), (moves < 1 - SURE) & (trust > SURE))


@dataclass(frozen=True)
class Signs:
    """Shares between 0 and 1; NaN where nothing is masked, or nothing known."""

    carried: float
    """Overlap (Jaccard) of masks carried by flow to the next frame with those found there, mean over pairs."""
    rim: float
    """Share of the masks' rims, the border of the picture apart, at which flow jumps, mean over pairs."""
    missed: float = float("nan")
    """Share of the pixels that surely move that lie off the masks."""
    resting: float = float("nan")
    """Share of the masks' pixels that surely stand still."""

    @property
    def agreeing(self) -> float:
        """How far the masks agree with what is sure, 0 to 1."""
        return _known(1 - self.missed) * _known(1 - self.resting)

    @property
    def support(self) -> float:
        """How much speaks for the masks, 0 to 1; signs that are not known count as 1.

        >>> round(Signs(carried=0.9, rim=0.8, missed=0.1, resting=float("nan")).support, 3)
        0.583
        """
        return _known(self.carried) * _known(self.rim) * self.agreeing**2


def _known(share: float) -> float:
    return 1.0 if share != share else share


def mask_signs(
    masks: Sequence[Bool[np.ndarray, "H W"]],
    link: Callable[[int, int], FlowAndMask],
    sure: Callable[[int], Sure] | None = None,
    grown: int = 0,
) -> Signs:
    """Signs of the masks of a clip; ``link(i, j)`` is flow between neighbours and its mask, of the masks' size.

    ``sure(i)`` says what surely moves and rests in a frame. Masks that were ``grown`` by so many pixels on purpose are
    shrunk again before they are looked at, but for what lies off them.
    """
    carried, rims, off, moving, still, masked, seen = [], [], 0, 0, 0, 0, 0
    for i in np.unique(np.linspace(0, len(masks) - 2, PAIRS).astype(int)) if len(masks) > 1 else ():
        flow, consistent = link(int(i), int(i) + 1)
        here, there = (morphology(masks[k], cv2.MORPH_ERODE, grown) if grown else masks[k] for k in (i, i + 1))
        overlap = carried_overlap(here, there, flow, consistent)
        jumps = rim_jumps(here, flow)
        carried += [overlap] if overlap is not None else []
        rims += [jumps] if jumps is not None else []
        if sure is not None:
            moves, rests = sure(int(i))
            off, moving, seen = off + int((moves & ~masks[i]).sum()), moving + int(moves.sum()), seen + moves.size
            still, masked = still + int((rests & here).sum()), masked + int(here.sum())
    mean_carried, mean_rim = (float(np.mean(values)) if values else float("nan") for values in (carried, rims))
    return Signs(
        mean_carried,
        mean_rim,
        off / moving if moving and moving >= LEAST_SURE * seen else float("nan"),
        still / masked if masked else float("nan"),
    )


def judged_by_signs(summary: dict[str, Any], signs: Signs, bound: float) -> dict[str, Any]:
    """The summary of masks with their signs; doubtful or poor instead of good where less than ``bound`` speaks for
    them."""
    figures = {name: None if value != value else value for name, value in asdict(signs).items()}
    judged = {**summary, "signs": figures, "support": signs.support}
    if signs.support >= bound:
        return judged
    words = {
        "carried": f"masks carried to the next frame by flow meet {signs.carried:.0%} of what is found there: what "
        "moves comes and goes",
        "rim": f"flow jumps at {signs.rim:.0%} of the masks' rims: elsewhere they end in the middle of something that "
        "moves, or lie on what stands still",
        "missed": f"{signs.missed:.0%} of what surely moves is not on the masks",
        "resting": f"{signs.resting:.0%} of what is on the masks surely stands still",
    }
    shares = {"carried": signs.carried, "rim": signs.rim, "missed": 1 - signs.missed, "resting": 1 - signs.resting}
    factors = sorted(((name, _known(share)) for name, share in shares.items()), key=lambda item: item[1])
    told = [words[name] for k, (name, factor) in enumerate(factors) if factor < WORTH_SAYING or k == 0]
    message = f"{summary['message']} " + " ".join(f"{one[0].upper()}{one[1:]}." for one in told)
    level = "doubtful" if signs.agreeing >= AGREEING else "poor"
    return {**judged, "verdict": worse(summary["verdict"], level), "message": message}


def carried_overlap(
    mask: Bool[np.ndarray, "H W"],
    after: Bool[np.ndarray, "H W"],
    flow: Float32[np.ndarray, "H W 2"],
    consistent: Bool[np.ndarray, "H W"],
) -> float | None:
    """Jaccard of a mask with that of the next frame, read where flow leads, on consistent flow; None where both are
    empty."""
    rows, columns = np.mgrid[: mask.shape[0], : mask.shape[1]].astype(np.float32)
    at = columns + flow[..., 0], rows + flow[..., 1]
    found = cv2.remap(after.astype(np.float32), *at, cv2.INTER_LINEAR) > 0.5
    either = (mask | found) & consistent
    return float((mask & found & consistent).sum() / either.sum()) if either.any() else None
