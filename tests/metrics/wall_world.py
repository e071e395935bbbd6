"""An analytic scene for scoring: a textured wall with a moving patch, and a renderer that draws it exactly."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from nsff.cameras import Cameras
from nsff.cameras.rays import pixel_rays
from nsff.config import SceneConfig
from nsff.files.io import write_image, write_json, write_npz
from nsff.metrics.alignment import moved
from nsff.scene import Scene

HEIGHT, WIDTH, FRAMES = 36, 48, 6
K = np.array([[50.0, 0, WIDTH / 2], [0, 50.0, HEIGHT / 2], [0, 0, 1]])
DEPTH = 3.0


def wall(x: torch.Tensor, y: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
    """Smooth, non-repeating colours of the wall z = DEPTH, with a bright patch that moves to the right."""
    waves = [
        0.5 + 0.22 * torch.sin(2.1 * x + 0.7 * y + phase) + 0.2 * torch.sin(3.7 * y - 1.3 * x + 2 * phase)
        for phase in (0.0, 1.1, 2.3)
    ]
    colour = torch.stack(waves, -1)
    patch = torch.exp(-(((x - 0.1 * time + 0.25) / 0.3) ** 2) - (y / 0.3) ** 2)[..., None]
    return colour * (1 - patch) + patch * colour.new_tensor([0.9, 0.1, 0.2])


@dataclass
class WallRenderer:
    """Draws the wall in a world that is ``scale`` times as large; ``brightness`` is a parameter that must not
    change."""

    scale: float = 1.0
    whole_pictures: bool = False

    def __post_init__(self) -> None:
        self.device = torch.device("cpu")
        self.brightness = torch.nn.Parameter(torch.ones(()))

    def render_rays(self, origins, directions, time, outputs=("rgb",)):
        distance = (DEPTH * self.scale - origins[:, 2]) / directions[:, 2]
        at = (origins + distance[:, None] * directions) / self.scale
        still = torch.full_like(time, -100.0)
        maps = {"rgb": wall(at[:, 0], at[:, 1], time), "static_rgb": wall(at[:, 0], at[:, 1], still)}
        return {name: value * self.brightness for name, value in maps.items() if name in outputs}

    def render_pixels(self, K, world_to_camera, size, pixels, time):
        u, v = (pixels % size[1]).float() + 0.5, (pixels // size[1]).float() + 0.5
        count = len(pixels)
        rays = pixel_rays(K.expand(count, 3, 3), world_to_camera.expand(count, 3, 4), u, v)
        return self.render_rays(*rays, torch.full_like(u, float(time)))["rgb"]

    @torch.no_grad()
    def render(self, K, world_to_camera, height, width, time, outputs=("rgb",)):
        v, u = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
        tensor = lambda value: torch.as_tensor(np.asarray(value), dtype=torch.float32)  # noqa: E731
        count = height * width
        rays = pixel_rays(
            tensor(K).expand(count, 3, 3), tensor(world_to_camera).expand(count, 3, 4), u.flatten(), v.flatten()
        )
        maps = self.render_rays(*rays, torch.full((count,), float(time)), outputs)
        return {name: value.reshape(height, width, -1) for name, value in maps.items()}


def path_of_cameras(n: int) -> np.ndarray:
    poses = np.tile(np.eye(4)[:3], (n, 1, 1))
    for i in range(n):
        xi = torch.tensor([0.01 * i, 0.03 * np.sin(i), 0.005 * i, -0.08 * i, 0.02 * i**2, 0.03 * np.cos(i)])
        poses[i] = moved(torch.from_numpy(poses[i]), xi.double(), 1.0).numpy()
    return poses


def picture(pose: np.ndarray, time: float, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    scale = np.diag([width / WIDTH, height / HEIGHT, 1.0])
    rgb = WallRenderer().render(scale @ K, pose, height, width, time)["rgb"]
    return (rgb.clamp(0, 1) * 255).round().to(torch.uint8).numpy()


def make_scene(root: Path, cameras: Cameras, given: bool, true_poses: np.ndarray) -> Scene:
    scene = Scene(root / "wall")
    frames = [{"index": i, "name": f"{i:05d}.png", "time": i / 10} for i in range(FRAMES)]
    write_json(
        scene.manifest_path,
        {"n_frames": FRAMES, "width": WIDTH, "height": HEIGHT, "frames": frames, "given": {"cameras": given}},
    )
    cameras.save(scene.cameras_path)
    u, v = np.meshgrid(np.arange(WIDTH) + 0.5, np.arange(HEIGHT) + 0.5)
    write_npz(
        scene.pixel_map_path,
        map=np.stack([u, v], -1).astype(np.float32),
        frame_size=np.array([HEIGHT, WIDTH]),
    )
    for i in range(FRAMES):
        scene.write_image(i, picture(true_poses[i], i))
        mask = np.zeros((HEIGHT, WIDTH), np.uint8)
        mask[10:20, 10 : 20 + i] = 255
        write_image(scene.motion_dir / f"{i:05d}.png", mask)
    return scene


def write_truth(root: Path, poses: np.ndarray, heldout: list[np.ndarray]) -> Path:
    folder = root / "truth"
    every = [*poses, *heldout]
    write_json(
        folder / "cameras.json",
        {
            "width": WIDTH,
            "height": HEIGHT,
            "K": K,
            "cameras": [{"id": i, "w2c": pose} for i, pose in enumerate(every)],
            "mono": [[i, i] for i in range(len(poses))],
            "heldout": [[len(poses) + i, 2 + i] for i in range(len(heldout))],
        },
    )
    for i, pose in enumerate(heldout):
        write_image(folder / "heldout" / "images" / f"{i:02d}.png", picture(pose, 2 + i))
        labels = np.zeros((HEIGHT, WIDTH), np.uint8)
        labels[12:20, 20:28] = 7
        write_image(folder / "heldout" / "labels" / f"{i:02d}.png", labels)
    return folder


def config(**sections) -> SceneConfig:
    """Settings without the score that needs no truth, unless ``score`` asks for it."""
    score = {"refit_steps": 0, **sections.pop("score", {})}
    return SceneConfig.model_validate({"input": {"path": "x"}, "score": score, **sections})


def rows_of(scene: Scene) -> dict[tuple[str, str, str], float]:
    table = pd.read_csv(scene.scores_path)
    return {(r.variant, r.split, r.metric): r.value for r in table.itertuples()}


def own_world(poses: np.ndarray) -> Cameras:
    """Our cameras: the true ones in a world turned, moved and twice as large."""
    cameras = Cameras(np.tile(K, (len(poses), 1, 1)), poses, np.tile([2.0, 10.0], (len(poses), 1)), WIDTH, HEIGHT)
    return cameras.moved(2.0, np.eye(3), np.zeros(3))
