"""Whether two runs gave the same results, to the bit: models, masks, scores, and every array and picture between them.

    python scripts/benchmarks/compare_results.py BEFORE/results AFTER/results [--figures]

Prints one line for each kind of file and scene, and the first files that differ; ends with status 1 where any do.
Times, machines and versions differ between runs, so summaries, logs, pages and charts are left out. Numbers in JSON
files are compared, their texts are not. Videos are compared as decoded pictures.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import _root  # noqa: F401
import numpy as np
import pandas as pd
from safetensors.numpy import load_file

LEFT_OUT = ("summaries", "settings", "logs", "benchmarks", "state", "checksums", ".nsff", ".tmp")
"""Folders whose files speak of the run: times, machines, words."""
RUN_KEYS = {"seconds", "nsff", "created", "time_of_training"}
"""Keys of JSON files whose values are of the run."""


def files_of(root: Path) -> dict[str, Path]:
    """Every file that holds results, by its path below ``root``."""
    found = {}
    for path in sorted(root.rglob("*")):
        relative = path.relative_to(root)
        skipped = any(part.startswith(LEFT_OUT) for part in relative.parts)
        if path.is_file() and not skipped and path.suffix not in (".html", ".log"):
            found[relative.as_posix()] = path
    return found


def numbers(value: Any) -> Any:
    """The numbers of a JSON document in their order, without those of the run."""
    if isinstance(value, dict):
        return {key: numbers(part) for key, part in value.items() if key not in RUN_KEYS and not isinstance(part, str)}
    if isinstance(value, list):
        return [numbers(part) for part in value]
    return None if isinstance(value, str) else value


def arrays(path: Path) -> list[np.ndarray]:
    """The arrays of a file of numbers, none of them unpickled."""
    if path.suffix == ".npy":
        return [np.load(path, allow_pickle=False)]
    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as archive:
            return [archive[name] for name in sorted(archive.files)]
    tensors = load_file(path)
    return [tensors[name] for name in sorted(tensors)]


def pictures(path: Path) -> list[np.ndarray]:
    """The decoded pictures of a video."""
    import imageio.v3 as iio

    return list(iio.imiter(path))


def same(before: Path, after: Path) -> bool:
    """Whether two files hold the same results."""
    if before.read_bytes() == after.read_bytes():
        return True
    if before.suffix in (".npy", ".npz", ".safetensors", ".mp4"):
        read = pictures if before.suffix == ".mp4" else arrays
        pair = read(before), read(after)
        return len(pair[0]) == len(pair[1]) and all(
            a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes() for a, b in zip(*pair, strict=True)
        )
    if before.suffix == ".json":
        documents = [numbers(json.loads(path.read_text(encoding="utf-8"))) for path in (before, after)]
        return documents[0] == documents[1]
    return False


def figures(before: Path, after: Path) -> str:
    """How far two tables of scores, or two arrays, are apart."""
    if before.suffix == ".csv":
        tables = [pd.read_csv(path) for path in (before, after)]
        if "value" in tables[0] and len(tables[0]) == len(tables[1]):
            return f"largest difference {float((tables[0].value - tables[1].value).abs().max()):.3g}"
    if before.suffix in (".npy", ".npz", ".safetensors"):
        pair = arrays(before), arrays(after)
        if [a.shape for a in pair[0]] == [b.shape for b in pair[1]]:
            worst = max((float(np.nanmax(abs(a.astype(float) - b.astype(float)))) for a, b in zip(*pair, strict=True)
                         if a.size), default=0.0)  # fmt: skip
            return f"largest difference {worst:.3g}"
    return "differs"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path, help="results/ of the first run")
    parser.add_argument("after", type=Path, help="results/ of the second run")
    parser.add_argument("--figures", action="store_true", help="say how far files are apart")
    arguments = parser.parse_args()
    runs = [files_of(arguments.before), files_of(arguments.after)]
    wrong: list[str] = [f"{name}: only in {arguments.before}" for name in sorted(runs[0].keys() - runs[1].keys())]
    wrong += [f"{name}: only in {arguments.after}" for name in sorted(runs[1].keys() - runs[0].keys())]
    equal: Counter[tuple[str, str]] = Counter()
    for name in sorted(runs[0].keys() & runs[1].keys()):
        scene, _, rest = name.partition("/")
        if same(runs[0][name], runs[1][name]):
            equal[scene, rest.split("/")[0]] += 1
        else:
            wrong.append(f"{name}: {figures(runs[0][name], runs[1][name]) if arguments.figures else 'differs'}")
    for (scene, kind), count in sorted(equal.items()):
        print(f"{scene} {kind}: {count} the same to the bit")
    print(*wrong, sep="\n", file=sys.stderr)
    total = sum(equal.values())
    print(
        f"{total} files are the same to the bit, {len(wrong)} are not" if wrong else f"all {total} files are the same"
    )
    return 1 if wrong or not total else 0


if __name__ == "__main__":
    sys.exit(main())
