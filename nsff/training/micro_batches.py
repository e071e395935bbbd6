"""Micro-batches: the memory of one part of a batch, and the gradients of the whole.

Gradients are the mean over the micro-batches, which is the whole batch's for losses that are means over its entries.
Losses that normalise by something of the batch (masked means, the depth's median) do so micro-batch by micro-batch.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from nsff.training.recording import Outputs


class Mean:
    """The mean of what the micro-batches of a step give. Added up at once: a recording overwrites its outputs."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.names: list[tuple[str, str]] = []
        self.sum: Float[Tensor, "V"] | None = None

    def add(self, outputs: Outputs) -> None:
        """Terms, monitors and total of one micro-batch, as Execution.backward returns them."""
        named = {(kind, name): value for kind in ("terms", "monitors") for name, value in outputs[kind].items()}
        named["total", ""] = outputs["total"]
        self.names, values = list(named), torch.stack(list(named.values()))
        self.sum = values if self.sum is None else self.sum + values

    def outputs(self) -> Outputs:
        assert self.sum is not None
        values = dict(zip(self.names, (self.sum / self.count).unbind(), strict=True))
        found: Outputs = {"terms": {}, "monitors": {}, "total": values.pop(("total", ""))}
        for (kind, name), value in values.items():
            found[kind][name] = value
        return found
