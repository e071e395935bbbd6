"""Temporal stability of object masks: overlap of each mask with the next one carried back along the flow, or
jitter of areas.

Notation. Labels are (H,W) integers per frame, 0 background; flow (H,W,2) is (right, down) in pixels from frame i to
i+1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float32, Integer

from nsff.scene import Scene

Flow = tuple[Float32[np.ndarray, "H W 2"], Bool[np.ndarray, "H W"]]


def warped_overlap(first: Integer[np.ndarray, "H W"], second: Integer[np.ndarray, "H W"], flow: Flow) -> float | None:
    """Intersection over union of the foregrounds, counting a pixel as agreeing only if its label is the same.

    The second frame's label is looked up where the flow leads; pixels without consistent flow are left out. None
    where both are empty.
    """
    vectors, valid = flow
    height, width = first.shape
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    target_x, target_y = x + vectors[..., 0], y + vectors[..., 1]
    inside = valid & (target_x >= 0) & (target_y >= 0) & (target_x <= width - 1) & (target_y <= height - 1)
    carried = cv2.remap(
        second.astype(np.uint8), target_x.astype(np.float32), target_y.astype(np.float32), cv2.INTER_NEAREST
    )
    union = inside & ((first > 0) | (carried > 0))
    return float((first[union] == carried[union]).mean()) if union.any() else None


def area_jitter(areas: Sequence[float]) -> float:
    """Mean relative change of an area from frame to frame (0 is steady), over frames where either has it.

    >>> area_jitter([100, 50, 50])
    0.25
    """
    now, after = np.array(areas[:-1], float), np.array(areas[1:], float)
    larger = np.maximum(now, after)
    seen = larger > 0
    return float((np.abs(after - now)[seen] / larger[seen]).mean()) if seen.any() else 0.0


AGREEING = (0.7, 0.3)
"""Overlap of objects and motion masks down to which objects are good, and doubtful (docs/quality.md)."""


@dataclass(frozen=True)
class Agreement:
    """Objects against the motion masks, means over the frames in which there are any."""

    overlap: float
    """Jaccard of all objects together with the motion masks."""
    still: float
    """Share of the objects' pixels that stand still."""
    missing: float
    """Share of the moving pixels that are on no object."""


def motion_agreement(
    scene: Scene, labels: Sequence[Integer[np.ndarray, "H W"]], frames: Sequence[int]
) -> Agreement | None:
    """How all objects together agree with the motion masks; None without motion masks."""
    found = []
    for view, i in zip(labels, frames, strict=True):
        if scene.motion_mask_path(i).exists() and view.shape == scene.size:
            objects, moving = view > 0, scene.motion_mask(i)
            both, either = int((objects & moving).sum()), int((objects | moving).sum())
            if either:
                still, missing = 1 - both / max(int(objects.sum()), 1), 1 - both / max(int(moving.sum()), 1)
                found.append((both / either, still, missing))
    return Agreement(*(float(value) for value in np.mean(found, axis=0))) if found else None


def describe_masks(
    scene: Scene, labels: Sequence[Integer[np.ndarray, "H W"]], frames: Sequence[int]
) -> dict[str, object]:
    """Numbers for summaries: objects, area fractions, jitter and flow-warped overlap.

    ``frames`` are the frame indices of the views, which are training views; overlap is taken where consecutive views
    show consecutive frames and the scene has flow for them.
    """
    objects = sorted({int(k) for view in labels for k in np.unique(view)} - {0})
    areas = {k: [float((view == k).mean()) for view in labels] for k in objects}
    overlaps = []
    for first, second, i, j in zip(labels[:-1], labels[1:], frames[:-1], frames[1:], strict=True):
        path = scene.flow_path(i, "fwd")
        if j == i + 1 and path.exists():
            overlaps.append(warped_overlap(first, second, scene.flow(i, "fwd")))
    known = [value for value in overlaps if value is not None]
    agreement = motion_agreement(scene, labels, frames)
    return {
        "n_objects": len(objects),
        "area_fractions": {str(k): float(np.mean(areas[k])) for k in objects},
        "views_with_object": {str(k): int(np.count_nonzero(areas[k])) for k in objects},
        "area_jitter": {str(k): area_jitter(areas[k]) for k in objects},
        "foreground_fraction": float(np.mean([(view > 0).mean() for view in labels])) if len(labels) else 0.0,
        "warped_overlap": float(np.mean(known)) if known else None,
        "motion_agreement": None if agreement is None else asdict(agreement),
        "views": len(labels),
    }


def judge(numbers: dict[str, object]) -> tuple[str, str]:
    """Verdict and message for masks described by ``describe_masks``."""
    foreground, overlap = numbers["foreground_fraction"], numbers["warped_overlap"]
    areas, jitter = numbers["area_fractions"], numbers["area_jitter"]
    assert isinstance(foreground, float)
    assert isinstance(areas, dict)
    assert isinstance(jitter, dict)
    if not areas:
        return "poor", "No object: everything is background."
    listed = ", ".join(f"{k}: {value:.1%}" for k, value in list(areas.items())[:6])
    message = f"{len(areas)} object{'s' if len(areas) > 1 else ''} ({listed} of the picture)"
    worst = max(jitter.values())
    if isinstance(overlap, float):
        message += f", masks carried by flow overlap {overlap:.2f} from frame to frame."
        steady, shaky = overlap >= 0.7, overlap < 0.4
    else:
        message += f", areas change by up to {worst:.0%} from frame to frame."
        steady, shaky = worst <= 0.3, worst > 0.7
    level, apart = _apart(numbers.get("motion_agreement"))
    if level == "poor":
        return level, message + apart
    if foreground > 0.7:
        return (
            "doubtful",
            message + " Most of the picture is called an object: saliency or motion masks are probably wrong.",
        )
    if shaky:
        return (
            "poor",
            message + " The masks flicker: features or saliency are not consistent over time. Train longer, or see the "
            "features stage.",
        )
    if not steady:
        return "doubtful", message + " The masks are unsteady: look at the preview."
    if apart:
        return "doubtful", message + apart
    return "good", message


def _apart(agreement: object) -> tuple[str, str]:
    """Verdict, and in words how objects differ from the motion masks (fields of Agreement)."""
    if not isinstance(agreement, Mapping) or agreement["overlap"] >= AGREEING[0]:
        return "good", ""
    parts = [
        (agreement["still"], f"{agreement['still']:.0%} of what is called an object stands still"),
        (agreement["missing"], f"{agreement['missing']:.0%} of what moves is on no object"),
    ]
    largest = max(share for share, _ in parts)
    more = ", and ".join(words for share, words in parts if share > largest / 2)
    return "poor" if agreement["overlap"] < AGREEING[1] else "doubtful", (
        f" They overlap the motion masks by {agreement['overlap']:.0%} alone: {more}. Look at the motion masks and the "
        "preview."
    )
