"""The training objective: which losses a batch gets at a step (docs/methods.md#losses).

Notation. s is the step, S = decay_steps, q = s // S. M is the detached composited dynamic weight, V the visibility of
a warped rendering; p are disocclusion probabilities; "prev" and "post" are frames k-1 and k+1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from nsff.config import LossConfig, TrainConfig
from nsff.models.clock import Clock
from nsff.models.ray_fields import losses
from nsff.models.ray_fields.compositing import accumulate
from nsff.models.ray_fields.gradient_accumulation import ends_wait
from nsff.models.ray_fields.model import Evaluation, Samples
from nsff.models.ray_fields.model import RayFields as SceneModel
from nsff.models.ray_fields.warping import Warped, warp, warp_sides
from nsff.models.supervision import Batch, TrainingData

Terms = dict[str, Tensor]
HIDDEN_SAMPLES = 4
"""Random places along a ray at which w_hidden looks."""


@dataclass
class Objective:
    """Computes all weighted terms of a batch. ``flip`` alternates the direction of the chain every step."""

    model: SceneModel
    data: TrainingData
    config: LossConfig
    train: TrainConfig

    progress: Tensor | None = None
    """How much of the training is done, 0..1, for weights that fade: on the device, where it is changed between replays
    of a recorded step. None: by the step."""

    planes_every: int = 1
    """Steps between two updates of the dynamic field's planes (nsff.models.ray_fields.gradient_accumulation)."""

    clock: Clock = field(default_factory=Clock)

    def stage(self, step: int) -> tuple[Any, ...]:
        """All that decides which terms a step has, and their weights, other than ``progress`` and ``step % 2``."""
        config = self.config
        decays = config.decay_depth or config.decay_flow or config.decay_extra
        return self._masked(step), self._chained(step), step // config.decay_steps if decays else 0

    def __call__(self, batch: Batch, step: int, generator: torch.Generator) -> tuple[Terms, Terms]:
        """Weighted loss terms by name (their sum is minimised), and unweighted monitors (psnr, dynamic weight)."""
        model, config = self.model, self.config
        with self.clock("samples"):
            samples = model.sample(batch.rays, generator)
        with self.clock("fields"):
            evaluation = model.evaluate(samples, generator)
        rgb = model.composited(evaluation, "rgb")
        terms: Terms = {"rgb": config.w_rgb * (rgb[: batch.main] - batch.rgb[: batch.main]).square().mean()}
        if self.always_masked and len(batch.rgb) > batch.main:
            terms["rgb"] = config.w_rgb * (rgb - batch.rgb).square().mean()
        monitors = {"mse": (rgb[: batch.main].detach() - batch.rgb[: batch.main]).square().mean()}
        self._semantics(terms, evaluation, batch, step)
        self._geometry(terms, evaluation, batch, step)
        if model.dynamic is not None:
            assert evaluation.dynamic_weights is not None
            monitors["dynamic_weight"] = evaluation.dynamic_weights.detach().sum(1).mean()
            self._dynamic(terms, evaluation, batch, step, generator)
        return terms, monitors

    @property
    def frozen(self) -> bool:
        """Whether the field of a neighbouring frame learns nothing from being rendered in this one."""
        return self.config.warp_trains == "flow"

    @property
    def always_masked(self) -> bool:
        """Presets that are not NSFF's mask the dynamic terms from the first step."""
        return self.config.mask_dynamic_always

    # --- terms of the composite ----------------------------------------------------------------------------------
    def _semantics(self, terms: Terms, evaluation: Evaluation, batch: Batch, step: int) -> None:
        weight = losses.decay_factor(step, self.config.decay_steps) if self.config.decay_extra else 1.0
        n = len(batch.rgb) if self.always_masked else batch.main
        if batch.features is not None and self.config.w_features:
            error = (self.model.features_of(evaluation)[:n] - batch.features[:n]).square().mean()
            terms["features"] = weight * self.config.w_features * error
        if batch.saliency is not None and self.config.w_saliency:
            error = (self.model.composited(evaluation, "saliency")[:n] - batch.saliency[:n]).square().mean()
            terms["saliency"] = weight * self.config.w_saliency * error

    def _geometry(self, terms: Terms, evaluation: Evaluation, batch: Batch, step: int) -> None:
        config, samples, weights = self.config, evaluation.samples, evaluation.weights
        if config.w_depth and (config.depth_full or self.model.dynamic is None):
            terms["depth"] = self._decayed(config.w_depth, config.decay_depth, step) * losses.loss_depth(
                accumulate(weights, samples.s), -batch.disparity
            )
        if config.w_surface and self.data.metric_depth:
            # The expected distance to the prior's surface: zero only if all weight lies there.
            distance = 1 / batch.disparity.clamp(min=1e-6 * self.model.space.scale)
            target = self.model.space.s_of_depth(batch.rays.origins, batch.rays.directions, distance).clamp(0, 1)
            miss = ((samples.s - target[:, None]).abs() - config.surface_tolerance).clamp(min=0)
            per_ray = accumulate(weights, miss)
            if self.model.dynamic is not None:
                per_ray = per_ray + ~batch.moving * accumulate(evaluation.static_alone(), miss)
            fade = self._fading(config.surface_fade, config.surface_floor, step)
            terms["surface"] = config.w_surface * fade * (batch.confidence * per_ray).mean()
        if config.w_distortion:
            terms["distortion"] = config.w_distortion * losses.loss_distortion(samples.s, weights)
        if config.w_plane_smooth:
            # Of planes that are updated every k steps, at those steps, and k times as strong.
            every = ((self.model.static, 1), (self.model.dynamic, self.planes_every))
            fields: list[tuple[Any, int]] = [(f, k) for f, k in every if hasattr(f, "total_variation")]
            if fields:
                variation = sum(k * f.total_variation() for f, k in fields if ends_wait(step, k))
                terms["plane_smooth"] = config.w_plane_smooth * variation

    # --- terms of the dynamic field ------------------------------------------------------------------------------
    def _dynamic(
        self, terms: Terms, evaluation: Evaluation, batch: Batch, step: int, generator: torch.Generator
    ) -> None:
        dynamic: Any = evaluation.dynamic
        assert dynamic is not None and evaluation.dynamic_weights is not None
        self._separation(terms, evaluation, batch, step)
        if self.config.w_hidden:
            terms["hidden"] = self.config.w_hidden * self._hidden(evaluation, batch, generator)
        R = len(batch.rgb)
        count = R if self.train.warp_rays is None else min(R, self.train.warp_rays)
        if count == 0:
            return
        last = slice(R - count, R)
        samples = evaluation.samples[last]
        dynamic = dynamic.map(lambda value: value[last])
        weights = evaluation.dynamic_alone()[last]
        M = evaluation.dynamic_weights[last].sum(1).detach() if self._masked(step) else None
        batch_part = _part(batch, last)
        has = {"prev": batch_part.frame > 0, "post": batch_part.frame < self.data.n_frames - 1}
        with self.clock("warped fields"):
            warped = warp_sides(self.model, samples, dynamic.flow_prev, dynamic.flow_post, generator, self.frozen)
            chained, chain_positions = self._chain(samples, warped, step, generator)
        self._appearance(terms, dynamic, weights, warped, chained, batch_part, M, has, step)
        self._motion(
            terms, dynamic, weights, samples.positions, samples.s, warped, chain_positions, batch_part, M, step
        )

    def _masked(self, step: int) -> bool:
        return self.always_masked or step > self.config.decay_steps

    def _chained(self, step: int) -> bool:
        """The 5-frame stage."""
        return self.config.chain and step > 2 * self.config.decay_steps

    def _separation(self, terms: Terms, evaluation: Evaluation, batch: Batch, step: int) -> None:
        """What tells static from dynamic: the entropy of v, and (not in NSFF) the motion masks."""
        config = self.config
        if evaluation.static.blending is not None and config.w_entropy and not self.model.field_config.dynamic_only:
            terms["entropy"] = config.w_entropy * losses.loss_entropy(evaluation.static.blending)
        if config.w_static_rgb:
            static = accumulate(evaluation.static_alone(), evaluation.static.rgb)
            terms["static_rgb"] = config.w_static_rgb * losses.masked_mse(static, batch.rgb, (~batch.moving).float())
        if config.w_dynamic_mask:
            assert evaluation.dynamic_weights is not None
            fade = self._fading(config.mask_fade, config.mask_floor, step)
            opacity = evaluation.dynamic_weights.sum(1)
            terms["dynamic_mask"] = config.w_dynamic_mask * fade * losses.loss_mask(opacity, batch.moving.float())

    def _hidden(self, evaluation: Evaluation, batch: Batch, generator: torch.Generator | None) -> Tensor:
        """Opacity of the dynamic field behind what each ray sees (losses.loss_hidden): at random places, or, without
        randomness, at regular ones.
        """
        model, R = self.model, len(batch.rgb)
        assert model.dynamic is not None
        device = batch.rgb.device
        if generator is None:
            s = (torch.arange(HIDDEN_SAMPLES, device=device) + 0.5).expand(R, HIDDEN_SAMPLES) / HIDDEN_SAMPLES
        else:
            s = torch.rand(R, HIDDEN_SAMPLES, generator=generator, device=device)
        origins, directions = model.space.normalise_rays(batch.rays.origins, batch.rays.directions)
        positions = model.space.positions(origins, directions, s)
        density = model.dynamic.activate(model.dynamic.raw_density(positions, batch.rays.time[:, None].expand_as(s)))
        # As opaque as a ray's usual step makes it.
        usual = evaluation.samples.positions[:, -1] - evaluation.samples.positions[:, 0]
        opacity = 1 - torch.exp(-density * usual.norm(dim=-1, keepdim=True) / model.sampling.samples)
        return losses.loss_hidden(s, opacity, evaluation.samples.s, evaluation.weights, self.config.hidden_margin)

    def _chain(
        self, samples: Samples, warped: dict[str, Warped], step: int, generator: torch.Generator
    ) -> tuple[Warped | None, tuple[str, Tensor]]:
        """The position two frames away, backward on even and forward on odd steps, and its rendering in the 5-frame
        stage.
        """
        name = "prev" if step % 2 == 0 else "post"
        sign = -2 if name == "prev" else 2
        one = warped[name]
        flow = one.field.flow_prev if name == "prev" else one.field.flow_post
        assert flow is not None
        positions = one.positions + flow
        chained = None
        if self._chained(step):
            chained = warp(self.model, samples, positions, sign, generator, self.frozen)
        return chained, (name, positions)

    def _appearance(
        self,
        terms: Terms,
        dynamic: Any,
        weights: Tensor,
        warped: dict[str, Warped],
        chained: Warped | None,
        batch: Batch,
        M: Tensor | None,
        has: dict[str, Tensor],
        step: int,
    ) -> None:
        """Colour, features and saliency of the dynamic field at this frame, warped from k ± 1, and chained from k ±
        2.
        """
        extra = losses.decay_factor(step, self.config.decay_steps) if self.config.decay_extra else 1.0
        decode: Callable[[Tensor], Tensor] = self.model.dynamic_features
        kinds: list[tuple[str, float, Tensor, Callable[[Tensor], Tensor]]] = [
            ("rgb", self.config.w_rgb, batch.rgb, _same)
        ]
        if batch.features is not None and self.config.w_features:
            kinds.append(("features", extra * self.config.w_features, batch.features, decode))
        if batch.saliency is not None and self.config.w_saliency:
            kinds.append(("saliency", extra * self.config.w_saliency, batch.saliency, _same))
        V = {
            "prev": warped["prev"].visibility(dynamic.disocclusion_prev),
            "post": warped["post"].visibility(dynamic.disocclusion_post),
        }
        ones = torch.ones_like(batch.rays.time)
        masks = {name: V[name] * (ones if M is None else M) for name in V}
        chain_mask = ones if M is None else M
        if not self.config.warp_beyond_ends:
            masks = {name: masks[name] * has[name] for name in masks}
            inside = batch.frame > 1 if step % 2 == 0 else batch.frame < self.data.n_frames - 2
            chain_mask = chain_mask * inside
        for name, weight, target, render in kinds:
            total = losses.masked_mse(
                render(accumulate(weights, getattr(dynamic, name))), target, ones if M is None else M
            )
            for side in ("prev", "post"):
                total = total + losses.masked_mse(render(warped[side].render(name)), target, masks[side])
            if chained is not None:
                total = total + losses.masked_mse(render(chained.render(name)), target, chain_mask)
            terms[f"dynamic_{name}"] = self.config.w_warp * weight * total

    def _motion(
        self,
        terms: Terms,
        dynamic: Any,
        weights: Tensor,
        positions: Tensor,
        s: Tensor,
        warped: dict[str, Any],
        chain: tuple[str, Tensor],
        batch: Batch,
        M: Tensor | None,
        step: int,
    ) -> None:
        """Depth and flow priors, cycle consistency, and the regularisers of scene flow."""
        config, space = self.config, self.model.space
        flow_prev, flow_post = dynamic.flow_prev, dynamic.flow_post
        if config.w_depth and not config.depth_full:
            factor = self._decayed(config.w_depth, config.decay_depth, step)
            terms["depth"] = factor * losses.loss_depth(accumulate(weights, s), -batch.disparity)
        if config.w_flow:
            guessed = 1 + (config.flow_guessed - 1) * self.data.guessed_depth
            factor = guessed * self._decayed(config.w_flow, config.decay_flow, step)
            # The published loss counts all consistent pixels; where the dynamic field is empty its flow means nothing.
            M = M if self.always_masked else None
            # Weights of what there is: those of half a surface would put it half-way to the origin.
            seen = weights / weights.sum(1, keepdim=True).clamp(min=1e-3) if self.always_masked else weights
            terms["flow"] = factor * (
                self._flow(accumulate(seen, warped["post"].positions), batch, 1, M)
                + self._flow(accumulate(seen, warped["prev"].positions), batch, -1, M)
            )
        if config.w_cycle:
            terms["cycle"] = config.w_cycle * (
                losses.loss_cycle(flow_post, warped["post"].field.flow_prev, dynamic.disocclusion_post)
                + losses.loss_cycle(flow_prev, warped["prev"].field.flow_post, dynamic.disocclusion_prev)
            )
        if config.w_scene_flow:
            terms["scene_flow"] = config.w_scene_flow * (
                losses.loss_scene_flow(weights, flow_prev, config.scene_flow_axis)
                + losses.loss_scene_flow(weights, flow_post, config.scene_flow_axis)
            )
        if config.w_disocclusion:
            terms["disocclusion"] = config.w_disocclusion * (
                losses.loss_disocclusion(dynamic.disocclusion_prev)
                + losses.loss_disocclusion(dynamic.disocclusion_post)
            )
        if config.w_smooth:
            place = _same if config.smooth_space == "normalised" else space.euclidean
            name, two = chain
            here, before, after, far = map(place, (positions, warped["prev"].positions, warped["post"].positions, two))
            one = (far, before, here) if name == "prev" else (here, after, far)
            terms["smooth"] = config.w_smooth * (
                losses.loss_smooth_spatial(after - here)
                + losses.loss_smooth_spatial(before - here)
                + config.kinetic_energy_count * losses.loss_kinetic(before, here, after)
                + losses.loss_kinetic(*one)
            )

    def _flow(self, expected: Float[Tensor, "R 3"], batch: Batch, sign: int, M: Tensor | None) -> Tensor:
        """The expected scene-flow point, seen by the neighbour's camera, against where optical flow says it is."""
        target = batch.pixel + (batch.flow_post if sign > 0 else batch.flow_prev)
        valid = batch.valid_post if sign > 0 else batch.valid_prev
        neighbour = (batch.frame + sign).clamp(0, self.data.n_frames - 1)
        cameras = self.model.space.relative(self.data.world_to_camera)
        uv = self.model.space.project(expected, self.data.intrinsics[neighbour], cameras[neighbour])
        mask = valid.float() if M is None else valid.float() * M
        return losses.loss_flow(uv, target, mask)

    def _fading(self, end: float, floor: float, step: int) -> float | Tensor:
        """1 at the start, falling to ``floor`` at the fraction ``end`` of the training."""
        if self.progress is not None:
            return (1 - self.progress / end).clamp(min=floor)
        return max(floor, 1 - step / (end * self.train.steps))

    def _decayed(self, weight: float, decays: bool, step: int) -> float:
        return weight * losses.decay_factor(step, self.config.decay_steps) if decays else weight


def _same(values: Tensor) -> Tensor:
    return values


def _part(batch: Batch, rows: slice) -> Batch:
    values: dict[str, Any] = {
        name: value if value is None or isinstance(value, int) else value[rows] for name, value in vars(batch).items()
    }
    return Batch(**values)
