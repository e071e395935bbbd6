"""Samples in space as both fields together have them: points near surfaces, and objects drawn alone.

SAFF's cluster_pcd and extract_2D (docs/methods.md#clusters-in-space, docs/methods.md#object-extraction).

Notation. R rays, K samples; a_d and a_s are the opacities of the two fields in the composite (with v and 1 - v where
the fields are blended), o the opacity of both, T the light that reaches a sample. T a_d, T a_s are the model's weights.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from nsff.models.base import Points
from nsff.models.ray_fields.compositing import opacities, transmittance
from nsff.models.ray_fields.model import Evaluation, RayFields
from nsff.models.rays import Rays


@dataclass
class SpaceSamples:
    """Samples with what both fields have there, weighed by opacity where both have it. Shapes (R,K) and (R,K,...)."""

    a_static: Float[Tensor, "R K"]
    a_dynamic: Float[Tensor, "R K"]
    opacity: Float[Tensor, "R K"]
    evaluation: Evaluation

    def kept(self, keep: Bool[Tensor, "R K"]) -> SpaceSamples:
        """The same with all other samples made transparent."""
        return SpaceSamples(self.a_static * keep, self.a_dynamic * keep, self.opacity * keep, self.evaluation)

    @property
    def transmittance(self) -> Float[Tensor, "R K"]:
        """T of both fields together."""
        return transmittance(self.opacity)

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


def points_near_surfaces(model: RayFields, rays: Rays, first: int, threshold: float) -> Points:
    """Samples of rays whose opacity and transmittance exceed ``threshold``; ``first`` is the first ray's pixel."""
    found = space_samples(model, rays)
    keep = (found.opacity > threshold) & (found.transmittance > threshold)
    row = keep.nonzero()[:, 0]
    weight = (found.a_static + found.a_dynamic)[keep].clamp(min=1e-8)
    normalised = found.evaluation.samples.positions[keep]
    positions = model.space.to_world(normalised)
    return Points(
        positions,
        normalised,
        torch.nn.functional.normalize(found.features(model)[keep], dim=-1) if model.field_config.features else None,
        found.sum("rgb")[keep] / weight[:, None],
        found.sum("saliency")[keep] / weight if model.field_config.saliency else None,
        _motion(model, found, keep, normalised, positions),
        row + first,
    )


def _motion(
    model: RayFields, found: SpaceSamples, keep: Bool[Tensor, "R K"], normalised: Tensor, positions: Tensor
) -> Float[Tensor, "P 3"]:
    """Displacement to the next frame, where the dynamic field has more of the opacity; 0 elsewhere."""
    dynamic = found.evaluation.dynamic
    if dynamic is None or dynamic.flow_post is None:
        return torch.zeros_like(positions)
    moves = (found.a_dynamic > found.a_static)[keep]
    return (model.space.to_world(normalised + dynamic.flow_post[keep]) - positions) * moves[:, None]


def numbered_points(model: RayFields, found: SpaceSamples) -> Points:
    """All samples, row by row, as far as objects are told apart by them."""
    samples = found.evaluation.samples
    features = torch.nn.functional.normalize(found.features(model), dim=-1)
    return Points(
        model.space.to_world(samples.positions).flatten(0, 1), samples.positions.flatten(0, 1), features.flatten(0, 1)
    )


def straight_rgba(kept: SpaceSamples, T: Float[Tensor, "R K"]) -> Float[Tensor, "R 4"]:
    """Colour, not multiplied by alpha, and alpha: the light T o that the kept samples stop, in [0, 1].

    With the kept samples' own T that is 1 - prod (1 - o); the published code takes the last sample's opacity for it.
    """
    alpha = (T * kept.opacity).sum(1)
    # Blended weights may add up to more than alpha (1 + 1/4 for two opaque samples with v = 1/2): colours are a mean
    # over the weights.
    weight = (T * (kept.a_static + kept.a_dynamic)).sum(1)
    colour = kept.sum("rgb", T).sum(1) / weight.clamp(min=1e-8)[:, None]
    return torch.cat([colour, alpha[:, None]], dim=1).clamp(0, 1)


def depth_of(model: RayFields, kept: SpaceSamples, T: Float[Tensor, "R K"], rays: Rays) -> Float[Tensor, "R"]:
    """Depth z of the kept samples under the light T; 0 where they stop less than a twentieth of it."""
    weights = T * (kept.a_static + kept.a_dynamic)
    total = weights.sum(1)
    s = (weights * kept.evaluation.samples.s).sum(1) / total.clamp(min=1e-8)
    return model.depth(rays, s.clamp(0, 0.9995)) * (total > 0.05)
