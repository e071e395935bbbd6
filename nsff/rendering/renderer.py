"""Pictures from a trained scene: whole frames at any camera and time, chunked by memory, and differentiable rays.

Cameras are in the world of cameras.json (OpenCV axes); time is a frame index, fractional between frames.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from nsff.cameras.rays import pixel_rays, project
from nsff.cameras.spaces import NdcSpace, Space
from nsff.config import FieldConfig, SamplingConfig
from nsff.errors import StageError
from nsff.files.io import read_json
from nsff.files.reading import reading
from nsff.machine.gpu_memory import free_memory, peak_of
from nsff.models.ray_fields.compositing import accumulate
from nsff.models.ray_fields.depth_planes import render_depth_planes, values_of
from nsff.models.ray_fields.model import Evaluation, RayFields
from nsff.models.rays import Rays
from nsff.rendering.splatting import splat
from nsff.weights.tensors import load_safetensors

MAPS = (
    "rgb", "depth", "blend", "saliency", "features", "static_rgb", "dynamic_rgb", "opacity", "moved_prev", "moved_post",
    "ndc_depth",
)  # fmt: skip
"""ndc_depth: SAFF's depth in [0, 1], where the space is NDC.
moved_prev, moved_post: world points (3) where what the dynamic field alone shows is at the last and next frame."""

CHUNKS = (256, 65536)
"""Fewest and most rays at a time; more are not faster."""
SHARE, PROBE = 0.5, 256
"""Part of the free memory that a chunk may take, and rays that are rendered to learn what one takes."""


class Renderer:
    """A trained scene model on a device."""

    def __init__(self, model: RayFields, chunk: int = 0) -> None:
        """``chunk``: rays at a time; 0: as many as the memory that is free when the first picture is asked for
        holds."""
        self.model = model.eval().requires_grad_(False)
        self.device = next(model.parameters()).device
        self.chunk = chunk

    @staticmethod
    def load(folder: Path, device: str = "auto", chunk: int = 0) -> Renderer:
        """Reads model.json and model.safetensors; raises StageError naming the file that is damaged."""
        content = read_json(folder / "model.json")
        place = (
            torch.device("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else torch.device(device)
        )
        file = folder / "model.safetensors"
        with reading(folder, "delete the folder and train again", message="the model is not readable"):
            tensors = load_safetensors(file)
            space = Space.from_dict(content["space"])
            model = RayFields(
                space,
                FieldConfig(**content["field"]),
                SamplingConfig(**content["sampling"]),
                content["channels"],
                content["n_frames"],
            )
            model.load_state_dict(tensors)
        broken = next((name for name, value in tensors.items() if not bool(value.isfinite().all())), None)
        if broken is not None:
            raise StageError(file, f"{broken} has values that are not finite", "delete the folder and train again")
        # On a GPU at the precision it was trained in; models from elsewhere in full.
        precision = content.get("precision", "fp32")
        if place.type == "cuda":
            torch.set_float32_matmul_precision("highest" if precision == "fp32" else "high")
        model.reduced_precision = precision == "bf16" and place.type == "cuda"
        return Renderer(model.to(place), chunk)

    @torch.no_grad()
    def _chunk_from_memory(self, rays: Rays) -> int:
        """Rays per chunk, by what some of ``rays`` take for all maps; on the CPU for 0.5 GB at 2 kB a sample."""
        if self.device.type != "cuda":
            samples = self.model.sampling.samples + self.model.sampling.coarse_samples
            return int(np.clip(2**29 / (2048 * samples), *CHUNKS))
        torch.cuda.empty_cache()
        few = rays[slice(0, PROBE)]
        names = [name for name in MAPS if self._has(name)]
        render = lambda: self.render_rays(few.origins, few.directions, few.time, names)  # noqa: E731
        render()  # what is set up once, such as compiled kernels, does not count
        before = torch.cuda.memory_allocated(self.device)
        bytes_per_ray = (peak_of(self.device, render) - before) / len(few)
        return int(np.clip(SHARE * free_memory(self.device) / bytes_per_ray, *CHUNKS))

    # --- rays ----------------------------------------------------------------------------------------------------
    def render_rays(
        self,
        origins: Float[Tensor, "R 3"],
        directions: Float[Tensor, "R 3"],
        time: Float[Tensor, "R"],
        outputs: Sequence[str] = ("rgb",),
    ) -> dict[str, Tensor]:
        """Maps along world rays, differentiable in origins and directions. Directions have unit z in the camera."""
        rays = Rays(origins, directions, time)
        evaluation = self.model.evaluate(self.model.sample(rays, None))
        return {name: self._map(name, evaluation, rays) for name in outputs if self._has(name)}

    def _has(self, name: str) -> bool:
        if name not in MAPS:
            raise ValueError(f"unknown map {name!r}; known: {', '.join(MAPS)}")
        field = self.model.field_config
        if name.startswith("moved_") and self.model.dynamic is None:
            return False
        if name == "ndc_depth":
            return isinstance(self.model.space, NdcSpace)
        return not ((name == "features" and not field.features) or (name == "saliency" and not field.saliency))

    def _map(self, name: str, evaluation: Evaluation, rays: Rays) -> Tensor:
        if name in ("rgb", "saliency"):
            return self.model.composited(evaluation, name)
        if name == "features":
            return self.model.features_of(evaluation)
        if name == "opacity":
            return evaluation.weights.sum(1)
        if name == "blend":
            dynamic = evaluation.dynamic_weights
            return torch.zeros_like(rays.time) if dynamic is None else dynamic.sum(1)
        if name == "static_rgb":
            return accumulate(evaluation.static_alone(), evaluation.static.rgb)
        if name == "dynamic_rgb":
            if evaluation.dynamic is None:
                return torch.zeros_like(rays.origins)
            return accumulate(evaluation.dynamic_weights, evaluation.dynamic.rgb)
        if name in ("moved_prev", "moved_post"):
            return self._moved(evaluation, name.removeprefix("moved_"))
        if name == "ndc_depth":
            return self.model.ray_parameter(evaluation)
        weights = evaluation.weights
        s = accumulate(weights, evaluation.samples.s) / weights.sum(1).clamp(min=1e-6)
        return self.model.depth(rays, s.clamp(0, 0.9995))

    def _moved(self, evaluation: Evaluation, side: str) -> Float[Tensor, "R 3"]:
        """The expected scene-flow point (docs/methods.md#expected-scene-flow-points), divided by the weights' sum,
        which otherwise pulls it to the middle of the picture; NaN where the dynamic field is empty."""
        assert evaluation.dynamic is not None
        weights = evaluation.dynamic_alone()
        total = weights.sum(1, keepdim=True)
        share = torch.where(total > 0.05, weights / total, torch.nan)
        flow = evaluation.dynamic.flow_post if side == "post" else evaluation.dynamic.flow_prev
        assert flow is not None
        return self.model.space.to_world(accumulate(share, evaluation.samples.positions + flow))

    # --- frames --------------------------------------------------------------------------------------------------
    def frame_rays(self, K: np.ndarray, world_to_camera: np.ndarray, height: int, width: int, time: float) -> Rays:
        """Rays of all pixels, row by row. The first ones decide how many are rendered at a time."""
        row, column = torch.meshgrid(
            torch.arange(height, device=self.device), torch.arange(width, device=self.device), indexing="ij"
        )
        centre = self.model.sampling.pixel_centre
        u, v = column.flatten().float() + centre, row.flatten().float() + centre
        tensor = lambda value: torch.as_tensor(np.asarray(value), dtype=torch.float32, device=self.device)  # noqa: E731
        origins, directions = pixel_rays(
            tensor(K).expand(len(u), 3, 3), tensor(world_to_camera)[:3].expand(len(u), 3, 4), u, v
        )
        rays = Rays(origins, directions, torch.full_like(u, float(time)))
        self.chunk = self.chunk or self._chunk_from_memory(rays)
        return rays

    @torch.no_grad()
    def render(
        self,
        K: np.ndarray,
        world_to_camera: np.ndarray,
        height: int,
        width: int,
        time: float,
        outputs: Sequence[str] = ("rgb",),
    ) -> dict[str, Tensor]:
        """Maps (H,W) or (H,W,C), float32 on the CPU. depth is z in scene units; saliency and features only if
        learned.
        """
        rays = self.frame_rays(K, world_to_camera, height, width, time)
        parts: dict[str, list[Tensor]] = {}
        for part in self._chunks(rays):
            for name, value in self.render_rays(part.origins, part.directions, part.time, outputs).items():
                parts.setdefault(name, []).append(value.cpu())
        return {name: torch.cat(values).reshape(height, width, *values[0].shape[1:]) for name, values in parts.items()}

    def _chunks(self, rays: Rays) -> Iterator[Rays]:
        for start in range(0, len(rays), self.chunk):
            yield rays[slice(start, start + self.chunk)]

    # --- between frames ------------------------------------------------------------------------------------------
    @torch.no_grad()
    def render_between(
        self,
        K: np.ndarray,
        world_to_camera: np.ndarray,
        height: int,
        width: int,
        time: float,
        interpolation: Literal["layers", "depth_planes"] = "layers",
        output: Literal["rgb", "saliency", "features"] = "rgb",
    ) -> Tensor:
        """Colour (H,W,3), saliency (H,W) or features (H,W,C) at a fractional time, on the CPU: what moves in both
        neighbouring frames is taken along its scene flow.

        layers: the static field is rendered once. The dynamic layer (premultiplied colour and weight) of frame k is
        splatted by rho times its projected forward flow, that of k+1 by (1 - rho) times its backward flow, and both
        are mixed by 1 - rho and rho: the space-time interpolation of NSFF on two layers instead of every depth plane
        (docs/methods.md#space-time-interpolation). depth_planes: NSFF's own (nsff.models.ray_fields.depth_planes).
        At whole frames both are exactly ``render``.
        """
        last = self.model.n_frames - 1
        time = float(np.clip(time, 0, last))
        first = int(np.floor(time))
        rho = time - first
        if rho < 1e-6 or self.model.dynamic is None:
            return _in_range(self.render(K, world_to_camera, height, width, first, (output,))[output], output)
        if interpolation == "depth_planes":
            rays = self.frame_rays(K, world_to_camera, height, width, time)
            k, e = (
                torch.as_tensor(np.asarray(x), dtype=torch.float32, device=self.device) for x in (K, world_to_camera)
            )
            budget = self.chunk * self.model.sampling.samples
            planes = render_depth_planes(self.model, rays, k, e[:3], (height, width), time, budget, output)
            return _in_range(planes.cpu(), output)
        layers = [
            self._layers(K, world_to_camera, height, width, first, "post", rho, output),
            self._layers(K, world_to_camera, height, width, first + 1, "prev", 1 - rho, output),
        ]
        mix = [1 - rho, rho]
        # Where a layer has no dynamic content its static light passes through unchanged.
        colour = sum(m * dynamic[:-1] for m, (dynamic, _) in zip(mix, layers, strict=True))
        opacity = torch.stack([m * dynamic[-1:] for m, (dynamic, _) in zip(mix, layers, strict=True)]).sum(0)
        static = sum(m * background for m, (_, background) in zip(mix, layers, strict=True))
        return _in_range((colour + (1 - opacity.clamp(0, 1)) * static).permute(1, 2, 0).cpu(), output)

    def _layers(
        self,
        K: np.ndarray,
        world_to_camera: np.ndarray,
        height: int,
        width: int,
        frame: int,
        side: str,
        fraction: float,
        output: str = "rgb",
    ) -> tuple[Tensor, Tensor]:
        """The splatted dynamic layer (C+1,H,W), premultiplied colour (or other output) and weight, and the static
        picture behind it (C,H,W).
        """
        rays = self.frame_rays(K, world_to_camera, height, width, frame)
        k = torch.as_tensor(np.asarray(K), dtype=torch.float32, device=self.device)
        e = torch.as_tensor(np.asarray(world_to_camera)[:3], dtype=torch.float32, device=self.device)
        values, moves, static = [], [], []
        for part in self._chunks(rays):
            evaluation = self.model.evaluate(self.model.sample(part, None))
            assert evaluation.dynamic is not None and evaluation.dynamic_weights is not None
            weights = evaluation.dynamic_weights
            opacity = weights.sum(1)
            share = weights / opacity.clamp(min=1e-6)[:, None]
            flow = evaluation.dynamic.flow_post if side == "post" else evaluation.dynamic.flow_prev
            assert flow is not None
            here = accumulate(share, evaluation.samples.positions)
            there = accumulate(share, evaluation.samples.positions + flow)
            start, end = self.model.space.to_world(here), self.model.space.to_world(there)
            moved = start + fraction * (end - start)
            n = len(part)
            displacement = (
                project(moved, k.expand(n, 3, 3), e.expand(n, 3, 4))[0]
                - project(start, k.expand(n, 3, 3), e.expand(n, 3, 4))[0]
            )
            # A faint layer has no reliable flow: it stays where it is.
            moves.append(torch.nan_to_num(displacement) * (opacity > 0.05)[:, None])
            # Weighted by opacity, so that pixels without dynamic content do not thin out what moves onto them.
            assert self.model.dynamic is not None
            moving = values_of(self.model.dynamic, evaluation.dynamic, output)
            layer = torch.cat([accumulate(weights, moving), opacity[:, None]], 1)
            values.append(torch.cat([opacity[:, None] * layer, opacity[:, None]], 1))
            still = values_of(self.model.static, evaluation.static, output)
            static.append(accumulate(evaluation.static_alone(), still))
        image = lambda parts: torch.cat(parts).reshape(height, width, -1).permute(2, 0, 1)  # noqa: E731
        average, coverage = splat(image(values), image(moves))
        layer = average[:-1] / average[-1:].clamp(min=1e-6)
        # How many pixels' worth of content fell here: 1 at rest; the outermost pixels, with less than half, fade out.
        content = coverage * average[-1:].square() / average[-2:-1].clamp(min=1e-12)
        return layer * (2 * content).clamp(max=1), image(static)


def _in_range(picture: Tensor, output: str) -> Tensor:
    """Colour and saliency within [0,1], saliency without a channel; features as they are."""
    if output == "features":
        return picture
    return (picture[..., 0] if output == "saliency" and picture.ndim == 3 else picture).clamp(0, 1)
