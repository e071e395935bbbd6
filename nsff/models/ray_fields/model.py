"""The scene model: two fields in a normalised space, and the rendering of world rays through them.

Notation. R rays, K samples; s (R,K) in [0,1] along the ray, positions x(s) and distances delta in normalised space;
raw densities, opacities and weights as in nsff.models.ray_fields.compositing. Origins and directions are in world axes;
a direction has unit length along the camera's z axis, so that distances along it are depths.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor, nn

from nsff.cameras.spaces import Space
from nsff.config import FieldConfig, SamplingConfig
from nsff.models.base import LeftOut
from nsff.models.ray_fields import compositing, sampling
from nsff.models.ray_fields.build import build_fields
from nsff.models.ray_fields.field import Field, FieldSamples
from nsff.models.ray_fields.leaving_out import stays
from nsff.models.rays import Rays


@dataclass
class Samples:
    """Positions along rays, with the view direction and the time of each ray."""

    s: Float[Tensor, "R K"]
    positions: Float[Tensor, "R K 3"]
    deltas: Float[Tensor, "R K"]
    views: Float[Tensor, "R 1 3"]
    time: Float[Tensor, "R K"]

    def repeated(self, times: int) -> Samples:
        """The same rays several times over, one block after another."""
        return Samples(*(torch.cat([v] * times) for v in (self.s, self.positions, self.deltas, self.views, self.time)))

    def __getitem__(self, index: slice | Tensor) -> Samples:
        return Samples(self.s[index], self.positions[index], self.deltas[index], self.views[index], self.time[index])


@dataclass
class Evaluation:
    """Samples of rays, both fields at them, and all weights."""

    samples: Samples
    static: FieldSamples
    dynamic: FieldSamples | None
    static_density: Float[Tensor, "R K"]
    dynamic_density: Float[Tensor, "R K"] | None
    static_weights: Float[Tensor, "R K"]
    """Weights of the static field in the composite."""
    dynamic_weights: Float[Tensor, "R K"] | None
    """Weights of the dynamic field in the composite."""

    @property
    def weights(self) -> Float[Tensor, "R K"]:
        """Weights of both fields in the composite."""
        return self.static_weights if self.dynamic_weights is None else self.static_weights + self.dynamic_weights

    def static_alone(self) -> Float[Tensor, "R K"]:
        """Weights of the static field as if there were no other."""
        return compositing.single_weights(self.static_density, self.samples.deltas)

    def dynamic_alone(self) -> Float[Tensor, "R K"]:
        """Weights of the dynamic field as if there were no other."""
        assert self.dynamic_density is not None
        return compositing.single_weights(self.dynamic_density, self.samples.deltas)


class RayFields(nn.Module):
    """Static and dynamic field, the space they live in, and how rays are sampled."""

    left_out: LeftOut | None = None
    """Samples that are transparent (nsff.models.ray_fields.leaving_out); None, as in training: none are."""

    def __init__(
        self, space: Space, field: FieldConfig, sampling_config: SamplingConfig, channels: int, n_frames: int
    ) -> None:
        super().__init__()
        self.space, self.field_config, self.sampling = space, field, sampling_config
        self.channels, self.n_frames = channels, n_frames
        self.static, self.dynamic = build_fields(field, space.bounds(), channels, n_frames)
        self.reduced_precision = False
        """Networks compute matrix products in bfloat16 (CUDA); what they return is float32 all the same."""

    # --- sampling ------------------------------------------------------------------------------------------------
    def sample(self, rays: Rays, generator: torch.Generator | None, count: int | None = None) -> Samples:
        """Samples along rays: stratified, or by importance after a coarse density pass without gradient."""
        origins, directions = self.space.normalise_rays(rays.origins, rays.directions)
        views = self.view_directions(rays.directions)
        config = self.sampling
        count = count or config.samples
        if config.kind == "stratified":
            s = sampling.stratified(len(rays), count, generator, origins.device)
        else:
            with torch.no_grad():
                s = sampling.stratified(len(rays), config.coarse_samples, generator, origins.device)
                coarse = self._at(origins, directions, views, rays.time, s)
                s = sampling.importance(s, self._coarse_weights(coarse), count, generator)
        return self._at(origins, directions, views, rays.time, s)

    def view_directions(self, directions: Float[Tensor, "R 3"]) -> Float[Tensor, "R 3"]:
        """Unit directions as the fields are asked with: in world axes, or the average camera's (field.view_axes)."""
        if self.field_config.view_axes == "average":
            return self.space.unit_directions(directions)
        return torch.nn.functional.normalize(directions, dim=-1)

    def _at(self, origins: Tensor, directions: Tensor, views: Tensor, time: Tensor, s: Tensor) -> Samples:
        positions = self.space.positions(origins, directions, s)
        K = s.shape[1]
        return Samples(
            s,
            positions,
            compositing.distances(positions),
            views[:, None],
            time[:, None].expand(-1, K),
        )

    def _coarse_weights(self, samples: Samples) -> Float[Tensor, "R K"]:
        if self.left_out is not None:
            found = self.evaluate(samples)
            dynamic = 0.0 if found.dynamic_density is None else found.dynamic_density
            return compositing.single_weights(found.static_density + dynamic, samples.deltas)
        total = self.static.activate(self.static.raw_density(samples.positions, samples.time))
        if self.dynamic is not None:
            total = total + self.dynamic.activate(self.dynamic.raw_density(samples.positions, samples.time))
        return compositing.single_weights(total, samples.deltas)

    # --- evaluation ----------------------------------------------------------------------------------------------
    def evaluate(self, samples: Samples, generator: torch.Generator | None = None) -> Evaluation:
        """Both fields at the samples, and the weights of the configured composition.

        In training (``generator`` given) one draw of density noise is shared by both fields
        (docs/methods.md#two-fields-together).
        """
        noise = self._noise(samples.s, generator)
        static = self._evaluate(self.static, samples.positions, samples.views, samples.time)
        static_density = self.static.activate(static.raw_density + noise)
        if self.left_out is not None:
            static_density = static_density * self._stays(self.static, samples, static, static_density)
        if self.dynamic is None:
            weights = compositing.single_weights(static_density, samples.deltas)
            return Evaluation(samples, static, None, static_density, None, weights, None)
        dynamic = self._evaluate(self.dynamic, samples.positions, samples.views, samples.time)
        dynamic_density = self.dynamic.activate(dynamic.raw_density + noise)
        if self.left_out is not None:
            stay = self._stays(self.dynamic, samples, dynamic, dynamic_density)
            dynamic_density = dynamic_density * stay
            # What is left out takes no share of the place from the static field.
            static = static if static.blending is None else replace(static, blending=static.blending * stay)
        if self.field_config.composition == "additive":
            pair = compositing.additive_weights(static_density, dynamic_density, samples.deltas)
        else:
            pair = compositing.blended_weights(static_density, dynamic_density, self._blending(static), samples.deltas)
        return Evaluation(samples, static, dynamic, static_density, dynamic_density, *pair)

    def _stays(self, field: Field, samples: Samples, found: FieldSamples, density: Tensor) -> Tensor:
        assert self.left_out is not None
        time = float(samples.time[0, 0])
        return stays(self.left_out, self.space, field, samples.positions, samples.deltas, time, found, density)

    def _blending(self, static: FieldSamples) -> Float[Tensor, "R K"]:
        """The share of the dynamic field at every sample, where the fields are blended."""
        assert static.blending is not None
        return torch.ones_like(static.blending) if self.field_config.dynamic_only else static.blending

    def ray_parameter(self, evaluation: Evaluation) -> Float[Tensor, "R"]:
        """The sum of weighted ray parameters s: in NDC the depth as SAFF's depth pictures have it, 0 at the near plane
        and 1 at infinity. It is not divided by the sum of weights: where nothing stops the light it is 0."""
        weights, samples = evaluation.weights, evaluation.samples
        if evaluation.dynamic_density is not None and self.field_config.composition == "blending":
            weights = compositing.union_weights(
                evaluation.static_density,
                evaluation.dynamic_density,
                self._blending(evaluation.static),
                samples.deltas,
            )
        return compositing.accumulate(weights, samples.s)

    def dynamic_at(
        self,
        samples: Samples,
        positions: Float[Tensor, "R K 3"],
        time: Float[Tensor, "R K"],
        generator: torch.Generator | None,
        frozen: bool = False,
    ) -> tuple[FieldSamples, Float[Tensor, "R K"]]:
        """The dynamic field at displaced positions and another time, and its weights along the original samples
        (warping). ``frozen``: gradients reach the positions, not the field's parameters.
        """
        assert self.dynamic is not None
        found = self._evaluate(self.dynamic, positions, samples.views, time, frozen)
        density = self.dynamic.activate(found.raw_density + self._noise(samples.s, generator))
        return found, compositing.single_weights(density, samples.deltas)

    def _evaluate(
        self, field: Field, positions: Tensor, views: Tensor, time: Tensor, frozen: bool = False
    ) -> FieldSamples:
        if frozen:
            constants = {name: value.detach() for name, value in field.named_parameters()}
            evaluate = lambda *inputs: torch.func.functional_call(field, constants, inputs)  # noqa: E731
        else:
            evaluate = field
        if not self.reduced_precision:
            return evaluate(positions, views, time)
        with torch.autocast(positions.device.type, torch.bfloat16):
            return evaluate(positions, views, time).map(Tensor.float)

    def _noise(self, like: Tensor, generator: torch.Generator | None) -> Tensor | float:
        if generator is None or self.sampling.noise == 0:
            return 0.0
        return torch.randn(like.shape, device=like.device, generator=generator) * self.sampling.noise

    # --- maps ----------------------------------------------------------------------------------------------------
    def features_of(self, evaluation: Evaluation) -> Float[Tensor, "R C"]:
        """Composited features of both fields; not divided by opacity."""
        assert evaluation.static.features is not None
        result = self.static_features(compositing.accumulate(evaluation.static_weights, evaluation.static.features))
        if evaluation.dynamic is not None:
            assert evaluation.dynamic.features is not None and evaluation.dynamic_weights is not None
            result = result + self.dynamic_features(
                compositing.accumulate(evaluation.dynamic_weights, evaluation.dynamic.features)
            )
        return result

    def static_features(self, composited: Float[Tensor, "R F"]) -> Float[Tensor, "R C"]:
        """Features of composites of the static field's ``features``."""
        return self.static.decode_features(composited)

    def dynamic_features(self, composited: Float[Tensor, "R F"]) -> Float[Tensor, "R C"]:
        """Features of composites of the dynamic field's ``features``."""
        assert self.dynamic is not None
        return self.dynamic.decode_features(composited)

    @staticmethod
    def composited(evaluation: Evaluation, name: str) -> Tensor:
        """The composite of a per-sample quantity of both fields (rgb, saliency)."""
        result = compositing.accumulate(evaluation.static_weights, getattr(evaluation.static, name))
        if evaluation.dynamic is not None and evaluation.dynamic_weights is not None:
            result = result + compositing.accumulate(evaluation.dynamic_weights, getattr(evaluation.dynamic, name))
        return result

    def depth(self, rays: Rays, s: Float[Tensor, "R"]) -> Float[Tensor, "R"]:
        """Depth along the camera's z axis, scene units, of the ray parameters s."""
        origins, directions = self.space.normalise_rays(rays.origins, rays.directions)
        points = self.space.to_world(self.space.positions(origins, directions, s[:, None]))[:, 0]
        return ((points - rays.origins) * rays.directions).sum(-1) / rays.directions.square().sum(-1)
