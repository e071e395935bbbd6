"""A small scene with rendered maps and planted clusters, written file by file as the maps stage would."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from nsff.cameras import Cameras
from nsff.io import write_image, write_json
from nsff.scene import Scene

HEIGHT, WIDTH, CHANNELS = 48, 64, 16


def truth_mask(view: int, size: tuple[int, int] = (HEIGHT, WIDTH)) -> np.ndarray:
    """A square of 14 rows and columns at 48 rows that moves right by one pixel a view."""
    unit = size[0] / HEIGHT
    mask = np.zeros(size, bool)
    mask[round(16 * unit) : round(30 * unit), round((10 + view) * unit) : round((24 + view) * unit)] = True
    return mask


def make_scene(root: Path, n: int = 6, extra: int = 0, salient: float = 0.6, with_flow: bool = True) -> Scene:
    """n training views and ``extra`` views of another split; left and right halves of the background differ."""
    scene = Scene(root)
    K = np.array([[60.0, 0, WIDTH / 2], [0, 60, HEIGHT / 2], [0, 0, 1]])
    pose = np.concatenate([np.eye(3), np.zeros((3, 1))], 1)
    Cameras(np.repeat(K[None], n, 0), np.repeat(pose[None], n, 0), np.tile([1.0, 9.0], (n, 1)), WIDTH, HEIGHT).save(
        scene.cameras_path
    )
    write_json(scene.manifest_path, {"n_frames": n, "width": WIDTH, "height": HEIGHT, "frames": []})
    views = [{"index": i, "split": "training", "camera": i, "time": i} for i in range(n)]
    views += [{"index": n + i, "split": "nv_static", "camera": i, "time": 0} for i in range(extra)]
    write_json(scene.maps_dir / "views.json", views)
    generator = np.random.default_rng(0)
    directions = np.linalg.qr(generator.normal(size=(CHANNELS, 3)))[0].T
    for view in views:
        i = view["index"]
        mask = truth_mask(int(view["time"]))
        kind = np.where(mask, 2, (np.arange(WIDTH) >= WIDTH // 2)[None].astype(int))
        features = directions[kind] + 0.05 * generator.normal(size=(HEIGHT, WIDTH, CHANNELS))
        np.save(scene.maps_dir / f"{i}_features.npy", features.astype(np.float16))
        write_image(scene.maps_dir / f"{i}_sal.png", np.where(mask, round(255 * salient), 0).astype(np.uint8))
        rgb = np.stack([np.where(mask, 200, 60 + 60 * kind)] * 3, 2) + generator.integers(-4, 5, (HEIGHT, WIDTH, 3))
        write_image(scene.maps_dir / f"{i}_rgb.png", rgb.astype(np.uint8))
        write_image(scene.maps_dir / f"{i}_depth.png", np.where(mask, 50000, 20000).astype(np.uint16))
    if with_flow:
        for i in range(n - 1):
            flow = np.zeros((HEIGHT, WIDTH, 2), np.float32)
            flow[truth_mask(i), 0] = 1
            scene.write_flow(i, "fwd", flow, np.ones((HEIGHT, WIDTH), bool))
    return scene


@pytest.fixture
def fake_scene(tmp_path: Path) -> Callable[..., Scene]:
    return lambda **options: make_scene(tmp_path / "scene", **options)


@pytest.fixture
def moving_square() -> Callable[..., np.ndarray]:
    return truth_mask
