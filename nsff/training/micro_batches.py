"""A batch in equal parts, one after another: the memory of one part, and the gradients of the whole batch.

Gradients are the mean over the parts, which is the whole batch's for losses that are means over rays. Losses that
normalise by something of the batch (masked means, the depth's median) do so part by part.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from nsff.config import TrainConfig
from nsff.training.recording import Outputs


def share(index: Int[Tensor, "R"], main: int, parts: int, number: int) -> tuple[Int[Tensor, "P"], int]:
    """Part ``number`` of a batch whose first ``main`` rays come from whole images, and how many of its own do: every
    ``parts``-th ray of either kind, so that sizes differ by one ray at most of each kind."""
    images, masks = index[:main][number::parts], index[main:][number::parts]
    return torch.cat([images, masks]), len(images)


def of_part(train: TrainConfig, parts: int) -> TrainConfig:
    """The settings that a part's losses go by: its share of the rays that get warped renderings."""
    warped = None if train.warp_rays is None else -(-train.warp_rays // parts)
    return train.model_copy(update={"warp_rays": warped})


class Mean:
    """The mean of what the parts of a step give. Added up at once: a recording overwrites its outputs."""

    def __init__(self, parts: int) -> None:
        self.parts = parts
        self.names: list[tuple[str, str]] = []
        self.sum: Float[Tensor, "V"] | None = None

    def add(self, outputs: Outputs) -> None:
        """Terms, monitors and total of a part, as Trainer has them."""
        named = {(kind, name): value for kind in ("terms", "monitors") for name, value in outputs[kind].items()}
        named["total", ""] = outputs["total"]
        self.names, values = list(named), torch.stack(list(named.values()))
        self.sum = values if self.sum is None else self.sum + values

    def outputs(self) -> Outputs:
        assert self.sum is not None
        values = dict(zip(self.names, (self.sum / self.parts).unbind(), strict=True))
        found: Outputs = {"terms": {}, "monitors": {}, "total": values.pop(("total", ""))}
        for (kind, name), value in values.items():
            found[kind][name] = value
        return found
