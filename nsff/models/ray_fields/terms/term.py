"""The base class of terms of the objective: a named scalar of a batch, with a weight, a schedule and a description.

The objective is the sum of all terms, each times weight times the schedule's factor at the step. A term's name is that
of its weight without "w_". Renderings of the dynamic field alone are named after the composite's: term "dynamic_rgb"
has weight w_rgb times w_warp.
"""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from nsff.models.ray_fields.terms.context import RayContext, WarpedContext
from nsff.models.ray_fields.terms.means import Scalar
from nsff.models.ray_fields.terms.schedules import Begins, Schedule
from nsff.models.ray_fields.terms.setup import Setup


class Term:
    """The base class. A term is a subclass of RayTerm or WarpedTerm in a file of this folder, with an instance in that
    file's TERMS (nsff.models.ray_fields.terms.registry)."""

    name: ClassVar[str]
    """In the log, and with "w_" before it the weight."""
    does: ClassVar[str]
    """A line that says what the term does, for nsff explain losses."""
    source: ClassVar[str]
    """Paper and section, or "ours"."""
    schedule: ClassVar[Schedule] = Schedule()
    begins: ClassVar[tuple[Begins, ...]] = ()
    """Parts of the term, and ways to count its rays, that begin in the course of the training."""
    dynamic: ClassVar[bool] = False
    """Whether it needs the dynamic field."""
    always: ClassVar[bool] = False
    """Whether it is computed, and logged, even where its weight is 0."""

    @property
    def weight(self) -> str:
        """The weight's key in ``losses``."""
        return f"w_{self.name}"

    def absent(self, setup: Setup) -> str:
        """The reason why settings, fields or scene leave the term out; empty where it is computed."""
        if self.dynamic and setup.field.static_only:
            return "field.static_only is true"
        return "" if self.always or getattr(setup.losses, self.weight) else f"losses.{self.weight} is 0"

    def scale(self, setup: Setup) -> float | None:
        """A further constant factor of the weight; None: there is none."""
        return None

    def factor(self, setup: Setup, step: int, progress: Tensor | None = None) -> float | Tensor:
        """The factor on the value at a step: weight, times the schedule's factor, times ``scale``."""
        factor = getattr(setup.losses, self.weight) * self.schedule.factor(setup, step, progress)
        scale = self.scale(setup)
        return factor if scale is None else factor * scale

    def in_words(self, setup: Setup) -> str:
        """The schedule in words, with the parts that begin later."""
        parts = [f"from step {step:,} {what}" for part in self.begins for step, what in part.changes(setup).items()]
        return "; ".join([self.schedule.in_words(setup), *parts])

    def changes(self, setup: Setup) -> list[tuple[int, str]]:
        """The steps at which the term changes, and what is different from each on."""
        parts: list[Schedule | Begins] = [self.schedule, *self.begins]
        return [change for part in parts for change in part.changes(setup).items()]


class RayTerm(Term):
    """A term of all rays of a batch."""

    def value(self, context: RayContext) -> Scalar:
        """The term of a batch, before its weight. Device work alone: it may not wait for the device, copy from the
        host, or have a shape that data decide."""
        raise NotImplementedError


class WarpedTerm(Term):
    """A term of the rays whose neighbouring frames are rendered through scene flow."""

    dynamic = True

    def absent(self, setup: Setup) -> str:
        if setup.train.warp_rays == 0:
            return "train.warp_rays is 0"
        return super().absent(setup)

    def value(self, context: WarpedContext) -> Scalar:
        """The term of these rays, before its weight; for device work the same holds as for RayTerm.value."""
        raise NotImplementedError
