"""Verdicts on cameras and masks beside the truth, for prepared scenes and broken twins of them: is what is wrong called
wrong?

A scene is a folder that any_clip.py prepared; its name is the clip's, and its parent's that of the flow. Twins of
cameras, whose verdict is by flow alone:

- follows: the camera stands still in the world of a thing that stays in the picture; its rotation is kept;
- jittered: centres are off by 5 % of the path's extent, at random;
- inverted: the camera goes the other way, so that all depth lies behind infinity;
- focal: the focal length is 1.5 times as long;
- flow of SCENE: flow of another scene of the list, brought to this one's size.

Twins of motion masks: those of another clip, grown by 12 pixels at 288 rows, shifted by a tenth of the width, without
their left half (the mover is partly unmasked), empty. Masks are truly good where their Jaccard with the truth is at
least 0.6. Bounds of the signs of masks are chosen once more for each clip on the others, with all their twins, and the
verdicts that follow are counted: `good` should be right in 9 of 10 cases.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import product
from pathlib import Path

import cv2
import numpy as np
from _root import ROOT
from _scenes import markdown
from any_clip import canonical_truth, jaccard

from nsff.cameras import Cameras
from nsff.cameras.align import extent
from nsff.config import MotionConfig
from nsff.geometry.static_world import check_world
from nsff.imaging.flow_sampling import FlowAndMask
from nsff.imaging.resizing import resize_flow, resize_frame
from nsff.priors.canonical.verdict import world_doubts
from nsff.priors.motion.coverage import summarise_coverage
from nsff.priors.motion.mask_signs import FINAL, Bounds, Signs, judged_by_signs, mask_signs
from nsff.priors.motion.sides import combine_sides
from nsff.priors.motion.stage import evidence_of, frame_distances, picture_evidence
from nsff.scene import Scene
from nsff.tracking.chaining import FlowCache
from nsff.tracking.flow_pairs import flow_pairs

GOOD = 0.6
"""Least Jaccard of masks that are truly good."""
GRID, MISSED = tuple(np.arange(0.5, 0.96, 0.05)), (0.1, 0.2, 0.3, 0.4, 1.0)
"""Bounds that are tried for the signs of masks."""
HEAD = ["scene", "cameras", "static", "border", "order", "far/near", "verdict"]


def follows(cameras: Cameras) -> Cameras:
    poses = cameras.world_to_camera.copy()
    poses[:, :, 3] = -np.einsum("nij,j->ni", poses[:, :, :3], cameras.centres[0])
    return replace(cameras, world_to_camera=poses)


def jittered(cameras: Cameras) -> Cameras:
    poses = cameras.world_to_camera.copy()
    poses[:, :, 3] += np.random.default_rng(0).normal(0, 0.05 * extent(cameras.centres), (len(cameras), 3))
    return replace(cameras, world_to_camera=poses)


def inverted(cameras: Cameras) -> Cameras:
    poses = cameras.world_to_camera.copy()
    centres = 2 * cameras.centres[0] - cameras.centres
    poses[:, :, 3] = -np.einsum("nij,nj->ni", poses[:, :, :3], centres)
    return replace(cameras, world_to_camera=poses)


def focal(cameras: Cameras, factor: float = 1.5) -> Cameras:
    return cameras.zoomed(factor)


def flow_of(scene: Scene, size: tuple[int, int]) -> Callable[[int, str], FlowAndMask]:
    def read(i: int, direction: str) -> FlowAndMask:
        flow, mask = scene.flow(min(i, len(scene.cameras) - (2 if direction == "fwd" else 1)), direction)
        return resize_flow(flow, size), resize_frame(mask.astype(np.uint8), size) > 0

    return read


@dataclass(frozen=True)
class Case:
    """Masks of a clip, their signs, and whether they are truly good."""

    clip: str
    name: str
    jaccard: float
    coverage: list[float]
    signs: Signs

    @property
    def truly_good(self) -> bool:
        return self.jaccard >= GOOD

    def called_good(self, bounds: Bounds) -> bool:
        return self.verdict(bounds) == "good"

    def verdict(self, bounds: Bounds) -> str:
        summary = summarise_coverage(self.coverage, MotionConfig(), "Masks cover")
        return str(judged_by_signs(summary, self.signs, bounds)["verdict"])


def mask_twins(
    masks: Sequence[np.ndarray], others: Sequence[np.ndarray], other_name: str
) -> list[tuple[str, list[np.ndarray]]]:
    """The masks of a scene and what they are broken into, by name; ``others`` are those of another clip."""
    height, width = masks[0].shape
    size = 2 * round(12 * height / 288) + 1
    foreign = [_resized(mask, height, width) for mask in others]
    return [
        ("as they are", list(masks)),
        (
            f"masks of {other_name}",
            [foreign[i % len(foreign)] for i in range(len(masks))],
        ),
        ("grown", [cv2.dilate(mask.astype(np.uint8), np.ones((size, size), np.uint8)) > 0 for mask in masks]),
        ("shifted", [np.roll(mask, width // 10, axis=1) for mask in masks]),
        ("left half missing", [mask & (np.arange(width) > _middle(mask)) for mask in masks]),
        ("empty", [np.zeros_like(mask) for mask in masks]),
    ]


def _resized(mask: np.ndarray, height: int, width: int) -> np.ndarray:
    return cv2.resize(mask.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST) > 0


def _middle(mask: np.ndarray) -> float:
    return float(np.median(np.nonzero(mask)[1])) if mask.any() else 0.0


def mask_cases(scene: Scene, other: Scene, truths: Path) -> list[Case]:
    clip, link, config = scene.root.name, FlowCache(scene.flow), MotionConfig()
    truth = canonical_truth(scene, clip, truths)

    @cache
    def evidence(i: int) -> tuple[np.ndarray, np.ndarray]:
        distance = combine_sides(frame_distances(scene.cameras, link, i, config), config.combine)
        return evidence_of(distance, config, picture_evidence(scene, scene.cameras, link, i, config))

    return [
        Case(
            clip, name, jaccard(masks, truth), [float(mask.mean()) for mask in masks], mask_signs(masks, link, evidence)
        )
        for name, masks in mask_twins(scene.motion_masks(), other.motion_masks(), other.root.name)
    ]


def chosen_bounds(cases: Sequence[Case]) -> Bounds:
    """The bounds of the grid with the most right verdicts, in the middle of all that are as good."""
    grid = [Bounds(*(float(v) for v in values)) for values in product(GRID, GRID, MISSED)]
    right = [sum(case.called_good(bounds) == case.truly_good for case in cases) for bounds in grid]
    best = [bounds for bounds, count in zip(grid, right, strict=True) if count == max(right)]
    return Bounds(*(float(np.median([getattr(b, name) for b in best])) for name in ("carried", "rim", "missed")))


def camera_rows(scene: Scene, other: Scene) -> list[list[str]]:
    own = scene.cameras
    size = (own.height, own.width)
    twins: list[tuple[str, Cameras, Callable[[int, str], FlowAndMask]]] = [
        (name, change(own), scene.flow)
        for name, change in (
            ("as they are", lambda cameras: cameras), ("follows", follows), ("jittered", jittered),
            ("inverted", inverted), ("focal", focal),
        )
    ]  # fmt: skip
    if other is not scene:
        twins.append((f"flow of {other.root.name}", own, flow_of(other, size)))
    rows = []
    for name, cameras, flow in twins:
        check = check_world(cameras, flow_pairs(FlowCache(flow), len(own)))
        figures = [f"{value:.2f}" for value in (check.static, check.border, check.order, check.spread)]
        rows.append([str(Path(*scene.root.parts[-2:])), name, *figures, world_doubts(check)[0]])
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenes", nargs="+", type=Path, metavar="DIR")
    parser.add_argument("--truth", type=Path, default=ROOT.parent / "shared" / "scenes", metavar="DIR")
    parser.add_argument("--only", choices=("cameras", "masks"))
    given = parser.parse_args()
    scenes = [Scene(path) for path in given.scenes]
    pairs = [(scene, scenes[(k + 1) % len(scenes)]) for k, scene in enumerate(scenes)]
    if given.only != "masks":
        print(markdown(HEAD, [row for pair in pairs for row in camera_rows(*pair)]))
    if given.only != "cameras":
        print_masks([case for pair in pairs for case in mask_cases(*pair, given.truth)])


def print_masks(cases: Sequence[Case]) -> None:
    rows, counts = [], {"chosen on all": [0, 0, 0], "chosen without the clip": [0, 0, 0]}
    for clip in dict.fromkeys(case.clip for case in cases):
        elsewhere = chosen_bounds([case for case in cases if case.clip != clip])
        for case in (case for case in cases if case.clip == clip):
            verdicts = {"chosen on all": case.verdict(FINAL), "chosen without the clip": case.verdict(elsewhere)}
            right = (verdicts["chosen without the clip"] == "good") == case.truly_good
            figures = (case.jaccard, case.signs.carried, case.signs.rim, case.signs.missed)
            numbers = [f"{value:.2f}" for value in figures]
            rows.append([clip, case.name, *numbers, *verdicts.values(), "right" if right else "wrong"])
            for name, verdict in verdicts.items():
                good, truly = verdict == "good", case.truly_good
                counts[name] = [n + k for n, k in zip(counts[name], (good and truly, good, truly), strict=True)]
    print(markdown(["clip", "masks", "Jaccard", "carried", "rim", "missed", *counts, "without the clip"], rows))
    for name, (agreed, good, truly) in counts.items():
        print(f"bounds {name}: good is right in {agreed} of {good} cases, {truly} are truly good, of {len(cases)}")


if __name__ == "__main__":
    main()
