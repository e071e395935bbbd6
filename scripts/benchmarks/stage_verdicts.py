"""Verdicts on flow, depth and objects beside the truth, for prepared scenes and broken twins of them: is what is wrong
called wrong, and by its cause?

A scene is a folder with its stages done, named after the clip (digits and "own" at the end do not count). Truth:
`toss`, `flag`, `demo`; masks of things of the DAVIS clips. Flow is truly good where its end-point error on truly static
pixels is below 1 px (median over pairs, at the flow's size). DAVIS has no true flow: there twins are measured against
the flow as it is, which counts as good where the cameras are right by it (camera_verdicts.py). Depth is truly good if
its median relative error is at most 10 % (brought to the true unit first where cameras were estimated), objects (of the
CRF, or of any_clip.py) where the Jaccard of all of them with the truth is at least 0.6.

Twins of flow: of another clip, none (zero), 1.5 times as long, of the next pair of frames, with smooth noise of 3 px,
averaged over sixteenths of the picture. Twins of depth: inverted, 1.3 times as far, flat, with smooth noise of 30 %, of
another clip, in reverse order. Twins of objects: those of another clip, grown by 12 pixels at 288 rows, shifted by a
tenth of the width, without their left half, none, and all that is no object. Bounds are chosen once more for each clip
on the others, with all their twins. --cases FILE keeps the verdicts for verdict_table.py.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from _clip_objects import FOLDER as OBJECTS
from _clip_objects import read_objects
from _root import ROOT
from _scenes import markdown
from _verdicts import add_cases, clip_of, kept_case, mask_twins
from any_clip import canonical_truth, jaccard, true_frames

from nsff.decompose.stability import AGREEING, describe_masks, judge
from nsff.files.io import read_npz
from nsff.imaging.flow_sampling import FlowAndMask
from nsff.imaging.resizing import resize_flow, resize_frame
from nsff.layout import labels_name
from nsff.priors.depth import parallax as depth_signs
from nsff.priors.flow import signs as flow_signs
from nsff.scene import Scene
from nsff.tracking.chaining import FlowCache
from nsff.tracking.flow_pairs import flow_pairs

FLOW_GOOD, DEPTH_GOOD, OBJECTS_GOOD = 1.0, 0.10, 0.6
"""Largest error of what is truly good, pixels and relative; least Jaccard."""
PAIRS = 8
"""Pairs of frames of flow that are looked at."""
READ_FLOW = Callable[[int], FlowAndMask]
READ_DEPTH = Callable[[int], np.ndarray]


@dataclass(frozen=True)
class Case:
    """A prior of a clip, its true error, and the sign without truth; good where ``sign`` is at most a bound."""

    clip: str
    name: str
    error: float
    sign: float
    verdict: str
    words: str
    truly_good: bool


# --- flow ------------------------------------------------------------------------------------------------------------
def smooth_noise(size: tuple[int, int], strength: float, seed: int, channels: int = 1) -> np.ndarray:
    coarse = np.random.default_rng(seed).normal(0, strength, (6, 10, channels)).astype(np.float32)
    return cv2.resize(coarse, size[::-1], interpolation=cv2.INTER_CUBIC).reshape(*size, channels)


def flow_twins(scene: Scene, other: Scene) -> dict[str, READ_FLOW]:
    last = scene.n_frames - 2

    def own(i: int) -> FlowAndMask:
        return scene.raw_flow(i, "fwd")

    def changed(change: Callable[[np.ndarray, int], np.ndarray]) -> READ_FLOW:
        return lambda i: (change(own(i)[0], i), own(i)[1])

    def foreign(i: int) -> FlowAndMask:
        flow, mask = other.raw_flow(i % (other.n_frames - 1), "fwd")
        size = own(i)[1].shape
        return resize_flow(flow, size), resize_frame(mask.astype(np.uint8), size) > 0

    def averaged(flow: np.ndarray, i: int) -> np.ndarray:
        h, w = flow.shape[:2]
        return cv2.resize(cv2.resize(flow, (4, 4), interpolation=cv2.INTER_AREA), (w, h))

    return {
        "as it is": own,
        f"of {clip_of(other)}": foreign,
        "none": changed(lambda flow, i: np.zeros_like(flow)),
        "1.5 times": changed(lambda flow, i: 1.5 * flow),
        "of the next pair": lambda i: own(i + 1 if i < last else i - 1),
        "noise of 3 px": changed(lambda flow, i: flow + smooth_noise(flow.shape[:2], 3, i, 2)),
        "averaged": changed(averaged),
    }


def true_flow_error(scene: Scene, truths: Path, read: READ_FLOW, pairs: Sequence[int]) -> float:
    moving = true_frames(scene, clip_of(scene), truths)
    errors = []
    for i in pairs:
        file = truths / clip_of(scene) / "truth" / "flow" / f"{i:05d}_fwd.npz"
        if file.exists():
            true = read_npz(file, ["flow", "visible"])
        else:
            true = dict(zip(("flow", "visible"), scene.raw_flow(i, "fwd"), strict=True))
        flow, _ = read(i)
        size = flow.shape[:2]
        still = (resize_frame(moving[i].astype(np.uint8), size) == 0) & (
            resize_frame(true["visible"].astype(np.uint8), size) > 0
        )
        away = np.linalg.norm(flow - resize_flow(true["flow"].astype(np.float32), size), axis=2)
        errors.append(float(np.median(away[still])))
    return float(np.median(errors))


def flow_cases(scene: Scene, other: Scene, truths: Path) -> list[Case]:
    pairs = [int(i) for i in np.unique(np.linspace(0, scene.n_frames - 2, PAIRS).astype(int))]
    cases = []
    for name, read in flow_twins(scene, other).items():
        explained = []
        for i in pairs:
            flow, consistent = read(i)
            first, second = (resize_frame(scene.frame(k), consistent.shape) for k in (i, i + 1))
            explained.append(flow_signs.explained_change(first, second, flow, consistent))
        judged = flow_signs.judged_by_change({"verdict": "good", "message": ""}, explained)
        error = true_flow_error(scene, truths, read, pairs)
        sign = 1 - (judged["explained_change"] or 0.0)
        cases.append(Case(scene.root.name, name, error, sign, judged["verdict"], judged["message"], error < FLOW_GOOD))
    return cases


# --- depth -----------------------------------------------------------------------------------------------------------
def depth_twins(scene: Scene, other: Scene) -> dict[str, READ_DEPTH]:
    def own(i: int) -> np.ndarray:
        return scene.disparity(i)[0]

    low, high = np.quantile(own(0), [0.02, 0.98])
    unit = float(np.median(own(0)) / np.median(other.disparity(0)[0]))
    middle = np.full_like(own(0), np.median(own(0)))
    return {
        "as it is": own,
        "inverted": lambda i: low + high - np.clip(own(i), low, high),
        "1.3 times as far": lambda i: own(i) / 1.3,
        "flat": lambda i: middle,
        "noise of 30 %": lambda i: own(i) * np.exp(smooth_noise(scene.size, 0.3, i)[..., 0]),
        f"of {clip_of(other)}": lambda i: (
            cv2.resize(other.disparity(i % other.n_frames)[0], scene.size[::-1]) * np.float32(unit)
        ),
        "in reverse order": lambda i: own(scene.n_frames - 1 - i),
    }


def true_depth_error(scene: Scene, truths: Path, read: READ_DEPTH, given: bool, frames: Sequence[int]) -> float:
    at = read_npz(scene.pixel_map_path, ["map"])["map"].astype(np.float32)
    size = scene.ingest_result.height, scene.ingest_result.width
    products = []
    for i in frames:
        file = truths / clip_of(scene) / "truth" / "depth" / f"{i:05d}.npz"
        if file.exists():
            depth = read_npz(file, ["depth"])["depth"].astype(np.float32)
            depth = cv2.resize(depth, size[::-1], interpolation=cv2.INTER_NEAREST)
            true = cv2.remap(depth, at - 0.5, None, cv2.INTER_NEAREST)  # type: ignore[call-overload]
        else:
            true = 1 / np.maximum(scene.disparity(i)[0], 1e-9)
        products.append((read(i) * true)[true > 0][::7])
    product = np.concatenate(products)
    unit = 1.0 if given else float(np.median(product))
    return float(np.median(np.abs(unit / np.maximum(product, 1e-9) - 1)))


def depth_cases(scene: Scene, other: Scene, truths: Path) -> list[Case]:
    given, metric = scene.ingest_result.given.cameras, scene.depth_result().metric
    frames = [int(i) for i in np.unique(np.linspace(0, scene.n_frames - 1, PAIRS).astype(int))]
    moving = scene.motion_mask
    cases, pairs = [], list(flow_pairs(FlowCache(scene.flow), scene.n_frames))
    # A scale that estimated cameras leave open is no error; the unit of the depth that is there is taken as the right
    # one, so that a twin of another unit is wrong.
    unknown = not (truths / clip_of(scene) / "truth").is_dir()
    products = 1.0 if given or unknown else unit_of(scene, truths, frames)
    for name, read in depth_twins(scene, other).items():
        if unknown and name == "as it is":
            continue
        found = depth_signs.parallax_of_depth(scene.cameras, pairs, read, moving, metric)
        judged = depth_signs.judged_by_parallax({"verdict": "good", "message": "", "metric": metric}, found)
        error = true_depth_error(scene, truths, lambda i, read=read: read(i) / products, True, frames)  # type: ignore[misc]
        sign = 1.0 if found is None else found.error
        good = error <= DEPTH_GOOD
        cases.append(Case(scene.root.name, name, error, sign, judged["verdict"], judged["message"], good))
    return cases


def unit_of(scene: Scene, truths: Path, frames: Sequence[int]) -> float:
    """Disparity of the scene over the true one, median."""
    ratios = []
    at = read_npz(scene.pixel_map_path, ["map"])["map"].astype(np.float32)
    for i in frames:
        depth = read_npz(truths / clip_of(scene) / "truth" / "depth" / f"{i:05d}.npz", ["depth"])["depth"]
        true = cv2.remap(depth.astype(np.float32), at - 0.5, None, cv2.INTER_NEAREST)  # type: ignore[call-overload]
        ratios.append((scene.disparity(i)[0] * true)[true > 0][::7])
    return float(np.median(np.concatenate(ratios)))


# --- objects ---------------------------------------------------------------------------------------------------------
def objects_of(scene: Scene) -> list[np.ndarray]:
    if scene.path(OBJECTS).is_dir():
        return [labels > 0 for labels in read_objects(scene)]
    return [
        cv2.imread(str(scene.masks_crf_dir / labels_name(i)), cv2.IMREAD_UNCHANGED) > 0 for i in range(scene.n_frames)
    ]


def object_cases(scene: Scene, other: Scene, truths: Path) -> list[Case]:
    masks, truth = objects_of(scene), canonical_truth(scene, clip_of(scene), truths)
    twins = mask_twins(masks, objects_of(other), clip_of(other))
    cases = []
    for name, twin in [*twins, ("all that is no object", [~mask for mask in masks])]:
        numbers = describe_masks(scene, [mask.astype(np.uint8) for mask in twin], range(scene.n_frames))
        verdict, words = judge(numbers)
        wrong, agreement = 1 - jaccard(twin, truth), numbers["motion_agreement"]
        assert isinstance(agreement, dict)
        good = wrong <= 1 - OBJECTS_GOOD
        cases.append(Case(scene.root.name, name, wrong, 1 - agreement["overlap"], verdict, words, good))
    return cases


# --- the tables ------------------------------------------------------------------------------------------------------
CAUSES = {
    "inverted": "exchanged",
    "1.3 times as far": "unit is off",
}
"""Words that name the cause of a twin; of others those of its subject."""
CAUSE = {"flow": "other frames", "depth": "other frames", "objects": "stands still"}
OBJECT_CAUSES = {"empty": "No object", "left half missing": "is on no object"}


BOUNDS = {"flow": 1 - flow_signs.EXPLAINED[0], "depth": depth_signs.ERROR[0], "objects": 1 - AGREEING[0]}
"""Bounds in use on the sign of each subject."""


def chosen_bound(cases: Sequence[Case]) -> float:
    """The bound on the sign with the most right verdicts, in the middle of all that are as good."""
    grid = np.linspace(0.01, 0.99, 197)
    right = [sum((case.sign <= bound) == case.truly_good for case in cases) for bound in grid]
    return float(np.median(grid[np.array(right) == max(right)]))


def print_cases(subject: str, cases: Sequence[Case]) -> list[dict[str, object]]:
    kept: list[dict[str, object]] = []
    rows, good, elsewhere_good, named = [], [0, 0], [0, 0], [0, 0]
    for clip in dict.fromkeys(re.sub(r"(own)?\d*$", "", case.clip) for case in cases):
        others = [case for case in cases if not case.clip.startswith(clip)]
        bound = chosen_bound(others) if others else float("nan")
        for case in (case for case in cases if case.clip.startswith(clip)):
            left_out = case.sign <= bound
            for counts, called in ((good, case.verdict == "good"), (elsewhere_good, left_out)):
                counts[0] += called and case.truly_good
                counts[1] += called
            said = None
            if case.verdict == "poor" and not case.name.startswith("as "):
                words = OBJECT_CAUSES if subject == "objects" else CAUSES
                said = words.get(case.name, CAUSE[subject]) in case.words
                named[0] += said
                named[1] += 1
            # Other signs stay as they are: only what the bound says is chosen anew.
            without = "good" if left_out and (case.verdict == "good" or case.sign > BOUNDS[subject]) else "not good"
            kept.append(kept_case(subject, clip, case.name, case.truly_good, case.verdict, without, said))
            rows.append([
                case.clip, case.name, f"{case.error:.3f}", f"{case.sign:.3f}", "good" if case.truly_good else "bad",
                case.verdict, f"{'good' if left_out else 'not good'} ({bound:.2f})",
            ])  # fmt: skip
    print(markdown([f"{subject} of", "twin", "true error", "sign", "truly", "verdict", "without the clip"], rows))
    truly = sum(case.truly_good for case in cases)
    print(f"{subject}: {len(cases)} cases, {truly} truly good. Good is right in {good[0]} of {good[1]} (bound in use), "
          f"{elsewhere_good[0]} of {elsewhere_good[1]} (chosen without the clip)")  # fmt: skip
    print(f"poor names the cause in {named[0]} of {named[1]}\n")
    return kept


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenes", nargs="+", type=Path, metavar="DIR")
    parser.add_argument("--truth", type=Path, default=ROOT.parent / "shared" / "scenes", metavar="DIR")
    parser.add_argument("--only", choices=("flow", "depth", "objects"))
    parser.add_argument("--cases", type=Path, metavar="FILE", help="add the verdicts to this file, one a line")
    given = parser.parse_args()
    kept = []
    scenes = [Scene(path) for path in given.scenes]
    for subject, cases_of, there in (
        ("flow", flow_cases, lambda scene: scene.raw_flow_dir.is_dir()),
        ("depth", depth_cases, lambda scene: scene.depth_dir.is_dir()),
        ("objects", object_cases, lambda scene: scene.masks_crf_dir.is_dir() or scene.path(OBJECTS).is_dir()),
    ):
        usable = [scene for scene in scenes if there(scene)]
        if given.only in (None, subject):
            cases = []
            for scene in usable:
                other = next((one for one in usable if clip_of(one) != clip_of(scene)), scene)
                cases += cases_of(scene, other, given.truth)
            kept += print_cases(subject, cases)
    if given.cases:
        add_cases(given.cases, kept)


if __name__ == "__main__":
    main()
