"""Device work recorded once and replayed: what a training step costs between its kernels falls away.

A step is some hundreds of small kernels, and starting each takes the host about as long as running it takes the GPU. A
CUDA graph starts all of them at once. What is recorded must do the same kernels on the same memory every time: inputs
stay in place and are overwritten, nothing waits for the device, and whatever the host decides belongs to the key.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

import torch

WARM_UP = 2
"""Runs of a key before it is recorded, in which libraries choose their kernels and gradients get their memory."""
MOST = 12
"""Recordings kept at once; further keys run as they are."""

Outputs = dict[str, Any]


class Recorder:
    """Runs work by key: as it is at first, then from a recording. ``generator`` is the one the work draws from."""

    def __init__(self, device: torch.device, generator: torch.Generator, enabled: bool) -> None:
        self.device, self.generator = device, generator
        self.enabled = enabled and device.type == "cuda"
        self.stream = torch.cuda.Stream(device) if self.enabled else None
        self._runs: dict[Hashable, int] = {}
        self._recorded: dict[Hashable, tuple[Any, Outputs]] = {}
        self._pool: Any = None
        self._stage: Hashable = None

    def run(self, stage: Hashable, key: Hashable, work: Callable[[], Outputs]) -> Outputs:
        """The outputs of ``work``; those of a recording are overwritten by the next run of the same stage.

        Recordings of an earlier stage are given up when another comes.
        """
        if not self.enabled:
            return work()
        if stage != self._stage:
            self._forget(stage)
        if key in self._recorded:
            graph, outputs = self._recorded[key]
            graph.replay()
            return outputs
        self._runs[key] = self._runs.get(key, 0) + 1
        if self._runs[key] <= WARM_UP or len(self._recorded) >= MOST:
            return self.aside(work)
        graph = torch.cuda.CUDAGraph()
        graph.register_generator_state(self.generator)
        torch.cuda.synchronize(self.device)
        # Where processes train together, a thread of NCCL's asks the device meanwhile whether its work is done.
        mode = "thread_local" if torch.distributed.is_initialized() else "global"
        with torch.cuda.graph(graph, pool=self._pool, stream=self.stream, capture_error_mode=mode):
            outputs = work()
        # Steps follow one another, so all recordings may use the same memory.
        self._pool = graph.pool()
        self._recorded[key] = (graph, outputs)
        graph.replay()
        return outputs

    def aside(self, work: Callable[[], Outputs]) -> Outputs:
        """As it is, on the stream that is recorded later: what autograd keeps belongs to it from the start."""
        if self.stream is None:
            return work()
        here = torch.cuda.current_stream(self.device)
        self.stream.wait_stream(here)
        with torch.cuda.stream(self.stream):
            outputs = work()
        here.wait_stream(self.stream)
        return outputs

    def forget(self) -> None:
        """Gives up all recordings: what they work on was replaced."""
        self._forget(self._stage)

    def _forget(self, stage: Hashable) -> None:
        if self._recorded:
            torch.cuda.synchronize(self.device)
        self._recorded.clear()
        self._runs.clear()
        self._pool, self._stage = None, stage
