"""Points near the surfaces that a view sees, as the model has them (SAFF's cluster_pcd)."""

from __future__ import annotations

import numpy as np
import torch

from nsff.decompose.view_points import ViewPoints
from nsff.decompose.views import View
from nsff.errors import StageError
from nsff.models.base import Points
from nsff.rendering.renderer import Renderer
from nsff.scene import Scene


@torch.no_grad()
def near_surfaces(renderer: Renderer, scene: Scene, view: View, threshold: float) -> ViewPoints:
    """Points of a view whose opacity, and the light that reaches them, exceed ``threshold``.

    Raises StageError for models without features, or without saliency.
    """
    cameras = scene.cameras
    camera = renderer.camera(cameras.intrinsics[view.camera], cameras.world_to_camera[view.camera], *scene.size)
    parts = []
    for points in renderer.model.points(float(view.time), camera, threshold, renderer.chunk):
        parts.append({name: value.cpu().numpy() for name, value in _values(points, scene).items()})
    return ViewPoints(**{name: np.concatenate([part[name] for part in parts]) for name in parts[0]})


def _values(points: Points, scene: Scene) -> dict[str, torch.Tensor]:
    values = {
        "points": points.positions,
        "normalised": points.normalised,
        "features": points.features,
        "rgb": points.colours,
        "saliency": points.saliency,
        "pixel": points.pixel,
    }
    present = {name: value for name, value in values.items() if value is not None}
    missing = [name for name in values if name not in present]
    if missing:
        raise StageError(
            scene.model_dir,
            f"has points without {missing[0]}",
            "train a kind of model that has both, with field.features: true",
        )
    return present
