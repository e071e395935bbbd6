"""The cameras of a scene as a Python script that makes an animated camera in Blender.

Notation. Blender's cameras look along -z with y up, so the second and third axis of ours change sign. An empty object
turns our world, whose y axis points down in the first camera, so that it stands upright in Blender (z up): what is
brought in from other files of the scene, such as its points, is made a child of it. A camera's focal length is lens =
fx · 36 mm / W on a sensor of 36 mm across (sensor_fit HORIZONTAL), and its principal point is shifted by
shift_x = (W/2 - cx) / W and shift_y = (cy - H/2) / W · fx/fy, where fx/fy is the aspect of a pixel.
Sources: Blender Python API, Camera.lens, Camera.shift_x, RenderSettings.pixel_aspect_x.
"""

from __future__ import annotations

import json

import numpy as np
from jaxtyping import Float64
from scipy.spatial.transform import Rotation

from nsff.cameras.model import Cameras

SENSOR = 36.0
"""Width of the sensor, millimetres."""
SCRIPT = '''"""The camera of the scene {name}, frame by frame. In Blender: Scripting, Open, Run Script.

Its parent is the empty object "{name} world": make what you import from the scene's files (points.ply) a child of it.
"""

import math

import bpy

FRAME_RATE = {rate}
SIZE = {size}
PIXEL_ASPECT = {aspect}
SENSOR = {sensor}
# Of each frame: location, rotation (w, x, y, z), focal length in millimetres, shift in x and y.
FRAMES = {frames}

scene = bpy.context.scene
scene.render.resolution_x, scene.render.resolution_y = SIZE
scene.render.resolution_percentage = 100
scene.render.pixel_aspect_x, scene.render.pixel_aspect_y = PIXEL_ASPECT
scene.render.fps = math.ceil(FRAME_RATE)
scene.render.fps_base = math.ceil(FRAME_RATE) / FRAME_RATE
scene.frame_start, scene.frame_end = 1, len(FRAMES)

world = bpy.data.objects.new("{name} world", None)
world.rotation_euler = (-math.pi / 2, 0.0, 0.0)
data = bpy.data.cameras.new("{name}")
data.sensor_fit = "HORIZONTAL"
data.sensor_width = SENSOR
data.clip_start, data.clip_end = {clip}
camera = bpy.data.objects.new("{name}", data)
camera.parent = world
camera.rotation_mode = "QUATERNION"
for thing in (world, camera):
    scene.collection.objects.link(thing)
for number, (location, rotation, lens, shift_x, shift_y) in enumerate(FRAMES, start=1):
    camera.location, camera.rotation_quaternion = location, rotation
    data.lens, data.shift_x, data.shift_y = lens, shift_x, shift_y
    for path in ("location", "rotation_quaternion"):
        camera.keyframe_insert(path, frame=number)
    for path in ("lens", "shift_x", "shift_y"):
        data.keyframe_insert(path, frame=number)
scene.camera = camera
'''


def blender_script(cameras: Cameras, rate: float, name: str) -> str:
    """The text of the script: frame i of the scene is frame i + 1 in Blender, ``rate`` of them a second."""
    K, centres = cameras.intrinsics, cameras.centres
    aspect = float(np.mean(K[:, 0, 0] / K[:, 1, 1]))
    frames = [
        (
            [round(float(x), 9) for x in centre],
            [round(float(x), 9) for x in turn],
            round(float(SENSOR * k[0, 0] / cameras.width), 6),
            round(float((cameras.width / 2 - k[0, 2]) / cameras.width), 9),
            round(float((k[1, 2] - cameras.height / 2) / cameras.width * aspect), 9),
        )
        for centre, turn, k in zip(centres, quaternions(cameras), K, strict=True)
    ]
    near, far = float(cameras.near_far[:, 0].min()), float(cameras.near_far[:, 1].max())
    return SCRIPT.format(
        name=json.dumps(name)[1:-1],
        rate=round(rate, 6),
        size=(cameras.width, cameras.height),
        aspect=(round(max(1.0, 1 / aspect), 9), round(max(1.0, aspect), 9)),
        sensor=SENSOR,
        clip=(round(near / 10, 6), round(far * 10, 6)),
        frames="[\n" + "".join(f"    {frame},\n" for frame in frames) + "]",
    )


def quaternions(cameras: Cameras) -> Float64[np.ndarray, "N 4"]:
    """Rotations of the cameras, with Blender's axes of a camera, as (w, x, y, z). Of q and -q, which turn alike, each
    is the one nearer to that of the frame before: Blender interpolates the four numbers."""
    turns = Rotation.from_matrix(cameras.camera_to_world[:, :, :3] * [1.0, -1.0, -1.0]).as_quat(scalar_first=True)
    for i in range(1, len(turns)):
        if turns[i] @ turns[i - 1] < 0:
            turns[i] = -turns[i]
    return turns
