"""Samples in space as both fields together see them, for SAFF's cluster_pcd and extract_2D.

Notation. R rays, K samples; a_d and a_s are the opacities of the two fields in the composite (with v and 1 - v where
the fields are blended), o the opacity of both, T the light that reaches a sample. T a_d, T a_s are the model's weights.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from nsff.decompose.view_points import ViewPoints
from nsff.decompose.views import View
from nsff.models.ray_fields.compositing import opacities
from nsff.models.ray_fields.model import Evaluation, RayFields
from nsff.models.rays import Rays
from nsff.rendering.renderer import Renderer
from nsff.scene import Scene


@dataclass
class SpaceSamples:
    """What both fields say about samples, weighed by opacity where they say it both. Shapes (R,K) and (R,K,...)."""

    a_static: Float[Tensor, "R K"]
    a_dynamic: Float[Tensor, "R K"]
    opacity: Float[Tensor, "R K"]
    evaluation: Evaluation

    def kept(self, keep: Bool[Tensor, "R K"]) -> SpaceSamples:
        """The same with all other samples made transparent."""
        return SpaceSamples(self.a_static * keep, self.a_dynamic * keep, self.opacity * keep, self.evaluation)

    @property
    def transmittance(self) -> Float[Tensor, "R K"]:
        passed = torch.cumprod(1 - self.opacity + 1e-10, dim=1)
        return torch.cat([torch.ones_like(passed[:, :1]), passed[:, :-1]], dim=1)

    def sum(self, name: str, T: Float[Tensor, "R K"] | float = 1.0) -> Tensor:
        """a_d x_d + a_s x_s, per sample; with T the light of each sample."""
        static, dynamic = getattr(self.evaluation.static, name), None
        if self.evaluation.dynamic is not None:
            dynamic = getattr(self.evaluation.dynamic, name)
        wide = (lambda a: a[..., None]) if static.ndim > self.a_static.ndim else (lambda a: a)
        total = wide(T * self.a_static) * static
        return total if dynamic is None else total + wide(T * self.a_dynamic) * dynamic

    def features(self, model: RayFields) -> Float[Tensor, "R K C"]:
        """a_d f_d + a_s f_s, decoded; not normalised."""
        static, dynamic = self.evaluation.static.features, self.evaluation.dynamic
        assert static is not None
        total = model.static_features(self.a_static[..., None] * static)
        if dynamic is not None:
            assert dynamic.features is not None
            total = total + model.dynamic_features(self.a_dynamic[..., None] * dynamic.features)
        return total


def space_samples(model: RayFields, rays: Rays) -> SpaceSamples:
    """Asks the model about the samples of rays, without noise."""
    evaluation = model.evaluate(model.sample(rays, None))
    deltas = evaluation.samples.deltas
    a_static = opacities(evaluation.static_density, deltas)
    if evaluation.dynamic_density is None:
        return SpaceSamples(a_static, torch.zeros_like(a_static), a_static, evaluation)
    if model.field_config.composition == "additive":
        total = evaluation.static_density + evaluation.dynamic_density
        both = opacities(total, deltas)
        share = evaluation.dynamic_density / (total + 1e-10)
        return SpaceSamples(both * (1 - share), both * share, both, evaluation)
    v = evaluation.static.blending
    assert v is not None
    v = torch.ones_like(v) if model.field_config.dynamic_only else v
    a_static, a_dynamic = (1 - v) * a_static, v * opacities(evaluation.dynamic_density, deltas)
    return SpaceSamples(a_static, a_dynamic, 1 - (1 - a_dynamic) * (1 - a_static), evaluation)


@torch.no_grad()
def near_surfaces(renderer: Renderer, scene: Scene, view: View, threshold: float) -> ViewPoints:
    """Samples of a view's rays whose opacity and transmittance exceed ``threshold``."""
    model, cameras = renderer.model, scene.cameras
    rays = renderer.frame_rays(
        cameras.intrinsics[view.camera], cameras.world_to_camera[view.camera], *scene.size, float(view.time)
    )
    parts: list[dict[str, np.ndarray]] = []
    step = max(1, renderer.chunk // 4)
    for start in range(0, len(rays), step):
        part = rays[slice(start, start + step)]
        found = space_samples(model, part)
        keep = (found.opacity > threshold) & (found.transmittance > threshold)
        row = keep.nonzero()[:, 0]
        weight = (found.a_static + found.a_dynamic)[keep].clamp(min=1e-8)
        positions = found.evaluation.samples.positions[keep]
        features = torch.nn.functional.normalize(found.features(model)[keep], dim=-1)
        values = {
            "points": model.space.to_world(positions),
            "normalised": positions,
            "features": features,
            "rgb": found.sum("rgb")[keep] / weight[:, None],
            "saliency": found.sum("saliency")[keep] / weight,
            "pixel": row + start,
        }
        parts.append({name: value.cpu().numpy() for name, value in values.items()})
    return ViewPoints(**{name: np.concatenate([part[name] for part in parts]) for name in parts[0]})
