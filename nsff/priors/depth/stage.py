"""Disparity of every canonical frame, behind one registry of backends.

Notation. Disparity (H,W) is 1/z along the optical axis, in 1/scene units where `metric` in result.json is true, else
relative (larger is nearer). Confidence (H,W) is in [0,1]: low where a value was filled in or nothing tests it.

A new network is one file and one line in learned_depth.NETWORKS; any other backend one file and one line in BACKENDS.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from nsff.config import DepthConfig
from nsff.errors import ConfigError
from nsff.files.io import atomic_directory, write_json
from nsff.priors.depth.classical import classical_depth
from nsff.priors.depth.given import given_depth
from nsff.priors.depth.moving import place_moving
from nsff.priors.depth.weights import learned_backend
from nsff.results import DepthResult
from nsff.scene import Scene


def run_depth(scene: Scene, depth: DepthConfig) -> None:
    """Writes depth/ as a whole, with result.json (nsff.results.DepthResult), and summaries/depth.json.

    Reads cameras.json, points.npz, images/, flow/, motion_masks/ and given/depth/, as far as the backend needs them.
    Raises ConfigError for settings that name nothing usable, StageError naming the file that is missing or corrupt.
    """
    backend = choose_backend(scene, depth)
    with atomic_directory(scene.depth_dir, sealed=True) as folder:
        numbers = {"backend": backend}
        numbers |= place_moving(scene, depth, folder, BACKENDS[backend](scene, depth, folder))
        result = DepthResult.from_summary(numbers)
        write_json(folder / scene.depth_result_path.name, result.model_dump())
    scene.write_summary("depth", numbers)


def choose_backend(scene: Scene, depth: DepthConfig) -> str:
    """The backend that ``auto`` stands for: the first of ``auto_order`` that is there."""
    if depth.backend != "auto":
        return depth.backend
    found = {
        "given": "given" if scene.given.depth_dir.is_dir() else None,
        "learned": learned_backend(depth),
        "classical": "classical",
    }
    chosen = next((found[kind] for kind in depth.auto_order if found[kind]), None)
    if chosen is None:
        raise ConfigError(
            "depth.auto_order",
            f"is {depth.auto_order}, and none of these is there",
            "add classical, which needs nothing, or bring depth or weights",
        )
    return chosen


def _learned(name: str) -> Callable[[Scene, DepthConfig, Path], dict[str, Any]]:
    """Imported when asked for: networks need torch."""

    def run(scene: Scene, depth: DepthConfig, folder: Path) -> dict[str, Any]:
        from nsff.priors.depth.learned import learned_depth

        return learned_depth(name, scene, depth, folder)

    return run


BACKENDS: dict[str, Callable[[Scene, DepthConfig, Path], dict[str, Any]]] = {
    "given": given_depth,
    "classical": classical_depth,
    "midas21": _learned("midas21"),
    "transformers": _learned("transformers"),
}
