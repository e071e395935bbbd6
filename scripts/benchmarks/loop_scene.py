"""Makes a long clip of a prepared scene: played forwards and backwards until it has so many frames.

Flow of a step played backwards is that of the step the other way. Held-out views of a time are those of its source
frame, so that the long clip is scored as the short one. Files of the source are linked to, not copied.

    python scripts/benchmarks/loop_scene.py results/toss --frames 200 --out results/toss_200
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import _root  # noqa: F401
import numpy as np

from nsff.files.io import write_json
from nsff.scene import Scene

EACH_FRAME = {"images": "png", "motion_masks": "png", "depth": "npz"}


def order(n: int, frames: int) -> list[int]:
    """0..n-1, back to 0, and so on, ``frames`` numbers."""
    there_and_back = [*range(n), *range(n - 2, 0, -1)]
    return [there_and_back[i % len(there_and_back)] for i in range(frames)]


def loop(scene: Scene, target: Path, frames: int) -> None:
    shutil.rmtree(target, ignore_errors=True)
    numbers = order(scene.n_frames, frames)
    long = Scene(target)
    for folder, suffix in EACH_FRAME.items():
        (target / folder).mkdir(parents=True)
        for i, k in enumerate(numbers):
            (target / folder / f"{i:05d}.{suffix}").symlink_to(scene.path(folder).resolve() / f"{k:05d}.{suffix}")
    (target / "flow").mkdir()
    for i in range(frames):
        for direction, j in (("fwd", i + 1), ("bwd", i - 1)):
            if 0 <= j < frames:
                own = "fwd" if numbers[j] > numbers[i] else "bwd"
                source = scene.flow_path(numbers[i], own).resolve()
                Scene(target).flow_path(i, direction).symlink_to(source)
    scene.cameras[numbers].save(long.cameras_path)
    manifest = dict(scene.manifest)
    manifest["frames"] = [{**scene.manifest["frames"][k], "name": f"{i:05d}.png"} for i, k in enumerate(numbers)]
    write_json(long.manifest_path, manifest | {"n_frames": frames})
    for name in ("pixel_map.npz", "summaries"):
        (target / name).symlink_to(scene.path(name).resolve())
    if scene.features_dir.is_dir():
        features, saliency = scene.features()
        long.write_features(np.asarray(features)[numbers], np.asarray(saliency)[numbers])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scene", type=Path, help="prepared scene")
    parser.add_argument("--frames", type=int, required=True, metavar="N")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    given = parser.parse_args()
    loop(Scene(given.scene), given.out, given.frames)
    print(f"{given.out}: {given.frames} frames")


if __name__ == "__main__":
    main()
