"""Verdicts on coarse masks and motion masks beside the truth, for prepared scenes and broken twins of them: is what is
wrong called wrong?

A scene is a folder that any_clip.py prepared, with the stage done; its name is the clip's, and its parent's that of the
flow: where that is "dis", what flow leaves unexplained counts as its error. Twins: masks of another clip, in place of
the own ones and beside them, grown by 12 and 6 pixels at 288 rows, shifted by a tenth of the width, without their left
half and quarter (the mover is partly unmasked), empty. Masks are truly good where their Jaccard with the truth is at
least 0.6, boxes of things that move and are not annotated apart (_verdicts.py).

The bound on the support (nsff.priors.motion.mask_signs) of each stage is chosen once more for each clip on the others,
with all their runs and twins: the strictest of those that find the most truly good masks while `good` is wrong in at
most one of twenty cases. `poor` names the cause of a twin by the words below. --cases FILE keeps the
verdicts for verdict_table.py.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from _root import ROOT
from _scenes import markdown
from _verdicts import add_cases, clip_of, kept_case, mask_twins, resized, truth_of
from any_clip import jaccard

from nsff.config import MotionConfig
from nsff.files.io import read_mask
from nsff.layout import frame_name
from nsff.priors.motion.coarse import coarse_mask, growing_radius
from nsff.priors.motion.coverage import summarise_coverage
from nsff.priors.motion.flow_error import flow_error
from nsff.priors.motion.mask_signs import COARSE, FINAL, Signs, Sure, judged_by_signs, mask_signs, sure_by_evidence
from nsff.priors.motion.sides import combine_sides
from nsff.priors.motion.stage import evidence_of, frame_distances, picture_evidence
from nsff.scene import Scene
from nsff.tracking.chaining import FlowCache

GOOD = 0.6
"""Least Jaccard of masks that are truly good."""
GRID, MOST_WRONG = tuple(np.arange(0.2, 0.96, 0.01)), 0.05
"""Bounds that are tried, and the share of `good` that may be wrong."""
CAUSES = {"masks of": "not on the masks", "grown": "stands still", "shifted": "not on the masks",
          "left": "not on the masks", "with": "stands still", "empty": "not on the masks"}  # fmt: skip
"""Words that name the cause of a twin, by its beginning."""
IN_USE = {"coarse_masks": COARSE, "motion": FINAL}
HEAD = ["run", "masks", "Jaccard", "carried", "rim", "missed", "resting", "support", "verdict", "without the clip"]


@dataclass(frozen=True)
class Case:
    """Masks of a stage and clip, their signs, and whether they are truly good."""

    stage: str
    clip: str
    run: str
    name: str
    jaccard: float
    coverage: list[float]
    signs: Signs

    @property
    def truly_good(self) -> bool:
        return self.jaccard >= GOOD

    def judged(self, bound: float | None = None) -> tuple[str, str]:
        """(verdict, words), with the bound in use or another."""
        summary = summarise_coverage(self.coverage, MotionConfig(), "Masks cover")
        summary = judged_by_signs(summary, self.signs, IN_USE[self.stage] if bound is None else bound)
        return str(summary["verdict"]), str(summary["message"])


def motion_cases(scene: Scene, other: Scene, truths: Path) -> list[Case]:
    link, config = FlowCache(scene.flow), MotionConfig()
    doubted = scene.root.parent.name == "dis"

    @cache
    def sure(i: int) -> Sure:
        distance = combine_sides(frame_distances(scene.cameras, link, i, config), config.combine)
        told = picture_evidence(scene, scene.cameras, link, i, config)
        error = flow_error(scene.image, link, i, scene.n_frames) if doubted else None
        return sure_by_evidence(*evidence_of(distance, config, told, error))

    twins = mask_twins(scene.motion_masks(), other.motion_masks(), clip_of(other))
    truth, unknown = truth_of(scene, truths)
    return [case("motion", scene, name, masks, truth, unknown, mask_signs(masks, link, sure)) for name, masks in twins]


def coarse_cases(scene: Scene, other: Scene, truths: Path) -> list[Case]:
    """Coarse masks lie on the ingested frames; they are looked at at the size of the flow."""
    link, config = FlowCache(scene.raw_flow), MotionConfig()
    size = link(0, 1)[1].shape
    truth, unknown = ([resized(mask, *size) for mask in masks] for masks in truth_of(scene, truths, ingested=True))
    own, foreign = (
        [resized(read_mask(one.coarse_masks_dir / frame_name(i)), *size) for i in range(one.n_frames)]
        for one in (scene, other)
    )

    @cache
    def sure(i: int) -> Sure:
        return coarse_mask(link, i, scene.n_frames, config, ~own[i])[2]

    grown = growing_radius(config, size[0])
    return [
        case("coarse_masks", scene, name, masks, truth, unknown, mask_signs(masks, link, sure, grown))
        for name, masks in mask_twins(own, foreign, clip_of(other))
    ]


def case(
    stage: str, scene: Scene, name: str, masks: Sequence[np.ndarray], truth: Sequence[np.ndarray],
    unknown: Sequence[np.ndarray], signs: Signs,
) -> Case:  # fmt: skip
    counted = [mask & ~there for mask, there in zip(masks, unknown, strict=True)]
    coverage = [float(mask.mean()) for mask in masks]
    run = f"{scene.root.parent.name}/{scene.root.name}"
    return Case(stage, clip_of(scene), run, name, jaccard(counted, truth), coverage, signs)


def chosen_bound(cases: Sequence[Case]) -> float:
    """The strictest bound that finds the most truly good masks while `good` is hardly ever wrong."""
    found = []
    for bound in GRID:
        good = [case.truly_good for case in cases if case.judged(bound)[0] == "good"]
        if good and good.count(False) <= MOST_WRONG * len(good):
            found.append((good.count(True), bound))
    return float(max(found)[1])


def print_masks(stage: str, cases: Sequence[Case]) -> list[dict[str, object]]:
    kept, rows = [], []
    for clip in dict.fromkeys(case.clip for case in cases):
        bound = chosen_bound([case for case in cases if case.clip != clip])
        for case in (case for case in cases if case.clip == clip):
            (level, words), left_out = case.judged(), case.judged(bound)[0]
            cause = next((text for start, text in CAUSES.items() if case.name.startswith(start)), None)
            named = cause in words if cause and level == "poor" else None
            kept.append(kept_case(stage, clip, case.name, case.truly_good, level, left_out, named))
            signs = case.signs
            figures = (case.jaccard, signs.carried, signs.rim, signs.missed, signs.resting, signs.support)
            rows.append(
                [case.run, case.name, *(f"{value:.2f}" for value in figures), level, f"{left_out} ({bound:.2f})"]
            )
    chosen = chosen_bound(cases)
    print(f"{stage}\n\n{markdown(HEAD, rows)}\nbound chosen on all: {chosen:.2f}, in use: {IN_USE[stage]}\n")
    return kept


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenes", nargs="+", type=Path, metavar="DIR")
    parser.add_argument("--truth", type=Path, default=ROOT.parent / "shared" / "scenes", metavar="DIR")
    parser.add_argument("--cases", type=Path, metavar="FILE", help="add the verdicts to this file, one a line")
    given = parser.parse_args()
    scenes = [Scene(path) for path in given.scenes]
    cases: dict[str, list[Case]] = {}
    for stage, cases_of, done in (
        ("coarse_masks", coarse_cases, lambda scene: scene.coarse_masks_dir.is_dir() and scene.raw_flow_dir.is_dir()),
        ("motion", motion_cases, lambda scene: scene.motion_dir.is_dir()),
    ):
        ready = [scene for scene in scenes if done(scene)]
        pairs = zip(ready, [*ready[1:], *ready[:1]], strict=True)
        cases[stage] = [case for pair in pairs for case in cases_of(*pair, given.truth)]
    kept = [line for stage, some in cases.items() for line in print_masks(stage, some)]
    if given.cases:
        add_cases(given.cases, kept)


if __name__ == "__main__":
    cv2.setNumThreads(1)
    main()
