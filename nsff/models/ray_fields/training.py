"""How a pair of fields is trained: batches of rays, the objective, learning rates, and which gradients wait.

Feature planes have a learning rate of their own. In long clips the planes of what moves are updated every few steps
(nsff.models.ray_fields.gradient_accumulation).
"""

from __future__ import annotations

from collections.abc import Hashable

import torch
from torch import nn

from nsff.config import SceneConfig, TrainConfig
from nsff.models.base import BatchIndex, ParameterGroup, Terms
from nsff.models.clock import Clock
from nsff.models.ray_fields.gradient_accumulation import DYNAMIC, steps_between
from nsff.models.ray_fields.model import RayFields
from nsff.models.ray_fields.objective import Objective
from nsff.models.ray_fields.planes import PLANES
from nsff.models.supervision import TrainingData


class RayFieldsTraining:
    """The part of a model of ray fields that is there in training alone."""

    def __init__(self, model: RayFields, data: TrainingData, config: SceneConfig) -> None:
        self.model, self.data, self.config = model, data, config
        self.objective = Objective(model, data, config.losses, config.train)
        self.update_every = steps_between(config.train, data.n_frames)
        if not self._delayed():
            self.update_every = 1
        self.objective.planes_every = self.update_every

    def _delayed(self) -> dict[str, nn.Parameter]:
        """The parameters that are updated every ``update_every`` steps, by name."""
        named = self.model.named_parameters()
        return {name: p for name, p in named if self.update_every > 1 and name.startswith(DYNAMIC)}

    def parameter_groups(self) -> list[ParameterGroup]:
        """The networks, the feature planes, and the planes that are updated less often."""
        train, delayed = self.config.train, self._delayed()
        named = {name: p for name, p in self.model.named_parameters() if name not in delayed}
        planes = [p for name, p in named.items() if PLANES in name]
        others = [p for name, p in named.items() if PLANES not in name]
        epsilon = 1e-15 if planes else 1e-8
        groups = [ParameterGroup(others, train.learning_rate, epsilon)] if others else []
        if planes:
            groups.append(ParameterGroup(planes, train.plane_learning_rate, epsilon, in_place=True))
        if delayed:
            every, rate = self.update_every, train.plane_learning_rate
            groups.append(ParameterGroup(list(delayed.values()), rate, 1e-15, every, in_place=True))
        return groups

    def draws_from_masks(self, step: int) -> bool:
        """Whether a step has additional rays from the motion masks."""
        train = self.config.train
        return train.motion_rays > 0 and (train.motion_rays_always or step < self.config.losses.decay_steps)

    def sample_batch(self, step: int, generator: torch.Generator, rank: int = 0) -> BatchIndex:
        """Pixels of one or of several frames (nsff.models.supervision.TrainingData.choose)."""
        return BatchIndex(*self.data.choose(self.config.train, self.draws_from_masks(step), generator, step, rank))

    def heaviest_batch(self, generator: torch.Generator) -> tuple[BatchIndex, int]:
        """All terms count after two decay periods; rays from the motion masks are drawn at the start."""
        step, train = 2 * self.config.losses.decay_steps + 1, self.config.train
        return BatchIndex(*self.data.choose(train, train.motion_rays > 0, generator, step)), step

    def losses(self, batch: BatchIndex, step: int, generator: torch.Generator, clock: Clock) -> tuple[Terms, Terms]:
        """Terms and monitors of the pixels of a batch."""
        self.objective.clock = clock
        with clock("batch"):
            rays = self.data.gather(batch.index, batch.main)
        return self.objective(rays, step, generator)

    def split_batches(self, count: int) -> None:
        """The objective goes by the settings of a micro-batch."""
        self.objective.train = micro_batch_settings(self.config.train, count)

    def stage(self, step: int) -> Hashable:
        """The stage of the objective, and whether there are rays from the motion masks."""
        return self.objective.stage(step), self.draws_from_masks(step)

    def before_step(self, step: int) -> None:
        """Sets how much of the training is done, where that lives on the device."""
        if self.objective.progress is not None:
            self.objective.progress.fill_(step / self.config.train.steps)

    def start_recording(self) -> None:
        """From now on ``Objective.progress`` is a tensor."""
        self.objective.progress = torch.zeros((), device=self.data.device)


def micro_batch_settings(train: TrainConfig, count: int) -> TrainConfig:
    """The settings that the losses of one of ``count`` micro-batches go by: its share of the rays that get warped
    renderings.

    >>> micro_batch_settings(TrainConfig(warp_rays=5), 2).warp_rays
    3
    """
    warped = None if train.warp_rays is None else -(-train.warp_rays // count)
    return train.model_copy(update={"warp_rays": warped})
