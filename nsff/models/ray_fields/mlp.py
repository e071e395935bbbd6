"""The networks of NSFF and SAFF as fields: outputs by name, samples of them, and the static and the dynamic network.

Their layers are in nsff.models.ray_fields.mlp_layers; on a GPU nsff.models.ray_fields.fused_mlp runs the same layers
with fewer passes over memory.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from nsff.config import FieldConfig
from nsff.models.ray_fields import fused_mlp
from nsff.models.ray_fields.encodings import time_code
from nsff.models.ray_fields.field import FieldSamples
from nsff.models.ray_fields.mlp_layers import SKIP, MlpLayers


class MlpField(MlpLayers):
    """A published network as a field: its outputs by name, in one vector as published, or as samples of a field."""

    def outputs(
        self, positions: Float[Tensor, "... 3"], directions: Float[Tensor, "... 3"], time: Float[Tensor, "..."]
    ) -> dict[str, Tensor]:
        """All outputs by name, in published order; rgb and density before their activation, the others after it.

        ``directions`` may have one entry a ray, (R,1,3) for positions (R,K,3). On a GPU
        nsff.models.ray_fields.fused_mlp does the same with fewer passes over memory.
        """
        if positions.is_cuda and positions.dtype == torch.float32 and self.config.depth > SKIP:
            reduced = torch.is_autocast_enabled("cuda")
            return fused_mlp.outputs(self, positions, directions, time, torch.bfloat16 if reduced else torch.float32)
        return self.plain_outputs(positions, directions, time)

    def packed(
        self, positions: Float[Tensor, "... 3"], directions: Float[Tensor, "... 3"], time: Float[Tensor, "..."]
    ) -> Float[Tensor, "... P"]:
        """The published output vector: rgb 3, density 1, features C, saliency 1, flow 6 and disocclusion 2, or v 1.

        77 and 70 channels for SAFF (C = 64), 12 and 5 for NSFF. rgb is before the sigmoid, density before the ReLU.
        """
        return torch.cat(list(self.outputs(positions, directions, time).values()), dim=-1)

    def forward(
        self, positions: Float[Tensor, "... 3"], directions: Float[Tensor, "... 3"], time: Float[Tensor, "..."]
    ) -> FieldSamples:
        out = self.outputs(positions, directions, time)
        samples = FieldSamples(raw_density=out["density"][..., 0], rgb=torch.sigmoid(out["rgb"]))
        samples.features = out.get("features")
        if "saliency" in out:
            samples.saliency = out["saliency"][..., 0]
        if "blending" in out:
            samples.blending = out["blending"][..., 0]
        if "flow" in out:
            samples.flow_prev, samples.flow_post = out["flow"].split(3, dim=-1)
            samples.disocclusion_prev, samples.disocclusion_post = out["disocclusion"].unbind(-1)
        return samples


class MlpStaticField(MlpField):
    """NSFF's static ("rigid") network: never sees time, and says where the dynamic one takes over (v)."""

    dynamic = False

    def __init__(self, config: FieldConfig, channels: int, n_frames: int) -> None:
        super().__init__(config, 3, channels)
        self.blends = config.composition == "blending"
        if self.blends:
            self.w_linear = nn.Linear(config.width, 1)

    def branches(self) -> list[tuple[str, nn.Linear]]:
        return super().branches() + ([("blending", self.w_linear)] if self.blends else [])

    def activations(self) -> dict[str, Callable[[Tensor], Tensor]]:
        return super().activations() | {"blending": torch.sigmoid}


class MlpDynamicField(MlpField):
    """NSFF's dynamic network: position and time are encoded together; scene flow lies within (-1, 1)."""

    dynamic = True

    def __init__(self, config: FieldConfig, channels: int, n_frames: int) -> None:
        super().__init__(config, 4, channels)
        self.n_frames = n_frames
        self.sf_linear = nn.Linear(config.width, 6)
        self.prob_linear = nn.Linear(config.width, 2)

    def inputs(self, positions: Float[Tensor, "... 3"], time: Float[Tensor, "..."]) -> Float[Tensor, "... D"]:
        return torch.cat([positions, time_code(time, self.n_frames)[..., None]], dim=-1)

    def branches(self) -> list[tuple[str, nn.Linear]]:
        return [*super().branches(), ("flow", self.sf_linear), ("disocclusion", self.prob_linear)]

    def activations(self) -> dict[str, Callable[[Tensor], Tensor]]:
        return super().activations() | {"flow": torch.tanh, "disocclusion": torch.sigmoid}
