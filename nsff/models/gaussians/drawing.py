"""Maps of a scene of Gaussians: which Gaussians are drawn at a time, with which values, and what becomes of them.

The values of a Gaussian are composited like colours; channels are named by the slices that ``Channels`` gives them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from nsff.models.base import Camera
from nsff.models.gaussians import splats
from nsff.models.gaussians.cloud import Cloud, MovingCloud, StaticCloud
from nsff.models.gaussians.rasterisers import rasterise
from nsff.models.gaussians.splats import MIN_ALPHA, Splats

LEAST_SHARE = 0.05
"""Where what moves has a smaller share of a pixel, it has no place before and after."""


@dataclass(frozen=True)
class Present:
    """The dynamic Gaussians that are seen at a time: their rows, positions (P,3) and opacities (P,)."""

    rows: Tensor
    position: Tensor
    opacity: Tensor

    def chosen(self, kept: Tensor) -> Present:
        """Those of a mask or an index."""
        return Present(self.rows[kept], self.position[kept], self.opacity[kept])


def present(cloud: MovingCloud, time: float, others: bool = False) -> Present:
    """Those of at least MIN_ALPHA opacity at ``time``; ``others``: but for those that were made of the frame there."""
    opacity = cloud.opacity * cloud.presence(time)
    there = opacity.detach() >= MIN_ALPHA
    if others:
        there &= cloud.reference != time
    rows = there.nonzero()[:, 0]
    position = pick(cloud.position, rows) + cloud.displacement_of(rows, time)
    return Present(rows, position, pick(opacity, rows))


def pick(values: Float[Tensor, "G ..."], rows: Int[Tensor, "P"]) -> Float[Tensor, "P ..."]:
    """``values[rows]``, whose gradient is one kernel on a GPU where that of an index is a sort."""
    return values.index_select(0, rows)


@dataclass
class Channels:
    """Values of static and dynamic Gaussians side by side, by name."""

    static: list[Tensor] = field(default_factory=list)
    dynamic: list[Tensor] = field(default_factory=list)
    at: dict[str, slice] = field(default_factory=dict)
    width: int = 0

    def add(self, name: str, static: Float[Tensor, "S C"], dynamic: Float[Tensor, "P C"]) -> None:
        """Appends C channels."""
        self.at[name] = slice(self.width, self.width + static.shape[1])
        self.width += static.shape[1]
        self.static.append(static)
        self.dynamic.append(dynamic)


def joined(static: Cloud, moving: MovingCloud, now: Present, channels: Channels, kept: Tensor | None = None) -> Splats:
    """Static and present dynamic Gaussians as one set, or those of them that ``kept`` (S+P,) names."""
    rows = now.rows
    parts = [
        torch.cat([static.position, now.position]),
        torch.cat([static.rotation, pick(moving.rotation, rows)]),
        torch.cat([static.scale, pick(moving.scale, rows)]),
        torch.cat([static.opacity, now.opacity]),
        torch.cat([torch.cat(channels.static, 1), torch.cat(channels.dynamic, 1)]),
    ]
    if kept is not None:
        parts = [part[kept] for part in parts]
    return Splats(*parts)


def flag(rows: int, value: float, like: Tensor) -> Float[Tensor, "G 1"]:
    """A channel of one value."""
    return like.new_full((rows, 1), value)


def depth_or(depth: Float[Tensor, "H W"], alpha: Float[Tensor, "H W"], farthest: float) -> Float[Tensor, "H W"]:
    """``depth``, ``farthest`` where there is nothing."""
    return torch.where(alpha > 1e-3, depth, farthest)


def camera_inside(camera: Camera, world_to_camera: Float[Tensor, "3 4"]) -> splats.Camera:
    """A camera for the rasterisers, with a pose in the model's units. Enlarged pictures are blurred as much as those of
    the size that the Gaussians were fitted to: they have the same ellipses."""
    blur = splats.BLUR * max(camera.enlarged, 1.0) ** 2
    return splats.Camera(camera.intrinsics, world_to_camera, camera.height, camera.width, blur)


class Picture:
    """All Gaussians at a time as a camera sees them, composited once with the channels that ``outputs`` need.

    The camera's pose is in the model's units; ``background`` (3,) is the colour where no light is stopped. ``fixed``:
    gradients reach the values alone. ``kept``: which of the static Gaussians, and then of the dynamic ones that are
    there, are drawn. ``others``: as of ``present``.
    """

    def __init__(
        self,
        static: StaticCloud,
        moving: MovingCloud,
        background: Float[Tensor, "3"],
        camera: splats.Camera,
        time: float,
        outputs: Sequence[str],
        fixed: bool = False,
        kept: Bool[Tensor, "G"] | None = None,
        others: bool = False,
    ) -> None:
        self.background, self.camera = background, camera
        now = present(moving, time, others)
        S, P, like = len(static), len(now.rows), static.position
        channels = Channels()
        channels.add("share", flag(S, 0, like), flag(P, 1, like))
        rows, wanted = now.rows, set(outputs)
        if wanted & {"rgb"}:
            channels.add("rgb", static.colour_at(time), pick(moving.colour, rows))
        if "features" in wanted:
            assert static.feature is not None and moving.feature is not None
            channels.add("features", static.feature, pick(moving.feature, rows))
        if "saliency" in wanted:
            assert static.raw_saliency is not None and moving.raw_saliency is not None
            channels.add("saliency", static.raw_saliency.sigmoid()[:, None], moving.raw_saliency.sigmoid()[rows, None])
        for name, other in (("moved_prev", time - 1), ("moved_post", time + 1)):
            if name in wanted:
                there = moving.position[rows] + moving.displacement_of(rows, other)
                channels.add(name, torch.zeros_like(static.position), there)
        self.channels = channels
        everything = joined(static, moving, now, channels, kept)
        self.drawing = rasterise(everything.fixed() if fixed else everything, camera)

    def channel(self, name: str) -> Float[Tensor, "H W C"]:
        """The composited channels of ``name``, on 0."""
        return self.drawing.values[..., self.channels.at[name]]

    @property
    def left(self) -> Float[Tensor, "H W 1"]:
        """The light that nothing stopped."""
        return 1 - self.drawing.alpha[..., None]

    @property
    def rgb(self) -> Float[Tensor, "H W 3"]:
        return self.channel("rgb") + self.left * self.background

    @property
    def share(self) -> Float[Tensor, "H W"]:
        """The share of what moves."""
        return self.channel("share")[..., 0]

    def depth(self, farthest: float) -> Float[Tensor, "H W"]:
        """Expected z, ``farthest`` where there is nothing."""
        return depth_or(self.drawing.depth, self.drawing.alpha, farthest)

    def moved(self, name: str) -> Float[Tensor, "H W 3"]:
        """Where what moves is at the frame before or after, the model's units; NaN where nothing does."""
        share = self.share[..., None]
        return torch.where(share > LEAST_SHARE, self.channel(name) / share.clamp(min=LEAST_SHARE), torch.nan)


def alone(
    cloud: Cloud,
    position: Tensor,
    opacity: Tensor,
    colour: Tensor,
    rows: Tensor | slice,
    background: Tensor,
    camera: splats.Camera,
) -> Float[Tensor, "H W 3"]:
    """The colours of one cloud without the other."""
    only = Splats(position, cloud.rotation[rows], cloud.scale[rows], opacity, colour)
    drawing = rasterise(only, camera)
    return drawing.values + (1 - drawing.alpha[..., None]) * background
