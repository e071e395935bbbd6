"""Whether Gaussians can be drawn on this machine's GPU, asked before any job runs and not after an hour of priors."""

from __future__ import annotations

from collections.abc import Mapping

from nsff.config import SceneConfig
from nsff.errors import ConfigError


def check_rasterisers(scenes: Mapping[str, SceneConfig], gpu: bool) -> None:
    """Raises ConfigError for a scene whose Gaussians are to be trained on a GPU of this machine where gsplat does not
    work. ``gpu``: whether this machine has one; on others, as where jobs are only sent to a cluster, the job says it.
    """
    for name, settings in scenes.items():
        if not gpu or settings.model.kind != "gaussians" or settings.train.device == "cpu":
            continue
        from nsff.building.builds import EXTRA, command_here
        from nsff.models.gaussians.rasterisers import gpu_problem

        if problem := gpu_problem():
            raise ConfigError(
                f"scenes.{name}",
                f"trains Gaussians on the GPU, which gsplat draws: {problem}",
                f"{EXTRA}, then {command_here()}; or set preset: planes, or train.device: cpu",
            )
        return
