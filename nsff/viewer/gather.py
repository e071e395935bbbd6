"""The Gaussians that a page shows: the model's own, or such as stand for the points of a model that has none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32, Float64, Int64
from tqdm import tqdm

from nsff.config import PageConfig
from nsff.decompose.clusters import Clusters
from nsff.decompose.extract import number_points
from nsff.decompose.instances import Instances
from nsff.export.splats import closed_splats_of
from nsff.export.times import frame_rate
from nsff.models.base import Points, SceneModel
from nsff.rendering.renderer import Renderer
from nsff.scene import Scene
from nsff.splats.from_points import FramePoints, scene_of_points
from nsff.splats.scene import SplatScene, SplatSet
from nsff.viewer.condense import condensed
from nsff.viewer.shadows import with_shadows

THRESHOLD = 0.2
"""Points of ray fields: opacity, and light that reaches them, exceed this (SAFF's near surfaces)."""
THICKNESS = 0.08
"""Points of a pixel whose depths differ by less than this share are of one surface."""
NO_GAUSSIANS = "This scene has no Gaussians of its own: what is shown are points of its surfaces, frame by frame."
Show = Callable[[Float32[np.ndarray, "P C"]], Float32[np.ndarray, "P 3"]]


def splats_for_page(
    scene: Scene, page: PageConfig, room: Callable[[SplatScene], float]
) -> tuple[SplatScene, list[str]]:
    """The Gaussians of a finished scene, at most as many as the settings say, and sentences about what was done.

    ``room``: the share of a scene that the page has room for.

    Raises StageError where there is no model, or a damaged one.
    """
    renderer = Renderer.load(scene.model_dir)
    if type(renderer.model).splats is SceneModel.splats:
        splats = splats_of_model_points(scene, renderer, page)
        return splats, [NO_GAUSSIANS]
    whole = with_shadows(closed_splats_of(scene)[0], scene)
    splats = condensed(whole, scene.cameras, (page.static_splats, page.moving_splats), page.fit_steps, room)
    left_out = len(whole.static) + len(whole.moving) - len(splats.static) - len(splats.moving)
    return splats, [f"{left_out:,} Gaussians of the model that are hardly seen are left out."] if left_out else []


def splats_of_model_points(scene: Scene, renderer: Renderer, page: PageConfig) -> SplatScene:
    """Points near the surfaces that the clip's cameras see, as Gaussians, numbered where there are clusters."""
    height, width = scene.size
    shrink = max(1.0, (height * width / page.points_per_frame) ** 0.5)
    cameras = scene.cameras.resized(round(height / shrink), round(width / shrink))
    model = renderer.model
    clusters = Clusters.load(scene) if scene.clusters_path.exists() and "features" in model.outputs else None
    things = Instances.load(scene) if clusters else None
    frames, show = [], None
    for i in tqdm(range(scene.n_frames), desc="points", unit="frame"):
        E = cameras.world_to_camera[i]
        camera = renderer.camera(cameras.intrinsics[i], E, cameras.height, cameras.width)
        with torch.no_grad():
            points = joined(list(model.points(float(i), camera, THRESHOLD, renderer.chunk)))
        objects = np.zeros(len(points.positions), np.int64)
        if clusters is not None:
            objects = number_points(points, float(i), model.n_frames, clusters, things)
        arrays: dict[str, Any] = {name: v if v is None else v.cpu().numpy() for name, v in vars(points).items()}
        depth = arrays["positions"] @ E[2, :3] + E[2, 3]
        if arrays["features"] is not None:
            show = show or principal_colours(arrays["features"].astype(np.float32))
        frame = FramePoints(
            i, arrays["positions"], arrays["colours"], depth / cameras.focal, arrays["motion"], objects,
            show(arrays["features"].astype(np.float32)) if show else None,
        )  # fmt: skip
        frames.append(surfaces(frame, arrays["pixel"], depth, 3 * float(cameras.near_far[i, 1])))
    rate = frame_rate(scene)
    return scene_of_points(frames, rate, page.static_splats, page.moving_splats)


def surfaces(
    frame: FramePoints, pixel: Int64[np.ndarray, "P"], depth: Float64[np.ndarray, "P"], far: float
) -> FramePoints:
    """One point for what rests and one for what moves in each pixel: the nearest, and the mean place of those that lie
    within THICKNESS of its depth. Points behind the camera or beyond ``far`` are left out.
    """
    moves = (frame.motion != 0).any(axis=1)
    order = np.lexsort((depth, moves, pixel))
    order = order[(depth[order] > 0) & (depth[order] < far)]
    key = 2 * pixel[order] + moves[order]
    begins = np.concatenate([[True], key[1:] != key[:-1]]) if len(key) else np.zeros(0, bool)
    group = np.cumsum(begins) - 1
    first = order[begins]
    together = depth[order] <= (1 + THICKNESS) * depth[first][group]
    count = np.bincount(group[together], minlength=len(first))
    result = frame.chosen(first)
    for values, own in ((result.positions, frame.positions), (result.colours, frame.colours)):
        for k in range(3):
            total = np.bincount(group[together], own[order[together], k], len(first))
            values[:, k] = total / np.maximum(count, 1)
    return result


def joined(parts: list[Points]) -> Points:
    """The points of all pieces."""
    values = {name: [getattr(part, name) for part in parts] for name in vars(parts[0])}
    whole: dict[str, Any] = {name: None if each[0] is None else torch.cat(each) for name, each in values.items()}
    return Points(**whole)


def principal_colours(sample: Float32[np.ndarray, "P C"]) -> Show:
    """A function from features to colours in [0, 1]: the three principal components of ``sample``."""
    chosen = sample[:: max(1, len(sample) // 5000)]
    mean = chosen.mean(0)
    basis = np.linalg.svd(chosen - mean, full_matrices=False)[2][:3].T
    low, high = np.percentile((chosen - mean) @ basis, [1, 99], axis=0)

    def show(features: Float32[np.ndarray, "P C"]) -> Float32[np.ndarray, "P 3"]:
        return (((features - mean) @ basis - low) / np.maximum(high - low, 1e-9)).clip(0, 1).astype(np.float32)

    return show


def pruned(splats: SplatScene, static: int, moving: int) -> SplatScene:
    """The scene with at most so many Gaussians of either kind: those with the most opacity times size."""
    parts: dict[str, Any] = {}
    for name, part, most in (("static", splats.static, static), ("moving", splats.moving, moving)):
        parts[name] = part if len(part) <= most else part.chosen(np.sort(np.argsort(-importance(part))[:most]))
    return replace(splats, **parts)


def importance(part: SplatSet) -> Float32[np.ndarray, "S"]:
    """Opacity times the product of the two larger scales."""
    sizes = np.sort(part.scales, axis=1)
    return part.opacities * sizes[:, 1] * sizes[:, 2]
