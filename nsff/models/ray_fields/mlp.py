"""The networks of NSFF and SAFF: eight layers on encoded positions, with small heads.

Notation. W hidden units, D layers, C feature channels. The encoded input joins again before the sixth layer, in the
order [input, hidden]. Density, features, saliency, motion and blending branch off the trunk and do not see the view
direction; only colour does. Parameter names are those of the published code, so that its state dictionaries load (see
nsff.models.ray_fields.published and docs/methods.md#published-networks).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from nsff.config import FieldConfig
from nsff.models.ray_fields import fused_mlp
from nsff.models.ray_fields.encodings import encoded_size, positional_encoding, time_code
from nsff.models.ray_fields.field import Field, FieldSamples

SKIP = 5
"""Index of the layer that gets the encoded input again."""


class MlpField(Field):
    """What both networks share: trunk, density, colour, and the feature and saliency heads of SAFF."""

    def __init__(self, config: FieldConfig, inputs: int, channels: int) -> None:
        super().__init__()
        self.config = config
        W, size = config.width, encoded_size(inputs, config.position_frequencies)
        ins = [size, *(W + size if layer == SKIP else W for layer in range(1, config.depth))]
        self.pts_linears = nn.ModuleList(nn.Linear(n, W) for n in ins)
        self.views_linears = nn.ModuleList([nn.Linear(W + encoded_size(3, config.direction_frequencies), W // 2)])
        self.feature_linear = nn.Linear(W, W)
        self.alpha_linear = nn.Linear(W, 1)
        self.rgb_linear = nn.Linear(W // 2, 3)
        if config.features:
            self.dino_linears = nn.ModuleList([] if config.shallow_features else [nn.Linear(W, W)])
            self.dino_linears.append(nn.Linear(W, channels))
        if config.saliency:
            self.sal_linear = nn.Linear(W, 1)

    def inputs(self, positions: Float[Tensor, "... 3"], time: Float[Tensor, "..."]) -> Float[Tensor, "... D"]:
        """What the trunk encodes."""
        return positions

    def trunk(self, positions: Float[Tensor, "... 3"], time: Float[Tensor, "..."]) -> Float[Tensor, "... W"]:
        encoded = positional_encoding(self.inputs(positions, time), self.config.position_frequencies)
        h = encoded
        for index, layer in enumerate(self.pts_linears):
            h = functional.relu(layer(torch.cat([encoded, h], dim=-1) if index == SKIP else h))
        return h

    def raw_density(self, positions: Float[Tensor, "... 3"], time: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        return self.alpha_linear(self.trunk(positions, time))[..., 0]

    def branches(self) -> list[tuple[str, nn.Linear]]:
        """The layers that branch off the trunk after density, by what they give, in published order."""
        result = []
        if self.config.features:
            result.append(("features", cast(nn.Linear, self.dino_linears[0])))
        if self.config.saliency:
            result.append(("saliency", self.sal_linear))
        return result

    def activations(self) -> dict[str, Callable[[Tensor], Tensor]]:
        """What follows the layers of ``branches``; nothing where a name is missing."""
        return {"features": self._finish_features, "saliency": torch.sigmoid}

    def _finish_features(self, features: Float[Tensor, "... F"]) -> Float[Tensor, "... C"]:
        for layer in self.dino_linears[1:]:
            features = layer(functional.relu(features))
        return torch.tanh(features) if self.config.feature_tanh else features

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

    def plain_outputs(
        self, positions: Float[Tensor, "... 3"], directions: Float[Tensor, "... 3"], time: Float[Tensor, "..."]
    ) -> dict[str, Tensor]:
        """``outputs``, layer by layer."""
        h = self.trunk(positions, time)
        view = positional_encoding(directions, self.config.direction_frequencies).expand(*h.shape[:-1], -1)
        seen = functional.relu(self.views_linears[0](torch.cat([self.feature_linear(h), view], dim=-1)))
        result = {"rgb": self.rgb_linear(seen), "density": self.alpha_linear(h)}
        finish = self.activations()
        for name, layer in self.branches():
            result[name] = finish[name](layer(h))
        return result

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
