"""Renders a long clip of a static room, for measuring how structure from motion grows with the number of frames.

The camera walks a circle in a room of textured walls and boards and looks outwards; after a whole round it meets where
it began. Shorter clips are the first frames of longer ones: take them with input.end. truth.json holds the cameras.

    python scripts/benchmarks/long_clip.py --frames 500 --out clips/room
"""

from __future__ import annotations

import argparse
from pathlib import Path

import _root  # noqa: F401
import cv2
import numpy as np
from tqdm import tqdm

from nsff.files.io import write_image, write_json

HEIGHT, WIDTH, FOCAL = 180, 320, 288.0
HALF, TALL = 6.0, 2.5
"""Half side and half height of the room, in the units of the camera path."""
BOARDS = 28
ROUND = 440
"""Frames of one round."""
RADIUS = 3.0
PER_UNIT = 85.0
"""Pixels of texture in a unit: a wall has no place twice."""

Plane = tuple[np.ndarray, np.ndarray, np.ndarray, tuple[float, float], int]
"""A point, two unit directions along the plane, half sizes, and the seed of the texture."""


def texture(seed: int, size: int) -> np.ndarray:
    """Noise (size,size,3) float32 in 0..255 with detail at several scales; it repeats."""
    generator = np.random.default_rng(seed)
    result = np.zeros((size, size, 3), np.float32)
    for cells, weight in ((size // 64, 1.0), (size // 21, 0.9), (size // 8, 0.9), (size // 3, 0.9)):
        coarse = np.pad(generator.random((cells, cells, 3), dtype=np.float32), ((0, 1), (0, 1), (0, 0)), "wrap")
        result += weight * cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC)
    low, high = np.percentile(result, [1, 99])
    return np.clip((result - low) / (high - low), 0, 1) * 255


def room() -> list[Plane]:
    """Four walls, floor and ceiling, and boards that stand between the path and the walls."""
    x, y, z = np.eye(3)
    planes: list[Plane] = []
    for k, (axis, along) in enumerate(((x, z), (-x, z), (z, x), (-z, x))):
        planes.append((HALF * axis, along, y, (HALF, TALL), k))
    for k, side in enumerate((1, -1)):
        planes.append((side * TALL * y, x, z, (HALF, HALF), 4 + k))
    generator = np.random.default_rng(7)
    for k in range(BOARDS):
        angle = 2 * np.pi * (k + 0.6 * generator.random()) / BOARDS
        out = np.array([np.sin(angle), 0, np.cos(angle)])
        turned = angle + generator.uniform(-0.6, 0.6)
        along = np.array([np.cos(turned), 0, -np.sin(turned)])
        half = tuple(generator.uniform(0.25, 0.6, 2))
        planes.append((generator.uniform(4.3, 5.5) * out + generator.uniform(-0.8, 0.8) * y, along, y, half, 6 + k))
    return planes


def poses(count: int) -> np.ndarray:
    """World-to-camera poses (N,3,4): a circle with the small ups and downs of a walk."""
    result = []
    for i in range(count):
        angle = 2 * np.pi * i / ROUND
        c, s = np.cos(angle), np.sin(angle)
        centre = np.array([RADIUS * s, 0.08 * np.sin(0.21 * i), RADIUS * c])
        tilt = 0.02 * np.sin(0.13 * i)
        R = np.array([[1, 0, 0], [0, np.cos(tilt), -np.sin(tilt)], [0, np.sin(tilt), np.cos(tilt)]]) @ np.array(
            [[c, 0, -s], [0, 1, 0], [s, 0, c]]
        )
        result.append(np.column_stack([R, -R @ centre]))
    return np.array(result)


def render(pose: np.ndarray, planes: list[Plane], textures: dict[int, np.ndarray]) -> np.ndarray:
    """One frame (HEIGHT,WIDTH,3) uint8."""
    v, u = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32) + 0.5
    rays = np.stack([(u - WIDTH / 2) / FOCAL, (v - HEIGHT / 2) / FOCAL, np.ones_like(u)], -1)
    centre = -pose[:, :3].T @ pose[:, 3]
    world = rays @ pose[:, :3]
    frame = np.zeros((HEIGHT, WIDTH, 3), np.float32)
    nearest = np.full((HEIGHT, WIDTH), np.inf)
    for point, along, down, half, seed in planes:
        normal = np.cross(along, down)
        with np.errstate(divide="ignore", invalid="ignore"):
            distance = (point - centre) @ normal / (world @ normal)
        local = centre + world * np.nan_to_num(distance)[..., None] - point
        x, y = local @ along, local @ down
        hit = (distance > 0) & (distance < nearest) & (abs(x) <= half[0]) & (abs(y) <= half[1])
        if hit.any():
            at = [(PER_UNIT * value % (len(textures[seed]) - 1)).astype(np.float32) for value in (x, y)]
            frame[hit] = cv2.remap(textures[seed], at[0], at[1], cv2.INTER_LINEAR)[hit]
            nearest[hit] = distance[hit]
    return np.round(frame).astype(np.uint8)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, required=True, metavar="N")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    given = parser.parse_args()
    planes = room()
    textures = {seed: texture(seed, 1024 if max(half) > 1 else 256) for *_, half, seed in planes}
    noise = np.random.default_rng(3)
    truth = poses(given.frames)
    for i, pose in enumerate(tqdm(truth, unit="frame")):
        frame = render(pose, planes, textures) + noise.normal(0, 2, (HEIGHT, WIDTH, 1))
        write_image(given.out / "images" / f"{i:05d}.png", np.clip(np.round(frame), 0, 255).astype(np.uint8))
    K = [[FOCAL, 0, WIDTH / 2], [0, FOCAL, HEIGHT / 2], [0, 0, 1]]
    write_json(given.out / "truth.json", {"K": K, "world_to_camera": truth.tolist()})
    print(f"{given.out}: {given.frames} frames")


if __name__ == "__main__":
    main()
