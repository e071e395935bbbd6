"""The layers of the networks of NSFF and SAFF: eight on encoded positions, with small heads.

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
from nsff.models.ray_fields.encodings import encoded_size, positional_encoding
from nsff.models.ray_fields.field import Field

SKIP = 5
"""Index of the layer that gets the encoded input again."""


class MlpLayers(Field):
    """The layers that both networks share: trunk, density, colour, and the feature and saliency heads of SAFF."""

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
        """The numbers that the trunk encodes."""
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
        """The activations behind the layers of ``branches``; a name that is missing has none."""
        return {"features": self._finish_features, "saliency": torch.sigmoid}

    def _finish_features(self, features: Float[Tensor, "... F"]) -> Float[Tensor, "... C"]:
        for layer in self.dino_linears[1:]:
            features = layer(functional.relu(features))
        return torch.tanh(features) if self.config.feature_tanh else features

    def plain_outputs(
        self, positions: Float[Tensor, "... 3"], directions: Float[Tensor, "... 3"], time: Float[Tensor, "..."]
    ) -> dict[str, Tensor]:
        """All outputs by name, in published order, layer by layer: rgb and density before their activation, the others
        after it. ``directions`` may have one entry a ray, (R,1,3) for positions (R,K,3)."""
        h = self.trunk(positions, time)
        view = positional_encoding(directions, self.config.direction_frequencies).expand(*h.shape[:-1], -1)
        seen = functional.relu(self.views_linears[0](torch.cat([self.feature_linear(h), view], dim=-1)))
        result = {"rgb": self.rgb_linear(seen), "density": self.alpha_linear(h)}
        finish = self.activations()
        for name, layer in self.branches():
            result[name] = finish[name](layer(h))
        return result
