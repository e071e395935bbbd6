"""Depth of what moves: against rendered truth, and by its pixels seen from held-out cameras at the same time.

Scenes are taken as the workflow prepared them with given cameras (results/NAME: images, flow, motion_masks, cameras);
they are read, and depth is made anew below ``work``. The kind of a scene is the first word of its name: balloon1, toss
or demo, the last one with truth for its cameras' scale alone. NAME:disguised replaces the depth of toss by its truth,
disguised: a scale and a shift for each frame, a misread of 15 % from left to right, and what moves 0.7 times as near.

    python scripts/benchmarks/moving_depth.py --results results balloon1 toss_raft toss_raft:disguised demo

Held-out views: pixels on the motion mask of frame t are lifted with the depth of the maps and projected into the
held-out camera at time t; PSNR of their colours against the picture there. ``best factor`` is the one on inverse depth,
the same for all moving pixels of a frame, that gives the highest PSNR, and ``shift`` what it moves the pixels by: 1 and
0 for depth that is right. It is a diagnosis, which needs the held-out pictures.
"""

from __future__ import annotations

import argparse
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from _root import ROOT
from _scenes import link, markdown

from nsff.config import DepthConfig
from nsff.files.io import read_image, read_npz, write_npz
from nsff.priors.depth.stage import run_depth
from nsff.scene import Scene

METHODS: dict[str, dict[str, Any]] = {
    "no local factor, surroundings": {"align_local": False, "moving": "surroundings"},
    "local factor, surroundings": {"moving": "surroundings"},
    "least motion where determined": {"moving": "auto"},
    "least motion everywhere": {"moving": "least_motion"},
}
FACTORS = np.exp(np.linspace(np.log(0.5), np.log(2), 81))
READ = ("images", "flow", "motion_masks", "given", "manifest.json", "cameras.json", "points.npz")


def linked(source: Path, work: Path) -> Scene:
    """A scene that reads what ``source`` has and writes depth of its own."""
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    link(source, work, READ)
    return Scene(work)


def disguise(scene: Scene, truth: Path) -> None:
    """Given depth of a relative kind, wrong in the ways of networks."""
    random = np.random.default_rng(0)
    (scene.given_dir).unlink(missing_ok=True)
    across = np.linspace(1.15, 0.85, scene.size[1])
    for i in range(scene.n_frames):
        disparity = across / true_depth(truth, i)
        disparity[scene.motion_mask(i)] *= 0.7 * (1 + 0.03 * random.normal())
        disparity = (disparity - 0.03 * random.uniform(-1, 1)) * random.uniform(300, 3000)
        write_npz(scene.given_dir / "depth" / f"{i:05d}.npz", disparity=disparity.astype(np.float32))


def true_depth(truth: Path, i: int) -> np.ndarray:
    return read_npz(truth / "truth" / "depth" / f"{i:05d}.npz", ["depth"])["depth"].astype(np.float64)


def maps(scene: Scene) -> list[np.ndarray]:
    """Disparity of all frames; what the stage left relative is brought to scene units as it would have been."""
    summary = scene.summary("depth") or {}
    found = [scene.disparity(i)[0].astype(np.float64) for i in range(scene.n_frames)]
    if not summary["metric"]:
        found = [np.maximum(summary["scale"][i] * one + summary["shift"][i], 1e-4) for i, one in enumerate(found)]
    return found


def labels(kind: str, source: Path, i: int) -> np.ndarray | None:
    """Which thing each pixel belongs to, 0 for what is still."""
    path = {"toss": f"gt_masks/training_{i:2d}.png", "demo": f"truth/labels/{i:05d}.png"}.get(kind)
    if path is None:
        return None
    image = cv2.imread(str(source / path), cv2.IMREAD_UNCHANGED)
    return image if image.ndim == 2 else image[..., 0]


def against_truth(kind: str, source: Path, scene: Scene, disparity: list[np.ndarray]) -> dict[str, float]:
    """Mean |depth / true depth - 1| of every thing's pixels on the motion masks; of static pixels as ``static``."""
    errors: dict[str, list[np.ndarray]] = {}
    unit = 1.0
    if kind == "demo":
        ratios = [1 / (disparity[i] * true_depth(source, i))[~scene.motion_mask(i)] for i in range(scene.n_frames)]
        unit = float(np.median(np.concatenate(ratios)))
    for i in range(scene.n_frames):
        relative = np.abs(1 / (disparity[i] * true_depth(source, i) * unit) - 1)
        thing, moving = labels(kind, source, i), scene.motion_mask(i)
        assert thing is not None
        for one in np.unique(thing):
            name = "static" if one == 0 else f"thing {one}"
            errors.setdefault(name, []).append(relative[(thing == one) & (moving if one else ~moving)])
    return {name: float(np.concatenate(parts).mean()) for name, parts in errors.items()}


def held_out(kind: str, source: Path, scene: Scene) -> Iterator[tuple[int, int, np.ndarray]]:
    """(t, the frame whose camera sees it, picture in [0,1]) of views that no frame is."""
    width, height = scene.size[::-1]
    if kind == "balloon1":
        views = [(t, 0, source / "gt" / f"v000_t{t:03d}.png") for t in range(1, 6)]
    elif kind == "toss":
        folder = source / "dense" / "mv_images"
        views = [
            (t, c, path)
            for t in range(scene.n_frames)
            for c, path in enumerate(sorted((folder / f"{t:05d}").iterdir()))
            if c != t % 12
        ]
    else:
        views = []
    for t, c, path in views:
        image = read_image(path)
        yield t, c, cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA).astype(np.float32) / 255


def projected(scene: Scene, i: int, j: int, uv: np.ndarray, disparity: np.ndarray) -> np.ndarray:
    """Where frame j's camera sees pixels (u, v) of frame i."""
    points = scene.cameras.centres[i] + scene.cameras.rays(i, uv) / disparity[:, None]
    return scene.cameras[[j]].project(points)[0][0]


def psnr(scene: Scene, place: np.ndarray, colours: np.ndarray, picture: np.ndarray) -> float:
    """Of colours (K,3) at places (K,2) inside a picture; NaN where fewer than half lie inside."""
    height, width = scene.size
    inside = (place > 0.5).all(1) & (place < [width - 0.5, height - 0.5]).all(1)
    if inside.mean() < 0.5:
        return float("nan")
    # OpenCV's maps have at most 32,766 columns.
    at = np.pad((place[inside] - 0.5).astype(np.float32), ((0, -int(inside.sum()) % 1000), (0, 0)))
    seen = cv2.remap(picture, at.reshape(-1, 1000, 2), None, cv2.INTER_LINEAR)  # type: ignore[call-overload]
    error = np.mean((seen.reshape(-1, 3)[: inside.sum()] - colours[inside]) ** 2)
    return float(-10 * np.log10(max(error, 1e-10)))


def seen_elsewhere(
    scene: Scene, views: list[tuple[int, int, np.ndarray]], disparity: list[np.ndarray]
) -> dict[str, float]:
    """Means over the held-out views: PSNR as it is and with the best factor, that factor, shift."""
    rows = []
    for t, c, picture in views:
        moving = scene.motion_mask(t)
        v, u = np.nonzero(moving)
        uv, colours = np.stack([u, v], axis=1) + 0.5, scene.image(t)[moving].astype(np.float32) / 255
        places = [projected(scene, t, c, uv, disparity[t][moving] * factor) for factor in (1.0, *FACTORS)]
        values = [psnr(scene, place, colours, picture) for place in places]
        if np.isnan(values).all():
            continue
        best = int(np.nanargmax(values[1:]))
        shift = np.median(np.linalg.norm(places[1 + best] - places[0], axis=1))
        rows.append((values[0], values[1 + best], FACTORS[best], shift))
    mean = np.nanmean(rows, axis=0)
    return dict(zip(("psnr", "best_psnr", "best_factor", "shift"), mean.tolist(), strict=True))


def measured(name: str, results: Path, scenes: Path, work: Path) -> list[list[str]]:
    plain, _, disguised = name.partition(":")
    kind = plain.split("_")[0]
    source, rows = scenes / kind, []
    scene = linked(results / plain, work / name.replace(":", "_"))
    if disguised:
        disguise(scene, source)
    classical = not (scene.given_dir / "depth").is_dir()
    views = list(held_out(kind, source, scene))
    if kind == "toss":
        views = views[::3]
    for method, settings in METHODS.items():
        if classical and not settings.get("align_local", True):
            continue
        begin = time.perf_counter()
        run_depth(scene, DepthConfig(backend="classical" if classical else "given", **settings))
        seconds, summary, disparity = time.perf_counter() - begin, scene.summary("depth") or {}, maps(scene)
        rows.append([name, method, *_figures(kind, source, scene, views, disparity)])
        share = summary.get("least_motion_fraction")
        rows[-1] += ["–" if share is None else f"{share:.0%}", f"{seconds:.0f}"]
    if kind == "toss":
        exact = [1 / true_depth(source, i) for i in range(scene.n_frames)]
        rows.append([name, "truth", *_figures(kind, source, scene, views, exact), "–", "–"])
    return rows


def _figures(kind: str, source: Path, scene: Scene, views: list, disparity: list[np.ndarray]) -> list[str]:
    errors = {} if kind == "balloon1" else against_truth(kind, source, scene, disparity)
    row = [", ".join(f"{one} {value:.1%}" for one, value in errors.items()) or "–"]
    if not views:
        return [*row, "–", "–", "–", "–"]
    found = seen_elsewhere(scene, views, disparity)
    return [
        *row,
        f"{found['psnr']:.2f}",
        f"{found['best_psnr']:.2f}",
        f"{found['best_factor']:.2f}",
        f"{found['shift']:.1f}",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="+", metavar="NAME", help="prepared scenes below --results")
    parser.add_argument("--results", type=Path, default=ROOT / "results", metavar="DIR")
    parser.add_argument("--scenes", type=Path, default=ROOT.parent / "shared" / "scenes", metavar="DIR",
                        help="folder with balloon1/, toss/ and demo/ (default: ../shared/scenes)")  # fmt: skip
    parser.add_argument("--work", type=Path, default=ROOT / "results" / "benchmarks" / "moving", metavar="DIR")
    arguments = parser.parse_args()
    head = [
        "scene",
        "method",
        "error of depth",
        "PSNR",
        "with best factor",
        "best factor",
        "shift, px",
        "by least motion",
        "s",
    ]
    rows = [
        row for name in arguments.names for row in measured(name, arguments.results, arguments.scenes, arguments.work)
    ]
    print(markdown(head, rows))


if __name__ == "__main__":
    main()
