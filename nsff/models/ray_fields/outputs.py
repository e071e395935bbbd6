"""The maps of a pair of fields along rays, and the layer of what moves that is splatted between frames."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from nsff.cameras.rays import project
from nsff.cameras.spaces import NdcSpace
from nsff.models.base import OUTPUTS, Camera
from nsff.models.ray_fields.compositing import accumulate
from nsff.models.ray_fields.depth_planes import values_of
from nsff.models.ray_fields.model import Evaluation, RayFields
from nsff.models.rays import Rays

FAINT = 0.05
"""Opacity of the dynamic field below which its scene flow means nothing."""


def outputs_of(model: RayFields) -> frozenset[str]:
    """Those of OUTPUTS that the fields have."""
    config = model.field_config
    missing = set() if config.features else {"features"}
    missing |= set() if config.saliency else {"saliency"}
    missing |= set() if isinstance(model.space, NdcSpace) else {"ndc_depth"}
    missing |= {"moved_prev", "moved_post"} if model.dynamic is None else set()
    return frozenset(OUTPUTS) - missing


def map_of(model: RayFields, name: str, evaluation: Evaluation, rays: Rays) -> Float[Tensor, "R *C"]:
    """One map of rays that were evaluated."""
    if name in ("rgb", "saliency"):
        return model.composited(evaluation, name)
    if name == "features":
        return model.features_of(evaluation)
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
        return moved(model, evaluation, name.removeprefix("moved_"))
    if name == "ndc_depth":
        return model.ray_parameter(evaluation)
    weights = evaluation.weights
    s = accumulate(weights, evaluation.samples.s) / weights.sum(1).clamp(min=1e-6)
    return model.depth(rays, s.clamp(0, 0.9995))


def moved(model: RayFields, evaluation: Evaluation, side: str) -> Float[Tensor, "R 3"]:
    """The expected scene-flow point (docs/methods.md#expected-scene-flow-points), divided by the weights' sum, which
    otherwise pulls it to the middle of the picture; NaN where the dynamic field is empty."""
    assert evaluation.dynamic is not None
    weights = evaluation.dynamic_alone()
    total = weights.sum(1, keepdim=True)
    share = torch.where(total > FAINT, weights / total, torch.nan)
    flow = evaluation.dynamic.flow_post if side == "post" else evaluation.dynamic.flow_prev
    assert flow is not None
    return model.space.to_world(accumulate(share, evaluation.samples.positions + flow))


def moving_layer_of(
    model: RayFields, rays: Rays, camera: Camera, side: str, fraction: float, output: str
) -> tuple[Float[Tensor, "R C"], Float[Tensor, "R"], Float[Tensor, "R 2"], Float[Tensor, "R C"]]:
    """Values, opacity, displacement and static values of rays of one frame, as MovingLayer has them of a picture."""
    evaluation = model.evaluate(model.sample(rays, None))
    assert model.dynamic is not None and evaluation.dynamic is not None and evaluation.dynamic_weights is not None
    weights = evaluation.dynamic_weights
    opacity = weights.sum(1)
    share = weights / opacity.clamp(min=1e-6)[:, None]
    flow = evaluation.dynamic.flow_post if side == "post" else evaluation.dynamic.flow_prev
    assert flow is not None
    here = accumulate(share, evaluation.samples.positions)
    there = accumulate(share, evaluation.samples.positions + flow)
    start, end = model.space.to_world(here), model.space.to_world(there)
    moved = start + fraction * (end - start)
    n = len(rays)
    K, pose = camera.intrinsics.expand(n, 3, 3), camera.world_to_camera.expand(n, 3, 4)
    displacement = project(moved, K, pose)[0] - project(start, K, pose)[0]
    # A faint layer has no reliable flow: it stays where it is.
    displacement = torch.nan_to_num(displacement) * (opacity > FAINT)[:, None]
    values = accumulate(weights, values_of(model.dynamic, evaluation.dynamic, output))
    static = accumulate(evaluation.static_alone(), values_of(model.static, evaluation.static, output))
    return values, opacity, displacement, static
