"""A scene of Gaussians before training: clouds of seeds, and the paths of those that move."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from nsff.models.gaussians.advection import paths
from nsff.models.gaussians.anchors import Follow, paths_by_tracks
from nsff.models.gaussians.chosen_paths import better_paths
from nsff.models.gaussians.depth_edges import beside_steps
from nsff.models.gaussians.far_paths import far_paths
from nsff.models.gaussians.lifting import camera_centres, depths, disparities
from nsff.models.gaussians.light import CELL, Light, cells_of
from nsff.models.gaussians.options import Options
from nsff.models.gaussians.scene import GaussianScene
from nsff.models.gaussians.seeds import Seeds, dynamic_seeds, static_seeds
from nsff.models.gaussians.spans import colour_errors, spans_of
from nsff.models.supervision import TrainingData

OPACITY = 0.88
"""The opacity of Gaussians at the start."""


@torch.no_grad()
def fill_clouds(model: GaussianScene, data: TrainingData, options: Options, seed: int) -> None:
    """Sets the frame of reference and fills both clouds from the training frames."""
    z, median = depths(disparities(data, options))
    middle = camera_centres(data).mean(0)
    model.to(data.device)
    model.frame.set(middle, median)
    beside = torch.stack([beside_steps(depth.log()) for depth in z])
    static = static_seeds(data, z, beside, options.static_spacing, options.thinning)
    moving, spacing = dynamic_seeds(data, z, beside, options.dynamic_spacing, options.max_dynamic)
    unit, frame = model.frame.unit, model.frame
    for cloud, seeds, pixels in ((model.static, static, options.static_spacing), (model.moving, moving, spacing)):
        size = seeds.size * options.size * pixels / unit
        cloud.fill(frame.inside(seeds.position), size, OPACITY, seeds.colour, seeds.feature, seeds.saliency)
    model.static.cell = torch.zeros(len(static), dtype=torch.int32, device=data.device)
    if options.w_light:
        static_cloud = model.static
        centre, focal = frame.inside(middle), data.intrinsics[0, 0, 0]
        cell, cells = cells_of(static_cloud.position.detach(), centre, focal, CELL)
        static_cloud.cell = cell.int()
        static_cloud.light = Light(cells, data.n_frames).to(data.device)
    cloud = model.moving
    reach = model.window // 2
    cloud.reference = moving.frame.float()
    cloud.first = (moving.frame - reach).int()
    path = _path(data, z, moving, reach, paths, options.neighbours, seed)
    if data.far:
        further = _path(data, z, moving, reach, far_paths, options.neighbours, seed)
        path = better_paths(data, z, moving, path, further)
    spans = torch.full_like(moving.size, options.span)
    if options.span_error:
        errors = colour_errors(data, z, moving, path)
        spans = spans_of(errors, options.span_error, options.span, max(options.span, cloud.longest_span))
    cloud.log_span.data = spans.log()
    cloud.path = path / unit


def _path(
    data: TrainingData,
    z: Float[Tensor, "N H W"],
    seeds: Seeds,
    reach: int,
    follow: Follow,
    neighbours: int,
    seed: int,
) -> Float[Tensor, "D W 3"]:
    path = follow(data, z, seeds.position, seeds.frame, reach, neighbours, seed)
    if data.tracks is None:
        return path
    return paths_by_tracks(data, z, seeds.position, seeds.frame, path, follow, neighbours, seed)
