"""Verdicts on cameras beside the truth, for prepared scenes and broken twins of them: is what is wrong called wrong?

A scene is a folder that any_clip.py prepared; its name is the clip's, and its parent's that of the flow. Twins of
cameras, whose verdict is by flow alone (a camera that only turns has no path, and so neither of the first three):

- follows: the camera stands still in the world of a thing that stays in the picture; its rotation is kept;
- jittered: centres are off by 5 % of the path's extent, at random;
- inverted: the camera goes the other way, so that all depth lies behind infinity;
- focal: the focal length is 1.5 or 0.67 times as long;
- flow of SCENE: flow of another scene of the list, brought to this one's size.

Cameras are truly good as they are where flow lies within 1 px of their epipolar lines outside the true mask in 90 % of
the pairs, and where their centres are within 1 % of the path if those are known; twins are wrong. Bounds of the signs
are chosen once more for each clip on the others, with all their twins, and the verdicts that follow are counted: `good`
should be right in 9 of 10 cases, and `poor` name the cause in 8 of 10. --cases FILE keeps the verdicts for
verdict_table.py.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from unittest.mock import patch

import numpy as np
from _root import ROOT
from _scenes import markdown, true_cameras
from _verdicts import add_cases, clip_of, kept_case
from any_clip import canonical_truth, epipolar

from nsff.cameras import Cameras
from nsff.cameras.align import extent, pose_errors
from nsff.imaging.flow_sampling import FlowAndMask
from nsff.imaging.resizing import resize_flow, resize_frame
from nsff.priors.canonical import verdict
from nsff.priors.canonical.stage import camera_signs
from nsff.priors.canonical.verdict import CameraSigns
from nsff.scene import Scene

HEAD = ["clip", "cameras", "static", "border", "order", "far/near", "residual", "focal", "verdict", "without the clip",
        "cause"]  # fmt: skip


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


CAUSES = {"follows": "follow what moves", "jittered": "the poses are wrong", "inverted": "reversed",
          "flow": "other frames", "focal": "focal length is wrong"}  # fmt: skip
"""Words that name the cause of a twin of cameras, by its first word."""
TURNING = 0.02
"""Extent of a path, over the nearest depth, below which a camera only turns."""


@dataclass(frozen=True)
class CameraCase:
    """Cameras of a clip, or a broken twin of them, and what flow says about them."""

    clip: str
    name: str
    signs: CameraSigns
    focal: float
    truly_good: bool

    def judged(self, static: float = verdict.STATIC[0], residual: float = verdict.RESIDUAL[0],
               apart: float = verdict.APART[0]) -> tuple[str, list[str]]:  # fmt: skip
        """The verdict with other bounds of what is good."""
        bounds = {"STATIC": (static, verdict.STATIC[1]), "RESIDUAL": (residual, verdict.RESIDUAL[1]),
                  "APART": (apart, verdict.APART[1])}  # fmt: skip
        with patch.multiple(verdict, **bounds):
            return verdict.judge_cameras(self.signs, self.focal)


def camera_twins(scene: Scene, other: Scene) -> list[tuple[str, Cameras, Callable[[int, str], FlowAndMask]]]:
    own = scene.cameras
    changes: list[tuple[str, Callable[[Cameras], Cameras]]] = [
        ("as they are", lambda cameras: cameras),
        ("focal 1.5", focal),
        ("focal 0.67", lambda cameras: focal(cameras, 0.67)),
    ]
    if extent(own.centres) > TURNING * own.near_far[:, 0].min():
        changes += [("follows", follows), ("jittered", jittered), ("inverted", inverted)]
    twins = [(name, change(own), scene.flow) for name, change in changes]
    return [*twins, (f"flow of {other.root.name}", own, flow_of(other, (own.height, own.width)))]


def camera_cases(scene: Scene, other: Scene, truths: Path) -> list[CameraCase]:
    clip = clip_of(scene)
    right = truly_right(scene, clip, truths)
    return [
        CameraCase(scene.root.name, name, camera_signs(flow, cameras), cameras.focal, right and name == "as they are")
        for name, cameras, flow in camera_twins(scene, other)
    ]


def truly_right(scene: Scene, clip: str, truths: Path) -> bool:
    if not (truths / clip / "masks").is_dir() and clip not in ("toss", "flag", "demo"):
        return True  # given by the makers of the data, who calibrated their rig
    known = true_cameras(clip, truths, scene)
    within = epipolar(scene, canonical_truth(scene, clip, truths))[1] >= 0.9
    return within and (known is None or pose_errors(scene.cameras, known).position_rmse <= 0.01)


def chosen_camera_bounds(cases: Sequence[CameraCase]) -> tuple[float, ...]:
    """Bounds of the share that stands still, of the residual and of the focal length, as for masks."""
    grid = list(product(np.arange(0.5, 0.96, 0.05), (0.15, 0.25, 0.35, 0.5, 0.75, 1.0), (1.1, 1.15, 1.2, 1.3, 1.4)))
    right = [sum((case.judged(*one)[0] == "good") == case.truly_good for case in cases) for one in grid]
    best = [one for one, count in zip(grid, right, strict=True) if count == max(right)]
    return tuple(float(value) for value in np.median(best, axis=0))


def print_cameras(cases: Sequence[CameraCase]) -> list[dict[str, object]]:
    rows, kept = [], []
    for clip in dict.fromkeys(case.clip for case in cases):
        elsewhere = chosen_camera_bounds([case for case in cases if case.clip != clip])
        for case in (case for case in cases if case.clip == clip):
            (level, doubts), left_out = case.judged(), case.judged(*elsewhere)[0]
            cause = next((words for key, words in CAUSES.items() if case.name.startswith(key)), None)
            named = cause in "; ".join(doubts) if cause and level == "poor" else None
            kept.append(kept_case("cameras", clip, case.name, case.truly_good, level, left_out, named))
            check, fit = case.signs.check, case.signs.fit
            figures = (check.static, check.border, check.order, check.spread, case.signs.residual or np.nan,
                       np.nan if fit is None else fit.ratio)  # fmt: skip
            said = "-" if named is None else "named" if named else "not named"
            rows.append([clip, case.name, *(f"{one:.2f}" for one in figures), level, left_out, said])
    print(markdown(HEAD, rows))
    return kept


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenes", nargs="+", type=Path, metavar="DIR")
    parser.add_argument("--truth", type=Path, default=ROOT.parent / "shared" / "scenes", metavar="DIR")
    parser.add_argument("--cases", type=Path, metavar="FILE", help="add the verdicts to this file, one a line")
    given = parser.parse_args()
    scenes = [Scene(path) for path in given.scenes]
    pairs = [(scene, scenes[(k + 1) % len(scenes)]) for k, scene in enumerate(scenes)]
    kept = print_cameras([case for pair in pairs for case in camera_cases(*pair, given.truth)])
    if given.cases:
        add_cases(given.cases, kept)


if __name__ == "__main__":
    main()
