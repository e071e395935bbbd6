"""How a step is carried out: micro-batches, several processes, recorded CUDA graphs, and buffers of gradients.

A batch that does not fit into memory is computed in micro-batches, one after another, whose gradients add up in one
buffer; several processes average that buffer (nsff.training.distributed). On a GPU the work of a step is recorded once
and replayed (nsff.training.recording). Groups of parameters that are updated every k steps have an optimiser and a
buffer of their own, in which the gradients of k steps add up.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

import torch
from torch import Tensor

from nsff.config import TrainConfig
from nsff.errors import StageError
from nsff.models.base import BatchIndex, ParameterGroup, SceneModel, ends_accumulation
from nsff.models.clock import Clock
from nsff.training.distributed import Ranks
from nsff.training.gradients import DelayedUpdate, GradientBuffer
from nsff.training.micro_batches import Mean
from nsff.training.recording import Outputs, Recorder


class Execution:
    """The optimisers of a model, and the work of its steps on ``device``."""

    def __init__(self, model: SceneModel, device: torch.device, train: TrainConfig, ranks: Ranks) -> None:
        """``model`` is ready for training (``start_training``) and the same in all processes afterwards."""
        self.model, self.device, self.ranks = model, device, ranks
        groups = model.parameter_groups()
        self.in_place = device.type == "cuda" and any(group.in_place for group in groups)
        self.update_every = max(group.update_every for group in groups)
        self.optimiser = make_optimiser([group for group in groups if group.update_every == 1])
        self.delayed: DelayedUpdate | None = None
        if self.update_every > 1:
            self.delayed = DelayedUpdate(make_optimiser([group for group in groups if group.update_every > 1]))
        self.base_rates = [float(group["lr"]) for group in self.groups()]
        self.gradients: GradientBuffer | None = None
        self.micro_batches = 1
        self.split(1)
        self.generator = torch.Generator(device).manual_seed(ranks.seed(train.seed, 0))
        self.recorder = Recorder(device, self.generator, train.cuda_graphs and model.recordable)
        self._inputs: dict[tuple[int, int], Tensor] = {}
        self.prepare_recording()
        ranks.same(model.state_dict().values())

    @property
    def clock(self) -> Clock:
        return self.model.clock

    @clock.setter
    def clock(self, clock: Clock) -> None:
        self.model.clock = clock

    # --- a step --------------------------------------------------------------------------------------------------
    def run(self, step: int) -> Outputs:
        """One step, learning rates aside: ``terms``, ``monitors`` and ``total`` of its batch, detached, on the device.

        Raises StageError on the CPU where the loss is not finite; on a GPU ``ensure_finite`` asks.
        """
        self.model.before_step(step)
        with self.clock("batch"):
            batch = self.model.sample_batch(step, self.generator, self.ranks.rank)
        done = self.compute(batch, step)
        if self.model.after_step(step, self.optimiser):
            self._renew()
        return done

    def compute(self, batch: BatchIndex, step: int) -> Outputs:
        """The work of a step on the device, from recordings where steps are recorded: gradients, and the update."""
        stage = self.model.stage(step)
        if self.micro_batches == self.ranks.count == 1:
            return self._replay(stage, batch, step, self._whole_step)
        assert self.gradients is not None
        self.gradients.clear()
        mean = Mean(self.micro_batches)
        for number in range(self.micro_batches):
            mean.add(self._replay(stage, batch.micro_batch(self.micro_batches, number), step, self.backward))
        self.gradients.flat.div_(self.micro_batches)
        # Between two recordings: processes may have batches of different sizes, and record at different steps.
        with self.clock("averaging"):
            self.ranks.average(self.gradients.flat)
            if self.delayed is not None and self.is_complete(step):
                self.ranks.average(self.delayed.gradients.flat)
        self.recorder.run(stage, ("update", self.is_complete(step)), lambda: self._update(step))
        return mean.outputs()

    def _replay(
        self, stage: Hashable, batch: BatchIndex, step: int, work: Callable[[BatchIndex, int], Outputs]
    ) -> Outputs:
        # A recording reads its input where it was when it was recorded.
        shape = (len(batch), batch.main)
        batch = BatchIndex(self._inputs.setdefault(shape, torch.empty_like(batch.index)).copy_(batch.index), batch.main)
        key = (*shape, self.model.variant(step), self.delayed is not None and self.is_complete(step))
        return self.recorder.run(stage, key, lambda: work(batch, step))

    def _whole_step(self, batch: BatchIndex, step: int) -> Outputs:
        self.clear_gradients(delayed=False)
        done = self.backward(batch, step)
        self._update(step)
        return done

    def backward(self, batch: BatchIndex, step: int) -> Outputs:
        """Terms of the batch, and their gradients, added to those that are there."""
        with self.clock("losses"):
            terms, monitors = self.model.losses(batch, step, self.generator)
            total = torch.stack(list(terms.values())).sum()
        # On the CPU always before the backward pass: that of grid_sample crashes on coordinates that are NaN.
        if self.device.type == "cpu":
            self.ensure_finite(terms, total, step)
        with self.clock("backward"):
            total.backward()
        return {
            "terms": {name: value.detach() for name, value in terms.items()},
            "monitors": monitors,
            "total": total.detach(),
        }

    def _update(self, step: int) -> Outputs:
        with self.clock("optimiser"):
            self.optimiser.step()
            if self.delayed is not None and self.is_complete(step):
                self.delayed.update()
        return {}

    def ensure_finite(self, terms: dict[str, Tensor], total: Tensor, step: int) -> None:
        """Raises StageError, in all processes, where the loss of one is not finite; waits for the device."""
        wrong = self.ranks.largest((~torch.isfinite(torch.stack([*terms.values(), total]).detach())).int()).tolist()
        if not any(wrong):
            return
        broken = [name for name, is_wrong in zip(terms, wrong, strict=False) if is_wrong]
        raise StageError(
            "train",
            f"the loss is not finite at step {step} (terms: {', '.join(broken) or 'their sum'})",
            "look for NaN in depth, flow or features; lower train.learning_rate and train.plane_learning_rate. "
            "The last good checkpoint is kept.",
        )

    def is_complete(self, step: int) -> bool:
        """Whether no gradients wait for a later step's update after step number ``step``."""
        return ends_accumulation(step, self.update_every)

    # --- gradients and optimisers --------------------------------------------------------------------------------
    def split(self, count: int) -> None:
        """From now on each batch is computed in ``count`` micro-batches."""
        self.micro_batches = count
        self.model.split_batches(count)
        if self.gradients is None and (self.in_place or count > 1 or self.ranks.count > 1):
            self.gradients = GradientBuffer.of(self.optimiser)

    def clear_gradients(self, delayed: bool = True) -> None:
        """Clears the gradients of all parameters; without ``delayed`` of those that every step updates."""
        if delayed and self.delayed is not None:
            self.delayed.gradients.clear()
        if self.gradients is None:
            self.optimiser.zero_grad(set_to_none=True)
        else:
            self.gradients.clear()

    def groups(self) -> list[dict[str, Any]]:
        """The parameter groups of both optimisers."""
        return self.optimiser.param_groups + ([] if self.delayed is None else self.delayed.optimiser.param_groups)

    def scale_rates(self, factor: float) -> None:
        """Sets every group's learning rate to ``factor`` times that of the start."""
        for group, base in zip(self.groups(), self.base_rates, strict=True):
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(base * factor)
            else:
                group["lr"] = base * factor

    def prepare_recording(self) -> None:
        """Numbers that change from step to step live on the device where steps are recorded."""
        if not self.recorder.enabled:
            return
        for group in self.groups():
            group["lr"] = torch.as_tensor(float(group["lr"]), dtype=torch.float32, device=self.device)
            group["capturable"] = True
        self.model.start_recording()

    def _renew(self) -> None:
        """After parameters were replaced."""
        self.recorder.forget()
        if self.gradients is not None:
            self.gradients = GradientBuffer.of(self.optimiser)


def make_optimiser(groups: list[ParameterGroup]) -> torch.optim.Adam:
    """Adam of groups of parameters, each with a learning rate and an epsilon of its own."""
    options = [{"params": g.parameters, "lr": g.learning_rate, "eps": g.epsilon} for g in groups]
    return torch.optim.Adam(options, betas=(0.9, 0.999), eps=groups[0].epsilon, fused=True)
