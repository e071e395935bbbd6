"""Cameras for other programs, read back by pycolmap, by a schema of nerfstudio's keys and by a stand-in for bpy."""

from __future__ import annotations

import json
import sys
import types

import jsonschema
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from nsff.cameras import Cameras
from nsff.cameras.colmap import read_model
from nsff.cameras.nerfstudio import read_transforms
from nsff.cameras.points import SparsePoints
from nsff.cli import main
from nsff.files.io import read_image, write_json
from nsff.scene import Scene

H, W, N = 30, 40, 3
MATRIX = {
    "type": "array", "minItems": 4, "maxItems": 4,
    "items": {"type": "array", "items": {"type": "number"}, "minItems": 4, "maxItems": 4},
}  # fmt: skip
NUMBER = {"type": "number", "exclusiveMinimum": 0}
NERFSTUDIO = {
    "type": "object",
    "required": ["camera_model", "frames", "w", "h"],
    "properties": {
        "camera_model": {"enum": ["SIMPLE_PINHOLE", "PINHOLE", "SIMPLE_RADIAL", "RADIAL", "OPENCV", "OPENCV_FISHEYE"]},
        "ply_file_path": {"type": "string"},
        "frames": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "required": ["file_path", "transform_matrix", "fl_x", "fl_y", "cx", "cy"],
                "properties": {
                    "file_path": {"type": "string"}, "transform_matrix": MATRIX, "fl_x": NUMBER, "fl_y": NUMBER,
                    "cx": NUMBER, "cy": NUMBER, "w": {"type": "integer"}, "h": {"type": "integer"},
                },
            },
        },
    },
}  # fmt: skip
"""Keys that nerfstudio documents under "Data conventions", written down here."""


@pytest.fixture
def scene(tmp_path):
    scene = Scene(tmp_path / "clip")
    turns = Rotation.from_euler("yxz", [[0, 5, 0], [20, 5, 2], [200, -4, 3]], degrees=True).as_matrix()
    poses = np.concatenate([turns, [[[0.1], [0.2], [0.3]], [[-0.5], [0], [1]], [[0], [0.4], [2]]]], axis=2)
    K = np.array([[[50.0 + i, 0, 21], [0, 48.0 + i, 14], [0, 0, 1]] for i in range(N)])
    Cameras(K, poses, np.tile([1.0, 8.0], (N, 1)), W, H).save(scene.cameras_path)
    frames = [{"index": i, "name": "x", "time": i / 12.5} for i in range(N)]
    write_json(scene.manifest_path, {"n_frames": N, "width": W, "height": H, "frames": frames})
    generator = np.random.default_rng(0)
    for i in range(N):
        scene.write_image(i, generator.integers(0, 256, (H, W, 3), dtype=np.uint8))
    xyz = generator.normal(size=(5, 3)) + np.array([0, 0, 5])
    SparsePoints(xyz, np.full((5, 3), 9), np.ones(5), np.arange(5), np.zeros(5)).save(scene.points_path)
    assert main(["export", "cameras", str(scene.root)]) == 0
    return scene


def test_colmap_models_are_read_by_pycolmap(scene):
    import pycolmap

    folder, cameras = scene.exports_dir / "cameras", scene.cameras
    for part in ("sparse/0", "sparse_text"):
        found = pycolmap.Reconstruction(str(folder / part))
        assert len(found.points3D) == 5
        for image in found.images.values():
            i = int(image.name.removesuffix(".png"))
            np.testing.assert_allclose(image.cam_from_world().matrix(), cameras.world_to_camera[i], atol=1e-9)
            np.testing.assert_allclose(found.cameras[image.camera_id].calibration_matrix(), cameras.intrinsics[i])
            np.testing.assert_array_equal(read_image(folder / "images" / image.name), scene.image(i))
    again = read_model(folder, need_points=False)
    np.testing.assert_allclose(again.cameras.world_to_camera, cameras.world_to_camera, atol=1e-9)


def test_transforms_have_the_documented_keys_and_come_back(scene):
    file = scene.exports_dir / "cameras" / "transforms.json"
    content = json.loads(file.read_text())
    jsonschema.validate(content, NERFSTUDIO)
    for frame in content["frames"]:
        assert (file.parent / frame["file_path"]).is_file()
        turn = np.array(frame["transform_matrix"])[:3, :3]
        assert np.linalg.det(turn) == pytest.approx(1)
    assert (file.parent / content["ply_file_path"]).is_file()
    found = read_transforms(file)
    np.testing.assert_allclose(found.cameras.world_to_camera, scene.cameras.world_to_camera, atol=1e-9)
    np.testing.assert_allclose(found.cameras.intrinsics, scene.cameras.intrinsics)
    assert found.times == pytest.approx([0, 0.5, 1])


def test_a_schema_that_can_fail(scene):
    content = json.loads((scene.exports_dir / "cameras" / "transforms.json").read_text())
    del content["frames"][1]["fl_x"]
    with pytest.raises(jsonschema.ValidationError, match="fl_x"):
        jsonschema.validate(content, NERFSTUDIO)


# --- Blender ---------------------------------------------------------------------------------------------------------
class Thing(types.SimpleNamespace):
    """Anything of Blender's that the script touches: attributes, and key frames that are recorded."""

    def keyframe_insert(self, path, frame):
        self.__dict__.setdefault("keys", {}).setdefault(path, {})[frame] = getattr(self, path)


class Things:
    def __init__(self):
        self.made = {}

    def new(self, name, data=None):
        self.made[name] = Thing(name=name, data=data)
        return self.made[name]


@pytest.fixture
def blender(monkeypatch):
    """A stand-in for bpy with what the script calls, by the names of Blender's documentation."""
    linked = []
    scene = Thing(render=Thing(), collection=Thing(objects=Thing(link=linked.append)), camera=None)
    bpy = types.ModuleType("bpy")
    bpy.context, bpy.data, bpy.linked = Thing(scene=scene), Thing(objects=Things(), cameras=Things()), linked
    monkeypatch.setitem(sys.modules, "bpy", bpy)
    return bpy


def test_blenders_camera_sees_what_ours_does(scene, blender):
    """Points of the world projected as Blender does, by lens, sensor, shift and the parent's rotation."""
    exec((scene.exports_dir / "cameras" / "blender_camera.py").read_text(), {})
    made, view = blender.context.scene.camera, blender.context.scene.render
    data, world = made.data, made.parent
    assert set(map(id, blender.linked)) == {id(made), id(world)}
    assert (view.resolution_x, view.resolution_y) == (W, H)
    assert view.fps / view.fps_base == pytest.approx(12.5)
    assert (blender.context.scene.frame_start, blender.context.scene.frame_end) == (1, N)
    upright = Rotation.from_euler("xyz", world.rotation_euler).as_matrix()
    assert upright @ [0, 1, 0] == pytest.approx([0, 0, -1])  # our down is Blender's down
    for i in range(N):
        X = scene.cameras.camera_to_world[i] @ [0.1, -0.2, 3, 1]
        truth, depth = scene.cameras[[i]].project(X[None])
        rotation = Rotation.from_quat(made.keys["rotation_quaternion"][i + 1], scalar_first=True).as_matrix()
        local = (upright @ rotation).T @ (upright @ X - upright @ np.array(made.keys["location"][i + 1]))
        assert -local[2] == pytest.approx(depth[0, 0])
        aspect = view.pixel_aspect_y / view.pixel_aspect_x
        focal = data.keys["lens"][i + 1] / data.sensor_width * W
        u = W / 2 - data.keys["shift_x"][i + 1] * W + focal * local[0] / -local[2]
        v = H / 2 + data.keys["shift_y"][i + 1] * W / aspect - focal / aspect * local[1] / -local[2]
        assert (u, v) == pytest.approx(tuple(truth[0, 0]), abs=0.05)
    turns = np.array(list(made.keys["rotation_quaternion"].values()))
    assert ((turns[1:] * turns[:-1]).sum(1) > 0).all()
