"""Draws PSNR over seconds of training from the curves that train_presets.py wrote: one panel a scene.

    python scripts/benchmarks/plot_curves.py --out docs/images/psnr_over_seconds.png \
        "balloon1: nsff=results/benchmarks/nsff_curve.csv" "balloon1: fast=results/benchmarks/fast_curve.csv"
"""

from __future__ import annotations

import argparse
from pathlib import Path

import _root  # noqa: F401
import matplotlib
import pandas as pd

matplotlib.use("Agg")
import matplotlib.pyplot as plt

REGIONS = {"psnr_full": ("whole picture", "-"), "psnr_dynamic": ("where it moves", "--")}


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("curves", nargs="+", metavar="'SCENE: NAME=FILE'", help="a curve, and the panel it belongs to")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="the picture")
    return parser.parse_args()


def main() -> None:
    arguments = parsed()
    panels: dict[str, dict[str, Path]] = {}
    for curve in arguments.curves:
        scene, _, rest = curve.partition(":")
        name, _, path = rest.strip().partition("=")
        panels.setdefault(scene.strip(), {})[name] = Path(path)
    names = list(dict.fromkeys(name for curves in panels.values() for name in curves))
    colours = {name: f"C{number}" for number, name in enumerate(names)}
    figure, axes = plt.subplots(1, len(panels), figsize=(5.5 * len(panels), 4), squeeze=False)
    for axis, (scene, curves) in zip(axes[0], panels.items(), strict=True):
        for name, path in curves.items():
            rows = pd.read_csv(path)
            for column, (message, style) in REGIONS.items():
                known = rows.dropna(subset=column)
                axis.plot(
                    known["seconds"], known[column], style, color=colours[name], marker="o", markersize=3,
                    label=f"{name}, {message}",
                )  # fmt: skip
        axis.set(title=scene, xlabel="seconds of training", ylabel="PSNR of held-out views, dB")
        axis.grid(alpha=0.3)
        axis.legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(arguments.out, dpi=110)


if __name__ == "__main__":
    main()
