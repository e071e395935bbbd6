"""The context of a term: all rays of a batch (RayContext), or those whose neighbouring frames are rendered as well
(WarpedContext).

Notation. R rays, K samples along a ray. k is the frame of a ray; "prev" and "post" are frames k-1 and k+1. M is the
detached composited weight of the dynamic field, V the visibility of a warped rendering.

Contexts are frozen. What several terms share is computed once, when the first of them asks.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from nsff.models.ray_fields.field import FieldSamples
from nsff.models.ray_fields.model import Evaluation, RayFields, Samples
from nsff.models.ray_fields.terms.setup import Setup
from nsff.models.ray_fields.warping import Warped
from nsff.models.supervision import Batch, TrainingData


@dataclass(frozen=True)
class RayContext:
    """A batch at a step, with what the fields say about its rays."""

    setup: Setup
    model: RayFields
    data: TrainingData
    batch: Batch
    evaluation: Evaluation
    step: int
    generator: torch.Generator | None
    """Makes all random draws; None: without randomness."""

    @cached_property
    def rgb(self) -> Float[Tensor, "R 3"]:
        """The composited colour."""
        return self.model.composited(self.evaluation, "rgb")

    @cached_property
    def weights(self) -> Float[Tensor, "R K"]:
        """Weights of both fields together in the composite."""
        return self.evaluation.weights

    @property
    def counted(self) -> int:
        """The first so many rays teach the composite: those from whole images, and with losses.mask_dynamic_always
        those from the motion masks too."""
        return len(self.batch.rgb) if self.setup.losses.mask_dynamic_always else self.batch.main


@dataclass(frozen=True)
class Chain:
    """Scene flow followed twice in one direction, which alternates from step to step."""

    side: str
    """Backward ("prev") on even steps, forward ("post") on odd ones."""
    positions: Float[Tensor, "R K 3"]
    """Positions of the samples at frame k - 2 or k + 2."""
    rendered: Warped | None
    """The dynamic field there, in the stage that renders it (schedules.CHAINED)."""


@dataclass(frozen=True)
class SideMotion:
    """How samples move to one neighbouring frame, as the dynamic field has it."""

    flow: Float[Tensor, "R K 3"]
    """From frame k there, at the samples."""
    back: Float[Tensor, "R K 3"]
    """From there to frame k, at the displaced samples."""
    disocclusion: Float[Tensor, "R K"]
    """Probability that a sample is not seen there."""


@dataclass(frozen=True)
class AppearanceMasks:
    """How much each ray counts, 0..1, in the renderings of the dynamic field: here, and two warped ones or three."""

    here: Float[Tensor, "R"]
    sides: dict[str, Float[Tensor, "R"]]
    chain: Float[Tensor, "R"]


@dataclass(frozen=True)
class WarpedContext:
    """The rays of a batch that get warped renderings, at a step. All members are of these rays alone."""

    setup: Setup
    model: RayFields
    data: TrainingData
    batch: Batch
    samples: Samples
    dynamic: FieldSamples
    """The dynamic field at the samples, at frame k."""
    weights: Float[Tensor, "R K"]
    """Weights of the dynamic field alone, at frame k."""
    sides: dict[str, Warped]
    """The dynamic field at the displaced samples, at "prev" and "post"."""
    chain: Chain
    dynamic_weight: Float[Tensor, "R"] | None
    """M; None as long as renderings of the dynamic field count everywhere (schedules.MASKED)."""
    step: int

    @cached_property
    def masks(self) -> AppearanceMasks:
        """M V for the sides, M for the others; V of a side is not detached. Without losses.warp_beyond_ends what would
        be rendered before the first frame or after the last counts nothing."""
        batch, M = self.batch, self.dynamic_weight
        visibility = {
            "prev": self.sides["prev"].visibility(self.motion("prev").disocclusion),
            "post": self.sides["post"].visibility(self.motion("post").disocclusion),
        }
        here = torch.ones_like(batch.rays.time) if M is None else M
        sides = {name: V * here for name, V in visibility.items()}
        chain = here
        if not self.setup.losses.warp_beyond_ends:
            last = self.data.n_frames - 1
            exists = {"prev": batch.frame > 0, "post": batch.frame < last}
            sides = {name: mask * exists[name] for name, mask in sides.items()}
            chain = here * (batch.frame > 1 if self.chain.side == "prev" else batch.frame < last - 1)
        return AppearanceMasks(here, sides, chain)

    def motion(self, side: Literal["prev", "post"]) -> SideMotion:
        """To one side; an error (ValueError) where the dynamic field does not model it."""
        here, there = self.dynamic, self.sides[side].field
        flow, back, disocclusion = (
            (here.flow_prev, there.flow_post, here.disocclusion_prev)
            if side == "prev"
            else (here.flow_post, there.flow_prev, here.disocclusion_post)
        )
        if flow is None or back is None or disocclusion is None:
            raise ValueError("the dynamic field models no scene flow or no disocclusion")
        return SideMotion(flow, back, disocclusion)

    def neighbour(self, sign: int) -> Int[Tensor, "R"]:
        """The frame before (-1) or after (1), or the ray's own where there is none."""
        return (self.batch.frame + sign).clamp(0, self.data.n_frames - 1)
