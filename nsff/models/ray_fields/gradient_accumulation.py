"""Feature planes of what moves in a long clip: their gradients are added up over several steps before an update.

Notation. A clip has N frames and train.steps_for_frames is M: it trains N / M times as long, and a step sees M / N as
many rays of a frame. Its planes are updated every k = N // M steps (1 below 2 M frames). An update then sees as many
rays of a frame, and a frame gets as many updates, as in a clip of M frames; and the passes over the planes of all
frames (variation, Adam, clearing) cost a step the same however long the clip is.
"""

from __future__ import annotations

from nsff.config import TrainConfig
from nsff.models.base import ends_accumulation
from nsff.models.ray_fields.planes import PLANES

DYNAMIC = "dynamic" + PLANES
"""How the names of the planes begin whose updates may be delayed."""


def steps_between(train: TrainConfig, n_frames: int) -> int:
    """k of a clip of so many frames."""
    return max(1, n_frames // train.steps_for_frames) if train.steps_for_frames else 1


ends_wait = ends_accumulation
"""Whether a step ends with an update of planes that are updated every few steps."""
