"""Pictures between two frames of models that are drawn at whole frames (docs/methods.md#space-time-interpolation).

Notation. Time t = k + rho between the frames k and k + 1. What moves in both frames is taken along its scene flow to t,
by splatting (nsff.rendering.splatting), and both are mixed by 1 - rho and rho.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from nsff.models.base import Camera, DepthPlanes, MovingLayer, SceneModel
from nsff.rendering.splatting import Layer, composite_planes, splat


def between_layers(
    model: SceneModel, camera: Camera, frame: int, rho: float, output: str = "rgb", chunk: int = 0
) -> Float[Tensor, "H W C"]:
    """The moving layer of frame k is splatted by rho times its projected forward flow, that of k + 1 by (1 - rho) times
    its backward flow; what rests is drawn once. NSFF's interpolation on two layers instead of every depth plane."""
    layers = [
        splatted(model.moving_layer(camera, frame, "post", rho, output, chunk)),
        splatted(model.moving_layer(camera, frame + 1, "prev", 1 - rho, output, chunk)),
    ]
    mix = [1 - rho, rho]
    # Where a layer has no dynamic content its static light passes through unchanged.
    colour = sum(m * dynamic[:-1] for m, (dynamic, _) in zip(mix, layers, strict=True))
    opacity = torch.stack([m * dynamic[-1:] for m, (dynamic, _) in zip(mix, layers, strict=True)]).sum(0)
    static = sum(m * background for m, (_, background) in zip(mix, layers, strict=True))
    return (colour + (1 - opacity.clamp(0, 1)) * static).permute(1, 2, 0)


def splatted(layer: MovingLayer) -> tuple[Float[Tensor, "C1 H W"], Float[Tensor, "C H W"]]:
    """The moving layer where it lands, values and opacity (C+1,H,W), and the static picture behind it (C,H,W)."""
    opacity = layer.opacity[..., None]
    # Weighted by opacity, so that pixels without dynamic content do not thin out what moves onto them.
    values = torch.cat([opacity * torch.cat([layer.values, opacity], 2), opacity], 2)
    image = lambda value: value.permute(2, 0, 1)  # noqa: E731
    average, coverage = splat(image(values), image(layer.displacement))
    moved = average[:-1] / average[-1:].clamp(min=1e-6)
    # How many pixels' worth of content fell here: 1 at rest; the outermost pixels, with less than half, fade out.
    content = coverage * average[-1:].square() / average[-2:-1].clamp(min=1e-12)
    return moved * (2 * content).clamp(max=1), image(layer.static)


def between_planes(
    model: SceneModel, camera: Camera, frame: int, rho: float, output: str = "rgb", chunk: int = 0
) -> Float[Tensor, "H W C"]:
    """Every depth plane of both frames is splatted and all are composited front to back, as NSFF does; not clamped."""
    picture: Tensor | None = None
    transmittance: Tensor | None = None
    for planes in model.depth_planes(camera, frame, rho, output, chunk):
        if transmittance is None:
            transmittance = planes.static.new_ones(1, camera.height, camera.width)
        light, transmittance = composite(planes, rho, transmittance)
        picture = light if picture is None else picture + light
    assert picture is not None
    return picture.permute(1, 2, 0)


def composite(
    planes: DepthPlanes, rho: float, transmittance: Float[Tensor, "1 H W"]
) -> tuple[Float[Tensor, "C H W"], Float[Tensor, "1 H W"]]:
    """The light of a group of planes, and what of ``transmittance`` passes them."""
    colour, opacity = planes.static[:, :-1], planes.static[:, -1:]
    layers: list[Layer] = []
    for dynamic, displacement in zip(planes.dynamic, planes.displacement, strict=True):
        moved = splat(dynamic, displacement)[0]
        own, share = moved[:, -2:-1], moved[:, -1:]
        if planes.additive:
            # Densities that add up make one opacity, of which each field has its share; the share moves along.
            joint = 1 - (1 - opacity) * (1 - own)
            layers += [(colour, joint * (1 - share)), (moved[:, :-2], joint * share)]
        else:
            layers += [(colour, opacity), (moved[:, :-2], own)]
    return composite_planes((layers[0], layers[1]), (layers[2], layers[3]), rho, transmittance, planes.additive)
