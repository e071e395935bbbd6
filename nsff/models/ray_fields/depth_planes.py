"""Pictures between two frames, NSFF's way: every plane of samples is splatted along its flow.

Notation. Time t = k + rho between the frames k and k + 1. All rays of a camera of H×W pixels are cut at the same P
values of s, which makes P pictures, front to back. Dynamic samples of frame k move by rho of their flow to k + 1, those
of k + 1 by 1 - rho of their flow to k, straight through the world; the camera sees both displaced. Static samples stay.
See docs/methods.md#space-time-interpolation.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from nsff.cameras.rays import project
from nsff.models.ray_fields.compositing import distances, opacities
from nsff.models.ray_fields.field import Field, FieldSamples
from nsff.models.ray_fields.model import RayFields
from nsff.models.rays import Rays
from nsff.rendering.splatting import Layer, composite_planes, splat


@dataclass
class _Planes:
    """n planes of R rays: C values (colour) and opacity of both fields, the dynamic share of density, displacements in
    pixels."""

    static: Float[Tensor, "R n C1"]
    dynamic: tuple[Float[Tensor, "R n C2"], Float[Tensor, "R n C2"]]
    moves: tuple[Float[Tensor, "R n 2"], Float[Tensor, "R n 2"]]


@torch.no_grad()
def render_depth_planes(
    model: RayFields,
    rays: Rays,
    K: Float[Tensor, "3 3"],
    world_to_camera: Float[Tensor, "3 4"],
    size: tuple[int, int],
    time: float,
    budget: int = 2**20,
    output: str = "rgb",
) -> Float[Tensor, "H W C"]:
    """The colour picture of one camera at a fractional time, not clamped; or another ``output`` of the fields in its
    place: saliency (C = 1), features.

    ``rays`` go through all pixels of a picture of ``size`` (H, W), row by row, from the camera (K, world_to_camera);
    their own time is not used. ``budget`` is the number of samples that the fields are asked about at once. Planes are
    uniform in s, as many as the model has samples on a ray: at whole times this is the plain rendering of a model with
    stratified sampling, up to rounding. Raises ValueError for a model without a dynamic field.
    """
    if model.dynamic is None:
        raise ValueError("a scene without a dynamic field has nothing to interpolate")
    first = max(0, min(int(time), model.n_frames - 2))
    rho = time - first
    count = model.sampling.samples
    group = max(1, min(count, budget // len(rays)))
    chunk = max(1, budget // group)
    colour: Tensor | float = 0.0
    transmittance = rays.origins.new_ones(1, *size)
    for start in range(0, count, group):
        planes = range(start, min(start + group, count))
        parts = [
            _ask(model, rays[slice(i, i + chunk)], K, world_to_camera, first, rho, planes, output)
            for i in range(0, len(rays), chunk)
        ]
        image = lambda tensors: torch.cat(tensors).permute(1, 2, 0).unflatten(2, size)  # noqa: E731
        static = image([part.static for part in parts])
        before, after = (
            splat(image([part.dynamic[i] for part in parts]), image([part.moves[i] for part in parts]))[0]
            for i in (0, 1)
        )
        light, transmittance = _composite(model, static, before, after, rho, transmittance)
        colour = colour + light
    assert isinstance(colour, Tensor)
    return colour.permute(1, 2, 0)


def values_of(field: Field, samples: FieldSamples, output: str) -> Float[Tensor, "... C"]:
    """What a field says about samples, as channels: rgb, features (decoded), saliency (one)."""
    value = getattr(samples, output)
    if output == "features":
        return field.decode_features(value)
    return value[..., None] if output == "saliency" else value


def _ask(
    model: RayFields,
    rays: Rays,
    K: Tensor,
    world_to_camera: Tensor,
    first: int,
    rho: float,
    planes: range,
    output: str,
) -> _Planes:
    """What both fields say about some rays on some planes, at the frames ``first`` and ``first`` + 1."""
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
    v = _blending(model, static.blending)
    here = model.space.to_world(positions)
    layers, moves = [], []
    for step, fraction in ((0, rho), (1, 1 - rho)):
        dynamic = model.dynamic(positions, views, time + step)
        density = model.dynamic.activate(dynamic.raw_density)
        share = density / (static_density + density + 1e-10)
        seen = values_of(model.dynamic, dynamic, output)
        layers.append(torch.cat([seen, torch.stack([v[1] * opacities(density, deltas), share], -1)], -1))
        there = model.space.to_world(positions + (dynamic.flow_prev if step else dynamic.flow_post))
        moves.append(_displacement(here, torch.lerp(here, there, fraction), K, world_to_camera))
    opacity = v[0] * opacities(static_density, deltas)
    still = torch.cat([values_of(model.static, static, output), opacity[..., None]], -1)
    return _Planes(still, (layers[0], layers[1]), (moves[0], moves[1]))


def _blending(model: RayFields, blending: Tensor | None) -> tuple[Tensor | float, Tensor | float]:
    """What static and dynamic opacities are multiplied by: 1 - v and v, or nothing where densities add up."""
    if model.field_config.dynamic_only:
        return 0.0, 1.0
    return (1.0, 1.0) if blending is None else (1 - blending, blending)


def _composite(
    model: RayFields, static: Tensor, before: Tensor, after: Tensor, rho: float, transmittance: Tensor
) -> tuple[Float[Tensor, "C H W"], Float[Tensor, "1 H W"]]:
    """Light of splatted planes (n, channels, H, W), and what passes them."""
    colour, opacity = static[:, :-1], static[:, -1:]
    additive = model.field_config.composition == "additive"
    layers: list[Layer] = []
    for moved in (before, after):
        own, share = moved[:, -2:-1], moved[:, -1:]
        if additive:
            # Densities that add up make one opacity, of which each field has its share; the share moves along.
            joint = 1 - (1 - opacity) * (1 - own)
            layers += [(colour, joint * (1 - share)), (moved[:, :-2], joint * share)]
        else:
            layers += [(colour, opacity), (moved[:, :-2], own)]
    return composite_planes((layers[0], layers[1]), (layers[2], layers[3]), rho, transmittance, additive)


def _displacement(
    here: Float[Tensor, "R n 3"], there: Float[Tensor, "R n 3"], K: Tensor, world_to_camera: Tensor
) -> Float[Tensor, "R n 2"]:
    """How far the picture of world points moves, pixels; infinite, so that it is dropped, behind the camera."""
    shape = here.shape[:-1]
    K, world_to_camera = K.expand(*shape, 3, 3), world_to_camera.expand(*shape, 3, 4)
    before, _ = project(here, K, world_to_camera)
    after, depth = project(there, K, world_to_camera)
    return torch.where(depth[..., None] > 1e-4, after - before, torch.inf)
