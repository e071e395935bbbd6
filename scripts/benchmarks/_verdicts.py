"""Shared by the tables of verdicts: broken twins of masks, things that move without being annotated, and a line a case
for verdict_table.py."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from any_clip import canonical, true_frames

from nsff.scene import Scene

UNANNOTATED = {
    "davis-scooter-black": [
        {0: (642, 144, 787, 217), 4: (650, 141, 803, 225), 8: (650, 146, 854, 222), 12: (602, 143, 854, 228),
         16: (698, 140, 854, 202), 18: (807, 155, 854, 205)},
        {2: (0, 136, 22, 188), 4: (0, 130, 37, 188), 8: (0, 131, 69, 190), 12: (59, 131, 125, 194),
         16: (154, 128, 212, 193), 18: (224, 136, 254, 177)},
    ]
}  # fmt: skip
"""Cars and a van that visibly drive, and people among them, where DAVIS annotates one thing that moves: boxes (left,
top, right, bottom) in frames of 854 by 480, by the number of the frame, those between by interpolation. Drawn by hand.
In other clips what is not annotated is small, or the masks are truly good all the same."""
WIDTH = 854


def clip_of(scene: Scene) -> str:
    """The clip's name: digits and "own" at the end of the folder's do not count, but for balloon1's."""
    name = scene.root.name
    return name if name == "balloon1" else re.sub(r"(own)?\d*$", "", name)


def unannotated(scene: Scene) -> list[np.ndarray]:
    """The boxes of things that move and are not annotated in each ingested frame, (H,W) bool."""
    found = []
    for k in range(scene.n_frames):
        i, size = scene.ingest_result.frames[k].index, scene.frame(k).shape[:2]
        mask = np.zeros(size, bool)
        for boxes in UNANNOTATED.get(clip_of(scene), []):
            if min(boxes) <= i <= max(boxes):
                at = [np.interp(i, list(boxes), side) for side in zip(*boxes.values(), strict=True)]
                left, top, right, bottom = (round(value * size[1] / WIDTH) for value in at)
                mask[top:bottom, left:right] = True
        found.append(mask)
    return found


def truth_of(scene: Scene, truths: Path, ingested: bool = False) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Masks of what moves by the truth in each canonical (or ingested) picture, and of where that is not known."""
    moves = true_frames(scene, clip_of(scene), truths)
    unknown = [there & ~mask for there, mask in zip(unannotated(scene), moves, strict=True)]
    return (moves, unknown) if ingested else (canonical(scene, moves), canonical(scene, unknown))


def mask_twins(
    masks: Sequence[np.ndarray], others: Sequence[np.ndarray], other_name: str
) -> list[tuple[str, list[np.ndarray]]]:
    """The masks of a scene and what they are broken into, by name; ``others`` are those of another clip."""
    height, width = masks[0].shape
    foreign = [resized(mask, height, width) for mask in others]
    foreign = [foreign[i % len(foreign)] for i in range(len(masks))]

    def grown(radius: float) -> list[np.ndarray]:
        size = 2 * round(radius * height / 288) + 1
        return [cv2.dilate(mask.astype(np.uint8), np.ones((size, size), np.uint8)) > 0 for mask in masks]

    def without(share: float) -> list[np.ndarray]:
        return [mask & (np.arange(width) > left_of(mask, share)) for mask in masks]

    return [
        ("as they are", list(masks)),
        (f"masks of {other_name}", foreign),
        ("grown", grown(12)),
        ("grown by half as much", grown(6)),
        ("shifted", [np.roll(mask, width // 10, axis=1) for mask in masks]),
        ("left half missing", without(0.5)),
        ("left quarter missing", without(0.25)),
        (f"with those of {other_name}", [mask | more for mask, more in zip(masks, foreign, strict=True)]),
        ("empty", [np.zeros_like(mask) for mask in masks]),
    ]


def resized(mask: np.ndarray, height: int, width: int) -> np.ndarray:
    return cv2.resize(mask.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST) > 0


def left_of(mask: np.ndarray, share: float) -> float:
    """The column left of which that share of the mask lies."""
    return float(np.quantile(np.nonzero(mask)[1], share)) if mask.any() else 0.0


def kept_case(
    stage: str, clip: str, twin: str, good: bool, level: str, left_out: str, named: bool | None
) -> dict[str, object]:
    """A line for verdict_table.py."""
    return {"stage": stage, "clip": clip, "twin": twin, "good": bool(good), "verdict": level, "left_out": left_out,
            "named": named}  # fmt: skip


def add_cases(path: Path, cases: Iterable[Mapping[str, object]]) -> None:
    """Adds ``cases`` (``kept_case``) to a file, one a line."""
    with path.open("a") as file:
        file.writelines(json.dumps(case) + "\n" for case in cases)
