"""Disparity of every canonical frame, by one of the backends of nsff.priors.depth.registry.

Notation. Disparity (H,W) is 1/z along the optical axis, in 1/scene units where `metric` in result.json is true, else
relative (larger is nearer). Confidence (H,W) is in [0,1]: low where a value was filled in or nothing tests it.

A new backend is one file (docs/extending.md).
"""

from __future__ import annotations

from pathlib import Path

from nsff.config import DepthConfig
from nsff.errors import ConfigError
from nsff.files.io import atomic_directory, write_json
from nsff.priors.backends import GIVEN
from nsff.priors.depth.given import given_depth
from nsff.priors.depth.moving import place_moving
from nsff.priors.depth.parallax import Parallax, judged_by_parallax, parallax_of_depth
from nsff.priors.depth.registry import DEPTH
from nsff.results import DepthResult
from nsff.scene import Scene
from nsff.tracking.chaining import FlowCache
from nsff.tracking.flow_pairs import flow_pairs


def run_depth(scene: Scene, depth: DepthConfig) -> None:
    """Writes depth/ as a whole, with result.json (nsff.results.DepthResult), and summaries/depth.json.

    Reads cameras.json, points.npz, images/, flow/, motion_masks/ and given/depth/, as far as the backend needs them.
    Raises ConfigError for settings that name nothing usable, StageError naming the file that is missing or corrupt.
    """
    backend, weights = _choose(scene, depth)
    estimate = given_depth if backend == GIVEN else DEPTH.open_chosen(depth, backend, weights)
    with atomic_directory(scene.depth_dir, sealed=True) as folder:
        numbers = {"backend": backend}
        numbers |= place_moving(scene, depth, folder, estimate(scene, depth, folder))
        result = DepthResult.from_summary(numbers)
        write_json(folder / scene.depth_result_path.name, result.model_dump())
    scene.write_summary("depth", judged_by_parallax(numbers, _parallax(scene, result.metric)))


def _parallax(scene: Scene, metric: bool) -> Parallax | None:
    pairs = flow_pairs(FlowCache(scene.flow), scene.n_frames) if scene.n_frames > 1 else ()
    return parallax_of_depth(scene.cameras, pairs, lambda i: scene.disparity(i)[0], scene.motion_mask, metric)


def choose_backend(scene: Scene, depth: DepthConfig) -> str:
    """The name of what the setting stands for: given, or a backend's; with ``auto`` the first of ``auto_order`` that is
    there. Raises ConfigError where none is, WeightsError for a missing or damaged file of weights."""
    return _choose(scene, depth)[0]


def _choose(scene: Scene, depth: DepthConfig) -> tuple[str, Path | None]:
    """The name as ``choose_backend`` returns it, and the file of the weights that the backend loads."""
    chosen = DEPTH.choose(depth, given=scene.given.depth_dir.is_dir())
    if chosen is None:
        raise ConfigError(
            "depth.auto_order",
            f"is {depth.auto_order}, and none of these is there",
            "add classical, which needs nothing, or bring depth or weights",
        )
    return chosen
