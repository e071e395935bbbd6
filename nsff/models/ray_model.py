"""Models that are drawn ray by ray: whole pictures in chunks that fit into memory, and single pixels."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from nsff.cameras.rays import pixel_rays
from nsff.machine.gpu_memory import free_memory, peak_of
from nsff.models.base import OUTPUTS, Camera, SceneModel
from nsff.models.rays import Rays

CHUNKS = (256, 65536)
"""Fewest and most rays at a time; more are not faster."""
SHARE, PROBE = 0.5, 256
"""Part of the free memory that a chunk may take, and rays that are rendered to learn what one takes."""


class RayModel(SceneModel):
    """A scene model that knows the colour along any ray."""

    whole_pictures = False
    samples_per_ray: int
    """Samples on a ray, by which its memory on the CPU is estimated."""

    @abstractmethod
    def render_rays(
        self,
        origins: Float[Tensor, "R 3"],
        directions: Float[Tensor, "R 3"],
        time: Float[Tensor, "R"],
        outputs: Sequence[str] = ("rgb",),
    ) -> dict[str, Float[Tensor, "R *C"]]:
        """Maps along world rays, those of ``outputs`` that the model has; differentiable in origins and directions.

        Directions have unit length along their camera's z axis.
        """

    def frame_rays(self, camera: Camera, time: float) -> Rays:
        """Rays of all pixels, row by row."""
        row, column = torch.meshgrid(
            torch.arange(camera.height, device=self.device),
            torch.arange(camera.width, device=self.device),
            indexing="ij",
        )
        u, v = column.flatten().float() + self.pixel_centre, row.flatten().float() + self.pixel_centre
        origins, directions = pixel_rays(
            camera.intrinsics.expand(len(u), 3, 3), camera.world_to_camera.expand(len(u), 3, 4), u, v
        )
        return Rays(origins, directions, torch.full_like(u, float(time)))

    def render(
        self, camera: Camera, time: float, outputs: Sequence[str] = ("rgb",), chunk: int = 0
    ) -> dict[str, Float[Tensor, "H W *C"]]:
        """Maps of one picture, on the CPU."""
        rays = self.frame_rays(camera, time)
        parts: dict[str, list[Tensor]] = {}
        for part in self.chunks(rays, chunk):
            for name, value in self.render_rays(part.origins, part.directions, part.time, outputs).items():
                parts.setdefault(name, []).append(value.cpu())
        size = (camera.height, camera.width)
        return {name: torch.cat(values).reshape(*size, *values[0].shape[1:]) for name, values in parts.items()}

    def render_pixels(
        self, camera: Camera, pixels: Int[Tensor, "R"], time: float, chunk: int = 0
    ) -> Float[Tensor, "R 3"]:
        """Colours of pixels (row · W + column), by the same rays as ``render`` casts, all at once."""
        pose, centre = camera.world_to_camera, float(self.pixel_centre)
        place = pixels.to(pose.device)
        u, v = (place % camera.width).to(pose.dtype) + centre, (place // camera.width).to(pose.dtype) + centre
        count = len(place)
        origins, directions = pixel_rays(camera.intrinsics.expand(count, 3, 3), pose.expand(count, 3, 4), u, v)
        return self.render_rays(origins, directions, torch.full_like(u, float(time)))["rgb"]

    # --- memory --------------------------------------------------------------------------------------------------
    def chunks(self, rays: Rays, chunk: int = 0, share: int = 1) -> Iterator[Rays]:
        """The rays, a ``share``-th of ``chunk`` at a time."""
        size = max(1, self.rays_at_once(rays, chunk) // share)
        for start in range(0, len(rays), size):
            yield rays[slice(start, start + size)]

    def rays_at_once(self, rays: Rays, chunk: int = 0) -> int:
        """``chunk``, or, where it is 0, what the memory holds that is free now."""
        return chunk or self.chunk_from_memory(rays)

    def chunk_for(self, camera: Camera) -> int:
        """Rays at a time, by the memory that is free."""
        return self.chunk_from_memory(self.frame_rays(camera, 0.0))

    @torch.no_grad()
    def chunk_from_memory(self, rays: Rays) -> int:
        """Rays per chunk, by what some of ``rays`` take for all maps; on the CPU for 0.5 GB at 2 kB a sample."""
        if self.device.type != "cuda":
            return int(np.clip(2**29 / (2048 * self.samples_per_ray), *CHUNKS))
        torch.cuda.empty_cache()
        few = rays[slice(0, PROBE)]
        names = [name for name in OUTPUTS if name in self.outputs]
        render = lambda: self.render_rays(few.origins, few.directions, few.time, names)  # noqa: E731
        render()  # what is set up once, such as compiled kernels, does not count
        before = torch.cuda.memory_allocated(self.device)
        bytes_per_ray = (peak_of(self.device, render) - before) / len(few)
        return int(np.clip(SHARE * free_memory(self.device) / bytes_per_ray, *CHUNKS))
