"""Exact scenes for the tests of flow, motion and depth: fronto-parallel layers, cameras, and the flow they imply."""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from nsff.cameras import Cameras
from nsff.cameras.points import SparsePoints
from nsff.files.io import write_image, write_json
from nsff.scene import Scene

sys.path.insert(0, str(Path(__file__).parent))


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
    """Flow from frame i to j (H,W,2) and whether its end lies in the picture and is seen there."""
    index, points, _ = trace(cameras, layers, i)
    velocity = np.array([[*layer.velocity, 0.0] for layer in layers])
    there = points + velocity[index] * (j - i)
    uv, _ = cameras[[j]].project(there.reshape(-1, 3))
    v, u = np.mgrid[: cameras.height, : cameras.width] + 0.5
    target = uv[0].reshape(*u.shape, 2)
    inside = (target >= 0).all(-1) & (target[..., 0] <= cameras.width) & (target[..., 1] <= cameras.height)
    column, row = np.floor(target).astype(int).clip(0, [cameras.width - 1, cameras.height - 1]).transpose(2, 0, 1)
    seen = trace(cameras, layers, j)[0][row, column] == index
    return (target - np.stack([u, v], -1)).astype(np.float32), inside & seen


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


@dataclass(frozen=True)
class Film:
    """Frames (N,h,w,3) uint8 of static textured planes, taken by ``cameras`` whose lens has radial distortion ``k``.

    A pixel at x (normalised, without distortion) is seen at x (1 + k |x|^2), COLMAP's SIMPLE_RADIAL.
    """

    frames: np.ndarray
    cameras: Cameras
    k: float

    def save(self, root: Path, given_cameras: bool = False) -> Scene:
        """A scene as ingest leaves it."""
        scene = Scene(root)
        count, height, width = self.frames.shape[:3]
        given = {"cameras": given_cameras, "points": False, "depth": False, "flow": False}
        write_json(
            scene.manifest_path, {"n_frames": count, "width": width, "height": height, "given": given, "frames": []}
        )
        scene.given_dir.mkdir()
        if given_cameras:
            self.cameras.save(scene.given_dir / "cameras.json")
        for i, frame in enumerate(self.frames):
            write_image(scene.frames_dir / f"{i:05d}.png", frame)
        return scene


# Planes of the filmed scene: a point, two directions along it (scene units), half sizes, and the seed of its texture.
PLANES = [
    ((0, 0, 7), (1, 0, 0.15), (0, 1, 0), (12, 12), 1),
    ((0, 1.4, 5), (1, 0, 0), (0, 0, 1), (12, 6), 2),
    ((-1.0, 0.3, 4), (1, 0, 0.4), (0, 1, 0), (0.7, 0.9), 3),
    ((1.1, -0.4, 3.4), (1, 0, -0.5), (0, 1, 0.2), (0.6, 0.6), 4),
]


def texture(seed: int, size: int = 1024) -> np.ndarray:
    """Noise (size,size,3) float32 in 0..255 with detail at several scales; it repeats."""
    generator = np.random.default_rng(seed)
    result = np.zeros((size, size, 3), np.float32)
    for cells, weight in ((16, 1.0), (48, 0.9), (128, 0.9)):
        coarse = np.pad(generator.random((cells, cells, 3), dtype=np.float32), ((0, 1), (0, 1), (0, 0)), "wrap")
        result += weight * cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC)
    low, high = np.percentile(result, [1, 99])
    return np.clip((result - low) / (high - low), 0, 1) * 255


def undistorted(points: np.ndarray, k: float) -> np.ndarray:
    """x with x (1 + k |x|^2) = points, by fixed-point iteration."""
    x = points.copy()
    for _ in range(50):
        x = points / (1 + k * (x**2).sum(-1, keepdims=True))
    return x


def film(
    centres: np.ndarray, angles: np.ndarray, k: float = 0.0, height: int = 240, width: int = 320, focal: float = 288.0
) -> Film:
    """Films the planes from N ``centres`` (N,3), turned by ``angles`` (N,) radians about y."""
    K = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1.0]])
    poses = []
    for centre, angle in zip(np.asarray(centres, float), angles, strict=True):
        c, s = np.cos(angle), np.sin(angle)
        R = np.array([[c, 0, -s], [0, 1, 0], [s, 0, c]])
        poses.append(np.column_stack([R, -R @ centre]))
    cameras = Cameras(
        np.tile(K, (len(poses), 1, 1)), np.array(poses), np.tile([2.0, 9.0], (len(poses), 1)), width, height
    )
    v, u = np.mgrid[:height, :width] + 0.5
    rays = undistorted(np.stack([u - K[0, 2], v - K[1, 2]], -1) / focal, k)
    rays = np.concatenate([rays, np.ones((height, width, 1))], -1)
    textures = {seed: texture(seed) for *_, seed in PLANES}
    frames = np.zeros((len(poses), height, width, 3), np.uint8)
    for i, pose in enumerate(cameras.camera_to_world):
        world = rays @ pose[:, :3].T
        nearest = np.full((height, width), np.inf)
        for point, along, down, half, seed in PLANES:
            along, down = (np.array(axis, float) / np.linalg.norm(axis) for axis in (along, down))
            normal = np.cross(along, down)
            distance = (np.array(point) - pose[:, 3]) @ normal / (world @ normal)
            local = pose[:, 3] + world * distance[..., None] - point
            x, y = local @ along, local @ down
            hit = (distance > 0) & (distance < nearest) & (abs(x) < half[0]) & (abs(y) < half[1])
            at = [(80 * value % 1023).astype(np.float32) for value in (x, y)]
            frames[i][hit] = np.round(cv2.remap(textures[seed], at[0], at[1], cv2.INTER_LINEAR)[hit])
            nearest[hit] = distance[hit]
    return Film(frames, cameras, k)


@pytest.fixture(scope="session")
def filmed() -> SimpleNamespace:
    """film(centres, angles, k=0, height=240, width=320, focal=288) and undistorted(points, k)."""
    return SimpleNamespace(film=film, undistorted=undistorted)


@pytest.fixture(scope="session")
def travelling(filmed: SimpleNamespace) -> Film:
    """Nine frames from an arc, with barrel distortion."""
    s = np.linspace(-1, 1, 9)
    return filmed.film(np.stack([0.9 * s, -0.25 * s**2, 0.2 * s], 1), 0.12 * s, k=-0.12)
