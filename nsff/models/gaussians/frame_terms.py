"""The terms of one training frame, from what was drawn of it.

On a GPU their kernels are recorded once and replayed, backward ones too (CUDA graphs): starting them one by one takes
about as long as all of a step's drawing. The drawing itself cannot be recorded: its sizes change from step to step.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from nsff.models.base import Terms
from nsff.models.gaussians.drawing import Picture, depth_or
from nsff.models.gaussians.objective import colour_loss, geometry_terms
from nsff.models.gaussians.options import Options
from nsff.models.gaussians.scene import GaussianScene
from nsff.models.supervision import TrainingData

FARTHEST = 100.0
"""Depth where nothing is drawn, median depths."""


class FrameTerms:
    """Terms of training frames of ``data``, and the mean squared error of their colours.

    ``recorded``: on a GPU, replay the kernels in place of starting them one by one. Outputs of a recording are
    overwritten by the next frame's.
    """

    def __init__(
        self, model: GaussianScene, data: TrainingData, disparity: Float[Tensor, "N H W"], options: Options,
        recorded: bool,
    ) -> None:  # fmt: skip
        self.model, self.data, self.disparity, self.options = model, data, disparity, options
        self.unit = float(model.frame.unit)
        # Where processes train together, a thread of NCCL's asks the device whether its work is done, which ends a
        # recording.
        self.recorded = recorded and data.device.type == "cuda" and not torch.distributed.is_initialized()
        self._names: list[str] = []
        self._replay: Any = None

    def __call__(self, picture: Picture, frame: int) -> tuple[Terms, Float[Tensor, ""]]:
        """The terms by name, with gradients, and the mean squared error, without."""
        model, data, drawing = self.model, self.data, picture.drawing
        inputs = (
            picture.share, model.exposed(frame, picture.rgb), drawing.alpha, drawing.depth,
            data.images[frame], data.moving[frame], self.disparity[frame], data.confidence[frame],
        )  # fmt: skip
        values = self._replayed(inputs) if self.recorded else self._terms(*inputs)
        return dict(zip(self._names, values, strict=False)), values[-1]

    def _replayed(self, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        if self._replay is None:
            samples = tuple(x.detach().clone().requires_grad_(x.requires_grad) for x in inputs)
            self._replay = torch.cuda.make_graphed_callables(self._terms, samples, allow_unused_input=True)
        return self._replay(*inputs)

    def _terms(
        self,
        share: Float[Tensor, "H W"],
        drawn: Float[Tensor, "H W 3"],
        alpha: Float[Tensor, "H W"],
        depth: Float[Tensor, "H W"],
        image: UInt8[Tensor, "H W 3"],
        moving: Bool[Tensor, "H W"],
        disparity: Float[Tensor, "H W"],
        confidence: Float[Tensor, "H W"],
    ) -> tuple[Tensor, ...]:
        """All terms, and the mean squared error."""
        shown = image.float() / 255
        depth = depth_or(depth, alpha, FARTHEST) * self.unit
        terms: Terms = {"rgb": colour_loss(drawn, shown, self.options)}
        terms |= geometry_terms(share, depth, moving, disparity, confidence, 1 / self.unit, shown, self.options)
        self._names = list(terms)
        return (*terms.values(), (drawn.detach() - shown).square().mean())
