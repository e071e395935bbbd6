"""Contact sheets of a score: truth, ours, and the error with its scale, for up to six views of a protocol."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Integer, UInt8
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from nsff.files.io import atomic_path
from nsff.metrics.measure import error_picture

SHOWN_VIEWS = 6
COLUMN_INCHES = 3.2
"""Inches of one picture."""


@dataclass(frozen=True)
class SheetRow:
    """One view of a sheet: pictures (H,W,3) uint8, and what to write beside it."""

    label: str
    truth: UInt8[np.ndarray, "H W 3"]
    ours: UInt8[np.ndarray, "H W 3"]


def spread_over(count: int, most: int = SHOWN_VIEWS) -> list[int]:
    """Up to ``most`` of ``count`` places, evenly spread, first and last included."""
    return sorted({int(i) for i in np.linspace(0, count - 1, min(count, most)).round()}) if count else []


def image_sheet(path: Path, title: str, rows: Sequence[SheetRow]) -> None:
    """Truth | render | mean absolute error in grey levels of 255; one colour scale for the sheet."""
    errors = [255 * error_picture(row.ours, row.truth) for row in rows]
    top = max(8.0, float(np.percentile(np.concatenate([error.ravel() for error in errors]), 99)))
    figure, axes = _grid(title, rows, ("truth", "render", "error"))
    for line, row, error in zip(axes, rows, errors, strict=True):
        line[0].imshow(row.truth)
        line[1].imshow(row.ours)
        line[2].imshow(error, cmap="magma", vmin=0, vmax=top)
    figure.colorbar(
        axes[0][2].images[0],
        ax=[axis for line in axes for axis in line],
        shrink=0.6,
        label="mean absolute error, grey levels of 255",
    )
    _save(figure, path)


def mask_sheet(path: Path, title: str, rows: Sequence[SheetRow], wrong: Sequence[Integer[np.ndarray, "H W"]]) -> None:
    """Truth | ours (both tinted) | foreground disagreement: 1 missed, 2 false, 0 right."""
    figure, axes = _grid(title, rows, ("truth", "ours", "missed (blue), false (red)"))
    colours = np.array([[245, 245, 245], [40, 90, 200], [210, 50, 40]], np.uint8)
    for line, row, mistakes in zip(axes, rows, wrong, strict=True):
        line[0].imshow(row.truth)
        line[1].imshow(row.ours)
        line[2].imshow(colours[mistakes])
    _save(figure, path)


def _grid(title: str, rows: Sequence[SheetRow], heads: Sequence[str]) -> tuple[Figure, list[list]]:
    height, width = rows[0].truth.shape[:2]
    figure = Figure(
        figsize=(COLUMN_INCHES * 3 + 1, COLUMN_INCHES * len(rows) * height / width + 0.9), dpi=100, layout="constrained"
    )
    FigureCanvasAgg(figure)
    figure.suptitle(title, fontsize=10)
    axes = [[figure.add_subplot(len(rows), 3, 3 * r + c + 1) for c in range(3)] for r in range(len(rows))]
    for line, row in zip(axes, rows, strict=True):
        for axis in line:
            axis.set_xticks([])
            axis.set_yticks([])
        line[0].set_ylabel(row.label, fontsize=8)
    for axis, head in zip(axes[0], heads, strict=True):
        axis.set_title(head, fontsize=9)
    return figure, axes


def _save(figure: Figure, path: Path) -> None:
    with atomic_path(path) as temporary:
        figure.savefig(temporary)
