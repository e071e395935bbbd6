"""A cloud of Gaussians as parameters: static ones, or dynamic ones with a time, a span and a path.

Notation. G Gaussians, C feature channels. Positions and scales are in the model's own units, see
nsff.models.gaussians.frame. The raw parameters are unbounded: scale = exp(log_scale), opacity = σ(opacity_logit),
colour = σ(raw_colour), saliency = σ(raw_saliency).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from nsff.models.gaussians.light import Light

LEAST_COLOUR = 0.01
"""Colours start no nearer than this to black and white, where the sigmoid hardly changes."""


class Cloud(nn.Module):
    """G Gaussians. ``parameters`` all have G rows, and so have buffers."""

    def __init__(self, count: int, channels: int, saliency: bool) -> None:
        super().__init__()
        new = lambda *shape: nn.Parameter(torch.zeros(count, *shape))  # noqa: E731
        self.position, self.rotation, self.log_scale = new(3), new(4), new(3)
        self.opacity_logit, self.raw_colour = new(), new(3)
        self.feature = new(channels) if channels else None
        self.raw_saliency = new() if saliency else None

    def __len__(self) -> int:
        return len(self.position)

    @torch.no_grad()
    def fill(
        self,
        position: Float[Tensor, "G 3"],
        size: Float[Tensor, "G"],
        opacity: float,
        colour: Float[Tensor, "G 3"],
        feature: Float[Tensor, "G C"] | None,
        saliency: Float[Tensor, "G"] | None,
    ) -> None:
        """Round Gaussians of standard deviation ``size``; colours and saliency in [0, 1]."""
        self._assign("position", position)
        self._assign("rotation", position.new_tensor([1.0, 0, 0, 0]).repeat(len(position), 1))
        self._assign("log_scale", size.log()[:, None].repeat(1, 3))
        self._assign("opacity_logit", torch.full_like(size, opacity).logit())
        self._assign("raw_colour", colour.clamp(LEAST_COLOUR, 1 - LEAST_COLOUR).logit())
        if self.feature is not None:
            assert feature is not None
            self._assign("feature", feature)
        if self.raw_saliency is not None:
            assert saliency is not None
            self._assign("raw_saliency", saliency.clamp(LEAST_COLOUR, 1 - LEAST_COLOUR).logit())

    def _assign(self, name: str, value: Tensor) -> None:
        getattr(self, name).data = value.float().contiguous().clone()

    # --- what is drawn -------------------------------------------------------------------------------------------
    @property
    def scale(self) -> Float[Tensor, "G 3"]:
        return self.log_scale.exp()

    @property
    def opacity(self) -> Float[Tensor, "G"]:
        return self.opacity_logit.sigmoid()

    @property
    def colour(self) -> Float[Tensor, "G 3"]:
        return self.raw_colour.sigmoid()

    @property
    def saliency(self) -> Float[Tensor, "G"] | None:
        return None if self.raw_saliency is None else self.raw_saliency.sigmoid()

    # --- growth and pruning --------------------------------------------------------------------------------------
    def rows(self) -> Iterator[tuple[str, Tensor]]:
        """Everything that has one row a Gaussian, by name: parameters, then buffers."""
        yield from self.named_parameters(recurse=False)
        yield from self.named_buffers(recurse=False)

    @torch.no_grad()
    def select(self, index: Int[Tensor, "G2"], fresh: Bool[Tensor, "G2"], optimiser: torch.optim.Adam) -> None:
        """From now on the cloud consists of rows ``index`` of today's, in that order. Their moments in ``optimiser`` go
        along, those of ``fresh`` rows are 0."""
        for name, value in list(self.rows()):
            kept = value.detach()[index].contiguous()
            if not isinstance(value, nn.Parameter):
                setattr(self, name, kept)
                continue
            parameter = nn.Parameter(kept, value.requires_grad)
            setattr(self, name, parameter)
            for group in optimiser.param_groups:
                group["params"] = [parameter if p is value else p for p in group["params"]]
            if (state := optimiser.state.pop(value, None)) is not None:
                for key, moment in state.items():
                    if moment.ndim == value.ndim:
                        state[key] = moment[index].contiguous()
                        state[key][fresh] = 0
                optimiser.state[parameter] = state

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        """A cloud takes on the number of Gaussians of what it reads."""
        for name, value in list(self.rows()):
            stored = state_dict.get(prefix + name)
            if stored is not None and stored.shape[1:] == value.shape[1:] and len(stored) != len(value):
                room = value.detach().new_zeros(stored.shape)
                if isinstance(value, nn.Parameter):
                    value.data = room
                else:
                    setattr(self, name, room)
        super()._load_from_state_dict(state_dict, prefix, *args)


class StaticCloud(Cloud):
    """Static Gaussians. Each belongs to a ``cell`` whose light changes with time, where there are any cells."""

    cell: Int[Tensor, "G"]

    def __init__(self, count: int, channels: int, saliency: bool, cells: int, frames: int) -> None:
        super().__init__(count, channels, saliency)
        self.register_buffer("cell", torch.zeros(count, dtype=torch.int32))
        self.light = Light(cells, frames)

    def colour_at(self, time: float) -> Float[Tensor, "G 3"]:
        """Colours in the light of ``time``."""
        return self.colour * self.light.at(self.cell, time)[:, None] if len(self.light) else self.colour


class MovingCloud(Cloud):
    """Dynamic Gaussians. Each has a time t₀ (``reference``, a frame), a span τ, and displacements from its position at
    frames ``first`` … ``first`` + W - 1. At time t it lies at its position plus the displacement there, linear between
    frames and constant beyond, and its opacity counts exp(-(t - t₀)²/2τ²) times."""

    reference: Float[Tensor, "G"]
    first: Int[Tensor, "G"]
    path: Float[Tensor, "G W 3"]

    def __init__(self, count: int, channels: int, saliency: bool, window: int) -> None:
        super().__init__(count, channels, saliency)
        self.log_span = nn.Parameter(torch.zeros(count))
        self.register_buffer("reference", torch.zeros(count))
        self.register_buffer("first", torch.zeros(count, dtype=torch.int32))
        self.register_buffer("path", torch.zeros(count, window, 3))

    @property
    def longest_span(self) -> float:
        """Spans stay below this, so that Gaussians have faded where their paths end."""
        return max(self.path.shape[1] // 2, 1) / 2.5

    @property
    def span(self) -> Float[Tensor, "G"]:
        """τ, frames."""
        return self.log_span.exp().clamp(max=self.longest_span)

    def presence(self, time: float) -> Float[Tensor, "G"]:
        """The factor on opacities at ``time``."""
        return torch.exp(-0.5 * ((time - self.reference) / self.span).square())

    def displacement_of(self, rows: Int[Tensor, "P"], time: float) -> Float[Tensor, "P 3"]:
        """From the position of each Gaussian among ``rows`` to where it is at ``time``."""
        window = self.path.shape[1]
        at = (time - self.first[rows]).clamp(0, window - 1)
        before = at.floor().long().clamp(max=max(window - 2, 0))
        share = (at - before)[:, None]
        after = (before + 1).clamp(max=window - 1)
        return (1 - share) * self.path[rows, before] + share * self.path[rows, after]
