"""Signs, without truth, that motion masks are those of things: they stay on them, and flow jumps at their rims.

A thing carries its mask along, so masks that flow carries into the next frame meet those found there; masks that flow
or the background's geometry made up come and go. At the rim of a thing the flow of both sides differs; where it does
not, the mask ends in the middle of something.

Notation. Masks (H,W), True moves; flow (H,W,2) in pixels to the next frame, consistent where its mask says so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import cv2
import numpy as np
from jaxtyping import Bool, Float32

from nsff.imaging.flow_sampling import FlowAndMask
from nsff.priors.motion.rims import rim_jumps

PAIRS = 30
"""So many pairs of frames, spread over the clip, are looked at."""
SURE = 0.8
"""Evidence of motion, and trust in it, of pixels that belong onto a mask."""


@dataclass(frozen=True)
class Signs:
    """Shares between 0 and 1; NaN where nothing is masked, or nothing known."""

    carried: float
    """Overlap (Jaccard) of masks carried by flow to the next frame with those found there, mean over pairs."""
    rim: float
    """Share of the masks' rims, the border of the picture apart, at which flow jumps, mean over pairs."""
    missed: float = float("nan")
    """Share of the pixels that surely move by the cameras that lie off the masks."""


@dataclass(frozen=True)
class Bounds:
    """Least carried share, least share of the rim and most missed share of masks without doubt."""

    carried: float
    rim: float = 0.0
    missed: float = 1.0


COARSE, FINAL = Bounds(0.9, 0.4), Bounds(0.8, 0.8, 0.2)
"""Before and after the cameras are known. Coarse masks are grown, so that flow jumps at a part of their rims. Chosen
on nine and ten runs on nine clips and their broken twins (docs/notebook.md)."""


def mask_signs(
    masks: Sequence[Bool[np.ndarray, "H W"]],
    link: Callable[[int, int], FlowAndMask],
    evidence: Callable[[int], tuple[Float32[np.ndarray, "H W"], Float32[np.ndarray, "H W"]]] | None = None,
) -> Signs:
    """Signs of the masks of a clip; ``link(i, j)`` is flow between neighbours and its mask, of the masks' size.

    ``evidence(i)`` gives the evidence of motion of a frame and how far it can be trusted, both 0 to 1.
    """
    carried, rims, off, sure = [], [], 0, 0
    for i in np.unique(np.linspace(0, len(masks) - 2, PAIRS).astype(int)) if len(masks) > 1 else ():
        flow, consistent = link(int(i), int(i) + 1)
        overlap = carried_overlap(masks[i], masks[i + 1], flow, consistent)
        jumps = rim_jumps(masks[i], flow)
        carried += [overlap] if overlap is not None else []
        rims += [jumps] if jumps is not None else []
        if evidence is not None:
            moves, trust = evidence(int(i))
            moving = (moves > SURE) & (trust > SURE)
            off, sure = off + int((moving & ~masks[i]).sum()), sure + int(moving.sum())
    mean_carried, mean_rim = (float(np.mean(values)) if values else float("nan") for values in (carried, rims))
    return Signs(mean_carried, mean_rim, off / sure if sure else float("nan"))


def judged_by_signs(summary: dict[str, Any], signs: Signs, bounds: Bounds) -> dict[str, Any]:
    """The summary of masks with their signs, and doubtful instead of good where one is below its bound."""
    doubts = []
    if signs.carried < bounds.carried:
        doubts.append(
            f"masks carried to the next frame by flow meet {signs.carried:.0%} of what is found there: what moves "
            "comes and goes"
        )
    if signs.rim < bounds.rim:
        doubts.append(
            f"flow jumps at {signs.rim:.0%} of the masks' rims: elsewhere they end in the middle of something that "
            "moves, or lie on what stands still"
        )
    if signs.missed > bounds.missed:
        doubts.append(f"{signs.missed:.0%} of what surely moves by the cameras is not on the masks")
    figures = {name: None if value != value else value for name, value in asdict(signs).items()}
    if not doubts:
        return {**summary, "signs": figures}
    message = f"{summary['message']} " + " ".join(f"{doubt.capitalize()}." for doubt in doubts)
    verdict = "doubtful" if summary["verdict"] == "good" else summary["verdict"]
    return {**summary, "signs": figures, "verdict": verdict, "message": message}


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
