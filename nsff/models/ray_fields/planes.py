"""Fast fields: feature planes over space (static) and over space at every frame (dynamic), decoded by small networks.

Notation. A position x in the box [lower, upper] of normalised space becomes g in [-1, 1]^3. For every resolution r
there are three planes, (x,y), (x,z), (y,z), of r×r cells with C channels; their bilinear look-ups are multiplied
(K-planes, Fridovich-Keil et al. 2023, equation 1) and the products of all resolutions concatenated. The dynamic field
has such planes for each of T frames; the look-up is linear in time, so that at whole frames one slice is read. How
planes are stored and read: nsff.models.ray_fields.plane_lookup.
"""

from __future__ import annotations

from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from nsff.config import FieldConfig
from nsff.models.ray_fields.encodings import encoded_size, positional_encoding
from nsff.models.ray_fields.field import Field, FieldSamples
from nsff.models.ray_fields.fused_mlp import one_product
from nsff.models.ray_fields.plane_lookup import look_up_planes
from nsff.models.ray_fields.plane_variation import variation

PLANES = ".planes."
"""In the names of parameters that are feature planes."""

CODE = 16
VIEW_OCTAVES = 2


class PlaneField(Field):
    """Decoding networks and heads of static and dynamic plane fields. T is the number of time slices.

    ``motion_resolution``: resolution of the planes that motion is read off; 0: it is read off the code, like all else.
    """

    def __init__(
        self,
        config: FieldConfig,
        bounds: Float[Tensor, "2 3"],
        channels: int,
        resolutions: list[int],
        slices: int,
        motion_resolution: int = 0,
    ) -> None:
        super().__init__()
        self.code_resolutions = len(resolutions)
        self.has_motion_planes = motion_resolution > 0
        self.register_buffer("bounds", bounds.clone().float())
        self.bounds: Tensor
        self.slices = slices
        self.planes = nn.ParameterList(
            nn.Parameter(torch.rand(3, slices, r, r, config.plane_channels) * 0.4 + 0.1)
            for r in [*resolutions, motion_resolution]
            if r
        )
        self.trunk = nn.Sequential(
            nn.Linear(len(resolutions) * config.plane_channels, config.hidden),
            nn.ReLU(),
            nn.Linear(config.hidden, 1 + CODE),
        )
        self.colour = nn.Sequential(
            nn.Linear(CODE + encoded_size(3, VIEW_OCTAVES), config.hidden), nn.ReLU(), nn.Linear(config.hidden, 3)
        )
        self.view_dependent = True
        self.semantic = nn.Linear(CODE, CODE) if config.features else None
        self.semantic_decoder = nn.Linear(CODE, channels, bias=False) if config.features else None
        self.saliency = nn.Linear(CODE, 1) if config.saliency else None

    def grid(self, positions: Float[Tensor, "M 3"]) -> Float[Tensor, "M 3"]:
        """Positions in the box as -1..1; the look-up reads the border for those outside."""
        lower, upper = self.bounds.unbind()
        return (positions - lower) / (upper - lower) * 2 - 1

    def encode(
        self, positions: Float[Tensor, "... 3"], time: Float[Tensor, "..."], count: int | None = None
    ) -> Float[Tensor, "M F"]:
        """Multiplied plane features of all, or of the first ``count``, resolutions, at the given frame times."""
        return look_up_planes(list(self.planes)[:count], self.grid(positions.reshape(-1, 3)), time.reshape(-1))

    def raw_density(self, positions: Float[Tensor, "... 3"], time: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        last = cast(nn.Linear, self.trunk[2])
        hidden = self._hidden(self.encode(positions, time, self.code_resolutions))
        return functional.linear(hidden, last.weight[:1], last.bias[:1]).reshape(positions.shape[:-1])

    @staticmethod
    def activate(raw_density: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """Truncated exponential, as in instant-ngp (Müller et al. 2022)."""
        return torch.exp(raw_density.clamp(-15, 9))

    def decode_features(self, codes: Float[Tensor, "... code"]) -> Float[Tensor, "... C"]:
        """Linear without bias, so that decoding a composited code equals compositing decoded features (base class)."""
        assert self.semantic_decoder is not None
        return self.semantic_decoder(codes)

    def branches(self) -> list[tuple[str, nn.Linear]]:
        """The outputs that are read off the code, by name, with the layer of each."""
        found = [("features", self.semantic), ("saliency", self.saliency)]
        return [(name, layer) for name, layer in found if layer is not None]

    def decode(
        self, positions: Float[Tensor, "... 3"], directions: Float[Tensor, "... 3"], time: Float[Tensor, "..."]
    ) -> tuple[FieldSamples, dict[str, Tensor]]:
        """Density, colour, features and saliency; and what each layer of ``branches`` gives, before its activation.

        The code has no activation behind it: all that is read off it is one matrix product with the hidden units, and
        the view direction, the same for all samples of a ray, is added to the hidden units of colour ray by ray.
        """
        shape = positions.shape[:-1]
        encoded = self.encode(positions, time)
        h = self._hidden(encoded[:, : cast(nn.Linear, self.trunk[0]).in_features])
        last, colour = cast(nn.Linear, self.trunk[2]), cast(nn.Linear, self.colour[0])
        to_code, offset = last.weight[1:], last.bias[1:]
        layers = [("density", last.weight[:1], last.bias[:1])]
        of_code = [("colour", colour.weight[:, :CODE], colour.bias)]
        of_code += [(name, layer.weight, layer.bias) for name, layer in self.branches()]
        layers += [(name, weight @ to_code, torch.addmv(bias, weight, offset)) for name, weight, bias in of_code]
        found = {name: value.reshape(*shape, -1) for name, value in one_product(h, layers, h.dtype).items()}
        found |= {name: value.reshape(*shape, -1) for name, value in self.direct_outputs(encoded).items()}
        hidden = found["colour"]
        if self.view_dependent:
            view = positional_encoding(directions, VIEW_OCTAVES)
            hidden = hidden + functional.linear(view, colour.weight[:, CODE:])
        seen = torch.relu(hidden)
        samples = FieldSamples(raw_density=found["density"][..., 0], rgb=torch.sigmoid(self.colour[2](seen)))
        samples.features = found.get("features")
        if "saliency" in found:
            samples.saliency = torch.sigmoid(found["saliency"])[..., 0]
        return samples, found

    def direct_outputs(self, encoded: Float[Tensor, "M F"]) -> dict[str, Tensor]:
        """Outputs that are read off the planes themselves, by name."""
        return {}

    def _hidden(self, encoded: Float[Tensor, "M F"]) -> Float[Tensor, "M H"]:
        first = cast(nn.Linear, self.trunk[0])
        if encoded.is_cuda and not torch.is_grad_enabled():
            # Bias and ReLU within the product; torch has no gradient of it.
            dtype = torch.bfloat16 if torch.is_autocast_enabled("cuda") else encoded.dtype
            return torch._addmm_activation(first.bias.to(dtype), encoded.to(dtype), first.weight.to(dtype).t())
        return torch.relu(first(encoded))

    def total_variation(self) -> Float[Tensor, ""]:
        """How much neighbouring cells differ, summed over resolutions (nsff.models.ray_fields.plane_variation)."""
        return torch.stack([variation(p) for p in self.planes]).sum()


class PlaneStaticField(PlaneField):
    """The world that does not move; with blending composition it also says where it hands over to the dynamic field."""

    dynamic = False

    def __init__(self, config: FieldConfig, bounds: Float[Tensor, "2 3"], channels: int, n_frames: int) -> None:
        super().__init__(config, bounds, channels, config.plane_resolutions, slices=1)
        self.blending = nn.Linear(CODE, 1) if config.composition == "blending" else None

    def forward(self, positions: Tensor, directions: Tensor, time: Tensor) -> FieldSamples:
        samples, found = self.decode(positions, directions, time)
        if "blending" in found:
            samples.blending = torch.sigmoid(found["blending"])[..., 0]
        return samples

    def branches(self) -> list[tuple[str, nn.Linear]]:
        return super().branches() + ([] if self.blending is None else [("blending", self.blending)])


class PlaneDynamicField(PlaneField):
    """The moving content at every frame, with scene flow to the neighbouring frames and disocclusion."""

    dynamic = True

    def __init__(self, config: FieldConfig, bounds: Float[Tensor, "2 3"], channels: int, n_frames: int) -> None:
        slices = config.plane_time or n_frames
        super().__init__(config, bounds, channels, config.dynamic_resolutions, slices, config.motion_resolution)
        self.n_frames = n_frames
        self.view_dependent = config.dynamic_views
        self.motion = nn.Linear(config.plane_channels if self.has_motion_planes else CODE, 8)
        nn.init.normal_(self.motion.weight, std=1e-3)
        # Nothing is disoccluded at first (sigmoid(-2) = 0.12), nothing moves, and the dynamic field starts thin.
        with torch.no_grad():
            self.motion.bias.copy_(torch.tensor([0.0] * 6 + [-2.0] * 2))
            cast(nn.Linear, self.trunk[2]).bias[0] -= 2.0

    def branches(self) -> list[tuple[str, nn.Linear]]:
        return super().branches() + ([] if self.has_motion_planes else [("motion", self.motion)])

    def direct_outputs(self, encoded: Tensor) -> dict[str, Tensor]:
        return {"motion": self.motion(encoded[:, -self.motion.in_features :])} if self.has_motion_planes else {}

    def encode(self, positions: Tensor, time: Tensor, count: int | None = None) -> Tensor:
        if self.slices != self.n_frames:
            time = time * ((self.slices - 1) / max(1, self.n_frames - 1))
        return super().encode(positions, time, count)

    def forward(self, positions: Tensor, directions: Tensor, time: Tensor) -> FieldSamples:
        samples, found = self.decode(positions, directions, time)
        motion = found["motion"]
        samples.flow_prev, samples.flow_post = torch.tanh(motion[..., :3]), torch.tanh(motion[..., 3:6])
        samples.disocclusion_prev, samples.disocclusion_post = torch.sigmoid(motion[..., 6:]).unbind(-1)
        return samples
