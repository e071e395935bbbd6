"""Schedules of the terms: what a weight is multiplied by at a step, and when a part of a term begins
(docs/methods.md#weights-and-schedule).

Notation. s is the step (the first is 0), N the number of steps, S = losses.decay_steps the length of a decay period,
q = s // S the periods that are over. A schedule is data: it names the settings that it goes by, and each can be
evaluated at a step, described in words, and asked at which steps it changes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from nsff.models.ray_fields.gradient_accumulation import ends_wait
from nsff.models.ray_fields.terms.setup import Setup


def decay_factor(step: int, decay_steps: int) -> float:
    """10^-q with q = step // decay_steps: what is left of a decaying weight at a step.

    Source: NSFF's run_nerf.py, decay_depth_w and decay_optical_flow_w.

    >>> decay_factor(45_000, 30_000)
    0.1
    """
    return 10.0 ** -(step // decay_steps)


class Schedule:
    """The base class of schedules is constant: the weight counts as it is at every step."""

    def factor(self, setup: Setup, step: int, progress: Tensor | None = None) -> float | Tensor:
        """The factor on the weight. ``progress`` is s / N as a tensor, where a recorded step has to see it."""
        return 1.0

    def stage(self, setup: Setup, step: int) -> int:
        """A number that changes whenever ``factor`` does, unless that follows ``progress`` or ``planes_every``."""
        return 0

    def in_words(self, setup: Setup) -> str:
        """The schedule in words."""
        return "constant"

    def changes(self, setup: Setup) -> dict[int, str]:
        """From which step on what is different."""
        return {}


@dataclass(frozen=True)
class Decays(Schedule):
    """The weight falls tenfold after every decay period, where the setting ``switch`` of ``losses`` says so."""

    switch: str

    def factor(self, setup: Setup, step: int, progress: Tensor | None = None) -> float:
        return decay_factor(step, setup.losses.decay_steps) if self._on(setup) else 1.0

    def stage(self, setup: Setup, step: int) -> int:
        return step // setup.losses.decay_steps if self._on(setup) else 0

    def in_words(self, setup: Setup) -> str:
        return f"falls tenfold every {setup.losses.decay_steps:,} steps" if self._on(setup) else "constant"

    def changes(self, setup: Setup) -> dict[int, str]:
        period = setup.losses.decay_steps
        periods = range(1, 1 + (setup.train.steps - 1) // period) if self._on(setup) else range(0)
        return {q * period: f"times {decay_factor(q * period, period):g}" for q in periods}

    def _on(self, setup: Setup) -> bool:
        return bool(getattr(setup.losses, self.switch))


@dataclass(frozen=True)
class Fades(Schedule):
    """The weight falls in a straight line, max(floor, 1 - s / (end N)); ``end`` and ``floor`` name two settings of
    ``losses``."""

    end: str
    floor: str

    def factor(self, setup: Setup, step: int, progress: Tensor | None = None) -> float | Tensor:
        end, floor = self._of(setup)
        if progress is not None:
            return (1 - progress / end).clamp(min=floor)
        return max(floor, 1 - step / (end * setup.train.steps))

    def in_words(self, setup: Setup) -> str:
        end, floor = self._of(setup)
        if floor == 1:
            return "constant"
        return f"falls in a straight line to {max(floor, 1 - 1 / end):g} at step {self._last(setup):,}"

    def changes(self, setup: Setup) -> dict[int, str]:
        floor, last = self._of(setup)[1], self._last(setup)
        return {last: f"times {floor:g}, the floor"} if floor < 1 and last < setup.train.steps else {}

    def _last(self, setup: Setup) -> int:
        """The first step that has the floor, or the last of the training where that comes before."""
        end, floor = self._of(setup)
        return min(setup.train.steps, math.ceil((1 - floor) * end * setup.train.steps))

    def _of(self, setup: Setup) -> tuple[float, float]:
        return getattr(setup.losses, self.end), getattr(setup.losses, self.floor)


@dataclass(frozen=True)
class AtUpdates(Schedule):
    """Constant, except for planes of the dynamic field that are updated every k steps only: these count k times at the
    steps that update them, and not at all at the others."""

    def multiplier(self, setup: Setup, step: int, dynamic: bool) -> int:
        """How many times the planes of the static or the dynamic field count at a step."""
        every = setup.planes_every if dynamic else 1
        return every if ends_wait(step, every) else 0

    def in_words(self, setup: Setup) -> str:
        k = setup.planes_every
        return "constant" if k == 1 else f"constant; planes of the dynamic field every {k} steps, {k} times as strong"


@dataclass(frozen=True)
class Begins:
    """A part of a term that begins after a number of decay periods, at step ``periods`` S + 1 as in the published code.

    ``always`` names a setting of ``losses`` with which it counts from the first step on, ``needs`` one without which it
    never does.
    """

    what: str
    periods: int
    always: str = ""
    needs: str = ""

    def has_begun(self, setup: Setup, step: int) -> bool:
        """Whether the part counts at a step."""
        losses = setup.losses
        if self.always and getattr(losses, self.always):
            return True
        return (not self.needs or getattr(losses, self.needs)) and step > self.periods * losses.decay_steps

    def changes(self, setup: Setup) -> dict[int, str]:
        first = self.periods * setup.losses.decay_steps + 1
        within = self.has_begun(setup, first) and not self.has_begun(setup, first - 1) and first < setup.train.steps
        return {first: self.what} if within else {}


MASKED = Begins("rays count by the dynamic field's weight in the picture", 1, always="mask_dynamic_always")
"""Renderings of the dynamic field alone count where the composite shows it. Source: NSFF's run_nerf.py."""
CHAINED = Begins("renders two frames away as well", 2, needs="chain")
"""Scene flow is followed to k ± 2, in colour and semantics. Source: NSFF's run_nerf.py, chain_sf."""
