"""Constants of objects by motion, chosen without the clip that they are judged on.

Reads scenes that any_clip.py has prepared up to depth, or --given ones. Each constant takes some values, all others as
they are; for every value and clip the moving pixels of a few frames are compared with the truth (Jaccard, before
regions become objects). For each clip the value is chosen that is best on the mean of the other clips, and the table
has the clip's score with it, beside that of the value in use. A constant in use that was chosen on a clip is no test
of it; the left-out column is.

With --grouping the constants are those by which regions become objects, and all frames are scored: the Jaccard of the
true objects, less the share of the picture that others take, and where the truth has several things the mean of that
and fg-ARI.

    python scripts/benchmarks/objects_leave_one_out.py --flow raft --work results/any_clip --only davis-dog flag toss
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import numpy as np
from _clip_objects import score_objects
from _root import ROOT
from _scenes import markdown
from any_clip import CLIPS, canonical_labels

from nsff.decompose.motion_groups import grouping, moving_pixels, track_graph
from nsff.decompose.motion_groups.moving_pixels import (
    Clip,
    Gathered,
    MovingPixels,
    add_up,
    colour_evidence,
    find_moving_pixels,
    gather,
    moving_tracks,
)
from nsff.decompose.motion_groups.stage import read_clip
from nsff.scene import Scene

CANDIDATES: dict[tuple[ModuleType, str], tuple[float, ...]] = {
    (moving_pixels, "PRIOR"): (-1.0, -0.5, 0.0),
    (moving_pixels, "COLOURS"): (0.25, 0.5, 1.0),
    (moving_pixels, "REACH"): (4.0, 6.0, 8.0),
    (moving_pixels, "SHADOW_REACH"): (5.0, 8.0, 12.0),
    (track_graph, "BOUND"): (0.15, 0.3, 0.5),
}
GROUPING: dict[tuple[ModuleType, str], tuple[float, ...]] = {
    (grouping, "COVERED"): (0.15, 0.3, 0.5),
    (grouping, "LEAST_SHARE"): (0.00025, 0.0005, 0.001),
    (grouping, "SHARED"): (0.05, 0.1, 0.2),
    (grouping, "MIN_SHARE_APART"): (0.15, 0.25, 0.4),
    (grouping, "GAP"): (6, 12, 18),
    (grouping, "LIKE"): (0.5, 0.6, 0.75),
}


@contextmanager
def exchanged(module: ModuleType, name: str, value: float) -> Iterator[None]:
    """A constant of a module with another value for a while."""
    before = getattr(module, name)
    setattr(module, name, value)
    try:
        yield
    finally:
        setattr(module, name, before)


def pixel_jaccard(clip: Clip, gathered: Gathered, truth: list[np.ndarray], frames: list[int]) -> float:
    """Mean Jaccard of the moving pixels of some frames."""
    moving, along = moving_tracks(gathered, len(clip))
    colours = colour_evidence(clip, gathered)
    found = []
    for i in frames:
        mask, true = add_up(clip, gathered, moving, along, colours, i)[0] > 0, truth[i] > 0
        if true.any():
            found.append((mask & true).sum() / (mask | true).sum())
    return float(np.mean(found))


def by_value(
    constants: dict[tuple[ModuleType, str], tuple[float, ...]], score: Callable[[], float]
) -> dict[str, dict[float, float]]:
    """The score by the constant's name and value."""
    in_use = score()
    result: dict[str, dict[float, float]] = {}
    for (module, name), values in constants.items():
        result[name] = {}
        for value in values:
            if value == getattr(module, name):
                result[name][value] = in_use
            else:
                with exchanged(module, name, value):
                    result[name][value] = score()
    return result


def scores_of(clip: Clip, gathered: Gathered, truth: list[np.ndarray], count: int) -> dict[str, dict[float, float]]:
    """Jaccard by the constant's name and value."""
    frames = [int(i) for i in np.unique(np.linspace(1, len(clip) - 2, count).astype(int))]
    return by_value(CANDIDATES, lambda: pixel_jaccard(clip, gathered, truth, frames))


def grouping_score(clip: Clip, moving: MovingPixels, truth: list[np.ndarray]) -> float:
    """How well all objects of a clip meet the truth: see the beginning of this file."""
    scores = score_objects(grouping.group_objects(clip, moving), truth)
    whole = scores.jaccard - sum(scores.false.values())
    return whole if np.isnan(scores.fg_ari) else (whole + scores.fg_ari) / 2


def grouping_scores(clip: Clip, moving: MovingPixels, truth: list[np.ndarray]) -> dict[str, dict[float, float]]:
    """``grouping_score`` by the constant's name and value."""
    return by_value(GROUPING, lambda: grouping_score(clip, moving, truth))


def left_out_table(
    scores: dict[str, dict[str, dict[float, float]]], constants: dict[tuple[ModuleType, str], tuple[float, ...]]
) -> str:
    """``scores`` by clip, constant and value. A row a constant: the value in use; by clip the Jaccard with it, and with
    the value that is best on the other clips, where that is another one."""
    clips = list(scores)
    rows = []
    for (module, name), values in constants.items():
        used = getattr(module, name)
        row = [name, f"{used:g}", ", ".join(f"{v:g}" for v in values)]
        gains = []
        for clip in clips:
            others = [scores[other][name] for other in clips if other != clip]
            best = max(values, key=lambda value: (np.mean([one[value] for one in others]), value == used))
            own = scores[clip][name]
            gains.append(own[best])
            row.append(f"{own[used]:.3f}" + (f"; {own[best]:.3f} ({best:g})" if best != used else ""))
        rows.append([*row, f"{np.mean([scores[c][name][used] for c in clips]):.3f}", f"{np.mean(gains):.3f}"])
    return markdown(["constant", "in use", "tried", *clips, "mean, in use", "mean, left out"], rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=Path, default=ROOT.parent / "shared" / "scenes", metavar="DIR")
    parser.add_argument("--work", type=Path, default=ROOT / "results" / "any_clip", metavar="DIR")
    parser.add_argument("--flow", choices=("dis", "raft"), default="raft")
    parser.add_argument("--only", nargs="+", choices=CLIPS, default=CLIPS, metavar="CLIP")
    parser.add_argument(
        "--given",
        nargs="*",
        default=[],
        metavar="CLIP=FOLDER",
        help="scenes with priors from elsewhere: flag=results/flag",
    )
    parser.add_argument("--frames", type=int, default=4, help="so many frames of each clip (default: 4)")
    parser.add_argument("--grouping", action="store_true", help="constants by which regions become objects")
    given = parser.parse_args()
    folders = {clip: given.work / given.flow / clip for clip in given.only}
    folders |= {clip: Path(folder) for clip, folder in (one.split("=", 1) for one in given.given)}
    scores = {}
    for clip, folder in folders.items():
        scene = Scene(folder)
        if not scene.depth_dir.is_dir():
            print(f"{clip}: no depth in {folder}; run any_clip.py first", flush=True)
            continue
        read = read_clip(scene)
        truth = canonical_labels(scene, clip, given.scenes)
        scores[clip] = (
            grouping_scores(read, find_moving_pixels(read), truth)
            if given.grouping
            else scores_of(read, gather(read), truth, given.frames)
        )
        print(clip, scores[clip], flush=True)
    print(left_out_table(scores, GROUPING if given.grouping else CANDIDATES))


if __name__ == "__main__":
    main()
