"""The time that the parts of a training step take: parts have names, and are timed by nsff.training.bench alone."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch


class Clock:
    """Times nothing. Parts of a step are written ``with clock("name"):``."""

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        yield


class Stopwatch(Clock):
    """Seconds by part, summed in ``parts``. A part within another counts for itself alone, so that parts add up.

    Waits for the device before and after each. Not within a recorded step.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.parts: dict[str, float] = {}
        self._within = [0.0]
        """Seconds of the parts within each part that runs, outermost first."""

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        started = self._now()
        self._within.append(0.0)
        yield
        seconds = self._now() - started
        self.parts[name] = self.parts.get(name, 0.0) + seconds - self._within.pop()
        self._within[-1] += seconds

    def _now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()
