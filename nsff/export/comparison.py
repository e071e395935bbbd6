"""Input, rendering and depth side by side, frame by frame."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from nsff.decompose.views import read_rgb, read_views, training_views
from nsff.export.depth import rendered_depth
from nsff.export.films import Format, write_film
from nsff.export.times import frame_rate
from nsff.files.io import atomic_directory
from nsff.scene import Scene

TITLES = ("input", "rendering", "depth")
STRIP = 20
"""Height of the line with the titles, pixels."""


def export_comparison(scene: Scene, folder: Path, formats: list[Format]) -> None:
    """Writes ``folder`` (replaced as a whole): comparison.mp4, and so on by format."""
    views = training_views(read_views(scene))
    depths = [rendered_depth(scene, view) for view in views]
    inverse = [np.where(depth > 0, 1 / np.maximum(depth, 1e-6), 0) for depth in depths]
    low, high = np.percentile(np.stack(inverse), (2, 98))
    frames = []
    for view, near in zip(views, inverse, strict=True):
        pictures = [scene.image(view.camera), read_rgb(scene, view, scene.size), coloured(near, low, high)]
        frames.append(np.concatenate([titled(*pair) for pair in zip(pictures, TITLES, strict=True)], axis=1))
    with atomic_directory(folder) as temporary:
        for kind in formats:
            write_film(temporary / "comparison", frames, frame_rate(scene), kind)


def coloured(values: Float[np.ndarray, "H W"], low: float, high: float) -> UInt8[np.ndarray, "H W 3"]:
    """Values between two bounds in the colours of turbo (blue to red)."""
    levels = ((values - low) / max(high - low, 1e-9) * 255).clip(0, 255).round().astype(np.uint8)
    return cv2.cvtColor(cv2.applyColorMap(levels, cv2.COLORMAP_TURBO), cv2.COLOR_BGR2RGB)


def titled(picture: UInt8[np.ndarray, "H W 3"], title: str) -> UInt8[np.ndarray, "H1 W 3"]:
    """A picture below a line with its title."""
    strip = np.full((STRIP, picture.shape[1], 3), 255, np.uint8)
    cv2.putText(strip, title, (4, STRIP - 6), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (30, 30, 30), 1, cv2.LINE_AA)
    return np.concatenate([strip, picture])
