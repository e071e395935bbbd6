"""Does the score without truth (protocol refit) rank runs as the truth does? Runs of prepared scenes, and runs that are
worse on purpose, each trained for a few steps at a reduced size on the CPU.

A scene is a folder with all stages up to depth done, named after the clip. Runs: as they are; trained for a sixth of
the steps; poses jittered by 2 or 0.5 % of the path; 1.5 times the focal length; depth inverted, flat, or with noise of
30 %; no motion masks, or half of them; flow of another clip; fewer Gaussians; Gaussians that are seen four times as
long. What is printed beside each: PSNR by the truth, of the frames that refit leaves out, and of frames that the run
was trained on, whole and where it moves; verdict and truth against the baselines. The score of a run is the lower of
refit and trained. Last, rank correlations (Spearman) with the truth, for each scene and over all: of the whole picture,
and of what moves, by the score of what moves and by that of the whole picture. Bounds on what motion masks miss are
chosen once more for each scene on the others. --cases FILE keeps the verdicts for verdict_table.py.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any
from unittest.mock import patch

import cv2
import numpy as np
import torch
from _root import ROOT
from _scenes import markdown
from _verdicts import kept_case
from camera_verdicts import focal
from scipy.stats import spearmanr
from stage_verdicts import smooth_noise

from nsff.cameras import Cameras
from nsff.cameras.align import extent
from nsff.config import SceneConfig, resolve_scene
from nsff.datasets.truth_registry import open_truth
from nsff.imaging.resizing import resize_flow, resize_frame
from nsff.metrics import verdicts
from nsff.metrics.images import score_images
from nsff.metrics.protocols import REFIT, Protocol, get_protocol, held_out_frames
from nsff.metrics.reduced import ReducedScene
from nsff.metrics.refit import carried_records, left_out_every, refit_settings, train_again
from nsff.metrics.refit_signs import mask_numbers
from nsff.metrics.table import Row, average
from nsff.metrics.targets import Target, frame_numbers, self_targets, truth_targets
from nsff.metrics.verdicts import COPIES, describe_refit
from nsff.models.base import SceneModel
from nsff.rendering.renderer import Renderer
from nsff.scene import Scene

PROTOCOLS = {"toss": "nsff24", "flag": "nsff24", "balloon1": "dynnerf12", "demo": "views"}
RUNS: dict[str, tuple[str, float, dict[str, Any]]] = {
    "as it is": ("", 1, {}),
    "a sixth of the steps": ("", 1 / 6, {}),
    "poses 0.5 %": ("poses 0.005", 1, {}),
    "poses 2 %": ("poses 0.02", 1, {}),
    "focal 1.5": ("focal", 1, {}),
    "depth inverted": ("inverted", 1, {}),
    "depth flat": ("flat", 1, {}),
    "depth noise": ("noise", 1, {}),
    "no masks": ("no masks", 1, {}),
    "half masks": ("half masks", 1, {}),
    "foreign flow": ("flow", 1, {}),
    "thinning 4": ("", 1, {"thinning": 4.0}),
    "span 2.8": ("", 1, {"span": 2.8}),
}
"""The damage to the data, the share of the steps, options."""


@dataclass(frozen=True)
class Broken(ReducedScene):
    """A reduced scene of which one prior is wrong."""

    change: str = ""
    other: Path = Path()

    @cached_property
    def cameras(self) -> Cameras:
        own = super().cameras
        if self.change == "focal":
            return focal(own)
        if self.change.startswith("poses"):
            poses = own.world_to_camera.copy()
            strength = float(self.change.split()[1]) * extent(own.centres)
            poses[:, :, 3] += np.random.default_rng(0).normal(0, strength, (len(own), 3))
            return replace(own, world_to_camera=poses)
        return own

    def disparity(self, i: int) -> tuple[np.ndarray, np.ndarray]:
        d, confidence = super().disparity(i)
        low, high = np.quantile(d, [0.02, 0.98])
        changed = {
            "inverted": low + high - d.clip(low, high),
            "flat": np.full_like(d, np.median(d)),
            "noise": d * np.exp(smooth_noise(d.shape, 0.3, i)[..., 0]),
        }
        return changed.get(self.change, d).astype(np.float32), confidence

    def motion_mask(self, i: int) -> np.ndarray:
        mask = super().motion_mask(i)
        if self.change == "no masks":
            return np.zeros_like(mask)
        if self.change == "half masks" and mask.any():
            return mask & (np.arange(mask.shape[1]) > np.median(np.nonzero(mask)[1]))
        return mask

    def flow(self, i: int, direction: str) -> tuple[np.ndarray, np.ndarray]:
        if self.change != "flow":
            return super().flow(i, direction)
        other = Scene(self.other)
        first = 1 if direction == "bwd" else 0
        flow, mask = other.flow(first + (i - first) % (other.n_frames - 1), direction)
        return resize_flow(flow, self.size), resize_frame(mask.astype(np.uint8), self.size) > 0


def psnr_of(
    scene: Scene, config: SceneConfig, protocol: Protocol, targets: list[Target], model: SceneModel, folder: Path
) -> dict[str, float]:
    """PSNR by variant and region, such as raw/full."""
    records = score_images(scene, config, protocol, targets, Renderer(model), folder, None).records
    return {f"{r.variant}/{r.split}": r.value for r in average(records, protocol, scene.name) if r.metric == "psnr"}


def carried_psnr(scene: Scene, targets: list[Target]) -> dict[str, float]:
    rows = average(carried_records(scene, targets), REFIT, scene.name)
    return {f"{r.variant}/{r.split}": r.value for r in rows if r.metric == "psnr"}


def sized(target: Target) -> Target:
    """The target with its truth at the size that is drawn."""

    def image() -> np.ndarray | None:
        picture = target.image()
        return None if picture is None else resize_frame(picture, target.size)

    def dynamic() -> np.ndarray | None:
        mask = target.dynamic()
        if mask is None:
            return None
        return cv2.resize(mask.astype(np.float32), target.size[::-1], interpolation=cv2.INTER_AREA) >= 0.5

    return replace(target, image=image, dynamic=dynamic, reference_image=_nothing, reference_dynamic=_nothing)


def _nothing() -> None:
    return None


def measure(folder: Path, other: Path, name: str, given: argparse.Namespace) -> dict[str, Any]:
    """All figures of one run."""
    change, share, options = RUNS[name]
    settings = {"preset": "fast", "input": {"path": "x"}, "model": {"kind": "gaussians", "options": options}}
    config = resolve_scene("x", {**settings, "score": {"refit_steps": given.refit}}, "fast", {}, [])
    scene = Broken(folder, given.rows, frozenset(), change, other)
    again = refit_settings(config, scene.n_frames)
    whole = again.train.model_copy(update={"hold_out": 0, "steps": max(1, round(share * given.steps))})
    main = again.model_copy(update={"train": whole})
    model = train_again(scene, main)
    protocol = get_protocol(PROTOCOLS[folder.name])
    truth = open_truth(protocol.name, given.truth / folder.name, frame_numbers(scene))
    views = [view for view in truth_targets(scene, config, protocol, truth).views if view.split != "training"]
    few = [sized(views[k]) for k in np.unique(np.linspace(0, len(views) - 1, min(len(views), given.views)).astype(int))]
    carried = carried_psnr(scene, self_targets(scene, again).views)
    still = replace(protocol, refined=False)
    held = frozenset(held_out_frames(scene.n_frames, left_out_every(scene.n_frames)))
    second = train_again(replace(scene, hidden=held), again)
    left_out = self_targets(scene, again).views
    pictures = given.out / "pictures" / f"{folder.name} {name}"
    return {
        "scene": folder.name, "run": name,
        "truth": psnr_of(scene, main, still, few, model, pictures / "truth"),
        "refit": psnr_of(scene, again, REFIT, left_out, second, pictures / "refit") | carried,
        "trained": psnr_of(scene, main, REFIT, left_out, model, pictures / "trained"),
        "numbers": mask_numbers(scene, sorted(held)),
    }  # fmt: skip


def margin(psnr: dict[str, float]) -> float:
    """dB above the better baseline, in the worse of both regions; what has no moving region counts as a whole."""
    gains = []
    for region, baselines in (("full", COPIES), ("dynamic", ("static", *COPIES))):
        known = [psnr[f"{name}/{region}"] for name in baselines if f"{name}/{region}" in psnr]
        if known and f"raw/{region}" in psnr:
            gains.append(psnr[f"raw/{region}"] - max(known))
    return min(gains)


def verdict_of(row: dict[str, Any]) -> tuple[str, str]:
    """The verdict of the score stage on these figures, and its words."""
    psnr = row["refit"] | {"trained/full": row["trained"]["raw/full"]}
    rows = [Row("", REFIT.name, *name.split("/", 1), "psnr", value) for name, value in psnr.items()]
    return describe_refit([*rows, Row("", REFIT.name, "raw", "full", "count", 1.0)], row["numbers"])


CAUSES = {"poses": "look at cameras and depth", "focal": "look at cameras and depth",
          "depth": "look at cameras and depth", "no masks": "look at the motion masks",
          "half masks": "look at the motion masks", "foreign flow": "look at flow", "a sixth": "too short"}  # fmt: skip
"""Words that name what is wrong with a run, by the beginning of its name."""
GRID = tuple(product(np.arange(0.1, 1, 0.05), np.arange(0.02, 0.5, 0.02)))
"""Bounds on what masks miss that are tried, and on the share of the picture that this may be."""


def with_bounds(row: dict[str, Any], bounds: tuple[float, float]) -> str:
    with patch.multiple(verdicts, MISSED=bounds[0], LITTLE=bounds[1]):
        return verdict_of(row)[0]


def chosen_bounds(rows: Sequence[dict[str, Any]]) -> tuple[float, float]:
    """The bounds with the most right verdicts, in the middle of all that are as good."""
    right = [sum((with_bounds(r, one) == "good") == (margin(r["truth"]) > 0) for r in rows) for one in GRID]
    best = [one for one, count in zip(GRID, right, strict=True) if count == max(right)]
    missed, little = np.median(best, axis=0)
    return float(missed), float(little)


def report(rows: Sequence[dict[str, Any]]) -> list[dict[str, object]]:
    table, scores, kept = [], [], []
    elsewhere = {
        scene: chosen_bounds([row for row in rows if row["scene"] != scene]) for scene in {row["scene"] for row in rows}
    }
    for row in rows:
        truth, refit, trained = (row[part] for part in ("truth", "refit", "trained"))
        score = min(refit["raw/full"], trained["raw/full"])
        moving = min(part.get("raw/dynamic", np.nan) for part in (refit, trained))
        scores.append((row["scene"], truth["raw/full"], score, truth.get("raw/dynamic", np.nan), moving))
        parts = [(part, region) for region in ("full", "dynamic") for part in (truth, refit, trained)]
        figures = [f"{part.get(f'raw/{region}', np.nan):.2f}" for part, region in parts]
        above = "above" if margin(truth) > 0 else "below"
        level, words = verdict_of(row)
        cause = next((text for start, text in CAUSES.items() if row["run"].startswith(start)), None)
        named = cause in words if cause and level == "poor" else None
        left_out = with_bounds(row, elsewhere[row["scene"]])
        kept.append(kept_case("views", row["scene"], row["run"], above == "above", level, left_out, named))
        table.append([row["scene"], row["run"], *figures, above, level])
    head = ["scene", "run", "truth", "refit", "trained", "moving: truth", "refit", "trained", "baselines", "verdict"]
    print(markdown(head, table))
    for scene in [*dict.fromkeys(row["scene"] for row in rows), "all"]:
        mine = np.array([line[1:] for line in scores if scene in (line[0], "all")])
        if len(mine) > 2:
            whole, part, other = (
                spearmanr(mine[:, a], mine[:, b], nan_policy="omit").statistic for a, b in ((0, 1), (2, 3), (2, 1))
            )
            print(
                f"{scene}: {len(mine)} runs, rank correlation {whole:.2f}, where it moves {part:.2f}, "
                f"{other:.2f} by the whole picture"
            )
    good = [line[-1] == "good" for line in table]
    right = sum(g and line[-2] == "above" for g, line in zip(good, table, strict=True))
    print(f"good is right in {right} of {sum(good)}; {sum(line[-2] == 'above' for line in table)} are truly good")
    return kept


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenes", nargs="+", type=Path, metavar="DIR")
    parser.add_argument("--truth", type=Path, default=ROOT.parent / "shared" / "scenes", metavar="DIR")
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "refit_ranks", metavar="DIR")
    parser.add_argument("--only", nargs="+", choices=tuple(RUNS), default=tuple(RUNS), metavar="RUN")
    parser.add_argument("--rows", type=int, default=54, help="height of the pictures (default: 54)")
    parser.add_argument("--steps", type=int, default=50, help="of a run (default: 50)")
    parser.add_argument("--refit", type=int, default=30, help="of the second training (default: 30)")
    parser.add_argument("--views", type=int, default=6, help="of the truth that are drawn (default: 6)")
    parser.add_argument("--cases", type=Path, metavar="FILE", help="keep the verdicts in this file, one a line")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    path = given.out / "runs.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    for name in given.only:
        for k, folder in enumerate(given.scenes):
            if not any((row["scene"], row["run"]) == (folder.name, name) for row in rows):
                rows.append(measure(folder, given.scenes[(k + 1) % len(given.scenes)], name, given))
                with path.open("a") as file:
                    file.write(json.dumps(rows[-1]) + "\n")
    kept = report(rows)
    if given.cases:
        given.cases.write_text("".join(json.dumps(line) + "\n" for line in kept))


if __name__ == "__main__":
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    main()
