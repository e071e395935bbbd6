"""Training on several devices at once: each process has the whole model and its own rays, and all take the same step.

Gradients are averaged over the processes between the backward pass and the optimiser, so that weights stay equal. The
first process alone writes files and says what happens. NCCL on GPUs, gloo on the CPU.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from datetime import timedelta

import numpy as np
import torch
import torch.distributed as dist
from jaxtyping import Float, Int
from torch import Tensor

from nsff.config import TrainConfig
from nsff.errors import StageError
from nsff.machine.launch import Launch, launched

PATIENCE = timedelta(hours=24)
"""How long a process waits for another: the first may wait as long for the training state. torchrun ends all where one
dies."""


class Ranks:
    """A process that trains alone: nothing to share, and nobody to wait for."""

    rank = 0
    count = 1
    agree_every = 1
    """Steps between two askings whether anyone was told to stop."""

    @property
    def leader(self) -> bool:
        return self.rank == 0

    def seed(self, seed: int, step: int) -> int:
        """The seed from ``step`` on: that of the settings in the first process, others in the rest."""
        return seed

    def same(self, tensors: Iterable[Tensor]) -> None:
        """Gives all processes the first one's values, in place."""

    def average(self, values: Float[Tensor, "P"]) -> None:
        """The mean over the processes, in place."""

    def largest(self, values: Int[Tensor, "..."]) -> Int[Tensor, "..."]:
        """The largest of each number over the processes."""
        return values

    def largest_number(self, value: int) -> int:
        return value

    def wait(self) -> None:
        """Until all processes are here."""


class Group(Ranks):
    """One of several processes. Each must make the same calls in the same order."""

    def __init__(self, place: Launch, device: torch.device) -> None:
        self.rank, self.count, self.device = place.rank, place.count, device
        # On a GPU an asking waits for the device; on the CPU a step may take seconds.
        self.agree_every = 20 if device.type == "cuda" else 1

    def seed(self, seed: int, step: int) -> int:
        if self.leader:
            return seed
        return int(np.random.SeedSequence((seed, self.rank, step)).generate_state(1)[0])

    def same(self, tensors: Iterable[Tensor]) -> None:
        for tensor in tensors:
            dist.broadcast(tensor, 0)

    def average(self, values: Float[Tensor, "P"]) -> None:
        dist.all_reduce(values)
        values.div_(self.count)

    def largest(self, values: Int[Tensor, "..."]) -> Int[Tensor, "..."]:
        dist.all_reduce(values, dist.ReduceOp.MAX)
        return values

    def largest_number(self, value: int) -> int:
        return int(self.largest(torch.tensor([value], device=self.device)).item())

    def wait(self) -> None:
        self.largest_number(0)


@contextlib.contextmanager
def joined(train: TrainConfig, device: torch.device) -> Iterator[tuple[Ranks, torch.device]]:
    """This process among those that torchrun started with it, and its device; StageError where they are not train.gpus.

    All leave together, unless one fails: torchrun then ends the others.
    """
    here = launched()
    if here.count != train.gpus:
        raise StageError(
            "train",
            f"train.gpus is {train.gpus}, and {here.count} of as many processes were started",
            f"start python -m torch.distributed.run --standalone --nproc-per-node {train.gpus} -- scripts/train.py ...,"
            " as the rule does, or set train.gpus",
        )
    if here.count == 1:
        yield Ranks(), device
        return
    if device.type == "cuda":
        # Only the first is seen where a GPU is this process's own (nsff.machine.gpus).
        device = torch.device("cuda", here.rank % torch.cuda.device_count())
        torch.cuda.set_device(device)
        # With a device the communicator is made at once.
        dist.init_process_group("nccl", timeout=PATIENCE, device_id=device)
    else:
        dist.init_process_group("gloo", timeout=PATIENCE)
    group = Group(here, device)
    group.wait()
    try:
        yield group, device
        group.wait()
    except SystemExit:
        # After a signal, in all processes alike. After a failure nothing more: the others are not here.
        dist.destroy_process_group()
        raise
    else:
        dist.destroy_process_group()
