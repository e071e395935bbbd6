"""Depth planes of a pair of fields, which NSFF splats between two frames.

Notation. Time t = k + rho between the frames k and k + 1. All rays of a camera of H×W pixels are cut at the same P
values of s, which makes P pictures, front to back. Dynamic samples of frame k move by rho of their flow to k + 1, those
of k + 1 by 1 - rho of their flow to k, straight through the world; the camera sees both displaced. Static samples stay.
How they are splatted and composited: nsff.rendering.between, docs/methods.md#space-time-interpolation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from nsff.cameras.rays import project
from nsff.models.base import Camera, DepthPlanes
from nsff.models.ray_fields.compositing import distances, opacities
from nsff.models.ray_fields.field import Field, FieldSamples
from nsff.models.ray_fields.leaving_out import stays
from nsff.models.ray_fields.model import RayFields
from nsff.models.rays import Rays


@dataclass
class _Planes:
    """n planes of R rays, as DepthPlanes has them of whole pictures: C1 is a value's channels and opacity, C2 these and
    the dynamic share of density."""

    static: Float[Tensor, "R n C1"]
    dynamic: tuple[Float[Tensor, "R n C2"], Float[Tensor, "R n C2"]]
    displacement: tuple[Float[Tensor, "R n 2"], Float[Tensor, "R n 2"]]


def depth_planes(
    model: RayFields, rays: Rays, camera: Camera, frame: int, rho: float, budget: int = 2**20, output: str = "rgb"
) -> Iterator[DepthPlanes]:
    """Groups of depth planes of the time ``frame`` + ``rho``, front to back, of an ``output`` of the fields: rgb,
    saliency (one channel), features.

    ``rays`` go through all pixels of the camera's picture, row by row; their own time is not used. ``budget`` is the
    number of samples that the fields are asked about at once. Planes are uniform in s, as many as the model has samples
    on a ray: at whole times their composite is the plain rendering of a model with stratified sampling, up to rounding.
    Raises ValueError for a model without a dynamic field.
    """
    if model.dynamic is None:
        raise ValueError("a scene without a dynamic field has nothing to interpolate")
    size, additive = (camera.height, camera.width), model.field_config.composition == "additive"
    count = model.sampling.samples
    group = max(1, min(count, budget // len(rays)))
    chunk = max(1, budget // group)
    K, pose = camera.intrinsics, camera.world_to_camera
    for start in range(0, count, group):
        planes = range(start, min(start + group, count))
        parts = [
            _evaluate(model, rays[slice(i, i + chunk)], K, pose, frame, rho, planes, output)
            for i in range(0, len(rays), chunk)
        ]
        image = lambda tensors: torch.cat(tensors).permute(1, 2, 0).unflatten(2, size)  # noqa: E731
        dynamic = [image([part.dynamic[i] for part in parts]) for i in (0, 1)]
        moves = [image([part.displacement[i] for part in parts]) for i in (0, 1)]
        static = image([part.static for part in parts])
        yield DepthPlanes(static, (dynamic[0], dynamic[1]), (moves[0], moves[1]), additive)


def values_of(field: Field, samples: FieldSamples, output: str) -> Float[Tensor, "... C"]:
    """An output of a field at samples, as channels: rgb, features (decoded), saliency (one)."""
    value = getattr(samples, output)
    if output == "features":
        return field.decode_features(value)
    return value[..., None] if output == "saliency" else value


def _evaluate(
    model: RayFields,
    rays: Rays,
    K: Tensor,
    world_to_camera: Tensor,
    first: int,
    rho: float,
    planes: range,
    output: str,
) -> _Planes:
    """Both fields on some planes of some rays, at the frames ``first`` and ``first`` + 1."""
    assert model.dynamic is not None
    # One plane more for the distance to it; behind the last one, any distance that is far enough.
    s = torch.linspace(0, 1, model.sampling.samples, device=rays.origins.device)[planes.start : planes.stop + 1]
    normalised = model.space.normalise_rays(rays.origins, rays.directions)
    positions = model.space.positions(*normalised, s.expand(len(rays), -1))
    deltas = distances(positions)[:, : len(planes)] if len(s) > 1 else torch.full_like(positions[..., 0], 1e10)
    positions = positions[:, : len(planes)]
    views = model.view_directions(rays.directions)[:, None].expand_as(positions)
    time = torch.full_like(deltas, float(first))
    static = model.static(positions, views, time)
    static_density = model.static.activate(static.raw_density)
    blending, stay = static.blending, _left_out(model, positions, deltas)
    if stay is not None:
        static_density = static_density * stay(model.static, first, static, static_density)
    here = model.space.to_world(positions)
    found = []
    for step in (0, 1):
        dynamic = model.dynamic(positions, views, time + step)
        density = model.dynamic.activate(dynamic.raw_density)
        if stay is not None:
            kept = stay(model.dynamic, first + step, dynamic, density)
            density, blending = density * kept, None if blending is None else blending * kept
        found.append((dynamic, density))
    v = _blending(model, blending)
    layers, moves = [], []
    for (step, fraction), (dynamic, density) in zip(((0, rho), (1, 1 - rho)), found, strict=True):
        share = density / (static_density + density + 1e-10)
        seen = values_of(model.dynamic, dynamic, output)
        layers.append(torch.cat([seen, torch.stack([v[1] * opacities(density, deltas), share], -1)], -1))
        there = model.space.to_world(positions + (dynamic.flow_prev if step else dynamic.flow_post))
        moves.append(_displacement(here, torch.lerp(here, there, fraction), K, world_to_camera))
    opacity = v[0] * opacities(static_density, deltas)
    still = torch.cat([values_of(model.static, static, output), opacity[..., None]], -1)
    return _Planes(still, (layers[0], layers[1]), (moves[0], moves[1]))


def _left_out(
    model: RayFields, positions: Tensor, deltas: Tensor
) -> Callable[[Field, float, FieldSamples, Tensor], Tensor] | None:
    """A function that says which samples of a field at a time stay; None where all do."""
    left_out = model.left_out
    if left_out is None:
        return None
    return lambda field, time, found, density: stays(
        left_out, model.space, field, positions, deltas, time, found, density
    )


def _blending(model: RayFields, blending: Tensor | None) -> tuple[Tensor | float, Tensor | float]:
    """The factors of static and dynamic opacities: 1 - v and v, or 1 where densities add up."""
    if model.field_config.dynamic_only:
        return 0.0, 1.0
    return (1.0, 1.0) if blending is None else (1 - blending, blending)


def _displacement(
    here: Float[Tensor, "R n 3"], there: Float[Tensor, "R n 3"], K: Tensor, world_to_camera: Tensor
) -> Float[Tensor, "R n 2"]:
    """How far the picture of world points moves, pixels; infinite, so that it is dropped, behind the camera."""
    shape = here.shape[:-1]
    K, world_to_camera = K.expand(*shape, 3, 3), world_to_camera.expand(*shape, 3, 4)
    before, _ = project(here, K, world_to_camera)
    after, depth = project(there, K, world_to_camera)
    return torch.where(depth[..., None] > 1e-4, after - before, torch.inf)
