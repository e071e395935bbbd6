"""A scene of Gaussians as a scene model: static Gaussians, and dynamic ones that are carried along the lifted flow."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import Any, Self

import torch
from torch import Tensor

from nsff.cameras.rays import project
from nsff.cameras.spaces import Space, make_space
from nsff.config import SceneConfig
from nsff.models.base import BatchIndex, Camera, LeftOut, Numbering, ParameterGroup, Parts, Points, Terms
from nsff.models.gaussians import splats
from nsff.models.gaussians.create import fill_clouds
from nsff.models.gaussians.drawing import Picture, alone, camera_inside, present
from nsff.models.gaussians.frame_terms import FARTHEST
from nsff.models.gaussians.learning import Learning
from nsff.models.gaussians.objective import explained
from nsff.models.gaussians.options import Options
from nsff.models.gaussians.parts import draw_parts
from nsff.models.gaussians.rasterisers import check_rasteriser
from nsff.models.gaussians.scene import GaussianScene
from nsff.models.gaussians.to_arrays import splat_scene
from nsff.models.supervision import TrainingData
from nsff.scene import Scene
from nsff.splats.scene import SplatScene

SURFACE = 0.05
"""A Gaussian is seen where it lies no more than this part of the depth behind what is drawn there."""


class Model(GaussianScene):
    """Gaussians of one scene.

    >>> model = Model(24, channels=64, saliency=True, window=13, space=space)  # doctest: +SKIP
    """

    kind = "gaussians"
    divisible = False
    learning: Learning
    """There from ``start_training`` on."""
    left_out: LeftOut | None = None
    """Says which Gaussians are not drawn."""

    @classmethod
    def create(cls, scene: Scene, config: SceneConfig, data: TrainingData) -> Self:
        check_rasteriser(data.device)
        options = Options(**config.model.options)
        channels = data.features.shape[-1] if data.features is not None else 0
        space = make_space(config.field.space, scene.cameras, config.field.near)
        window = 2 * min(options.reach, data.n_frames - 1) + 1
        model = cls(data.n_frames, channels, data.saliency is not None, window, space)
        fill_clouds(model, data, options, config.train.seed)
        return model

    # --- training ------------------------------------------------------------------------------------------------
    def start_training(self, data: TrainingData, config: SceneConfig) -> None:
        self.learning = Learning(self, data, config)

    def parameter_groups(self) -> list[ParameterGroup]:
        return self.learning.parameter_groups()

    def sample_batch(self, step: int, generator: torch.Generator, rank: int = 0) -> BatchIndex:
        return self.learning.sample_batch(step, rank)

    def losses(self, batch: BatchIndex, step: int, generator: torch.Generator) -> tuple[Terms, Terms]:
        return self.learning.losses(batch, step, self.clock)

    def after_step(self, step: int, optimiser: torch.optim.Adam) -> bool:
        return self.learning.growth.after_step(step, optimiser)

    @classmethod
    def explain_losses(cls, config: SceneConfig, n_frames: int | None, step: int | None) -> str:
        return explained(Options(**config.model.options), config, step)

    # --- drawing -------------------------------------------------------------------------------------------------
    @property
    def outputs(self) -> frozenset[str]:
        names = {"rgb", "depth", "blend", "static_rgb", "dynamic_rgb", "opacity", "moved_prev", "moved_post"}
        return frozenset(
            names | ({"features"} if self.channels else set()) | ({"saliency"} if self.has_saliency else set())
        )

    def render(
        self, camera: Camera, time: float, outputs: Sequence[str] = ("rgb",), chunk: int = 0
    ) -> dict[str, Tensor]:
        check_rasteriser(self.device)
        wanted, own = list(outputs), self.outputs
        inside = camera_inside(camera, self.frame.pose(camera.world_to_camera))
        kept = None if self.left_out is None else self._kept(time)
        names = [name for name in wanted if name in own]
        picture = Picture(self.static, self.moving, self.background, inside, time, names, kept=kept)
        maps = {
            "rgb": lambda: picture.rgb,
            "depth": lambda: picture.depth(FARTHEST) * self.frame.unit,
            "blend": lambda: picture.share,
            "opacity": lambda: picture.drawing.alpha,
            "features": lambda: picture.channel("features"),
            "saliency": lambda: picture.channel("saliency")[..., 0],
            "moved_prev": lambda: self.frame.outside(picture.moved("moved_prev")),
            "moved_post": lambda: self.frame.outside(picture.moved("moved_post")),
            "static_rgb": lambda: self._static_rgb(inside, time, kept),
            "dynamic_rgb": lambda: self._dynamic_rgb(inside, time, kept),
        }
        return {name: maps[name]() for name in wanted if name in own}

    def _static_rgb(self, camera: splats.Camera, time: float, kept: Tensor | None) -> Tensor:
        cloud = self.static
        rows = slice(None) if kept is None else kept[: len(cloud)]
        colour = cloud.colour_at(time)[rows]
        return alone(cloud, cloud.position[rows], cloud.opacity[rows], colour, rows, self.background, camera)

    def _dynamic_rgb(self, camera: splats.Camera, time: float, kept: Tensor | None) -> Tensor:
        now = present(self.moving, time)
        if kept is not None:
            now = now.chosen(kept[len(self.static) :])
        black, colour = torch.zeros_like(self.background), self.moving.colour[now.rows]
        return alone(self.moving, now.position, now.opacity, colour, now.rows, black, camera)

    def without(self, left_out: LeftOut) -> Self:
        """Gaussians are judged one by one."""
        other = copy.copy(self)
        other.left_out = left_out
        return other

    def _kept(self, time: float) -> Tensor:
        assert self.left_out is not None
        return ~torch.from_numpy(self.left_out(self.all_points(time)[0], time)).to(self.device)

    # --- reading -------------------------------------------------------------------------------------------------
    def all_points(self, time: float) -> tuple[Points, Tensor]:
        """The centres of all Gaussians that are there at ``time``, static ones first, and their opacities."""
        static, moving, now = self.static, self.moving, present(self.moving, time)
        rows = now.rows
        both = lambda name: torch.cat([getattr(static, name), getattr(moving, name)[rows]])  # noqa: E731
        position = self.frame.outside(torch.cat([static.position, now.position]))
        later = moving.position[rows] + moving.displacement_of(rows, time + 1)
        motion = torch.cat([torch.zeros_like(static.position), (later - now.position) * self.frame.unit])
        points = Points(
            position,
            self.space.from_world(position),
            torch.nn.functional.normalize(both("feature"), dim=1) if self.channels else None,
            both("colour"),
            both("saliency") if self.has_saliency else None,
            motion,
            moving=torch.arange(len(position), device=position.device) >= len(static),
        )
        return points, torch.cat([static.opacity, now.opacity])

    @torch.no_grad()
    def points(
        self, time: float, camera: Camera | None = None, threshold: float = 0.5, chunk: int = 0
    ) -> Iterator[Points]:
        """The Gaussians' centres; with a camera those at the surfaces that it draws."""
        points, opacity = self.all_points(time)
        keep, pixel = opacity > threshold, None
        if camera is not None:
            count = len(opacity)
            K, pose = camera.intrinsics.expand(count, 3, 3), camera.world_to_camera.expand(count, 3, 4)
            uv, z = project(points.positions, K, pose)
            column, row = uv.floor().long().unbind(1)
            keep = keep & (column >= 0) & (column < camera.width) & (row >= 0) & (row < camera.height) & (z > 0)
            pixel = row.clamp(0, camera.height - 1) * camera.width + column.clamp(0, camera.width - 1)
            maps = self.render(camera, time, ("depth", "opacity"))
            drawn, seen = maps["depth"].flatten()[pixel], maps["opacity"].flatten()[pixel]
            keep = keep & (z <= (1 + SURFACE) * drawn) & (seen > threshold)
        values: dict[str, Any] = {n: None if value is None else value[keep] for n, value in vars(points).items()}
        yield Points(**values | {"pixel": None if pixel is None else pixel[keep]})

    @torch.no_grad()
    def render_parts(
        self, camera: Camera, time: float, numbering: Numbering, count: int, occluded: bool = True, chunk: int = 0
    ) -> Parts:
        numbers = torch.from_numpy(numbering(self.all_points(time)[0])).to(self.device)
        return draw_parts(self, camera, time, numbers, count, occluded)

    @torch.no_grad()
    def splats(self, numbering: Numbering | None = None) -> SplatScene:
        return splat_scene(self, numbering)

    # --- files ---------------------------------------------------------------------------------------------------
    def description(self) -> dict[str, Any]:
        return {
            "n_frames": self.n_frames,
            "channels": self.channels,
            "saliency": self.has_saliency,
            "window": self.window,
            "space": self.space.to_dict(),
            "static": len(self.static),
            "moving": len(self.moving),
            "cells": len(self.static.light),
        }

    @classmethod
    def from_description(cls, content: dict[str, Any]) -> Self:
        counts = {name: content[name] for name in ("n_frames", "channels", "saliency", "window", "static", "moving")}
        return cls(space=Space.from_dict(content["space"]), cells=content.get("cells", 0), **counts)
