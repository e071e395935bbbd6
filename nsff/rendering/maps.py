"""The maps stage: colour, depth, blend, saliency and features for a canonical list of views (SAFF's render_2D)."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float, Float32, UInt8
from torch import Tensor
from tqdm import tqdm

from nsff.cameras import Cameras
from nsff.config import RenderConfig
from nsff.files.io import atomic_directory, read_json, write_image, write_json
from nsff.layout import map_name
from nsff.rendering.renderer import Renderer
from nsff.scene import Scene

OUTPUTS = ("rgb", "depth", "blend", "saliency", "features", "moved_prev", "moved_post", "ndc_depth")
NVIDIA_FRAMES, DYCHECK_FRAMES = 24, 48
"""Lengths of the clips for which SAFF has more views than those it trains on."""


def canonical_views(n_frames: int, kind: str, hold_out: int = 0) -> list[dict[str, Any]]:
    """The views by index: N training views; with ``saff`` also camera 0 at all times, and up to 12 cameras at time 0.

    SAFF's 60 views (render_2D) for any number of frames. ``auto``: those that SAFF has, 60 of 24 frames, and of 48
    frames the training views and camera 0 at all times; of others the training views. Frames that were held out of
    training, every ``hold_out``-th, are split ``heldout``: they neither define clusters nor vote.
    """
    held = range(hold_out - 1, n_frames, hold_out) if hold_out else ()
    views = [("heldout" if i in held else "training", i, i) for i in range(n_frames)]
    if kind == "saff" or (kind == "auto" and n_frames in (NVIDIA_FRAMES, DYCHECK_FRAMES)):
        views += [("nv_spatial", 0, i) for i in range(n_frames)]
    if kind == "saff" or (kind == "auto" and n_frames == NVIDIA_FRAMES):
        views += [("nv_static", i, 0) for i in range(min(n_frames, 12))]
    return [
        {"index": k, "split": split, "camera": camera, "time": time} for k, (split, camera, time) in enumerate(views)
    ]


def asked_views(scene: Scene, render: RenderConfig) -> str:
    """render.canonical_views, in which ``auto`` is ``saff`` for scenes in NSFF's layout of any length but DyCheck's."""
    asked = render.canonical_views
    if asked != "auto" or scene.n_frames == DYCHECK_FRAMES:
        return asked
    return "saff" if scene.ingest_result.source.kind == "nvidia" else asked


def picture_motion(
    after: Float[Tensor, "H W 3"],
    before: Float[Tensor, "H W 3"],
    time: float,
    cameras: Cameras,
    camera: int,
    pixel_centre: float,
) -> Float32[np.ndarray, "H W 2"]:
    """How far each pixel's content moves to the next and from the last frame, seen by the same camera: pixels, motion
    of objects alone, as in SAFF (docs/methods.md#the-motion-vote). Beyond the ends of the clip it is 0."""
    height, width = after.shape[:2]
    u, v = np.meshgrid(np.arange(width) + pixel_centre, np.arange(height) + pixel_centre)
    here = np.stack([u, v], 2)
    result = np.zeros((height, width, 2), np.float32)
    for channel, (points, inside) in enumerate(((after, time < len(cameras) - 1), (before, time > 0))):
        if inside:
            there, _ = cameras[[camera]].project(points.reshape(-1, 3).double().numpy())
            far = np.hypot(height, width)
            distance = np.linalg.norm(there[0].reshape(height, width, 2) - here, axis=2)
            result[..., channel] = np.nan_to_num(distance, nan=0.0, posinf=far).clip(0, far)
    return result


def grey_levels(values: Float32[np.ndarray, "H W"]) -> UInt8[np.ndarray, "H W"]:
    """255 times values, as OpenCV writes floats (SAFF's pictures): to the nearest whole number, halves to the even one,
    saturated."""
    return np.rint(values * np.float32(255)).clip(0, 255).astype(np.uint8)


def run_maps(scene: Scene, render: RenderConfig) -> dict[str, Any]:
    """Renders all maps into maps/; returns the summary."""
    renderer = Renderer.load(scene.model_dir, chunk=render.chunk)
    cameras, (height, width) = scene.cameras, scene.size
    hold_out = int(read_json(scene.model_config_path).get("hold_out", 0))
    views = canonical_views(len(cameras), asked_views(scene, render), hold_out)
    nearest = 1 / max(float(cameras.near_far[:, 0].min()) * 0.5, 1e-6)
    coverage, centre = [], renderer.model.pixel_centre
    with atomic_directory(scene.maps_dir, sealed=True) as folder:
        for view in tqdm(views, desc="maps", unit="view"):
            camera, i = view["camera"], view["index"]
            maps = renderer.render(
                cameras.intrinsics[camera], cameras.world_to_camera[camera], height, width, view["time"], OUTPUTS
            )
            byte = {name: (maps[name].clamp(0, 1).numpy() * 255).round().astype(np.uint8) for name in ("rgb", "blend")}
            write_image(folder / map_name(i, "rgb"), byte["rgb"])
            write_image(folder / map_name(i, "blend"), byte["blend"])
            disparity = (1 / maps["depth"].numpy().clip(1e-6)) / nearest
            write_image(folder / map_name(i, "depth"), (disparity.clip(0, 1) * 65535).round().astype(np.uint16))
            if "ndc_depth" in maps:
                write_image(folder / map_name(i, "ndc"), grey_levels(maps["ndc_depth"].numpy()))
            if "saliency" in maps:
                write_image(
                    folder / map_name(i, "sal"), (maps["saliency"].clamp(0, 1).numpy() * 255).round().astype(np.uint8)
                )
            if "features" in maps:
                np.save(
                    folder / map_name(i, "features"), maps["features"].numpy().astype(np.float16), allow_pickle=False
                )
            if "moved_post" in maps:
                motion = picture_motion(maps["moved_post"], maps["moved_prev"], view["time"], cameras, camera, centre)
                np.save(folder / map_name(i, "motion"), motion.astype(np.float16), allow_pickle=False)
            coverage.append(float((maps["blend"] > 0.5).float().mean()))
        write_json(folder / scene.views_path.name, views)
        write_json(folder / scene.map_scale_path.name, {"disparity_of_65535": nearest})
    dynamic = float(np.mean(coverage))
    verdict = "good" if 0.001 < dynamic < 0.6 else "doubtful"
    message = f"{len(views)} views; the dynamic field covers {100 * dynamic:.1f} % of the picture."
    if dynamic >= 0.6:
        message += " Nearly everything counts as moving: look at the cameras and the motion masks."
    elif dynamic <= 0.001:
        message += " Nothing moves: look at the motion masks."
    summary = {"views": len(views), "dynamic_fraction": dynamic, "verdict": verdict, "message": message}
    scene.write_summary("maps", summary)
    return summary
