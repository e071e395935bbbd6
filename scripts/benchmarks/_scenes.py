"""Scenes that the benchmarks of cameras and motion share, prepared from pixels alone, and their truth.

A scene is worked on as the workflow does it (ingest, flow, coarse masks, structure from motion, canonical frames), with
default settings and cameras estimated, below ``work``; what a finished earlier run left there is taken as it is.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
from _root import ROOT

from nsff.cameras import Cameras
from nsff.config import CanonicalConfig, FlowConfig, InputConfig, MotionConfig, SfmConfig
from nsff.files.io import read_json, read_mask, read_npz, write_json
from nsff.scene import Scene

NAMES = ("demo", "toss", "davis-train")


def arguments(description: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=Path, default=ROOT.parent / "shared" / "scenes", metavar="DIR",
                        help="folder with demo/, toss/ and davis-train/ (default: ../shared/scenes)")  # fmt: skip
    parser.add_argument("--work", type=Path, default=ROOT / "results" / "benchmarks", metavar="DIR",
                        help="where scenes are prepared (default: results/benchmarks)")  # fmt: skip
    parser.add_argument("--only", nargs="+", choices=NAMES, default=NAMES, help="these scenes (default: all)")
    return parser.parse_args()


def prepared(name: str, scenes: Path, work: Path) -> Scene:
    """The scene with estimated cameras and canonical flow; ``seconds.json`` below it holds the time of each stage."""
    from nsff.datasets.ingest import run_ingest
    from nsff.priors.canonical.stage import run_canonical
    from nsff.priors.flow.stage import run_flow
    from nsff.priors.motion.stage import run_coarse_masks
    from nsff.priors.sfm.stage import run_sfm

    scene = Scene(work / name)
    times = scene.path("seconds.json")
    if times.exists():
        return scene
    source = scenes / name / "video.mp4" if name == "demo" else scenes / name
    seconds: dict[str, float] = {}
    for stage, run in (
        ("ingest", lambda: run_ingest(scene, InputConfig(path=str(source), cameras="estimate"))),
        ("flow", lambda: run_flow(scene, FlowConfig(), CanonicalConfig().resize_height)),
        ("coarse_masks", lambda: run_coarse_masks(scene, MotionConfig())),
        ("sfm", lambda: run_sfm(scene, SfmConfig())),
        ("cameras", lambda: run_canonical(scene, CanonicalConfig())),
    ):
        start = time.monotonic()
        run()
        seconds[stage] = round(time.monotonic() - start, 1)
    write_json(times, seconds)
    return scene


def true_cameras(name: str, scenes: Path, scene: Scene) -> Cameras | None:
    """Rendered truth for the frames of the scene, in metres; None where there is none."""
    path = scenes / name / "truth" / "cameras.json"
    if not path.exists():
        return None
    truth = json.loads(path.read_text())
    poses = {entry["id"]: np.array(entry["w2c"])[:3] for entry in truth["cameras"]}
    of_time = [camera for camera, _ in sorted(truth["mono"], key=lambda pair: pair[1])]
    order = [of_time[frame.index] for frame in scene.ingest_result.frames]
    n = len(order)
    return Cameras(
        np.tile(np.array(truth["K"], float), (n, 1, 1)), np.array([poses[camera] for camera in order]),
        np.tile([truth["near"], truth["far"]], (n, 1)), truth["width"], truth["height"],
    )  # fmt: skip


def true_motion(name: str, scenes: Path, scene: Scene) -> np.ndarray:
    """Masks of what moves in each canonical frame, (N,H,W) bool, brought there from the source's frames."""
    folder = {"demo": "demo/truth/labels", "toss": "toss/gt_masks", "davis-train": "davis-train/masks"}[name]
    pixel_map = read_npz(scene.pixel_map_path, ["map"])["map"].astype(np.float32)
    masks = []
    for i in range(scene.n_frames):
        path = scenes / folder / (f"training_{i:2d}.png" if name == "toss" else f"{i:05d}.png")
        mask = (read_mask(path) > 0).astype(np.uint8)
        size = scene.frame(i).shape[:2]
        if mask.shape != size:
            mask = cv2.resize(mask, size[::-1], interpolation=cv2.INTER_NEAREST)
        masks.append(cv2.remap(mask, pixel_map - 0.5, None, cv2.INTER_NEAREST) > 0)  # type: ignore[call-overload]
    return np.stack(masks)


def link(source: Path, target: Path, names: Iterable[str]) -> None:
    """Makes those of the files and folders below ``target`` that ``source`` has and ``target`` has not."""
    for name in names:
        if (source / name).exists() and not (target / name).exists():
            (target / name).symlink_to((source / name).resolve())


def markdown(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


__all__ = ["NAMES", "arguments", "link", "markdown", "prepared", "read_json", "true_cameras", "true_motion"]
