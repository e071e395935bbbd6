"""A scene of Gaussians as arrays in the world's units, for files and viewers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float, Float32, Int64
from torch import Tensor
from torch.nn.functional import normalize

from nsff.models.base import Numbering, Points
from nsff.models.gaussians.cloud import Cloud
from nsff.splats.scene import MovingSplats, SplatScene, SplatSet

if TYPE_CHECKING:
    from nsff.models.gaussians.scene import GaussianScene

SHOWN = 3
"""Features that are shown as colours: the first principal components."""
RANGE = (0.01, 0.99)
"""Quantiles of a feature that become 0 and 1."""


def splat_scene(model: GaussianScene, numbering: Numbering | None) -> SplatScene:
    """All Gaussians, the dynamic ones at their own times. ``numbering`` says which object they belong to."""
    static, moving = model.static, model.moving
    ranges = _ranges(model)
    S = SplatSet(**_fields(model, static, numbering, None, ranges))
    path = model.frame.outside(moving.position[:, None] + moving.path)
    D = MovingSplats(
        **_fields(model, moving, numbering, moving.reference, ranges),
        reference=_array(moving.reference),
        span=_array(moving.span),
        first=moving.first.cpu().numpy().astype(np.int32),
        path=_array(path),
    )
    return SplatScene(model.n_frames, S, D)


def _fields(
    model: GaussianScene, cloud: Cloud, numbering: Numbering | None, times: Tensor | None, ranges: Tensor | None
) -> dict[str, Any]:
    position = model.frame.outside(cloud.position)
    feature_colours = None
    if cloud.feature is not None and ranges is not None:
        feature_colours = _array(((cloud.feature[:, :SHOWN] - ranges[0]) / (ranges[1] - ranges[0])).clamp(0, 1))
    return {
        "means": _array(position),
        "quaternions": _array(normalize(cloud.rotation, dim=1)),
        "scales": _array(cloud.scale * model.frame.unit),
        "opacities": _array(cloud.opacity),
        "colours": _array(cloud.colour),
        "objects": _objects(model, cloud, position, numbering, times).astype(np.int16),
        "feature_colours": feature_colours,
    }


def _objects(
    model: GaussianScene,
    cloud: Cloud,
    position: Float[Tensor, "G 3"],
    numbering: Numbering | None,
    times: Tensor | None,
) -> Int64[np.ndarray, "G"]:
    if numbering is None or not len(cloud):
        return np.zeros(len(cloud), np.int64)
    features = None if cloud.feature is None else normalize(cloud.feature, dim=1)
    points = Points(
        position, model.space.from_world(position), features, cloud.colour, cloud.saliency,
        moving=torch.full((len(cloud),), times is not None, device=position.device), time=times,
    )  # fmt: skip
    return numbering(points)


def _ranges(model: GaussianScene) -> Float[Tensor, "2 3"] | None:
    """The values of the first features that become 0 and 1, over all Gaussians."""
    if model.static.feature is None or model.moving.feature is None or model.channels < SHOWN:
        return None
    shown = torch.cat([model.static.feature[:, :SHOWN], model.moving.feature[:, :SHOWN]])
    shown = shown[:: max(1, len(shown) // 1_000_000)]
    low, high = torch.quantile(shown, shown.new_tensor(RANGE), dim=0)
    return torch.stack([low, torch.maximum(high, low + 1e-6)])


def _array(tensor: Tensor) -> Float32[np.ndarray, "..."]:
    return tensor.detach().cpu().numpy().astype(np.float32)
