"""How many micro-batches a batch is trained in, so that a step fits into the GPU's memory, by two small steps.

Notation. A step of r rays takes B(r) = a + b r bytes beyond what stays; two measured ones give a and b. What stays is
the supervision, the model, and the optimiser's moments. A batch of R rays in k micro-batches needs what stays, a buffer
of gradients if k > 1, WORKSPACE, and MARGIN times B(R / k).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch

from nsff.config import TrainConfig
from nsff.errors import StageError
from nsff.machine.gpu_memory import GIGABYTE, obtainable_memory, peak_of
from nsff.models.supervision import TrainingData
from nsff.training.execution import Execution

WORKSPACE = 1.5e8
"""Bytes that matrix products and recordings keep for themselves whatever the batch; they show where it is small."""
MARGIN = 1.6
"""Factor on the measured peak: gaps between blocks of memory, kernels' own workspaces, and what two small steps do not
tell of large ones (1.5 measured, 32,768 rays planned from 4,096 and 8,192)."""
AGAIN = 1.0
"""Added to MARGIN where batches or micro-batches differ in size, or previews are made: one may run as it is while the
recording of another keeps its memory."""
PROBES = (16, 8)
"""Micro-batches a batch in the two measurements, the smaller one first."""


@dataclass(frozen=True)
class Need:
    """Bytes that training takes: ``stays`` and ``workspace`` always, ``buffer`` with more than one micro-batch, and
    those of a step, see above."""

    stays: float
    buffer: float
    per_step: float
    per_ray: float
    margin: float = MARGIN
    workspace: float = WORKSPACE

    def bytes(self, rays: int, count: int) -> float:
        """Bytes of a step of ``rays`` rays in ``count`` micro-batches."""
        step = self.per_step + self.per_ray * math.ceil(rays / count)
        return self.stays + self.workspace + (self.buffer if count > 1 else 0) + self.margin * step


def line(small: tuple[int, float], large: tuple[int, float]) -> tuple[float, float]:
    """a and b of a + b r through two points (r, bytes); neither is negative."""
    slope = max(0.0, (large[1] - small[1]) / (large[0] - small[0]))
    return max(0.0, small[1] - slope * small[0]), slope


def plan(need: Need, train: TrainConfig, available: float) -> int:
    """The fewest micro-batches that fit into ``available`` bytes, equal ones where any such number fits.

    Raises StageError where not even single rays fit.
    """
    rays = train.rays + train.motion_rays
    together = math.gcd(train.rays, train.motion_rays, train.warp_rays or 0)
    unequal = replace(need, margin=need.margin + AGAIN)
    for count in (n for n in range(1, together + 1) if together % n == 0):
        if need.bytes(rays, count) <= available:
            return count
    for count in range(1, train.rays + 1):
        if unequal.bytes(rays, count) <= available:
            return count
    raise StageError(
        "GPU memory",
        f"training needs {need.bytes(rays, train.rays) / GIGABYTE:.1f} GB at the least,"
        f" and can have {available / GIGABYTE:.1f} GB",
        "end other programs on this GPU, raise train.memory_gb, or make the scene or its field smaller"
        " (canonical.resize_height, field.dynamic_resolutions)",
    )


def planned_micro_batches(execution: Execution, train: TrainConfig, data: TrainingData) -> tuple[int, str]:
    """Micro-batches a batch on a GPU, and a line about them for the log; 1 and no line on the CPU, and for models whose
    batches cannot be divided. Changes nothing that is trained."""
    if execution.device.type != "cuda" or not execution.model.divisible:
        return 1, ""
    available = obtainable_memory(execution.device)
    need = measured(execution, train, data)
    count = execution.ranks.largest_number(plan(need, train, available))
    rays = train.rays + train.motion_rays
    line = f"rays {rays} in {count} micro-batch{'es' if count > 1 else ''}:"
    return count, f"{line} {need.bytes(rays, count) / GIGABYTE:.1f} of {available / GIGABYTE:.1f} GB"


def measured(execution: Execution, train: TrainConfig, data: TrainingData) -> Need:
    """The memory that steps need at the stage that takes most, by two small ones."""
    device = execution.device
    torch.cuda.empty_cache()
    before = torch.cuda.memory_allocated(device)
    state = execution.generator.get_state()
    points = [_peak(execution, count, before) for count in PROBES]
    execution.generator.set_state(state)
    execution.model.split_batches(execution.micro_batches)
    execution.clear_gradients()
    torch.cuda.empty_cache()
    parameters = sum(p.numel() * p.element_size() for p in execution.model.parameters() if p.requires_grad)
    moments = 0 if execution.optimiser.state else 2 * parameters
    buffer = parameters if execution.gradients is None else 0
    several = execution.recorder.enabled and (data.batches_differ(train) or train.preview_every > 0)
    margin = MARGIN + (AGAIN if several else 0)
    return Need(before + moments, buffer, *line(*points), margin)


def _peak(execution: Execution, count: int, before: int) -> tuple[int, float]:
    """Rays of one of ``count`` micro-batches, and the bytes beyond ``before`` that its terms and gradients take."""
    batch, step = execution.model.heaviest_batch(execution.generator)
    batch = batch.micro_batch(count, 0)
    execution.model.split_batches(count)
    execution.clear_gradients()
    work = lambda: execution.recorder.aside(lambda: execution.backward(batch, step))  # noqa: E731
    return len(batch), peak_of(execution.device, work) - before
