"""Depth of what moves against rendered truth, by what its error does in the other cameras of a rig: in pixels.

Pixels of the masks and of what truly moves are lifted with the depth of the maps and with the true one, and projected
into the other cameras (every second one); their distance there is the error. Cost: its square, at most 3^2, summed over
the pixels of a frame, the mean over frames. Prepared scenes (results/NAME with cameras, motion_masks, depth) are read;
the unit of estimated cameras is that of the static pixels.

    python scripts/benchmarks/moving_pixels.py results/toss ../shared/scenes/toss results/flag ../shared/scenes/flag
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
from _root import ROOT  # noqa: F401
from _scenes import markdown

from nsff.files.io import read_npz
from nsff.scene import Scene

MOST = 3.0
"""Pixels of error from which on it does not matter how large it is."""
RIG = 12
"""Cameras of the rig; that of frame t is t mod RIG."""


def regions(mask: np.ndarray, thing: np.ndarray) -> dict[str, np.ndarray]:
    """Pixels (H,W) by kind: inside of things and their rims (2 pixels) on the mask, what it lacks, what it has beside
    things (3 pixels) and elsewhere."""
    cell = np.ones((3, 3), np.uint8)
    inner, near = (
        cv2.erode(thing.astype(np.uint8), cell, iterations=2) > 0,
        cv2.dilate(thing.astype(np.uint8), cell, iterations=3) > 0,
    )
    return {
        "inside": thing & mask & inner,
        "rim": thing & mask & ~inner,
        "missed": thing & ~mask,
        "beside": ~thing & mask & near,
        "still": ~thing & mask & ~near,
    }


def truth(source: Path, scene: Scene) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Inverse depth in the scene's unit, and the number of the thing of each pixel (0: still), of all frames."""
    depth, things, units = [], [], []
    for i in range(scene.n_frames):
        z = read_npz(source / "truth" / "depth" / f"{i:05d}.npz", ["depth"])["depth"].astype(np.float64)
        depth.append(1 / cv2.resize(z, scene.size[::-1], interpolation=cv2.INTER_NEAREST))
        image = cv2.imread(str(source / "gt_masks" / f"training_{i:2d}.png"), cv2.IMREAD_UNCHANGED)
        assert image is not None, f"{source} has no gt_masks of frame {i}"
        image = image if image.ndim == 2 else image[..., 0]
        things.append(cv2.resize(image, scene.size[::-1], interpolation=cv2.INTER_NEAREST))
        units.append(np.median((scene.disparity(i)[0] / depth[-1])[~scene.motion_mask(i)]))
    unit = float(np.median(units))
    return [one * unit for one in depth] if abs(unit - 1) > 0.05 else depth, things


def seen(scene: Scene, t: int, c: int, uv: np.ndarray, disparity: np.ndarray) -> np.ndarray:
    points = scene.cameras.centres[t] + scene.cameras.rays(t, uv) / disparity[:, None]
    return scene.cameras[[c]].project(points)[0][0]


def measured(scene: Scene, source: Path) -> list[list[str]]:
    exact, things = truth(source, scene)
    errors: dict[tuple[str, int], list[np.ndarray]] = {}
    for t in range(scene.n_frames):
        disparity = scene.disparity(t)[0].astype(np.float64)
        others = [c for c in range(min(RIG, scene.n_frames)) if c != t % RIG][::2]
        for kind, region in regions(scene.motion_mask(t), things[t] > 0).items():
            v, u = np.nonzero(region)
            uv = np.stack([u, v], axis=1) + 0.5
            distance = [
                np.linalg.norm(
                    seen(scene, t, c, uv, disparity[region]) - seen(scene, t, c, uv, exact[t][region]), axis=1
                )
                for c in others
            ]
            error = np.minimum(np.nan_to_num(distance, nan=50), 50).mean(0)
            for thing in np.unique(things[t][region]):
                errors.setdefault((kind, int(thing)), []).append(error[things[t][region] == thing])
    rows, total = [], 0.0
    for (kind, thing), parts in sorted(errors.items()):
        every = np.concatenate(parts)
        cost = float(np.minimum(every, MOST).astype(float) @ np.minimum(every, MOST)) / scene.n_frames
        total += cost
        count = len(every) / scene.n_frames
        rows.append([kind, str(thing), f"{count:.0f}", f"{every.mean():.2f}", f"{np.median(every):.2f}", f"{cost:.0f}"])
    return [*rows, ["all", "–", "–", "–", "–", f"{total:.0f}"]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path, metavar="RESULTS TRUTH", help="pairs of folders")
    folders = parser.parse_args().folders
    head = ["scene", "pixels", "thing", "a frame", "mean error, px", "median, px", "cost"]
    rows = [
        [results.name, *row]
        for results, source in zip(folders[::2], folders[1::2], strict=True)
        for row in measured(Scene(results), source)
    ]
    print(markdown(head, rows))


if __name__ == "__main__":
    main()
