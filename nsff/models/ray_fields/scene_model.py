"""Ray fields as a scene model: a pair of fields that is trained on rays, drawn along rays, and read at samples."""

from __future__ import annotations

import copy
from collections.abc import Hashable, Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from nsff.cameras.spaces import Space, make_space
from nsff.config import FieldConfig, SamplingConfig, SceneConfig
from nsff.models.base import (
    BatchIndex,
    Camera,
    DepthPlanes,
    LeftOut,
    MovingLayer,
    Numbering,
    ParameterGroup,
    Parts,
    Points,
    Terms,
)
from nsff.models.ray_fields import published_checkpoints
from nsff.models.ray_fields.depth_planes import depth_planes
from nsff.models.ray_fields.explain import explained
from nsff.models.ray_fields.gradient_accumulation import steps_between
from nsff.models.ray_fields.model import RayFields
from nsff.models.ray_fields.outputs import map_of, moving_layer_of, outputs_of
from nsff.models.ray_fields.space_samples import (
    depth_of,
    numbered_points,
    points_near_surfaces,
    space_samples,
    straight_rgba,
)
from nsff.models.ray_fields.terms.setup import Setup
from nsff.models.ray_fields.training import RayFieldsTraining
from nsff.models.ray_model import RayModel
from nsff.models.rays import Rays
from nsff.models.supervision import TrainingData
from nsff.scene import Scene

SHARE = 4
"""Chunks of samples that are read are this many times smaller than those that are drawn: more of them is kept."""


class Model(RayFields, RayModel):
    """Static and dynamic field, the space they live in, and how rays are sampled.

    >>> model = Model(make_space("ndc", cameras), FieldConfig(), SamplingConfig(), 64, 24)  # doctest: +SKIP
    """

    kind = "ray_fields"
    recordable = True
    learning: RayFieldsTraining
    """There from ``start_training`` on."""

    @classmethod
    def create(cls, scene: Scene, config: SceneConfig, data: TrainingData) -> Self:
        """New fields for the scene's cameras and frames."""
        channels = data.features.shape[-1] if data.features is not None else 0
        space = make_space(config.field.space, scene.cameras, config.field.near)
        return cls(space, config.field, config.sampling, channels, data.n_frames)

    # --- training ------------------------------------------------------------------------------------------------
    def start_training(self, data: TrainingData, config: SceneConfig) -> None:
        self.learning = RayFieldsTraining(self, data, config)

    def parameter_groups(self) -> list[ParameterGroup]:
        return self.learning.parameter_groups()

    def sample_batch(self, step: int, generator: torch.Generator, rank: int = 0) -> BatchIndex:
        return self.learning.sample_batch(step, generator, rank)

    def heaviest_batch(self, generator: torch.Generator) -> tuple[BatchIndex, int]:
        return self.learning.heaviest_batch(generator)

    def losses(self, batch: BatchIndex, step: int, generator: torch.Generator) -> tuple[Terms, Terms]:
        return self.learning.losses(batch, step, generator, self.clock)

    def split_batches(self, count: int) -> None:
        self.learning.split_batches(count)

    def before_step(self, step: int) -> None:
        self.learning.before_step(step)

    def stage(self, step: int) -> Hashable:
        return self.learning.stage(step)

    def variant(self, step: int) -> Hashable:
        """The chain of scene flow goes back on even steps and forth on odd ones."""
        return step % 2

    def start_recording(self) -> None:
        self.learning.start_recording()

    @classmethod
    def explain_losses(cls, config: SceneConfig, n_frames: int | None, step: int | None) -> str:
        every = 1 if n_frames is None else steps_between(config.train, n_frames)
        return explained(Setup.of_config(config, every), step)

    # --- drawing -------------------------------------------------------------------------------------------------
    @property
    def outputs(self) -> frozenset[str]:
        return outputs_of(self)

    @property
    def pixel_centre(self) -> float:  # type: ignore[override]
        """Offset of pixel centres (sampling.pixel_centre)."""
        return self.sampling.pixel_centre

    @property
    def continuous(self) -> bool:  # type: ignore[override]
        """A static field alone is the same at all times."""
        return self.dynamic is None

    @property
    def samples_per_ray(self) -> int:  # type: ignore[override]
        """Samples of both passes."""
        return self.sampling.samples + self.sampling.coarse_samples

    def render_rays(
        self, origins: Tensor, directions: Tensor, time: Tensor, outputs: Sequence[str] = ("rgb",)
    ) -> dict[str, Tensor]:
        rays, own = Rays(origins, directions, time), self.outputs
        evaluation = self.evaluate(self.sample(rays, None))
        return {name: map_of(self, name, evaluation, rays) for name in outputs if name in own}

    def moving_layer(
        self, camera: Camera, frame: int, side: str, fraction: float, output: str = "rgb", chunk: int = 0
    ) -> MovingLayer:
        rays = self.frame_rays(camera, frame)
        parts = [moving_layer_of(self, part, camera, side, fraction, output) for part in self.chunks(rays, chunk)]
        image = lambda part: torch.cat(part).unflatten(0, (camera.height, camera.width))  # noqa: E731
        return MovingLayer(*(image(part) for part in zip(*parts, strict=True)))

    def depth_planes(
        self, camera: Camera, frame: int, rho: float, output: str = "rgb", chunk: int = 0
    ) -> Iterator[DepthPlanes]:
        rays = self.frame_rays(camera, frame + rho)
        budget = self.rays_at_once(rays, chunk) * self.sampling.samples
        return depth_planes(self, rays, camera, frame, rho, budget, output)

    # --- reading -------------------------------------------------------------------------------------------------
    @torch.no_grad()
    def points(
        self, time: float, camera: Camera | None = None, threshold: float = 0.5, chunk: int = 0
    ) -> Iterator[Points]:
        """Samples near the surfaces that the camera sees."""
        if camera is None:
            raise ValueError("ray fields have points along the rays of a camera: give one")
        first = 0
        for part in self.chunks(self.frame_rays(camera, time), chunk, SHARE):
            yield points_near_surfaces(self, part, first, threshold)
            first += len(part)

    @torch.no_grad()
    def render_parts(
        self, camera: Camera, time: float, numbering: Numbering, count: int, occluded: bool = True, chunk: int = 0
    ) -> Parts:
        """Every sample of every ray belongs to the object of its own feature; the others become transparent."""
        size = (camera.height, camera.width)
        rgba = {n: np.zeros((size[0] * size[1], 4), np.float32) for n in range(count + 1)}
        depth = np.zeros(size[0] * size[1], np.float32)
        light = np.zeros(2)
        rays = self.frame_rays(camera, time)
        start = 0
        for part in self.chunks(rays, chunk, SHARE) if count else ():
            found = space_samples(self, part)
            numbers = torch.from_numpy(numbering(numbered_points(self, found))).to(self.device)
            numbers = numbers.reshape(found.opacity.shape)
            at = slice(start, start + len(part))
            start += len(part)
            through = found.transmittance
            for n in range(count + 1):
                kept = found.kept(numbers == n if n else numbers > 0)
                T = kept.transmittance if occluded else through
                rgba[n][at] = straight_rgba(kept, T).cpu().numpy()
                if n == 0:
                    depth[at] = depth_of(self, kept, T, part).cpu().numpy()
                    light += [float((t * kept.opacity).sum()) for t in (through, kept.transmittance)]
        pictures = {n: value.reshape(*size, 4) for n, value in rgba.items()}
        return Parts(pictures, depth.reshape(size), float(light[0] / max(light[1], 1e-8)))

    def without(self, left_out: LeftOut) -> Self:
        """Each field's samples are judged by that field's own features, so that the ground below a foot stays."""
        other = copy.copy(self)
        other.left_out = left_out
        return other

    # --- files ---------------------------------------------------------------------------------------------------
    def description(self) -> dict[str, Any]:
        return {
            "n_frames": self.n_frames,
            "channels": self.channels,
            "space": self.space.to_dict(),
            "field": self.field_config.model_dump(),
            "sampling": self.sampling.model_dump(),
        }

    @classmethod
    def from_description(cls, content: dict[str, Any]) -> Self:
        space = Space.from_dict(content["space"])
        field, sampling = FieldConfig(**content["field"]), SamplingConfig(**content["sampling"])
        return cls(space, field, sampling, content["channels"], content["n_frames"])

    @classmethod
    def import_checkpoint(cls, file: Path, scene: Scene, config: SceneConfig) -> tuple[Self, int]:
        """A released checkpoint of NSFF or SAFF (nsff.models.ray_fields.published_checkpoints)."""
        content, fields = published_checkpoints.read_fields(file, config)
        space = make_space("ndc", scene.cameras)
        model = cls(space, *fields, scene.n_frames)
        published_checkpoints.load_fields(model, content)
        return model, content.step

    def export_checkpoint(self, file: Path, steps: int) -> str:
        return published_checkpoints.export_fields(self, file, steps)
