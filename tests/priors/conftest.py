"""Exact scenes for the tests of flow, motion and depth: fronto-parallel layers, cameras, and the flow they imply."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from nsff.cameras import Cameras
from nsff.cameras.points import SparsePoints
from nsff.io import write_image, write_json
from nsff.scene import Scene


@dataclass(frozen=True)
class Layer:
    """A rectangle facing along z: depth z, centre and half size in scene units, velocity per frame (x, y)."""

    z: float
    centre: tuple[float, float] = (0.0, 0.0)
    half: tuple[float, float] = (99.0, 99.0)
    velocity: tuple[float, float] = (0.0, 0.0)
    colour: tuple[int, int, int] = (90, 120, 150)


def make_cameras(n: int, step: tuple[float, float, float], angle: float = 0.0, height: int = 48, width: int = 64):
    """Cameras that move by ``step`` scene units and turn by ``angle`` radians about y in each frame."""
    K = np.array([[60.0, 0, width / 2], [0, 60.0, height / 2], [0, 0, 1]])
    poses = []
    for i in range(n):
        c, s = np.cos(angle * i), np.sin(angle * i)
        R = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
        poses.append(np.concatenate([R, -R @ (np.array(step)[:, None] * i)], axis=1))
    return Cameras(np.tile(K, (n, 1, 1)), np.array(poses), np.tile([1.5, 6.0], (n, 1)), width, height)


def trace(cameras: Cameras, layers: list[Layer], i: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Layer index (H,W), world points (H,W,3) and z depth (H,W) of what frame i sees; far layers come first."""
    v, u = np.mgrid[: cameras.height, : cameras.width] + 0.5
    pixels = np.stack([u, v, np.ones_like(u)], -1)
    pose = cameras.camera_to_world[i]
    rays = pixels @ (pose[:, :3] @ np.linalg.inv(cameras.intrinsics[i])).T
    origin = pose[:, 3]
    index = np.zeros(u.shape, int)
    points = np.zeros((*u.shape, 3))
    for k, layer in enumerate(layers):
        hit = origin + rays * ((layer.z - origin[2]) / rays[..., 2])[..., None]
        centre = np.array(layer.centre) + np.array(layer.velocity) * i
        inside = (abs(hit[..., :2] - centre) <= layer.half).all(-1)
        index[inside], points[inside] = k, hit[inside]
    depth = (points - origin) @ cameras.world_to_camera[i, 2, :3]
    return index, points, depth


def exact_flow(cameras: Cameras, layers: list[Layer], i: int, j: int) -> tuple[np.ndarray, np.ndarray]:
    """Flow from frame i to j (H,W,2) and whether its end lies in the picture."""
    index, points, _ = trace(cameras, layers, i)
    velocity = np.array([[*layer.velocity, 0.0] for layer in layers])
    there = points + velocity[index] * (j - i)
    uv, _ = cameras[[j]].project(there.reshape(-1, 3))
    v, u = np.mgrid[: cameras.height, : cameras.width] + 0.5
    target = uv[0].reshape(*u.shape, 2)
    inside = (target >= 0).all(-1) & (target[..., 0] <= cameras.width) & (target[..., 1] <= cameras.height)
    return (target - np.stack([u, v], -1)).astype(np.float32), inside


def make_scene(root: Path, cameras: Cameras, layers: list[Layer], points: SparsePoints | None = None) -> Scene:
    """A scene with frames, images, cameras, exact flow (canonical and raw) and points."""
    scene, n = Scene(root), len(cameras)
    write_json(scene.manifest_path, {"n_frames": n, "width": cameras.width, "height": cameras.height})
    cameras.save(scene.cameras_path)
    (points or SparsePoints.empty()).save(scene.points_path)
    colours = np.array([layer.colour for layer in layers], np.uint8)
    for i in range(n):
        index, *_ = trace(cameras, layers, i)
        image = colours[index]
        scene.write_image(i, image)
        write_image(scene.frames_dir / f"{i:05d}.png", image)
        for j, direction in ((i + 1, "fwd"), (i - 1, "bwd")):
            if 0 <= j < n:
                scene.write_flow(i, direction, *exact_flow(cameras, layers, i, j))
    shutil.copytree(scene.flow_dir, scene.raw_flow_dir)
    return scene


@pytest.fixture(scope="session")
def layered() -> SimpleNamespace:
    """The functions above, for tests (test folders are no packages)."""
    return SimpleNamespace(
        Layer=Layer, make_cameras=make_cameras, trace=trace, exact_flow=exact_flow, make_scene=make_scene
    )
