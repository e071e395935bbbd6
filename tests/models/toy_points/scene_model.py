"""P coloured points that move along straight lines, drawn as soft discs in a few lines of torch.

Notation. A point is at x(t) = position + (t - N/2) velocity. In a picture of M pixels its disc has opacity a (M,P),
falling smoothly at the rim. T is the product of 1 - a of all that are nearer, and weights are T a.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from torch import Tensor, nn

from nsff.cameras.rays import project
from nsff.config import SceneConfig
from nsff.models.base import BatchIndex, Camera, Numbering, ParameterGroup, Parts, Points, SceneModel, Terms
from nsff.models.supervision import TrainingData
from nsff.scene import Scene

from .options import Options  # found under two names in these tests; within nsff/models write the whole name

FAR = 1e3
"""Depth where there is nothing."""


class Drawn(NamedTuple):
    """Discs of a picture: opacities and light (M,P), depths (P,), points in the world (P,3)."""

    opacity: Tensor
    light: Tensor
    depth: Tensor
    position: Tensor


class Model(SceneModel):
    """Positions, velocities, colours, features and saliencies of P points, and a background."""

    kind = "toy_points"

    def __init__(self, n_frames: int, count: int, channels: int) -> None:
        super().__init__()
        self.n_frames, self.count, self.channels = n_frames, count, channels
        self.position, self.velocity = nn.Parameter(torch.zeros(count, 3)), nn.Parameter(torch.zeros(count, 3))
        # The last row is the background's.
        self.colour, self.saliency = nn.Parameter(torch.zeros(count + 1, 3)), nn.Parameter(torch.zeros(count + 1))
        self.feature = nn.Parameter(0.1 * torch.randn(count + 1, channels))
        self.radius, self.opacity = nn.Parameter(torch.full((count,), -2.0)), nn.Parameter(torch.ones(count))

    @classmethod
    def create(cls, scene: Scene, config: SceneConfig, data: TrainingData) -> Self:
        """Points on pixels of the training frames, half of them on what moves."""
        options = Options(**config.model.options)
        model = cls(data.n_frames, options.count, 0 if data.features is None else data.features.shape[-1])
        anywhere = torch.randint(data.images[..., 0].numel(), (options.count,))
        moving = data.moving_pixels[torch.randint(len(data.moving_pixels), (options.count,))]
        index = torch.where(torch.arange(options.count) % 2 == 0, anywhere, moving)
        batch = data.gather(index, options.count)
        with torch.no_grad():
            model.position.copy_(batch.rays.origins + batch.rays.directions / batch.disparity[:, None])
            model.colour[:-1].copy_(torch.logit(batch.rgb, 0.02))
            if batch.saliency is not None:
                model.saliency[:-1].copy_(4 * batch.saliency - 2)
            if batch.features is not None:
                model.feature[:-1].copy_(batch.features)
        return model

    # --- training ------------------------------------------------------------------------------------------------
    def start_training(self, data: TrainingData, config: SceneConfig) -> None:
        self.data, self.rate = data, Options(**config.model.options).rate

    def parameter_groups(self) -> list[ParameterGroup]:
        return [ParameterGroup(list(self.parameters()), self.rate)]

    def sample_batch(self, step: int, generator: torch.Generator, rank: int = 0) -> BatchIndex:
        """One training frame."""
        return BatchIndex(self.data.train_frames[torch.randint(len(self.data.frames), (1,), generator=generator)], 1)

    def losses(self, batch: BatchIndex, step: int, generator: torch.Generator) -> tuple[Terms, Terms]:
        data, i = self.data, int(batch.index[0])
        camera = Camera(data.intrinsics[i], data.world_to_camera[i], data.height, data.width)
        maps = self.render(camera, i, ("rgb", "features", "saliency"))
        terms = {"rgb": (maps["rgb"] - data.images[i] / 255).square().mean()}
        for name, target in (("features", data.features), ("saliency", data.saliency)):
            if target is not None:
                sizes = zip(maps[name].shape, target.shape[1:3], strict=False)
                rows, columns = (torch.arange(n) * m // n for n, m in sizes)
                terms[name] = 0.1 * (maps[name] - target[i][rows][:, columns]).square().mean()
        return terms, {"mse": terms["rgb"].detach()}

    # --- drawing -------------------------------------------------------------------------------------------------
    @property
    def outputs(self) -> frozenset[str]:
        features = {"features"} if self.channels else set()
        return frozenset({"rgb", "depth", "blend", "saliency", "opacity", "moved_prev", "moved_post"} | features)

    def at(self, time: float) -> Tensor:
        return self.position + (time - self.n_frames / 2) * self.velocity

    @property
    def moving(self) -> Tensor:
        """1 for points that move by more than a hundredth of the mean depth in the whole clip."""
        way = self.velocity.detach().norm(dim=1) * self.n_frames
        return (way > 0.01 * self.position.detach()[:, 2].mean()).float()

    def draw(self, camera: Camera, time: float, kept: Tensor | None = None) -> Drawn:
        """All discs, or those ``kept`` (P,)."""
        P, X = self.count, self.at(time)
        uv, depth = project(X, camera.intrinsics.expand(P, 3, 3), camera.world_to_camera.expand(P, 3, 4))
        v, u = torch.meshgrid(torch.arange(camera.height) + 0.5, torch.arange(camera.width) + 0.5, indexing="ij")
        distance = (torch.stack([u, v], -1).reshape(-1, 1, 2) - uv).square().sum(-1).add(1e-6).sqrt()
        radius = self.radius.exp() * camera.intrinsics[0, 0] / depth.clamp(min=0.1)
        a = torch.sigmoid(self.opacity) * torch.sigmoid(2 * (radius - distance)) * (depth > 0.1)
        a = a if kept is None else a * kept
        order = depth.argsort()
        passed = torch.cumprod(1 - 0.999 * a[:, order], 1)
        light = torch.cat([torch.ones_like(passed[:, :1]), passed[:, :-1]], 1)[:, order.argsort()]
        return Drawn(a, light, depth, X)

    def render(
        self, camera: Camera, time: float, outputs: Sequence[str] = ("rgb",), chunk: int = 0
    ) -> dict[str, Tensor]:
        drawn = self.draw(camera, time)
        weights = drawn.light * drawn.opacity
        full = torch.cat([weights, (1 - weights.sum(1, keepdim=True)).clamp(0)], 1)
        moving = weights * self.moving
        share = moving / torch.where(moving.sum(1, keepdim=True) > 0.05, moving.sum(1, keepdim=True), torch.nan)
        maps = {
            "rgb": lambda: full @ torch.sigmoid(self.colour),
            "saliency": lambda: full @ torch.sigmoid(self.saliency),
            "features": lambda: full @ self.feature,
            "depth": lambda: full @ torch.cat([drawn.depth, drawn.depth.new_tensor([FAR])]),
            "blend": lambda: moving.sum(1),
            "opacity": lambda: weights.sum(1),
            "moved_prev": lambda: share @ self.at(time - 1),
            "moved_post": lambda: share @ self.at(time + 1),
        }
        size, own = (camera.height, camera.width), self.outputs
        return {name: maps[name]().unflatten(0, size) for name in outputs if name in own}

    # --- reading -------------------------------------------------------------------------------------------------
    def all_points(self, time: float) -> Points:
        X, features = self.at(time), nn.functional.normalize(self.feature[:-1], dim=1)
        colours, saliency = torch.sigmoid(self.colour[:-1]), torch.sigmoid(self.saliency[:-1])
        return Points(X, X, features, colours, saliency, self.velocity)

    @torch.no_grad()
    def points(
        self, time: float, camera: Camera | None = None, threshold: float = 0.5, chunk: int = 0
    ) -> Iterator[Points]:
        found, keep, pixel = self.all_points(time), torch.sigmoid(self.opacity) > threshold, None
        if camera is not None:
            drawn = self.draw(camera, time)
            pixel = drawn.opacity.argmax(0)  # the middle of the disc, or where it is nearest
            keep = keep & (drawn.light.gather(0, pixel[None])[0] > threshold)
        values = {name: None if value is None else value[keep] for name, value in vars(found).items()}
        yield Points(**values | {"pixel": None if pixel is None else pixel[keep]})

    @torch.no_grad()
    def render_parts(
        self, camera: Camera, time: float, numbering: Numbering, count: int, occluded: bool = True, chunk: int = 0
    ) -> Parts:
        numbers = torch.from_numpy(numbering(self.all_points(time)))
        whole, size, rgba = self.draw(camera, time), (camera.height, camera.width), {}
        for n in range(count, -1, -1):
            kept = (numbers == n if n else numbers > 0).float()
            own = self.draw(camera, time, kept)
            weights = (own.light if occluded else whole.light) * own.opacity
            alpha = weights.sum(1)
            colour = weights @ torch.sigmoid(self.colour[:-1]) / alpha.clamp(min=1e-8)[:, None]
            rgba[n] = torch.cat([colour, alpha[:, None]], 1).clamp(0, 1).reshape(*size, 4).numpy()
        depth = (weights @ own.depth / alpha.clamp(min=1e-8) * (alpha > 0.05)).reshape(size).numpy()
        seen = (whole.light * own.opacity).sum() / (own.light * own.opacity).sum().clamp(min=1e-8)
        return Parts(rgba, depth.astype(np.float32), float(seen))

    # --- files ---------------------------------------------------------------------------------------------------
    def description(self) -> dict[str, Any]:
        return {"n_frames": self.n_frames, "count": self.count, "channels": self.channels}

    @classmethod
    def from_description(cls, content: dict[str, Any]) -> Self:
        return cls(content["n_frames"], content["count"], content["channels"])
