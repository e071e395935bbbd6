"""Optical flow against truth and against published flow: the tables of docs/benchmarks.md#optical-flow.

On `toss` (rendered; truth): end-point error in pixels and share of outliers (more than 3 px and 5 % off, as KITTI
counts), of pixels that are visible in both frames, static and moving ones apart, pooled over the pairs. On `balloon1`
(real; flow by raft-things that came with the data): median difference. Both at 480x270. RAFT runs where its weights are
found (nsff weights list), at 480x270 (flow.long_side: null) and with flow.long_side: 768, the default.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from _root import ROOT

from nsff.config import FlowConfig
from nsff.files.io import read_image, read_mask
from nsff.imaging.resizing import resize_flow, resize_frame
from nsff.priors.flow.registry import FLOW
from nsff.priors.flow.stage import seen_size
from nsff.priors.registries import known_weights
from nsff.weights import locate

METHODS = {
    "DIS": FlowConfig(backend="dis"),
    "raft-small, `long_side: null`": FlowConfig(backend="raft", raft_model="raft-small", long_side=None),
    "raft-small, `long_side: 768`": FlowConfig(backend="raft", raft_model="raft-small"),
    "raft-sintel, `long_side: null`": FlowConfig(backend="raft", raft_model="raft-sintel", long_side=None),
    "raft-sintel, `long_side: 768`": FlowConfig(backend="raft", raft_model="raft-sintel"),
    "raft-things, `long_side: null`": FlowConfig(backend="raft", raft_model="raft-things", long_side=None),
    "raft-things, `long_side: 768`": FlowConfig(backend="raft", raft_model="raft-things"),
}
SIZE = (270, 480)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=Path, default=ROOT.parent / "shared" / "scenes", metavar="DIR",
                        help="folder with toss/ and balloon1/ (default: ../shared/scenes)")  # fmt: skip
    parser.add_argument("--pairs", type=int, nargs="+", default=[0, 5, 11, 17, 22], metavar="I",
                        help="pairs (i, i+1) of toss (default: 0 5 11 17 22)")  # fmt: skip
    parser.add_argument("--real-pairs", type=int, nargs="+", default=[0, 6], metavar="I",
                        help="pairs (i, i+1) of balloon1 (default: 0 6)")  # fmt: skip
    arguments = parser.parse_args()
    toss, balloon = arguments.scenes / "toss", arguments.scenes / "balloon1"
    print(f"toss, pairs {_names(arguments.pairs)}\n")
    head = ["estimator", "static: error, px", "outliers", "moving: error, px", "outliers", "seconds a pair"]
    print(_row(head) + "\n" + _row(["---"] * len(head)))
    for name, config in _available():
        print(_row([name, *_against_truth(config, toss, arguments.pairs)]), flush=True)
    print(f"\nballoon1, pairs {_names(arguments.real_pairs)}: difference to the stored flow\n")
    head = ["estimator", "median, px", "median where the stored flow is consistent, px", "seconds a pair"]
    print(_row(head) + "\n" + _row(["---"] * len(head)))
    for name, config in _available():
        print(_row([name, *_against_stored(config, balloon, arguments.real_pairs)]), flush=True)


def _available() -> Iterator[tuple[str, FlowConfig]]:
    for name, config in METHODS.items():
        if config.backend != "raft" or locate(known_weights()[config.raft_model]) is not None:
            yield name, config


def _against_truth(config: FlowConfig, toss: Path, pairs: list[int]) -> list[str]:
    errors, outliers, moving, seconds = [], [], [], []
    for i in pairs:
        images = [read_image(toss / "dense" / "images" / f"{k:05d}.png") for k in (i, i + 1)]
        flow, took = _estimate(config, images)
        with np.load(toss / "truth" / "flow" / f"{i:05d}_fwd.npz", allow_pickle=False) as truth:
            true, seen = truth["flow"].astype(np.float32), truth["visible"]
        mask = read_mask(toss / "gt_masks" / f"training_{i:2d}.png") > 0
        error = np.linalg.norm(flow - true, axis=2)
        outlier = (error > 3) & (error > 0.05 * np.linalg.norm(true, axis=2))
        for values, found in ((errors, error), (outliers, outlier), (moving, mask)):
            values.append(found[seen])
        seconds.append(took)
    error, outlier, mask = (np.concatenate(values) for values in (errors, outliers, moving))
    cells = []
    for part in (~mask, mask):
        cells += [f"{error[part].mean():.2f}", f"{100 * outlier[part].mean():.1f} %"]
    return [*cells, f"{np.mean(seconds):.1f}"]


def _against_stored(config: FlowConfig, balloon: Path, pairs: list[int]) -> list[str]:
    differences, valid, seconds = [], [], []
    for i in pairs:
        images = [read_image(balloon / "images" / f"{k:03d}.png") for k in (i, i + 1)]
        flow, took = _estimate(config, images)
        with np.load(balloon / "flow" / f"{i:03d}_fwd.npz", allow_pickle=False) as stored:
            differences.append(np.linalg.norm(flow - stored["flow"].astype(np.float32), axis=2))
            valid.append(stored["mask"])
        seconds.append(took)
    difference, mask = np.stack(differences), np.stack(valid)
    return [f"{np.median(difference):.2f}", f"{np.median(difference[mask]):.2f}", f"{np.mean(seconds):.1f}"]


def _estimate(config: FlowConfig, images: list[np.ndarray]) -> tuple[np.ndarray, float]:
    """Flow at SIZE, as the flow stage makes it with a working height of 270, and how long it took."""
    estimator = FLOW.open(config)
    seen = seen_size(images[0].shape[:2], SIZE[0], config)
    start = time.monotonic()
    flow = estimator.estimate(*(resize_frame(image, seen) for image in images))
    return resize_flow(flow, SIZE), time.monotonic() - start


def _names(pairs: list[int]) -> str:
    return ", ".join(f"{i}-{i + 1}" for i in pairs)


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
