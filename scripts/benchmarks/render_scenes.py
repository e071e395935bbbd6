"""Renders scenes with exact truth in the layout of the NVIDIA Dynamic Scene data, to test on what nobody tuned for.

Pictures come from Blender's Python module, which wants an environment of its own (Python 3.11):

    uv venv --python 3.11 bpy-env && uv pip install --python bpy-env/bin/python bpy==5.0.1
    bpy-env/bin/python scripts/benchmarks/render_scenes.py street yard room --out rendered

and are brought into the layout, with their truth, in the project's environment:

    python scripts/benchmarks/pack_rendered.py rendered/street --out scenes/street

Twelve cameras in two rows film 24 times; frame t is filmed by camera t mod 12. Rendered are the frames, camera 0 at
all times and all cameras at time 0 (--all: every camera at every time, which protocol nsff24 needs). Bodies are rigid
or made of rigid parts, so that their matrices give flow.

OUT/SCENE/rendered.json has cameras, bodies with their labels, and matrices of what moves at every time;
{camera}_{time}.png are pictures, {camera}_{time}.exr what the rays through the centres of pixels hit: Position (world)
and Object Index (from 1, in the order of ``bodies``). Pictures that are there already are kept.
"""

from __future__ import annotations

import argparse
import json
import time as clock
from pathlib import Path

import bpy
import numpy as np
from _render_worlds import WORLDS, World
from mathutils import Matrix

WIDTH, HEIGHT, FOCAL = 480, 270, 412.8
CAMERAS, TIMES = 12, 24


def rig(look_at: tuple[float, float, float], random: np.random.Generator) -> np.ndarray:
    """World to camera (12,3,4), OpenCV axes: a row of six to the right at 1.8 m, then one back at 1.35 m."""
    across = np.linspace(-1, 1, CAMERAS // 2)
    found = []
    for k in range(CAMERAS):
        upper = k < CAMERAS // 2
        x = across[k] if upper else across[CAMERAS - 1 - k]
        centre = np.array([x, -0.1 * x**2, 1.8 if upper else 1.35]) + random.normal(0, 0.03, 3)
        forward = np.array(look_at) + random.normal(0, 0.04, 3) - centre
        forward /= np.linalg.norm(forward)
        right = np.cross(forward, [random.normal(0, 0.008), 0, 1])
        right /= np.linalg.norm(right)
        rotation = np.array([right, np.cross(forward, right), forward])
        found.append(np.column_stack([rotation, -rotation @ centre]))
    return np.array(found)


def prepare(exposure: float) -> list[str]:
    """Cycles on one thread, and a camera; the names of all bodies in the order of their numbers."""
    scene = bpy.context.scene
    scene.render.engine = "CYCLES"
    scene.cycles.use_adaptive_sampling = False
    scene.cycles.denoising_quality, scene.cycles.denoising_prefilter = "FAST", "NONE"
    scene.cycles.diffuse_bounces, scene.cycles.glossy_bounces = 2, 3
    scene.cycles.caustics_reflective = scene.cycles.caustics_refractive = False
    scene.render.threads_mode, scene.render.threads = "FIXED", 1
    scene.render.use_persistent_data = True
    scene.render.resolution_x, scene.render.resolution_y = WIDTH, HEIGHT
    scene.view_settings.view_transform, scene.view_settings.exposure = "Standard", exposure
    camera = bpy.data.objects.new("camera", bpy.data.cameras.new("camera"))
    camera.data.sensor_fit, camera.data.sensor_width = "HORIZONTAL", 36
    camera.data.lens = FOCAL * 36 / WIDTH
    bpy.context.collection.objects.link(camera)
    scene.camera = camera
    layer = scene.view_layers[0]
    layer.use_pass_position = layer.use_pass_object_index = True
    bodies = sorted((one for one in bpy.data.objects if one.type == "MESH"), key=lambda one: one.name)
    for i, one in enumerate(bodies):
        one.pass_index = i + 1
    return [one.name for one in bodies]


def set_view(world: World, world_to_camera: np.ndarray, time: float) -> None:
    """Places what moves, and the camera: Blender's cameras look along -z with y up."""
    for name, matrix in world.motion(time).items():
        bpy.data.objects[name].matrix_world = matrix
    rotation, centre = (
        world_to_camera[:, :3].T @ np.diag([1, -1, -1]),
        -world_to_camera[:, :3].T @ world_to_camera[:, 3],
    )
    pose = np.vstack([np.column_stack([rotation, centre]), [0, 0, 0, 1]])
    bpy.context.scene.camera.matrix_world = Matrix(pose.tolist())
    bpy.context.view_layer.update()


def draw(path: Path, samples: int) -> None:
    """The picture as it is seen."""
    scene = bpy.context.scene
    scene.cycles.samples, scene.cycles.use_denoising, scene.cycles.max_bounces = samples, True, 4
    scene.cycles.pixel_filter_type, scene.cycles.filter_width = "BLACKMAN_HARRIS", 1.5
    scene.render.image_settings.media_type = "IMAGE"
    scene.render.image_settings.file_format = "PNG"
    scene.render.filepath = str(path)
    bpy.ops.render.render(write_still=True)


def measure(path: Path) -> None:
    """The hits of the rays through the centres of pixels: one ray a pixel, hardly off the centre."""
    scene = bpy.context.scene
    scene.cycles.samples, scene.cycles.use_denoising, scene.cycles.max_bounces = 1, False, 0
    scene.cycles.pixel_filter_type, scene.cycles.filter_width = "BOX", 0.01
    scene.render.image_settings.media_type = "MULTI_LAYER_IMAGE"
    scene.render.image_settings.file_format = "OPEN_EXR_MULTILAYER"
    scene.render.image_settings.color_depth = "32"
    scene.render.filepath = str(path)
    bpy.ops.render.render(write_still=True)


def views(everything: bool) -> list[tuple[int, int]]:
    """The (camera, time) pairs that are rendered, frames first."""
    frames = [(t % CAMERAS, t) for t in range(TIMES)]
    others = [(0, t) for t in range(TIMES)] + [(c, 0) for c in range(CAMERAS)]
    if everything:
        others = [(c, t) for t in range(TIMES) for c in range(CAMERAS)]
    return list(dict.fromkeys(frames + others))


def make(name: str, out: Path, given: argparse.Namespace) -> None:
    out.mkdir(parents=True, exist_ok=True)
    bpy.ops.wm.read_factory_settings(use_empty=True)
    random = np.random.default_rng(given.seed)
    world = WORLDS[name](random)
    bodies = prepare(world.exposure)
    poses = rig(world.look_at, random)
    pairs = views(given.all)[: given.first]
    for camera, time in pairs:
        path, start = out / f"{camera:02d}_{time:02d}.png", clock.monotonic()
        if path.exists():
            continue
        set_view(world, poses[camera], time)
        measure(path.with_suffix(".exr"))
        draw(path, given.samples)
        print(f"{path}: {clock.monotonic() - start:.1f} s", flush=True)
    matrices = [world.motion(t) for t in range(TIMES)]
    content = {
        "scene": name, "width": WIDTH, "height": HEIGHT, "focal": FOCAL, "objects": world.objects, "bodies": bodies,
        "labels": [world.labels.get(body, 0) for body in bodies], "world_to_camera": poses.tolist(), "times": TIMES,
        "moving": {body: [np.array(at[body]).tolist() for at in matrices] for body in matrices[0]}, "views": pairs,
    }  # fmt: skip
    (out / "rendered.json").write_text(json.dumps(content))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenes", nargs="+", choices=sorted(WORLDS))
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--samples", type=int, default=8, help="rays a pixel before denoising (default: 8)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--all", action="store_true", help="every camera at every time, as protocol nsff24 wants it")
    parser.add_argument("--first", type=int, default=None, metavar="N", help="only the first pictures")
    given = parser.parse_args()
    for name in given.scenes:
        make(name, given.out / name, given)


if __name__ == "__main__":
    main()
