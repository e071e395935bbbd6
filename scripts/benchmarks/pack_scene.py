"""Copies what training reads of a prepared scene, as small as can be, to take it to another machine.

Frames, given data and raw flow stay behind; flow (at most 0.02 px off below 32 px) and confidences get half precision.

    python scripts/benchmarks/pack_scene.py results/balloon1 --out packed/balloon1
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import _root  # noqa: F401
import numpy as np

from nsff.files.io import atomic_directory, read_npz, write_npz
from nsff.scene import Scene

WHOLE = (
    "manifest.json",
    "cameras.json",
    "pixel_map.npz",
    "points.npz",
    "images",
    "motion_masks",
    "features",
    "summaries",
)
HALF = {"flow": ("flow",), "depth": ("confidence",)}


def pack(scene: Scene, target: Path) -> None:
    """Writes the folder ``target`` as a whole; features may be absent."""
    with atomic_directory(target) as folder:
        for name in WHOLE:
            source = scene.path(name)
            if source.is_dir():
                shutil.copytree(source, folder / name)
            elif source.exists():
                shutil.copy(source, folder / name)
        for name, halved in HALF.items():
            (folder / name).mkdir()
            for path in sorted(scene.path(name).glob("*.npz")):
                with np.load(path, allow_pickle=False) as content:
                    arrays = read_npz(path, list(content.files))
                for key in halved:
                    if key in arrays:
                        arrays[key] = arrays[key].astype(np.float16)
                write_npz(folder / name / path.name, **arrays)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scene", type=Path, help="the scene's folder")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the new folder")
    arguments = parser.parse_args()
    pack(Scene(arguments.scene), arguments.out)
    size = sum(path.stat().st_size for path in arguments.out.rglob("*") if path.is_file())
    print(f"{arguments.out}: {size / 2**20:.1f} MiB")


if __name__ == "__main__":
    main()
