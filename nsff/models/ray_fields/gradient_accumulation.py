"""Feature planes of what moves in a long clip: their gradients are added up over several steps before an update.

Notation. A clip has N frames and train.steps_for_frames is M: it trains N / M times as long, and a step sees M / N as
many rays of a frame. Its planes are updated every k = N // M steps (1 below 2 M frames). An update then sees as many
rays of a frame, and a frame gets as many updates, as in a clip of M frames; and the passes over the planes of all
frames (variation, Adam, clearing) cost a step the same however long the clip is.
"""

from __future__ import annotations

import torch

from nsff.config import TrainConfig
from nsff.models.ray_fields.planes import PLANES
from nsff.training.gradients import GradientBuffer

DYNAMIC = "dynamic" + PLANES
"""How names of the planes begin that may wait."""


def steps_between(train: TrainConfig, n_frames: int) -> int:
    """k of a clip of so many frames."""
    return max(1, n_frames // train.steps_for_frames) if train.steps_for_frames else 1


def ends_wait(step: int, every: int) -> bool:
    """Whether step number ``step`` (the first is 0) ends with an update, where there is one every ``every`` steps."""
    return (step + 1) % every == 0


class WaitingPlanes:
    """Parameters of ``optimiser``, which are updated by the gradients of all steps since the last update."""

    def __init__(self, optimiser: torch.optim.Adam) -> None:
        self.optimiser = optimiser
        self.gradients = GradientBuffer.of(optimiser)

    def update(self) -> None:
        """Gradients are 0 afterwards."""
        # A sum, not a mean: Adam's updates do not depend on the scale of gradients.
        self.optimiser.step()
        self.gradients.clear()
