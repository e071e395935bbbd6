"""Gradients of all parameters side by side in one buffer: to add up over micro-batches or steps, to average at once."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

ALIGNMENT = 64
"""Elements that a parameter's gradient starts at a multiple of: kernels read many at a time."""


class GradientBuffer:
    """Makes the gradients of ``parameters`` views of ``flat``, where they stay: backward passes add to it."""

    def __init__(self, parameters: Iterable[nn.Parameter]) -> None:
        trained = [p for p in parameters if p.requires_grad]
        starts, size = [], 0
        for parameter in trained:
            starts.append(size)
            size += -(-parameter.numel() // ALIGNMENT) * ALIGNMENT
        self.flat: Tensor = torch.zeros(size, dtype=trained[0].dtype, device=trained[0].device)
        for parameter, start in zip(trained, starts, strict=True):
            # With the parameter's own strides, which optimisers ask for.
            parameter.grad = self.flat.as_strided(parameter.shape, parameter.stride(), start)
            parameter.gradient_stays = True  # type: ignore[attr-defined]  # kernels of models read it

    @classmethod
    def of(cls, optimiser: torch.optim.Optimizer) -> GradientBuffer:
        """A buffer of all parameters that ``optimiser`` updates."""
        return cls(p for group in optimiser.param_groups for p in group["params"])

    def clear(self) -> None:
        self.flat.zero_()


class DelayedUpdate:
    """Parameters of ``optimiser`` that are updated every few steps, by the gradients of all steps since the last."""

    def __init__(self, optimiser: torch.optim.Adam) -> None:
        self.optimiser = optimiser
        self.gradients = GradientBuffer.of(optimiser)

    def update(self) -> None:
        """Gradients are 0 afterwards."""
        # A sum, not a mean: Adam's updates do not depend on the scale of gradients.
        self.optimiser.step()
        self.gradients.clear()
