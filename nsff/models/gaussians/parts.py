"""Objects drawn alone: the Gaussians that belong to them, with or without what hides them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from nsff.models.base import Camera, Parts
from nsff.models.gaussians.drawing import Channels, camera_inside, flag, joined, present
from nsff.models.gaussians.rasterisers import rasterise

if TYPE_CHECKING:
    from nsff.models.gaussians.scene import GaussianScene

LEAST_ALPHA = 0.05
"""Where the objects together have less alpha, they have no depth."""


def draw_parts(
    model: GaussianScene, camera: Camera, time: float, numbers: Int[Tensor, "G"], count: int, occluded: bool
) -> Parts:
    """``numbers`` of the Gaussians that are there at ``time``, static ones first. Arguments and result as
    SceneModel.render_parts."""
    inside = camera_inside(camera, model.frame.pose(camera.world_to_camera))
    now, size = present(model.moving, time), (camera.height, camera.width)
    S, like = len(model.static), model.static.position
    channels = Channels()
    channels.add("rgb", model.static.colour_at(time), model.moving.colour[now.rows])
    channels.add("one", flag(S, 1, like), flag(len(now.rows), 1, like))
    everything = joined(model.static, model.moving, now, channels)
    rgba, depth, seen = {}, np.zeros(size, np.float32), 1.0
    for n in range(count + 1):
        own = numbers == n if n else numbers > 0
        alone = rasterise(joined(model.static, model.moving, now, channels, own), inside)
        hidden = alone
        if n == 0 or not occluded:
            # Gaussians in front stop the light and show nothing of their own.
            shown = torch.where(own[:, None], everything.values, 0)
            hidden = rasterise(everything.showing(shown), inside)
        drawing = alone if occluded else hidden
        alpha = drawing.values[..., 3:]
        colour = drawing.values[..., :3] / alpha.clamp(min=1e-8)
        rgba[n] = torch.cat([colour, alpha], 2).clamp(0, 1).cpu().numpy()
        if n == 0:
            depth = (alone.depth * model.frame.unit * (alpha[..., 0] > LEAST_ALPHA)).cpu().numpy()
            seen = float(hidden.values[..., 3].sum() / alone.values[..., 3].sum().clamp(min=1e-8))
    return Parts(rgba, depth, seen)
