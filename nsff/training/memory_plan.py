"""How many parts a batch is trained in, so that a step fits into the GPU's memory: planned from two small steps.

Notation. A step of r rays takes B(r) = a + b r bytes beyond what stays; two measured ones give a and b. What stays is
the supervision, the model, and the optimiser's moments. A batch of R rays in k parts needs what stays, a buffer of
gradients if k > 1, WORKSPACE, and MARGIN times B(R / k).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from nsff.config import TrainConfig
from nsff.errors import StageError
from nsff.machine.gpu_memory import GIGABYTE, obtainable_memory, peak_of
from nsff.training.micro_batches import of_part, share

if TYPE_CHECKING:
    from nsff.training.trainer import Trainer

WORKSPACE = 1.5e8
"""Bytes that matrix products and recordings keep for themselves whatever the batch; they show where it is small."""
MARGIN = 1.6
"""What a step takes beyond its measured peak: gaps between blocks of memory, kernels' own workspaces, and what two
small steps do not tell of large ones (1.5 measured, 32,768 rays planned from 4,096 and 8,192)."""
AGAIN = 1.0
"""Added to MARGIN where batches or parts differ in size, or previews are made: one may run as it is while the recording
of another keeps its memory."""
PROBES = (16, 8)
"""Parts of the batch whose memory is measured, the smaller one first."""


@dataclass(frozen=True)
class Need:
    """Bytes that training takes: ``stays`` and ``workspace`` always, ``buffer`` with more than one part, and a step's,
    see above."""

    stays: float
    buffer: float
    per_step: float
    per_ray: float
    margin: float = MARGIN
    workspace: float = WORKSPACE

    def bytes(self, rays: int, parts: int) -> float:
        step = self.per_step + self.per_ray * math.ceil(rays / parts)
        return self.stays + self.workspace + (self.buffer if parts > 1 else 0) + self.margin * step


def line(small: tuple[int, float], large: tuple[int, float]) -> tuple[float, float]:
    """a and b of a + b r through two points (r, bytes); neither is negative."""
    slope = max(0.0, (large[1] - small[1]) / (large[0] - small[0]))
    return max(0.0, small[1] - slope * small[0]), slope


def plan(need: Need, train: TrainConfig, available: float) -> int:
    """The fewest parts that fit into ``available`` bytes, equal ones where any such number fits.

    Raises StageError where not even single rays fit.
    """
    rays = train.rays + train.motion_rays
    together = math.gcd(train.rays, train.motion_rays, train.warp_rays or 0)
    unequal = replace(need, margin=need.margin + AGAIN)
    for parts in (p for p in range(1, together + 1) if together % p == 0):
        if need.bytes(rays, parts) <= available:
            return parts
    for parts in range(1, train.rays + 1):
        if unequal.bytes(rays, parts) <= available:
            return parts
    raise StageError(
        "GPU memory",
        f"training needs {need.bytes(rays, train.rays) / GIGABYTE:.1f} GB at the least,"
        f" and can have {available / GIGABYTE:.1f} GB",
        "end other programs on this GPU, raise train.memory_gb, or make the scene or its field smaller"
        " (canonical.resize_height, field.dynamic_resolutions)",
    )


def planned_parts(trainer: Trainer) -> int:
    """Parts for a trainer on a GPU, and a line about them in the log; 1 on the CPU. Changes nothing that is trained."""
    if trainer.device.type != "cuda":
        return 1
    train, available = trainer.config.train, obtainable_memory(trainer.device)
    need = measured(trainer)
    parts = trainer.ranks.largest_number(plan(need, train, available))
    rays = train.rays + train.motion_rays
    trainer.say(
        f"rays {rays} in {parts} part{'s' if parts > 1 else ''}:"
        f" {need.bytes(rays, parts) / GIGABYTE:.1f} of {available / GIGABYTE:.1f} GB"
    )
    return parts


def measured(trainer: Trainer) -> Need:
    """What the trainer's steps need at the stage that takes most, by two small ones."""
    device, train = trainer.device, trainer.config.train
    torch.cuda.empty_cache()
    before = torch.cuda.memory_allocated(device)
    state, used = trainer.generator.get_state(), trainer.objective.train
    points = [_peak(trainer, parts, before) for parts in PROBES]
    trainer.generator.set_state(state)
    trainer.objective.train = used
    trainer.clear_gradients()
    torch.cuda.empty_cache()
    parameters = sum(p.numel() * p.element_size() for p in trainer.model.parameters() if p.requires_grad)
    moments = 0 if trainer.optimiser.state else 2 * parameters
    buffer = parameters if trainer.gradients is None else 0
    beside = trainer.recorder.enabled and (trainer.data.batches_differ(train) or train.preview_every > 0)
    margin = MARGIN + (AGAIN if beside else 0)
    return Need(before + moments, buffer, *line(*points), margin)


def _peak(trainer: Trainer, parts: int, before: int) -> tuple[int, float]:
    """Rays of one of so many parts, and the bytes beyond ``before`` that its terms and gradients take."""
    train = trainer.config.train
    # All terms there are: after two decay periods, with rays from the motion masks.
    step = 2 * trainer.config.losses.decay_steps + 1
    index, main = trainer.data.choose(train, train.motion_rays > 0, trainer.generator, step)
    index, main = share(index, main, parts, 0)
    trainer.objective.train = of_part(train, parts)
    trainer.clear_gradients()
    work = lambda: trainer.recorder.aside(lambda: trainer.backward(index, main, step))  # noqa: E731
    return len(index), peak_of(trainer.device, work) - before
