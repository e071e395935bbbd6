"""triangulation along flow, moving things on the floor they stand on, interpolated along the image, without weights."""

from __future__ import annotations

from pathlib import Path

from nsff.config import DepthConfig
from nsff.priors.backends import Backend
from nsff.priors.depth.estimator import SceneDepth


def open_classical(depth: DepthConfig, weights: Path | None) -> SceneDepth:
    """The method of nsff.priors.depth.classical."""
    from nsff.priors.depth.classical import classical_depth

    return classical_depth


BACKEND = Backend("classical", open_classical)
