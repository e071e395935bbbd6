"""The training objective: the sum of weighted terms of a batch at a step (docs/methods.md#losses), each of which is a
class in nsff.models.ray_fields.terms.

Terms of all rays are computed first, then those of the rays whose neighbouring frames are rendered through scene flow.
`nsff explain losses` prints the terms and their schedules.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from nsff.config import LossConfig, TrainConfig
from nsff.models.clock import Clock
from nsff.models.ray_fields.model import RayFields, Samples
from nsff.models.ray_fields.terms.context import Chain, RayContext, WarpedContext
from nsff.models.ray_fields.terms.registry import present_terms
from nsff.models.ray_fields.terms.schedules import CHAINED, MASKED
from nsff.models.ray_fields.terms.setup import Setup
from nsff.models.ray_fields.terms.term import RayTerm, WarpedTerm
from nsff.models.ray_fields.warping import Warped, warp, warp_sides
from nsff.models.supervision import Batch, TrainingData

Terms = dict[str, Tensor]


@dataclass
class Objective:
    """Computes all weighted terms of a batch."""

    model: RayFields
    data: TrainingData
    config: LossConfig
    train: TrainConfig

    progress: Tensor | None = None
    """How much of the training is done, 0..1, for weights that fade: on the device, where it is changed between replays
    of a recorded step. None: by the step."""

    planes_every: int = 1
    """Steps between two updates of the dynamic field's planes (nsff.models.ray_fields.gradient_accumulation)."""

    clock: Clock = field(default_factory=Clock)

    @property
    def setup(self) -> Setup:
        """The settings, fields and scene that decide which terms there are."""
        return Setup.of(self.model, self.data, self.config, self.train, self.planes_every)

    def stage(self, step: int) -> tuple[Hashable, ...]:
        """All that decides which terms a step has, and their weights, other than ``progress``, ``step % 2`` and
        ``planes_every``: a recorded step may be replayed as long as this stays the same."""
        setup = self.setup
        terms = present_terms(setup)
        started = {
            part: part.has_begun(setup, step) for part in (MASKED, CHAINED, *(p for t in terms for p in t.begins))
        }
        return (*started.values(), *(term.schedule.stage(setup, step) for term in terms))

    def __call__(self, batch: Batch, step: int, generator: torch.Generator | None) -> tuple[Terms, Terms]:
        """Weighted loss terms by name (their sum is minimised), and unweighted monitors: mse, dynamic_weight."""
        setup, model = self.setup, self.model
        with self.clock("samples"):
            samples = model.sample(batch.rays, generator)
        with self.clock("fields"):
            evaluation = model.evaluate(samples, generator)
        context = RayContext(setup, model, self.data, batch, evaluation, step, generator)
        present = present_terms(setup)
        terms: Terms = {}
        for term in present:
            if isinstance(term, RayTerm):
                terms[term.name] = term.factor(setup, step, self.progress) * term.value(context)
        warped = [term for term in present if isinstance(term, WarpedTerm)]
        if warped:
            warped_context = self._warped(context)
            for term in warped:
                terms[term.name] = term.factor(setup, step, self.progress) * term.value(warped_context)
        return terms, _monitors(context)

    def _warped(self, context: RayContext) -> WarpedContext:
        """The last rays of the batch, train.warp_rays of them, with the dynamic field at their neighbouring frames."""
        setup, model, step, batch = context.setup, context.model, context.step, context.batch
        evaluation, R = context.evaluation, len(batch.rgb)
        count = R if self.train.warp_rays is None else min(R, self.train.warp_rays)
        last = slice(R - count, R)
        assert evaluation.dynamic is not None and evaluation.dynamic_weights is not None
        samples = evaluation.samples[last]
        dynamic = evaluation.dynamic.map(lambda value: value[last])
        assert dynamic.flow_prev is not None and dynamic.flow_post is not None
        weights = evaluation.dynamic_alone()[last]
        M = evaluation.dynamic_weights[last].sum(1).detach() if MASKED.has_begun(setup, step) else None
        frozen = self.config.warp_trains == "flow"
        with self.clock("warped fields"):
            sides = warp_sides(model, samples, dynamic.flow_prev, dynamic.flow_post, context.generator, frozen)
            chain = _chain(setup, model, samples, sides, step, context.generator)
        return WarpedContext(
            setup, model, context.data, _part(batch, last), samples, dynamic, weights, sides, chain, M, step
        )


def _chain(
    setup: Setup,
    model: RayFields,
    samples: Samples,
    sides: dict[str, Warped],
    step: int,
    generator: torch.Generator | None,
) -> Chain:
    """Scene flow followed twice, and its rendering in the stage that has it."""
    side, frames = ("prev", -2) if step % 2 == 0 else ("post", 2)
    one = sides[side]
    flow = one.field.flow_prev if side == "prev" else one.field.flow_post
    assert flow is not None
    positions, rendered = one.positions + flow, None
    if CHAINED.has_begun(setup, step):
        rendered = warp(model, samples, positions, frames, generator, setup.losses.warp_trains == "flow")
    return Chain(side, positions, rendered)


def _monitors(context: RayContext) -> Terms:
    """Mean squared error of the colour of rays from whole images, and the mean weight of the dynamic field."""
    batch, main = context.batch, context.batch.main
    monitors = {"mse": (context.rgb[:main].detach() - batch.rgb[:main]).square().mean()}
    dynamic = context.evaluation.dynamic_weights
    if dynamic is not None:
        monitors["dynamic_weight"] = dynamic.detach().sum(1).mean()
    return monitors


def _part(batch: Batch, rows: slice) -> Batch:
    """Some of the rays of a batch, with their targets."""
    values: dict[str, Any] = {
        name: value if value is None or isinstance(value, int) else value[rows] for name, value in vars(batch).items()
    }
    return Batch(**values)
