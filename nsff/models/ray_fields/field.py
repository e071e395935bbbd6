"""The interface of fields: maps from samples in normalised space and time to densities, colours, semantics and motion.

Notation. Positions (..., 3) lie in the scene's normalised space (NDC or contracted, see nsff.cameras.spaces),
directions (..., 3) are unit vectors in world axes (or the average camera's, see field.view_axes), time (...) is the
frame index k as a float, 0..N-1. Scene flow is a displacement in normalised space to the previous (k-1) or next (k+1)
frame.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace

import torch
from jaxtyping import Float
from torch import Tensor, nn


@dataclass
class FieldSamples:
    """The outputs of a field at samples; an output that it does not model is None."""

    raw_density: Float[Tensor, "..."]
    """Before the activation (and before training noise)."""
    rgb: Float[Tensor, "... 3"] | None = None
    """In [0, 1]."""
    features: Float[Tensor, "... C"] | None = None
    saliency: Float[Tensor, "..."] | None = None
    """In [0, 1]."""
    blending: Float[Tensor, "..."] | None = None
    """Static field only: NSFF's v in [0, 1]; 1 is dynamic."""
    flow_prev: Float[Tensor, "... 3"] | None = None
    """Dynamic field only."""
    flow_post: Float[Tensor, "... 3"] | None = None
    disocclusion_prev: Float[Tensor, "..."] | None = None
    """Dynamic field only: probability in [0, 1] that the point is not seen at the previous frame."""
    disocclusion_post: Float[Tensor, "..."] | None = None

    def map(self, function: Callable[[Tensor], Tensor]) -> FieldSamples:
        """A new struct with ``function`` applied to every tensor present."""
        present = {f.name: getattr(self, f.name) for f in fields(self)}
        return replace(self, **{name: function(value) for name, value in present.items() if value is not None})


class Field(nn.Module):
    """Base class. A static field ignores time; a dynamic one also fills flow and disocclusion.

    Directions may have one entry a ray, (R,1,3) for positions (R,K,3).
    """

    dynamic: bool

    def forward(
        self, positions: Float[Tensor, "... 3"], directions: Float[Tensor, "... 3"], time: Float[Tensor, "..."]
    ) -> FieldSamples:
        raise NotImplementedError

    def raw_density(self, positions: Float[Tensor, "... 3"], time: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """Density before activation alone, for coarse passes; cheaper than forward where a field can."""
        raise NotImplementedError

    @staticmethod
    def activate(raw_density: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """The density activation (NSFF: ReLU)."""
        return torch.relu(raw_density)

    def decode_features(self, composited: Float[Tensor, "... F"]) -> Float[Tensor, "... C"]:
        """Features from the composite of the ``features`` that ``forward`` gives. Linear, so that decoding and
        compositing may change places."""
        return composited
